"""What a user can choose about the hardware."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.errors import InputError

ARCHITECTURES = ("auto", "unrolled", "folded")
HLS4ML_BACKENDS = ("vitis", "vivado", "vivadoaccelerator", "quartus")
HLS4ML_IO = ("io_parallel", "io_stream")
HLS4ML_WEIGHTS = ("fixed", "exponent")
MAX_LANES = 1024


@dataclass(frozen=True)
class Options:
    """`adders_per_stage`: levels of adders between two registers; fewer is faster in MHz and costs registers and
    cycles of latency. `sharing_tries`: how many orders of a matrix the sharing solver is given; the best is kept.

    `arch`: every layer unrolled, every layer folded, or auto: what is small is unrolled. A folded network takes as few
    lanes as keep a sample within `interval` clocks; without it, `widest` lanes at the most go to a layer and the others
    get as few as keep up with the busiest. `lanes`: (pattern of layer names, lanes; 0 unrolls), which overrule that.

    `hls4ml_backend`, `hls4ml_io`: whose project the target hls4ml is, and how tensors travel in it; `hls4ml_weights`:
    as plain fixed-point numbers, or as shifts (its exponent type).
    """

    adders_per_stage: int = 4
    sharing_tries: int = 8
    arch: str = "auto"
    interval: int | None = None
    widest: int = 64
    lanes: tuple[tuple[str, int], ...] = ()
    hls4ml_backend: str = "vitis"
    hls4ml_io: str = "io_parallel"
    hls4ml_weights: str = "fixed"

    def __post_init__(self) -> None:
        if self.arch not in ARCHITECTURES:
            raise InputError(f"unknown architecture '{self.arch[:40]}'; known are {', '.join(ARCHITECTURES)}")
        for name, known in (("backend", HLS4ML_BACKENDS), ("io", HLS4ML_IO), ("weights", HLS4ML_WEIGHTS)):
            chosen = getattr(self, f"hls4ml_{name}")
            if chosen not in known:
                raise InputError(f"unknown hls4ml_{name} '{chosen[:40]}'; known are {', '.join(known)}")
        if self.interval is not None and not 1 <= self.interval <= 1 << 30:
            raise InputError(f"an interval of {self.interval} clocks is outside 1..2**30")
        if not 1 <= self.widest <= MAX_LANES:
            raise InputError(f"{self.widest} lanes are outside 1..{MAX_LANES}")
        for pattern, count in self.lanes:
            if not 0 <= count <= MAX_LANES:
                raise InputError(f"{count} lanes for '{pattern[:40]}' are outside 0..{MAX_LANES}")
        if not 1 <= self.adders_per_stage <= 64:
            raise InputError(f"{self.adders_per_stage} adders per stage are outside 1..64")
        if not 1 <= self.sharing_tries <= 1000:
            raise InputError(f"{self.sharing_tries} sharing tries are outside 1..1000")
