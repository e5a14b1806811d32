"""Data that comes with a library: the digits of scikit-learn, 1,797 real images of 8 by 8."""

from __future__ import annotations

import numpy as np

from toolkit.compress.data import Data


def digits(seed: int = 0) -> Data:
    """Train and test samples float32 (n, 64) in 0..1, three quarters and one, every digit as often in both."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    parts = train_test_split((x / 16).astype(np.float32), y.astype(np.int64), test_size=0.25, stratify=y,
                             random_state=seed)
    return Data.of(parts[0], parts[2], parts[1], parts[3])
