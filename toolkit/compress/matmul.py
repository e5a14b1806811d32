"""What a layer multiplies its weights with: the features of a sample, or the windows of an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
"""The modules of a captured graph that have weights."""
ROWS = 1 << 15
"""Windows that a calibration looks at, at the most; and numbers in all of them together, where they are large."""
NUMBERS = 1 << 24
PART = 1 << 20
"""Numbers that are worked on at a time: what a calibration holds beside its samples is no larger."""


@dataclass(frozen=True)
class Matmul:
    """A matrix product where `stride` is empty, else a convolution over as many axes; its options one for each axis.
    Weights are (out, in) or (out, in / groups, *kernel), samples (n, in) or (n, in, *spatial)."""

    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1

    @classmethod
    def of(cls, module: nn.Module) -> Matmul:
        """What a Linear, a Conv1d or a Conv2d does."""
        if isinstance(module, nn.Linear):
            return cls()
        conv = cast(nn.Conv2d, module)
        return cls(tuple(conv.stride), cast(tuple[int, ...], tuple(conv.padding)), tuple(conv.dilation), conv.groups)

    @property
    def rank(self) -> int:
        """Spatial axes."""
        return len(self.stride)

    def __call__(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        if not self.rank:
            return nn.functional.linear(x, weight, bias)
        run: Any = nn.functional.conv1d if self.rank == 1 else nn.functional.conv2d
        return run(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def rows(self, x: torch.Tensor, weight: torch.Tensor) -> Iterator[list[torch.Tensor]]:
        """For each group of channels, what its rows of `weight` are multiplied with: (rows, taps), at most ROWS of
        them, spread over the samples and the windows. They come in parts, each a list over the groups."""
        if not self.rank:
            yield from ([part] for part in x.split(max(PART // x.shape[1], 1)))
            return
        kernel = tuple(weight.shape[2:])
        if self.rank == 1:  # unfold takes images only
            flat = Matmul((1, *self.stride), (0, *self.padding), (1, *self.dilation), self.groups)
            yield from flat.rows(x[:, :, None], weight[:, :, None])
            return
        taps, windows = self._unfold(x[:1], kernel).shape[1:]
        count = min(ROWS, max(NUMBERS // taps, 4 * weight[0].numel()))
        few = x[::max(len(x) * min(windows, 64) // count, 1)]
        step = max(len(few) * windows // count, 1)
        for part in few.split(max(PART // (taps * windows), 1)):
            seen = self._unfold(part, kernel)[:, :, ::step]
            yield [one.transpose(1, 2).reshape(-1, one.shape[1]) for one in seen.chunk(self.groups, dim=1)]

    def _unfold(self, x: torch.Tensor, kernel: tuple[int, ...]) -> torch.Tensor:
        """Images to (n, taps, windows); a group's taps are one behind the other, as in a row of weights."""
        return nn.functional.unfold(x, kernel, self.dilation, self.padding, self.stride)

    def module(self, weight: torch.Tensor, bias: torch.Tensor) -> nn.Module:
        """The float layer of these weights."""
        layer: Any
        if not self.rank:
            layer = nn.Linear(weight.shape[1], weight.shape[0])
        else:
            kind: Any = nn.Conv1d if self.rank == 1 else nn.Conv2d
            layer = kind(weight.shape[1] * self.groups, weight.shape[0], tuple(weight.shape[2:]), self.stride,
                         self.padding, self.dilation, self.groups)
        with torch.no_grad():
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
        return layer

    def to_json(self) -> dict[str, Any]:
        return {"stride": list(self.stride), "padding": list(self.padding), "dilation": list(self.dilation),
                "groups": self.groups} if self.rank else {}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Matmul:
        stride, padding, dilation = (tuple(int(n) for n in data.get(key, ()))
                                     for key in ("stride", "padding", "dilation"))
        return cls(stride, padding, dilation, int(data.get("groups", 1)))
