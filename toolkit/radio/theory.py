"""Bit error rates in closed form."""

from __future__ import annotations

import numpy as np


def tail(x: np.ndarray) -> np.ndarray:
    """Q(x): the probability that a standard normal value exceeds x."""
    from scipy.special import erfc

    return 0.5 * erfc(np.asarray(x, np.float64) / np.sqrt(2))


def qam16(ebn0_db: float | np.ndarray) -> np.ndarray:
    """Of Gray-mapped 16-QAM with a decision for the nearest symbol, exact: (3 Q(a) + 2 Q(3 a) - Q(5 a)) / 4 with
    a = sqrt(4/5 Eb/N0). Cho & Yoon, "On the general BER expression of one- and two-dimensional amplitude modulations",
    IEEE Transactions on Communications 50 (7), 2002."""
    a = np.sqrt(0.8 * 10.0 ** (np.asarray(ebn0_db, np.float64) / 10))
    return (3 * tail(a) + 2 * tail(3 * a) - tail(5 * a)) / 4


def bpsk(ebn0_db: float | np.ndarray) -> np.ndarray:
    """Of BPSK without interference, Q(sqrt(2 Eb/N0)): what no receiver of a channel with interference goes below (the
    matched filter bound)."""
    return tail(np.sqrt(2 * 10.0 ** (np.asarray(ebn0_db, np.float64) / 10)))
