"""Gray-mapped 16-QAM and BPSK, of mean symbol energy 1.

16-QAM is that of 3GPP TS 38.211, 5.1.4: bits 0 and 1 are the signs of the in-phase and the quadrature part, bits 2 and
3 their magnitudes, so that neighbours differ in one bit.
"""

from __future__ import annotations

import numpy as np

QAM16_BITS = 4
"""Bits of a 16-QAM symbol."""
BPSK_BITS = 1
STEP = 1 / np.sqrt(10)
"""Half the distance of neighbours: the levels of each part are -3, -1, 1 and 3 of it, of mean energy 1/2."""


def qam16(bits: np.ndarray) -> np.ndarray:
    """Bits (n, 4) to symbols float64 (n, 2)."""
    sign = 1.0 - 2.0 * bits[:, :2]
    return STEP * sign * (2.0 - (1.0 - 2.0 * bits[:, 2:]))


def qam16_points() -> tuple[np.ndarray, np.ndarray]:
    """All 16: bits uint8 (16, 4) and their symbols float64 (16, 2)."""
    bits = ((np.arange(16)[:, None] >> np.arange(4)) & 1).astype(np.uint8)
    return bits, qam16(bits)


def bpsk(bits: np.ndarray) -> np.ndarray:
    """Bits of any shape to symbols float64: 1 for a 1, -1 for a 0."""
    return 2.0 * bits - 1.0
