"""A channel with intersymbol interference, and the symbols that it lets through."""

from __future__ import annotations

import numpy as np

PROAKIS_B = np.array([0.407, 0.815, 0.407]) / np.sqrt(2 * 0.407**2 + 0.815**2)
"""Impulse response of Proakis & Salehi, "Digital Communications", 9.4, channel (b), scaled to energy 1 (as printed it
has 0.9955). Its spectrum has a zero at half the symbol rate, which no linear equaliser can undo."""


def through(symbols: np.ndarray, taps: np.ndarray = PROAKIS_B) -> np.ndarray:
    """What comes out for symbols (..., n): (..., n - len(taps) + 1), where all of the taps are filled."""
    memory = len(taps) - 1
    length = symbols.shape[-1] - memory
    return sum(taps[k] * symbols[..., memory - k:memory - k + length] for k in range(memory + 1))
