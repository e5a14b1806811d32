"""Constants in canonical signed digits (CSD)."""

from __future__ import annotations


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
