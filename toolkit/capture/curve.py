"""Curve: any function of one element that is put together of simple ones, as a table takes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from toolkit.capture.slopes import Slopes

UNARY: dict[str, Callable[..., torch.Tensor]] = {
    "exp": torch.exp, "exp2": torch.exp2, "expm1": torch.expm1, "log": torch.log, "log2": torch.log2,
    "log10": torch.log10, "log1p": torch.log1p, "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "square": torch.square,
    "reciprocal": torch.reciprocal, "abs": torch.abs, "neg": torch.neg, "sign": torch.sign, "sin": torch.sin,
    "cos": torch.cos, "tan": torch.tan, "asin": torch.asin, "acos": torch.acos, "atan": torch.atan, "sinh": torch.sinh,
    "cosh": torch.cosh, "asinh": torch.asinh, "acosh": torch.acosh, "atanh": torch.atanh, "erf": torch.erf,
    "floor": torch.floor, "ceil": torch.ceil, "trunc": torch.trunc, "round": torch.round, "relu": torch.relu,
    "sigmoid": torch.sigmoid, "tanh": torch.tanh, "hardsigmoid": F.hardsigmoid, "hardswish": F.hardswish,
    "silu": F.silu, "mish": F.mish, "selu": F.selu, "log_sigmoid": F.logsigmoid,
    "affine": lambda x, scale, offset: x * scale + offset, "clamp": lambda x, low, high: x.clamp(low, high),
    "leaky_relu": lambda x, slope: torch.where(x < 0, x * slope, x), "pow": lambda x, power: torch.pow(x, power),
    "power_of": lambda x, base: torch.pow(torch.as_tensor(base, dtype=x.dtype), x),
    "gelu": lambda x: F.gelu(x), "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "softplus": lambda x, beta, threshold: F.softplus(x, beta, threshold), "elu": lambda x, alpha: F.elu(x, alpha),
    "celu": lambda x, alpha: F.celu(x, alpha), "softshrink": lambda x, least: F.softshrink(x, least),
    "hardshrink": lambda x, least: F.hardshrink(x, least),
    "threshold": lambda x, limit, value: F.threshold(x, limit, value),
    "gt": lambda x, limit: (x > limit).to(x.dtype), "ge": lambda x, limit: (x >= limit).to(x.dtype),
    "lt": lambda x, limit: (x < limit).to(x.dtype), "le": lambda x, limit: (x <= limit).to(x.dtype),
    "eq": lambda x, limit: (x == limit).to(x.dtype), "ne": lambda x, limit: (x != limit).to(x.dtype),
    "logit": lambda x, eps: torch.logit(x, eps if eps >= 0 else None),
    "constant": lambda x, value: x * 0 + value,
}
"""Functions of one number, some with numbers of their own."""
BINARY: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "maximum": torch.maximum,
    "minimum": torch.minimum, "pow": torch.pow, "atan2": torch.atan2, "hypot": torch.hypot}
"""Functions of two."""


@dataclass(frozen=True)
class Op:
    """One of UNARY, BINARY, or `where` (of three), of the numbers that earlier ones made: 0 is what is read, i what
    the i-th of them made."""

    name: str
    reads: tuple[int, ...]
    numbers: tuple[float, ...] = ()

    def __call__(self, values: list[torch.Tensor]) -> torch.Tensor:
        given = [values[i] for i in self.reads]
        if self.name == "where":
            return torch.where(given[0] != 0, given[1], given[2])
        return BINARY[self.name](*given) if len(given) == 2 else UNARY[self.name](*given, *self.numbers)


MOST = 64
"""Functions that one curve is made of, at the most."""


class Curve(nn.Module):
    """Element by element, what the last of `ops` makes. Where that is no number (the logarithm of what is not positive,
    a division by zero), the nearest code that has a value stands in for it once it is a table."""

    def __init__(self, ops: tuple[Op, ...]) -> None:
        super().__init__()
        self.ops = ops

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = [x]
        for op in self.ops:
            values.append(op(values))
        return values[-1]

    @property
    def label(self) -> str:
        """What people are told that the table holds."""
        names = [op.name for op in self.ops if op.name != "affine"]
        return ", ".join(dict.fromkeys(names)) if 0 < len(names) < 5 else "function"

    def extra_repr(self) -> str:
        return self.label


def simple(module: nn.Module) -> tuple[str, tuple[float, ...]] | None:
    """A module of one element as a function of UNARY and its numbers; None for any other."""
    if isinstance(module, Slopes):
        return ("leaky_relu", (module.negative.item(),)) if module.channels == 1 and module.positive is None else None
    name = SIMPLE.get(type(module))
    if name is None:
        return None
    if isinstance(module, nn.GELU):
        return ("gelu_tanh" if module.approximate == "tanh" else "gelu"), ()
    numbers = {nn.ReLU6: ("min_val", "max_val"), nn.Hardtanh: ("min_val", "max_val"), nn.LeakyReLU: ("negative_slope",),
               nn.Softplus: ("beta", "threshold"), nn.ELU: ("alpha",)}.get(type(module), ())
    return name, tuple(float(getattr(module, key)) for key in numbers)


SIMPLE: dict[type[nn.Module], str] = {
    nn.ReLU: "relu", nn.ReLU6: "clamp", nn.Hardtanh: "clamp", nn.LeakyReLU: "leaky_relu", nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh", nn.Hardsigmoid: "hardsigmoid", nn.Hardswish: "hardswish", nn.SiLU: "silu", nn.GELU: "gelu",
    nn.Softplus: "softplus", nn.ELU: "elu", nn.SELU: "selu", nn.Mish: "mish"}


def joined(parts: list[tuple[Op, ...]], name: str, numbers: tuple[float, ...] = ()) -> tuple[Op, ...]:
    """The function `name` of what several lists of operations make of one and the same input."""
    ops: list[Op] = []
    ends = []
    for part in parts:
        places = [0]
        for op in part:
            moved = Op(op.name, tuple(places[i] for i in op.reads), op.numbers)
            if moved not in ops:
                ops.append(moved)
            places.append(ops.index(moved) + 1)
        ends.append(places[-1])
    return (*ops, Op(name, tuple(ends), numbers))


def finite(values: torch.Tensor) -> torch.Tensor:
    """Numbers in the order of what they are made of, those that are none at all replaced by the nearest that is one."""
    good = ~torch.isnan(values)
    if bool(good.all()):
        return values
    if not bool(good.any()):
        return torch.zeros_like(values)
    places = torch.arange(len(values))
    known = places[good]
    right = torch.searchsorted(known, places).clamp(max=len(known) - 1)
    left = (right - 1).clamp(min=0)
    nearer = (places - known[left]).abs() <= (known[right] - places).abs()
    return values[torch.where(nearer, known[left], known[right])]
