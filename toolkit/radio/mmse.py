"""The linear equaliser of least mean squared error."""

from __future__ import annotations

import numpy as np


def mmse_taps(channel: np.ndarray, deviation: float, count: int) -> np.ndarray:
    """`count` taps (odd) that estimate the symbol in the middle of their window: the solution w of the normal equations
    (H H' + deviation^2 I) w = H e, for white symbols of energy 1. H (count, count + memory) is the channel as a matrix,
    e picks the middle symbol. Proakis & Salehi, "Digital Communications", 9.4."""
    memory = len(channel) - 1
    matrix = np.zeros((count, count + memory))
    for row in range(count):
        matrix[row, row:row + memory + 1] = channel[::-1]
    middle = (count + memory) // 2
    return np.linalg.solve(matrix @ matrix.T + deviation**2 * np.eye(count), matrix[:, middle])


def mmse(received: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Estimates (..., n - len(taps) + 1) of the symbols from what was received (..., n)."""
    windows = np.lib.stride_tricks.sliding_window_view(received, len(taps), axis=-1)
    return windows @ taps
