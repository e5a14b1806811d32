"""White Gaussian noise by Eb/N0: the energy that is received for each bit over the noise's power density."""

from __future__ import annotations

import numpy as np


def deviation(ebn0_db: float | np.ndarray, bits: int) -> np.ndarray:
    """Standard deviation of the noise in each real dimension, sqrt(N0 / 2), for symbols of mean energy 1 that carry
    `bits` bits: Eb = 1 / bits, N0 = Eb / 10^(Eb/N0 [dB] / 10). As `ebn0_db` in shape."""
    return np.sqrt(0.5 / (bits * 10.0 ** (np.asarray(ebn0_db, np.float64) / 10)))


def noisy(symbols: np.ndarray, ebn0_db: float | np.ndarray, bits: int, rng: np.random.Generator) -> np.ndarray:
    """Symbols (n, ...) with noise; `ebn0_db`: one for all, or (n,)."""
    spread = deviation(ebn0_db, bits)
    spread = spread.reshape(spread.shape + (1,) * (symbols.ndim - spread.ndim) if spread.ndim else ())
    return symbols + spread * rng.standard_normal(symbols.shape)
