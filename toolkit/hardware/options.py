"""What a user can choose about the hardware."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolkit.hardware.boards import device
from toolkit.utils.errors import InputError

ARCHITECTURES = ("auto", "unrolled", "folded")
HLS4ML = {"hls4ml_backend": ("vitis", "vivado", "vivadoaccelerator", "quartus"),
          "hls4ml_io": ("io_parallel", "io_stream"), "hls4ml_weights": ("fixed", "exponent")}
MAX_LANES = 1024


@dataclass(frozen=True)
class Options:
    """`adders_per_stage`: levels of adders between two registers; fewer is faster in MHz and costs registers and
    cycles of latency. `sharing_tries`: how many orders of a matrix the sharing solver is given; the best is kept.

    `arch`: every layer unrolled, every layer folded, or auto: what is small is unrolled. A folded network takes as few
    lanes as keep a sample within `ii` cycles; without it, `max_lanes` lanes at the most go to a layer and the others
    get as few as keep up with the busiest; with a `device`, as many as fit it. (pattern of layer names, count) overrule
    that: `lanes`, of which 0 unroll a layer; `simd`, taps that each lane takes in a cycle; `stream`, elements of its
    output a cycle.

    `hls4ml_backend`, `hls4ml_io`: whose project the target hls4ml is, and how tensors travel in it; `hls4ml_weights`:
    as plain fixed-point numbers, or as shifts (its exponent type).
    """

    adders_per_stage: int = 4
    sharing_tries: int = 8
    arch: str = "auto"
    ii: int | None = None
    max_lanes: int = 64
    lanes: tuple[tuple[str, int], ...] = ()
    simd: tuple[tuple[str, int], ...] = ()
    stream: tuple[tuple[str, int], ...] = ()
    device: str = ""
    hls4ml_backend: str = "vitis"
    hls4ml_io: str = "io_parallel"
    hls4ml_weights: str = "fixed"

    def __post_init__(self) -> None:
        if self.device:
            device(self.device)
        if self.arch not in ARCHITECTURES:
            raise InputError(f"unknown architecture '{self.arch[:40]}'; known are {', '.join(ARCHITECTURES)}")
        for name, known in HLS4ML.items():
            if getattr(self, name) not in known:
                raise InputError(f"unknown {name} '{getattr(self, name)[:40]}'; known are {', '.join(known)}")
        if self.ii is not None and not 1 <= self.ii <= 1 << 30:
            raise InputError(f"an initiation interval of {self.ii} cycles is outside 1..2**30")
        if not 1 <= self.max_lanes <= MAX_LANES:
            raise InputError(f"{self.max_lanes} lanes are outside 1..{MAX_LANES}")
        for pattern, count in self.lanes:
            if not 0 <= count <= MAX_LANES:
                raise InputError(f"{count} lanes for '{pattern[:40]}' are outside 0..{MAX_LANES}")
        for pattern, count in (*self.simd, *self.stream):
            if not 1 <= count <= MAX_LANES:
                raise InputError(f"{count} taps or elements a cycle for '{pattern[:40]}' are outside 1..{MAX_LANES}")
        if not 1 <= self.adders_per_stage <= 64:
            raise InputError(f"{self.adders_per_stage} adders per stage are outside 1..64")
        if not 1 <= self.sharing_tries <= 1000:
            raise InputError(f"{self.sharing_tries} sharing tries are outside 1..1000")

    @staticmethod
    def parse_hls4ml(text: str) -> dict[str, Any]:
        """Read `vivado,io_stream`: the options of the target hls4ml, in any order, what is not named as it is."""
        known = {word: name for name, words in HLS4ML.items() for word in words}
        found: dict[str, str] = {}
        for word in filter(None, (part.strip().lower() for part in text.split(","))):
            if word not in known or known[word] in found:
                raise InputError(f"--hls4ml: '{word[:40]}' is {'one too many' if word in known else 'unknown'}; one of "
                                 f"each is known: {'; '.join(', '.join(words) for words in HLS4ML.values())}")
            found[known[word]] = word
        return found

    @staticmethod
    def cycles(ii: int | None, samples_per_second: float | None, clock: float) -> int | None:
        """The initiation interval in cycles, where it is given as such or as a rate at `clock` MHz."""
        if samples_per_second is None:
            return ii
        if ii is not None:
            raise InputError("--ii and --samples-per-second say the same thing; give one of them")
        if not (0 < samples_per_second <= 1e12 and 0 < clock <= 1e4):
            raise InputError(f"{samples_per_second:g} samples a second at {clock:g} MHz make no sense")
        found = int(clock * 1e6 / samples_per_second)
        if not found:
            raise InputError(f"{samples_per_second:g} samples a second are more than one a cycle at {clock:g} MHz")
        return found

    @staticmethod
    def parse_rules(texts: list[str], what: str = "a number of lanes; write PATTERN=8, or PATTERN=0 to unroll",
                    ) -> tuple[tuple[str, int], ...]:
        """Read `conv1=8`, `head.*=0`; `what` they say, in words."""
        found = []
        for text in texts:
            pattern, equals, count = text.rpartition("=")
            if not equals or not pattern or not count.isdigit() or len(count) > 6:
                raise InputError(f"'{text[:80]}' is not {what}")
            found.append((pattern, int(count)))
        return tuple(found)
