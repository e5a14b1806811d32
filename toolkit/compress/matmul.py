"""What a layer multiplies its weights with: the features of a sample, or the windows of an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from toolkit.capture.transposed import ConvTranspose, Crop, conv_transpose

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, ConvTranspose)
WEIGHTED = (nn.Linear, *CONVOLUTIONS)
"""The modules of a captured graph that have weights."""
ROWS = 1 << 15
"""Windows that a calibration looks at, at the most; and numbers in all of them together, where they are large."""
NUMBERS = 1 << 24
PART = 1 << 20
"""Numbers that are worked on at a time: what a calibration holds beside its samples is no larger."""


@dataclass(frozen=True)
class Matmul:
    """A matrix product where `stride` is empty, else a convolution over as many axes; its options one for each axis.
    Weights are (out, in) or (out, in / groups, *kernel), samples (n, in) or (n, in, *spatial). With a `crop`, and no
    padding, it is a ConvTranspose."""

    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    crop: Crop = ()

    @classmethod
    def of(cls, module: nn.Module) -> Matmul:
        """What a Linear, a Conv1d, a Conv2d or a ConvTranspose does."""
        if isinstance(module, nn.Linear):
            return cls()
        if isinstance(module, ConvTranspose):
            return cls(module.stride, (), module.dilation, module.groups, module.crop)
        conv = cast(nn.Conv2d, module)
        return cls(tuple(conv.stride), cast(tuple[int, ...], tuple(conv.padding)), tuple(conv.dilation), conv.groups)

    @property
    def rank(self) -> int:
        """Spatial axes."""
        return len(self.stride)

    def __call__(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        if not self.rank:
            return nn.functional.linear(x, weight, bias)
        if self.crop:
            return conv_transpose(x, weight, bias, self.stride, self.crop, self.dilation, self.groups)
        run: Any = nn.functional.conv1d if self.rank == 1 else nn.functional.conv2d
        return run(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def rows(self, x: torch.Tensor, weight: torch.Tensor) -> Iterator[list[torch.Tensor]]:
        """For each group of channels, what its rows of `weight` are multiplied with: (rows, taps), at most ROWS of
        them, spread over the samples and the windows. They come in parts, each a list over the groups."""
        if not self.rank:
            yield from ([part] for part in x.split(max(PART // x.shape[1], 1)))
            return
        yield from self._stuffed(x, weight) if self.crop else self._windows(x, weight)

    def _windows(self, x: torch.Tensor, weight: torch.Tensor, mixed: bool = False) -> Iterator[list[torch.Tensor]]:
        """`rows` of a convolution; `mixed`: any of its windows, not every so-manieth."""
        kernel = tuple(weight.shape[2:])
        if self.rank == 1:  # unfold takes images only
            flat = Matmul((1, *self.stride), (0, *self.padding), (1, *self.dilation), self.groups)
            yield from flat._windows(x[:, :, None], weight[:, :, None], mixed)
            return
        taps, windows = self._unfold(x[:1], kernel).shape[1:]
        count = min(ROWS, max(NUMBERS // taps, 4 * weight[0].numel()))
        few = x[::max(len(x) * min(windows, 64) // count, 1)]
        step = max(len(few) * windows // count, 1)
        order = torch.arange(windows)
        if mixed and step > 1:
            order = order[torch.randperm(windows, generator=torch.Generator().manual_seed(0))]
        for part in few.split(max(PART // (taps * windows), 1)):
            seen = self._unfold(part, kernel)[:, :, order[::step]]
            yield [one.transpose(1, 2).reshape(-1, one.shape[1]) for one in seen.chunk(self.groups, dim=1)]

    def _stuffed(self, x: torch.Tensor, weight: torch.Tensor) -> Iterator[list[torch.Tensor]]:
        """`rows` of a transposed convolution: of the convolution, with flipped kernels, of its input with zeros between
        the pixels. Windows that lie evenly apart could all be of one phase of the stride."""
        sizes = [(n - 1) * s + 1 for n, s in zip(x.shape[2:], self.stride, strict=True)]
        stuffed = x.new_zeros(*x.shape[:2], *sizes)
        apart = tuple(slice(None, None, s) for s in self.stride)
        stuffed[(slice(None), slice(None), *apart)] = x
        ends = [(d * (k - 1) - before, d * (k - 1) - after) for d, k, (before, after) in
                zip(self.dilation, weight.shape[2:], self.crop, strict=True)]
        stuffed = nn.functional.pad(stuffed, [n for pair in reversed(ends) for n in pair])
        plain = Matmul((1,) * self.rank, (0,) * self.rank, self.dilation, self.groups)
        for groups in plain._windows(stuffed, weight, mixed=True):
            yield [taps.reshape(len(taps), weight.shape[1], -1).flip(2).flatten(1) for taps in groups]

    def _unfold(self, x: torch.Tensor, kernel: tuple[int, ...]) -> torch.Tensor:
        """Images to (n, taps, windows); a group's taps are one behind the other, as in a row of weights."""
        return nn.functional.unfold(x, kernel, self.dilation, self.padding, self.stride)

    def module(self, weight: torch.Tensor, bias: torch.Tensor) -> nn.Module:
        """The float layer of these weights."""
        layer: Any
        if not self.rank:
            layer = nn.Linear(weight.shape[1], weight.shape[0])
        elif self.crop:
            layer = ConvTranspose(weight.shape[1] * self.groups, weight.shape[0], tuple(weight.shape[2:]), self.stride,
                                  self.crop, self.dilation, self.groups)
        else:
            kind: Any = nn.Conv1d if self.rank == 1 else nn.Conv2d
            layer = kind(weight.shape[1] * self.groups, weight.shape[0], tuple(weight.shape[2:]), self.stride,
                         self.padding, self.dilation, self.groups)
        with torch.no_grad():
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
        return layer

    def to_json(self) -> dict[str, Any]:
        if not self.rank:
            return {}
        ends = {"crop": [list(pair) for pair in self.crop]} if self.crop else {"padding": list(self.padding)}
        return {"stride": list(self.stride), **ends, "dilation": list(self.dilation), "groups": self.groups}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Matmul:
        stride, padding, dilation = (tuple(int(n) for n in data.get(key, ()))
                                     for key in ("stride", "padding", "dilation"))
        crop = tuple((int(before), int(after)) for before, after in data.get("crop", ()))
        return cls(stride, padding, dilation, int(data.get("groups", 1)), crop)
