"""Every bit that came against every bit that was due: the format's bits count as BER, padding is a fault of its own."""

from __future__ import annotations

import numpy as np
from results import Check, Mismatch

from benches.beats import bit_errors, carried, words
from benches.rtl import Rtl


def of_beats(bench: str, name: str, rtl: Rtl, source: np.ndarray, got: np.ndarray, expected: np.ndarray,
             valid: np.ndarray, seconds: float, rate: float, latency: int | None, initiation_interval: float | None,
             faults: tuple[str, ...]) -> Check:
    """A set's outputs as beats uint8 (n, bytes). `valid` (n,): those that came."""
    mask = carried(rtl.output)
    wrong = np.where(valid, bit_errors(got, expected, mask), 0)
    padding = valid & (got & ~mask).any(axis=1)
    mismatch = None
    if wrong.any():
        sample = int(np.flatnonzero(wrong)[0])
        ours, theirs = (words(a[sample:sample + 1], rtl.output)[0] for a in (got, expected))
        element = int(np.flatnonzero(ours != theirs)[0])
        mismatch = Mismatch(name, sample, element, int(ours[element]), int(theirs[element]), rtl.output.width,
                            source[sample].tobytes(), int((wrong > 0).sum()))
    if padding.any():
        first = int(np.flatnonzero(padding)[0])
        told = (f"padding bits of tdata are not zero in {int(padding.sum())} samples; the first is sample {first} of "
                f"'{name}'")
        faults = (*faults, told)
    return Check(bench, name, len(source), int(valid.sum()) * rtl.output.total * rtl.output.width, int(wrong.sum()),
                 seconds, rate, latency, initiation_interval, mismatch, faults)
