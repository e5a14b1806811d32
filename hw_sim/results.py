"""What a bench finds: checks of vectors, and the outcome of a whole target."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Mismatch:
    """The first sample that differs: its place, and both words. `input` is the sample as the target received it."""

    vectors: str
    sample: int
    element: int
    got: int
    expected: int
    width: int
    input: bytes
    samples: int

    def describe(self) -> str:
        mask = (1 << self.width) - 1
        return (f"{self.samples} samples differ; the first is sample {self.sample} of '{self.vectors}', element "
                f"{self.element}: got {self.got & mask:0{self.width}b} ({self.got}), expected "
                f"{self.expected & mask:0{self.width}b} ({self.expected})")


@dataclass(frozen=True)
class Check:
    """What one bench found for one set of vectors. `faults` are failures that are not bits: hangs, lost beats.
    `rate`: samples a second inside the simulation, the start of its processes not counted; `seconds`: all of it."""

    bench: str
    vectors: str
    samples: int
    bits: int
    bit_errors: int
    seconds: float
    rate: float
    latency: int | None = None
    initiation_interval: float | None = None
    mismatch: Mismatch | None = None
    faults: tuple[str, ...] = field(default=())

    @property
    def ber(self) -> float:
        return self.bit_errors / self.bits if self.bits else 0.0


@dataclass(frozen=True)
class Diagnosis:
    """`layer`: the first layer whose output differs, None where none does or no trace shows it. `outputs`: each
    layer's output beat for the failing input, as hex."""

    layer: str | None
    note: str
    outputs: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """What the benches of one target found. `build_seconds` is None where it could not be built; `faults` say why.
    `figures`: bytes that were measured, by the name of the machine and of what takes them."""

    target: str
    build_seconds: float | None
    cached: bool
    checks: tuple[Check, ...]
    diagnosis: Diagnosis | None = None
    faults: tuple[str, ...] = ()
    figures: dict[str, dict[str, int]] = field(default_factory=dict)


def shares(samples: list[int], most: int | None) -> list[int]:
    """How many vectors to take of sets of so many `samples`: all, or about `most`, of every set in proportion."""
    share = 1.0 if most is None else min(most / sum(samples), 1.0)
    return [min(max(round(n * share), 1), n) for n in samples]
