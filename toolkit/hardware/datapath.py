"""A pipelined datapath: signals made from signals, each with its exact width and stage; registers follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from toolkit.design.formats import Requantise


@dataclass(frozen=True)
class Read:
    """Element `element` of input port `port`, its low `width` bits; with `invert`, the top bit inverted."""

    port: int
    element: int
    invert: bool


@dataclass(frozen=True)
class Sum:
    """`(a << shifts[0]) + (b << shifts[1])` of unsigned words; with `subtract`, `2**width(b) - b` in the place of b."""

    shifts: tuple[int, int]
    subtract: bool


@dataclass(frozen=True)
class Offset:
    """`constant + (word << shift)` in two's complement; with `negative`, the word is taken away."""

    constant: int
    shift: int
    negative: bool


@dataclass(frozen=True)
class Quantise:
    """`clamp(acc >> shift)`: a two's complement accumulator, rounding already added, to an output code. It is known
    to lie in `low`..`high`, so a bound that it cannot pass costs nothing."""

    requantise: Requantise
    shift: int
    low: int
    high: int


@dataclass(frozen=True)
class RoundEven:
    """A two's complement accumulator plus what makes a shift by `shift` round halves to even."""

    shift: int


@dataclass(frozen=True)
class Widen:
    """A code of `signed` kind moved left by `shift` into a wider one of the same value."""

    shift: int
    signed: bool


@dataclass(frozen=True)
class Greater:
    """One bit: the second operand is greater than the first (both `signed` or both not)."""

    signed: bool


@dataclass(frozen=True)
class Select:
    """The third operand where the first, one bit, is set; else the second."""


@dataclass(frozen=True)
class Entry:
    """Entry `bits of the operand` of `table`, which has one for each of them; codes in two's complement."""

    table: tuple[int, ...]


@dataclass(frozen=True)
class Constant:
    """A constant code."""

    value: int


@dataclass(frozen=True)
class Turned:
    """The first operand, a code of `signed` kind, in two's complement; negated where the second, a code with a sign, is
    negative."""

    signed: bool


@dataclass(frozen=True)
class Place:
    """The power of two nearest to an unsigned word, 2**top at the most: its exponent, below a bit that is 0 of 0."""

    top: int


@dataclass(frozen=True)
class Barrel:
    """The first operand, in two's complement, times the power of two that a `Place` says, the second."""


@dataclass(frozen=True)
class Product:
    """The product of two codes of `signed` kinds, in two's complement: a multiplier."""

    signed: tuple[bool, bool]


@dataclass(frozen=True)
class Plus:
    """A two's complement word plus a constant."""

    constant: int


Op = (Read | Sum | Offset | RoundEven | Quantise | Widen | Greater | Select | Entry | Constant | Turned | Place
      | Barrel | Product | Plus)


@dataclass(frozen=True)
class Signal:
    """One named value. `operands` are indices of earlier signals; `level` counts adders from the input."""

    name: str
    width: int
    op: Op
    operands: tuple[int, ...] = ()
    level: int = 0


@dataclass(frozen=True)
class Datapath:
    """Signals in an order in which each reads only earlier ones, cut into `stages` pipeline stages.

    A signal of stage s is made between the registers s and s + 1; an operand of an earlier stage is read from a delay
    register. The outputs stand in the registers at the end of the last stage; with 0 stages all is wires.
    """

    signals: tuple[Signal, ...]
    outputs: tuple[int, ...]
    stages: int
    depth: int = field(default=1)

    def stage(self, index: int) -> int:
        """The stage that makes a signal: `depth` levels of adders fit into one."""
        return min(max(self.signals[index].level - 1, 0) // self.depth, max(self.stages - 1, 0))

    @cached_property
    def last_read(self) -> tuple[int, ...]:
        """For each signal, the last stage that reads it; `stages` where it is an output."""
        last = [self.stage(i) for i in range(len(self.signals))]
        for i, signal in enumerate(self.signals):
            for operand in signal.operands:
                last[operand] = max(last[operand], self.stage(i))
        for output in self.outputs:
            last[output] = self.stages
        return tuple(last)

    @cached_property
    def registers(self) -> tuple[tuple[int, int], ...]:
        """(signal, boundary) of every register: boundary k lies between stage k - 1 and stage k."""
        return tuple((i, k) for k in range(1, self.stages + 1) for i, signal in enumerate(self.signals)
                     if self.stage(i) < k <= self.last_read[i] and not isinstance(signal.op, Constant))

    @property
    def register_bits(self) -> int:
        return sum(self.signals[i].width for i, _ in self.registers)


class Builder:
    """Collects signals; `add` returns the index by which later ones name it."""

    def __init__(self) -> None:
        self.signals: list[Signal] = []

    def add(self, name: str, width: int, op: Op, operands: Sequence[int] = (), cost: int = 0) -> int:
        """A signal whose level lies `cost` above that of its highest operand."""
        level = max((self.signals[o].level for o in operands), default=0) + cost
        self.signals.append(Signal(name, width, op, tuple(operands), level))
        return len(self.signals) - 1

    def finish(self, outputs: Sequence[int], adders_per_stage: int) -> Datapath:
        """A datapath of as few stages as `adders_per_stage` allows, the levels spread evenly over them."""
        levels = max(self.signals[o].level for o in outputs)
        stages = max(-(-levels // adders_per_stage), 1)
        return Datapath(tuple(self.signals), tuple(outputs), stages, max(-(-levels // stages), 1))

    def wires(self, outputs: Sequence[int]) -> Datapath:
        """A datapath without registers."""
        return Datapath(tuple(self.signals), tuple(outputs), 0)
