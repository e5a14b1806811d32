"""The steps of a compression scheme: what a user can ask for, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace

from toolkit.design.layers.multiply import GATES, POWER
from toolkit.design.weights import WeightFormat
from toolkit.utils.errors import InputError


@dataclass(frozen=True)
class Structured:
    """Remove `ratio` of the hidden neurons of every layer, in `steps` cuts with training between them."""

    ratio: float
    importance: str = "l2"
    steps: int = 1

    def __str__(self) -> str:
        return _text(f"structured:{self.ratio:g}", importance=(self.importance, "l2"), steps=(self.steps, 1))


@dataclass(frozen=True)
class Magnitude:
    """Zero the `ratio` of smallest weights, of the whole network or of each layer, in `steps` cuts."""

    ratio: float
    scope: str = "global"
    steps: int = 1

    def __str__(self) -> str:
        return _text(f"magnitude:{self.ratio:g}", scope=(self.scope, "global"), steps=(self.steps, 1))


@dataclass(frozen=True)
class Random:
    """Zero `ratio` of each layer's weights, drawn with the run's seed."""

    ratio: float

    def __str__(self) -> str:
        return f"random:{self.ratio:g}"


@dataclass(frozen=True)
class Pattern:
    """Keep `n` of every `m` consecutive weights."""

    n: int
    m: int

    def __str__(self) -> str:
        return f"nm:{self.n}:{self.m}"


@dataclass(frozen=True)
class Distill:
    """Replace the network by a student of `share` of its parameters. `mix`: the teacher's share of the loss; with 0 the
    student learns from the labels alone."""

    share: float
    temperature: float = 4.0
    mix: float = 0.9

    def __str__(self) -> str:
        return _text(f"distill:{self.share:g}", temperature=(f"{self.temperature:g}", "4"),
                     mix=(f"{self.mix:g}", "0.9"))

    @property
    def alone(self) -> Distill:
        """The same student without a teacher."""
        return replace(self, mix=0.0)


@dataclass(frozen=True)
class Quantise:
    """Bring all weights to a format that hardware computes with. `scale`: an exponent for each output channel, or
    one for the tensor. `domain`: where log2 looks for the nearest level."""

    format: WeightFormat
    scale: str = "channel"
    domain: str = "linear"

    def __str__(self) -> str:
        return _text(str(self.format), scale=(self.scale, "channel"), domain=(self.domain, "linear"))


@dataclass(frozen=True)
class Coded:
    """Weights in a format for which no hardware is generated: `minifloat:NAME` or `dynamic:int8`."""

    kind: str

    def __str__(self) -> str:
        return self.kind


Step = Structured | Magnitude | Random | Pattern | Distill | Quantise | Coded


@dataclass(frozen=True)
class Gate:
    """How the product of two tensors is computed: by a multiplier, or as the value times the power of two nearest to
    its gate."""

    kind: str = POWER

    def __post_init__(self) -> None:
        if self.kind not in GATES:
            raise InputError(f"unknown gate '{self.kind[:40]}'; known are {', '.join(GATES)}")


class PerLayer:
    """What single layers get instead of the step that all others get. Here: nothing."""

    def format(self, path: str, default: Quantise) -> Quantise:
        """The weight format of the layer at `path`."""
        return default

    def activation(self, path: str, default: int) -> int:
        """Bits of what the layer at `path` gives."""
        return default

    def gate(self, path: str, default: Gate) -> Gate:
        """How the product at `path` is computed."""
        return default


def _text(head: str, **options: tuple[object, object]) -> str:
    """A step as it is written: options that have their default are left out."""
    return head + "".join(f",{name}={value}" for name, (value, default) in options.items() if value != default)
