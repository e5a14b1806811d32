"""Steps become an ordinary nn.Module, which `capture` then takes as it takes any other."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from toolkit.capture.curve import Curve, Op
from toolkit.capture.images import AVG_POOLS, CONVS, MAX_POOLS, PADS
from toolkit.capture.onnx.steps import (
    Affine,
    Clip,
    Convolve,
    ConvolveTransposed,
    Elementwise,
    Extreme,
    Flat,
    Function,
    Join,
    Largest,
    Linear,
    Network,
    Permuted,
    Picked,
    Plus,
    Pool,
    Repeated,
    Reshaped,
    Slope,
    Step,
    Times,
)
from toolkit.capture.outputs import different
from toolkit.capture.pick import Pick
from toolkit.capture.product import Square
from toolkit.capture.transposed import turned
from toolkit.design.ports import Port, consecutive

TRANSPOSED: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}

FUNCTIONS: dict[str, Callable[[float], nn.Module]] = {
    "leaky": nn.LeakyReLU, "sigmoid": lambda _: nn.Sigmoid(), "tanh": lambda _: nn.Tanh(),
    "hardsigmoid": lambda _: nn.Hardsigmoid(), "hardswish": lambda _: nn.Hardswish(), "silu": lambda _: nn.SiLU(),
    "gelu": lambda _: nn.GELU(), "gelu_tanh": lambda _: nn.GELU("tanh"), "elu": nn.ELU,
    "softplus": lambda _: nn.Softplus(), "mish": lambda _: nn.Mish(), "selu": lambda _: nn.SELU(),
    "erf": lambda _: Curve((Op("erf", (0,)),)),
    "square": lambda _: Square(),
}


class OnnxModule(nn.Module):
    """A float network from an .onnx file, any batch size. Its samples are channels first; axis i of one is axis
    `sample_axes[i]` of a sample of the file. Of several inputs a sample holds the elements of all: `inputs` says which
    are whose, and `input_axes` of each what `sample_axes` says of one; its forward takes one tensor for each.
    `notes` say what was left out, `layers` what the file says that it is made of."""

    def __init__(self, network: Network, outputs: Sequence[str]) -> None:
        super().__init__()
        self.sample_shape, self.notes, self.layers = network.input_shape, network.notes, network.layers
        self.sample_axes: tuple[int, ...] | None = network.input_axes
        self.inputs: tuple[Port, ...] = ()
        self.input_axes: tuple[tuple[int, ...], ...] = ()
        self.output_names = different(outputs, "output")
        if len(network.inputs) > 1:
            names = different((one.name for one in network.inputs), "input")
            self.inputs = consecutive(zip(names, (one.shape for one in network.inputs), strict=True))
            self.input_axes = tuple(one.axes for one in network.inputs)
            self.sample_shape, self.sample_axes = (sum(port.size for port in self.inputs),), None
        self._sources = [one.name for one in network.inputs]
        self._results = network.outputs
        self._plan: list[tuple[str, tuple[str, ...], str]] = []
        for step in network.steps:
            self._plan.append((self._place(step), step.inputs, step.output))
        self.eval()

    def _place(self, step: Step) -> str:
        """Put a step's module in; returns its path."""
        parts = [re.sub(r"[^A-Za-z0-9_]+", "_", p) or "_" for p in re.split(r"[./]+", step.label)]
        parent: nn.Module = self
        for part in parts[:-1]:
            if not hasattr(parent, part):
                parent.add_module(part, nn.Module())
            found = getattr(parent, part)
            if type(found) is not nn.Module:
                parent, parts = self, ["_".join(parts)]
                break
            parent = found
        name, number = parts[-1], 2
        while hasattr(parent, name):
            name, number = f"{parts[-1]}_{number}", number + 1
        parent.add_module(name, MODULES[type(step)](step))
        return name if parent is self else ".".join([*parts[:-1], name])

    def forward(self, *xs: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        values = dict(zip(self._sources, xs, strict=True))
        for path, inputs, output in self._plan:
            values[output] = self.get_submodule(path)(*(values[n] for n in inputs))
        results = tuple(values[name] for name in self._results)
        return results if len(results) > 1 else results[0]


class _Call(nn.Module):
    """A function of tensors as a module, so that it has a name."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, *xs: torch.Tensor) -> torch.Tensor:
        return self._function(*xs)


def _set(parameter: torch.Tensor | None, values: np.ndarray) -> None:
    assert parameter is not None
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def _linear(s: Linear) -> nn.Module:
    layer = nn.utils.skip_init(nn.Linear, s.weight.shape[1], s.weight.shape[0])
    _set(layer.weight, s.weight)
    _set(layer.bias, s.bias)
    return layer


def _convolve(s: Convolve) -> nn.Module:
    rank = s.weight.ndim - 2
    even = all(a == b for a, b in s.padding)
    layer: Any = CONVS[rank](
        s.weight.shape[1] * s.groups, len(s.weight), s.weight.shape[2:], s.stride,
        tuple(a for a, _ in s.padding) if even else (0,) * rank, s.dilation, s.groups)
    _set(layer.weight, s.weight)
    _set(layer.bias, s.bias)
    return layer if even else nn.Sequential(_zeros(s.padding), layer)


def _transposed(s: ConvolveTransposed) -> nn.Module:
    rank = s.weight.ndim - 2
    most = [max(t, d) - 1 for t, d in zip(s.stride, s.dilation, strict=True)]
    # Of the pixels that go at the end, PyTorch lets as many stay as its output_padding may be.
    extra = [min(max(before - after, 0), m) for (before, after), m in zip(s.crop, most, strict=True)]
    layer: Any = TRANSPOSED[rank](
        s.weight.shape[1] * s.groups, len(s.weight), s.weight.shape[2:], s.stride, [before for before, _ in s.crop],
        extra, s.groups, dilation=s.dilation)
    weight = turned(torch.from_numpy(np.ascontiguousarray(s.weight)), s.groups)
    _set(layer.weight, weight.numpy())
    _set(layer.bias, s.bias)
    ends = [after - before + e for (before, after), e in zip(s.crop, extra, strict=True)]
    if not any(ends):
        return layer
    places = tuple(slice(None, -n if n else None) for n in ends)
    return nn.Sequential(layer, _Call(lambda x: x[(slice(None), slice(None), *places)]))


def _zeros(padding: tuple[tuple[int, int], ...]) -> nn.Module:
    return PADS[len(padding)](tuple(n for pair in reversed(padding) for n in pair))


class _Elements(nn.Module):
    """A scale and an offset for each element of a sample."""

    def __init__(self, s: Affine) -> None:
        super().__init__()
        self.scale, self.offset = (nn.Parameter(torch.from_numpy(np.array(v, np.float32))) for v in (s.scale, s.offset))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale + self.offset


def _affine(s: Affine) -> nn.Module:
    if s.scale.ndim > 1 or len(s.shape) > 3:
        return _Elements(s if s.scale.ndim > 1 else replace(
            s, scale=s.scale.reshape(-1, *(1,) * (len(s.shape) - 1)),
            offset=s.offset.reshape(-1, *(1,) * (len(s.shape) - 1))))
    layer = (nn.BatchNorm2d if len(s.shape) == 3 else nn.BatchNorm1d)(len(s.scale), eps=0.0)
    _set(layer.weight, s.scale)
    _set(layer.bias, s.offset)
    return layer


def _slope(s: Slope) -> nn.Module:
    """A slope for each channel, or for each element of a row of them."""
    layer = nn.PReLU(s.slopes.size)
    _set(layer.weight, s.slopes.reshape(-1))
    return layer if s.slopes.ndim == 1 else nn.Sequential(nn.Flatten(), layer, nn.Unflatten(1, s.shape))


def _clip(s: Clip) -> nn.Module:
    if s.low == 0 and s.high == np.inf:
        return nn.ReLU()
    return nn.ReLU6() if (s.low, s.high) == (0, 6) else nn.Hardtanh(s.low, s.high)


def _pool(s: Pool) -> nn.Module:
    rank = len(s.kernel)
    before = tuple(a for a, _ in s.padding)
    even = all(a == b for a, b in s.padding)
    if s.ceil or not s.counted:
        kind: Any = nn.AvgPool1d if rank == 1 else nn.AvgPool2d
        return kind(s.kernel, s.stride, before, s.ceil, s.counted)
    if s.kind != "max":
        layer: Any = AVG_POOLS[rank](s.kernel, s.stride, before if even else 0,
                                     divisor_override=1 if s.kind == "sum" else None)
        return layer if even else nn.Sequential(_zeros(s.padding), layer)
    # What a maximum is padded with at the end of an axis, torch pads where its windows are counted up.
    odd = any(b - a not in range(t) for (a, b), t in zip(s.padding, s.stride, strict=True))
    layer = MAX_POOLS[rank](s.kernel, s.stride, 0 if odd else before, s.dilation,
                                                   ceil_mode=not (even or odd))
    return nn.Sequential(_zeros(s.padding), layer) if odd else layer


MODULES: dict[type[Step], Callable[[Any], nn.Module]] = {
    Linear: _linear, Convolve: _convolve, ConvolveTransposed: _transposed, Affine: _affine, Clip: _clip, Pool: _pool,
    Function: lambda s: FUNCTIONS[s.function](s.alpha), Flat: lambda s: nn.Flatten(),
    Plus: lambda s: _Call(torch.add), Times: lambda s: _Call(torch.mul),
    Join: lambda s: _Call(lambda *xs: torch.cat(xs, s.axis + 1)),
    Slope: _slope, Elementwise: lambda s: Curve(s.ops),
    Extreme: lambda s: _Call(torch.minimum if s.least else torch.maximum),
    Reshaped: lambda s: _Call(lambda x: x.reshape(x.shape[0], *s.shape)),
    Permuted: lambda s: _Call(lambda x: x.permute(0, *(a + 1 for a in s.axes))),
    Picked: lambda s: Pick(torch.from_numpy(np.ascontiguousarray(s.index, np.int64)), s.shape),
    Repeated: lambda s: nn.Upsample(scale_factor=tuple(float(n) for n in s.scale)),
    Largest: lambda s: _Call(lambda x: torch.argmax(x, 1)),
}
"""How each kind of step becomes a module. QONNX's quantisers have none: `toolkit.importing` makes designs of them."""
