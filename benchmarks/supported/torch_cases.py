"""A tiny network of each operation of PyTorch that is captured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

VECTOR, SIGNAL, IMAGE = (4,), (2, 4), (4, 4, 4)


class Case(nn.Module):
    """`function` of the input and of `layers`, on samples of `shape`."""

    def __init__(self, shape: tuple[int, ...], function: Callable[..., Any], *layers: nn.Module) -> None:
        super().__init__()
        self.shape, self.function, self.layers = shape, function, nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x, *self.layers)


def layer(shape: tuple[int, ...], module: nn.Module) -> Callable[[], Case]:
    return lambda: Case(shape, lambda x, m: m(x), module)


def vector(function: Callable[..., Any]) -> Callable[[], Case]:
    return lambda: Case(VECTOR, function)


def image(function: Callable[..., Any]) -> Callable[[], Case]:
    return lambda: Case(IMAGE, function)


def behind(function: Callable[..., Any]) -> Callable[[], Case]:
    """Behind a Linear: what leaves nothing of itself."""
    return lambda: Case(VECTOR, lambda x, m: function(m(x)), nn.Linear(4, 3))


def moved(shape: tuple[int, ...], function: Callable[..., Any]) -> Callable[[], Case]:
    """In front of a ReLU: what only moves elements is wires, and no hardware of itself."""
    return lambda: Case(shape, lambda x: function(x).relu())


def sloped(layer: nn.PReLU, *slopes: float) -> nn.PReLU:
    """With these slopes."""
    layer.weight.data = torch.tensor(slopes)
    return layer


CASES: dict[str, Callable[[], Any]] = {
    "nn.Linear": layer(VECTOR, nn.Linear(4, 3)),
    "x @ matrix": lambda: Weights(VECTOR, lambda x, w: x @ w),
    "torch.addmm": lambda: Weights(VECTOR, lambda x, w: torch.addmm(w[0], x, w)),
    "torch.mm": lambda: Weights(VECTOR, lambda x, w: torch.mm(x, w)),
    "nn.Linear on rows (batch, time, features)": layer((3, 4), nn.Linear(4, 2)),
    "matrix @ x": lambda: Weights((3, 2), lambda x, w: w @ x), "torch.einsum": lambda: Weights(
        (2, 4), lambda x, w: torch.einsum("bti,io->bto", x, w)),
    "torch.inner": lambda: Weights(VECTOR, lambda x, w: torch.inner(x, w.T)),
    "torch.tensordot": lambda: Weights(VECTOR, lambda x, w: torch.tensordot(x, w, 1)),
    "torch.mv": lambda: Weights(VECTOR, lambda x, w: torch.mv(x, w[:, 0])),
    "nn.Conv1d": layer(SIGNAL, nn.Conv1d(2, 3, 3)), "nn.Conv2d": layer(IMAGE, nn.Conv2d(4, 2, 3, padding=1)),
    "nn.Conv2d, grouped, strided, dilated": layer(IMAGE, nn.Conv2d(4, 4, 2, 2, 1, 2, groups=4)),
    "nn.ConvTranspose1d": layer(SIGNAL, nn.ConvTranspose1d(2, 3, 3, 2)),
    "nn.ConvTranspose2d": layer(IMAGE, nn.ConvTranspose2d(4, 2, 3, 2, 1, 1)),
    "nn.ConvTranspose2d, grouped, dilated": layer(IMAGE, nn.ConvTranspose2d(4, 4, 2, groups=4, dilation=2)),
    "nn.BatchNorm1d": layer(VECTOR, nn.BatchNorm1d(4)), "nn.BatchNorm2d": layer(IMAGE, nn.BatchNorm2d(4)),
    "nn.MaxPool1d": layer(SIGNAL, nn.MaxPool1d(2)), "nn.MaxPool2d": layer(IMAGE, nn.MaxPool2d(2)),
    "nn.AvgPool1d": layer(SIGNAL, nn.AvgPool1d(2)), "nn.AvgPool2d": layer(IMAGE, nn.AvgPool2d(2)),
    "nn.AdaptiveAvgPool1d": layer(SIGNAL, nn.AdaptiveAvgPool1d(2)),
    "nn.AdaptiveAvgPool2d": layer(IMAGE, nn.AdaptiveAvgPool2d(1)),
    "nn.AdaptiveMaxPool1d": layer(SIGNAL, nn.AdaptiveMaxPool1d(2)),
    "nn.AdaptiveMaxPool2d": layer(IMAGE, nn.AdaptiveMaxPool2d(1)),
    "x.mean((2, 3))": image(lambda x: x.mean((2, 3))), "x.sum((2, 3))": image(lambda x: x.sum((2, 3))),
    "x.amax((2, 3))": image(lambda x: x.amax((2, 3))), "x.max(3).values": image(lambda x: x.max(3).values),
    "x.amin((2, 3))": image(lambda x: x.amin((2, 3))), "x.min(1).values": image(lambda x: x.min(1).values),
    "x.mean(1)": image(lambda x: x.mean(1)), "x.sum(1) of a vector": vector(lambda x: x.sum(1)),
    "nn.AvgPool2d (count_include_pad=False)": layer(IMAGE, nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
    "F.pad (zeros, before a Conv)": lambda: Case(IMAGE, lambda x, m: m(F.pad(x, (1, 0, 0, 1))), nn.Conv2d(4, 2, 2)),
    "nn.Upsample (nearest), 1-D": layer(SIGNAL, nn.Upsample(scale_factor=2)),
    "nn.Upsample (nearest), 2-D": layer(IMAGE, nn.Upsample(scale_factor=2)),
    "nn.ReLU": layer(VECTOR, nn.ReLU()), "nn.ReLU6": layer(VECTOR, nn.ReLU6()),
    "nn.Hardtanh": layer(VECTOR, nn.Hardtanh(-0.5, 0.5)), "torch.clamp": vector(lambda x: x.clamp(0.25, 0.75)),
    "torch.clip": vector(lambda x: torch.clip(x, 0.25, 0.75)), "torch.clamp_min": vector(lambda x: x.clamp_min(0.25)),
    "torch.clamp_max": vector(lambda x: x.clamp_max(0.75)), "nn.LeakyReLU": layer(VECTOR, nn.LeakyReLU(0.125)),
    "nn.Sigmoid": layer(VECTOR, nn.Sigmoid()), "nn.Tanh": layer(VECTOR, nn.Tanh()),
    "nn.Hardsigmoid": layer(VECTOR, nn.Hardsigmoid()), "nn.Hardswish": layer(VECTOR, nn.Hardswish()),
    "nn.SiLU": layer(VECTOR, nn.SiLU()), "nn.GELU": layer(VECTOR, nn.GELU()), "nn.ELU": layer(VECTOR, nn.ELU()),
    "nn.SELU": layer(VECTOR, nn.SELU()), "nn.Softplus": layer(VECTOR, nn.Softplus()),
    "nn.Mish": layer(VECTOR, nn.Mish()), "nn.PReLU": layer(VECTOR, nn.PReLU(4)), "nn.RReLU": layer(VECTOR, nn.RReLU()),
    "nn.PReLU (a slope a channel)": lambda: Case(IMAGE, lambda x, s: F.prelu(x, s.weight),
                                                 sloped(nn.PReLU(4), 0.25, -0.5, 0.75, 0.1)),
    "torch.abs": vector(torch.abs), "torch.absolute": vector(torch.absolute), "nn.CELU": layer(VECTOR, nn.CELU(1.5)),
    "nn.LogSigmoid": layer(VECTOR, nn.LogSigmoid()), "nn.Softshrink": layer(VECTOR, nn.Softshrink(0.25)),
    "nn.Hardshrink": layer(VECTOR, nn.Hardshrink(0.25)), "nn.Threshold": layer(VECTOR, nn.Threshold(0.5, 0.25)),
    "nn.Softsign": layer(VECTOR, nn.Softsign()), "nn.Tanhshrink": layer(VECTOR, nn.Tanhshrink()),
    **{f"torch.{name}": vector(getattr(torch, name)) for name in (
        "exp", "exp2", "expm1", "square", "reciprocal", "sign", "sin", "cos", "tan", "atan", "sinh", "cosh", "asinh",
        "erf", "floor", "ceil", "trunc", "round")},
    **{f"torch.{f.__name__}": vector(lambda x, f=f: f(x + 0.25)) for f in (
        torch.log, torch.log2, torch.log10, torch.log1p, torch.sqrt, torch.rsqrt)},
    **{f"torch.{f.__name__}": vector(lambda x, f=f: f(x * 0.5)) for f in (torch.asin, torch.acos, torch.atanh)},
    "torch.acosh": vector(lambda x: torch.acosh(x + 1.25)), "torch.logit": vector(lambda x: torch.logit(x, 0.01)),
    "torch.special.expit": vector(torch.special.expit), "x ** number": vector(lambda x: x ** 3),
    "x * f(x), of any f": vector(lambda x: x * torch.exp(-x)), "f(x) / g(x)": vector(lambda x: x / (1 + x * x)),
    "torch.where, by comparing x with a number": vector(lambda x: torch.where(x > 0.5, x, 0.25 * x)),
    **{f"x {sign} number": vector(lambda x, f=f: f(x, 0.5) * 1.0) for sign, f in {
        ">=": torch.ge, "<": torch.lt, "<=": torch.le, "==": torch.eq, "!=": torch.ne}.items()},
    **{f"torch.{f.__name__}": vector(lambda x, f=f: f(x, 0.5 - x)) for f in (
        torch.maximum, torch.minimum, torch.fmax, torch.fmin)},
    "torch.maximum, with constants": vector(lambda x: torch.maximum(x, torch.tensor([0.25, 0.5, 0.75, 0.5]))),
    "x + y": vector(lambda x: x + x.relu()), "x - y": vector(lambda x: x - x.relu()),
    "x + constant": vector(lambda x: x + 0.5), "constant - x": vector(lambda x: torch.rsub(x, 1)),
    "x * constant": vector(lambda x: x * 1.5), "x / constant": vector(lambda x: x / 3),
    "-x": vector(lambda x: -x), "x * sigmoid(x)": vector(lambda x: x * torch.sigmoid(x)),
    "x * y": vector(lambda x: x * x.relu()),
    "x * y, y of one pixel": image(lambda x: x * torch.sigmoid(x.mean((2, 3), keepdim=True))),
    "torch.einsum (nothing summed)": vector(lambda x: torch.einsum("bc,bc->bc", x, x.relu())),
    "torch.square": vector(torch.square), "x ** 2": vector(lambda x: x**2), "nn.GLU": layer(VECTOR, nn.GLU()),
    "torch.cat": vector(lambda x: torch.cat([x, x.relu()], 1)),
    "torch.stack": vector(lambda x: torch.stack([x, x.relu()], 1)),
    "x[:, 1:3]": moved(VECTOR, lambda x: x[:, 1:3]), "x[:, 1]": moved(IMAGE, lambda x: x[:, 1]),
    "x[:, [3, 0]]": moved(VECTOR, lambda x: x[:, [3, 0]]), "x.narrow": moved(VECTOR, lambda x: x.narrow(1, 1, 2)),
    "torch.index_select": moved(VECTOR, lambda x: torch.index_select(x, 1, torch.tensor([2, 0]))),
    "torch.split": moved(VECTOR, lambda x: torch.split(x, 2, 1)[1]),
    "torch.split, sizes": moved(VECTOR, lambda x: torch.split(x, [1, 3], 1)[1]),
    "torch.chunk": moved(VECTOR, lambda x: x.chunk(2, 1)[1]), "torch.unbind": moved(IMAGE, lambda x: x.unbind(2)[1]),
    "x.permute": moved(IMAGE, lambda x: x.permute(0, 2, 3, 1)),
    "x.transpose": moved(IMAGE, lambda x: x.transpose(1, 2)),
    "torch.movedim": moved(IMAGE, lambda x: torch.movedim(x, 1, 3)),
    "torch.moveaxis": moved(IMAGE, lambda x: torch.moveaxis(x, 1, 3)),
    "torch.swapaxes": moved(IMAGE, lambda x: torch.swapaxes(x, 1, 2)),
    "torch.swapdims": moved(IMAGE, lambda x: torch.swapdims(x, 1, 2)), "x.flip": moved(VECTOR, lambda x: x.flip(1)),
    "x.roll": moved(VECTOR, lambda x: x.roll(1, 1)), "torch.rot90": moved(IMAGE, lambda x: torch.rot90(x, 1, (2, 3))),
    "x.expand": moved((4, 1), lambda x: x.expand(-1, 4, 3)), "x.repeat": moved(VECTOR, lambda x: x.repeat(1, 2)),
    "x.tile": moved(VECTOR, lambda x: x.tile(1, 2)),
    "torch.repeat_interleave": moved(VECTOR, lambda x: torch.repeat_interleave(x, 2, 1)),
    "nn.PixelShuffle": moved(IMAGE, nn.PixelShuffle(2)), "nn.PixelUnshuffle": moved(IMAGE, nn.PixelUnshuffle(2)),
    "nn.ChannelShuffle": moved(IMAGE, nn.ChannelShuffle(2)),
    "nn.Flatten": image(lambda x: nn.Flatten()(x.relu())),
    "x.view": vector(lambda x: x.relu().view(-1, 2, 2)), "x.reshape": image(lambda x: x.relu().reshape(-1, 8, 8)),
    "nn.Unflatten": vector(lambda x: nn.Unflatten(1, (2, 2))(x.relu())),
    "x.squeeze": lambda: Case((4, 1), lambda x: x.relu().squeeze(2)),
    "x.unsqueeze": vector(lambda x: x.relu().unsqueeze(2)), "nn.Dropout": behind(nn.Dropout().eval()),
    "nn.Dropout2d": lambda: Case(IMAGE, lambda x, a, b: b(a(x)), nn.Conv2d(4, 2, 1), nn.Dropout2d()),
    "nn.AlphaDropout": behind(nn.AlphaDropout().eval()),
    "nn.FeatureAlphaDropout": lambda: Case(IMAGE, lambda x, a, b: b(a(x)), nn.Conv2d(4, 2, 1),
                                           nn.FeatureAlphaDropout()),
    "nn.Identity": behind(nn.Identity()), "x.clone": behind(torch.clone), "x.detach": behind(lambda x: x.detach()),
    "x.contiguous": behind(lambda x: x.contiguous()), "x.to(float32)": behind(lambda x: x.to(torch.float32)),
    "nn.Softmax (at the end)": behind(nn.Softmax(1)), "nn.LogSoftmax (at the end)": behind(nn.LogSoftmax(1)),
    "torch.argmax (at the end)": behind(lambda x: torch.argmax(x, 1)),
}


class Weights(nn.Module):
    """A matrix that is a parameter."""

    def __init__(self, shape: tuple[int, ...], function: Callable[..., Any]) -> None:
        super().__init__()
        self.shape, self.function, self.matrix = shape, function, nn.Parameter(torch.randn(4, 3))

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x, self.matrix)
