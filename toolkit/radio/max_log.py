"""The exact max-log demapper of 16-QAM."""

from __future__ import annotations

import numpy as np

from toolkit.radio.modulation import STEP


def max_log(received: np.ndarray, deviation: float) -> np.ndarray:
    """Log-likelihood ratios float64 (n, 4) of symbols (n, 2) in noise of standard deviation `deviation` a dimension:
    the least squared distance to a symbol whose bit is 0, less that to one whose bit is 1, over 2 deviation^2.

    The two parts of a symbol carry bits of their own, so the least distance over 16 symbols is one over 4 levels."""
    levels = STEP * np.array([1.0, 3.0, -1.0, -3.0])  # sign bit 0, 0, 1, 1; magnitude bit 0, 1, 0, 1
    distance = (received[:, :, None] - levels) ** 2
    sign = distance[..., :2].min(-1) - distance[..., 2:].min(-1)
    magnitude = distance[..., ::2].min(-1) - distance[..., 1::2].min(-1)
    return np.concatenate([sign, magnitude], axis=1) / (2 * deviation**2)
