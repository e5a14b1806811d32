"""Constants in canonical signed digits (CSD)."""

from __future__ import annotations

import numpy as np


def csd_terms(value: int) -> list[tuple[int, int]]:
    """An integer as few signed powers of two: (shift, sign) with value = sum of sign << shift; no two adjacent."""
    found, shift = [], 0
    while value:
        if value & 1:
            sign = 2 - (value & 3)
            found.append((shift, sign))
            value -= sign
        value >>= 1
        shift += 1
    return found


def csd_table(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integers (n,) as rows of signed digits: shifts and signs, int64 (n, digits); a sign of 0 stands for no digit."""
    rows = [csd_terms(int(v)) for v in values]
    most = max(map(len, rows), default=0)
    shifts, signs = np.zeros((len(rows), most), np.int64), np.zeros((len(rows), most), np.int64)
    for i, row in enumerate(rows):
        for k, (shift, sign) in enumerate(row):
            shifts[i, k], signs[i, k] = shift, sign
    return shifts, signs
