"""A rounding to codes as one fixed-point factor a channel: `clamp((sum * factor + offset) >> shift)`.

Between the integer sums of a layer and a quantiser's codes lies a chain of real numbers that only rises or only falls.
It is known by its thresholds: the least sum that reaches each code. A factor and an offset that put every threshold in
its place agree with the chain for every sum, which is what `multiply_shift` proves of those that it returns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

MAX_FACTOR_BITS = 27
"""Of a factor without its sign."""
MAX_CODES = 1 << 12
"""Codes of one channel whose thresholds are looked for."""
MAX_SHIFT = 50
NEIGHBOURS = np.arange(-1, 3)
"""Factors that are tried around a slope: below, at and above it."""

Chain = Callable[[np.ndarray], np.ndarray]
"""int64 sums (channels, n) to the int64 codes (channels, n) of each channel."""


@dataclass(frozen=True, eq=False)
class MultiplyShift:
    """int64 (channels,) each. `exact` says of which channels the codes agree for every sum; of the others they are at
    most `difference` apart."""

    factor: np.ndarray
    offset: np.ndarray
    shift: np.ndarray
    exact: np.ndarray
    difference: int


@dataclass(frozen=True, eq=False)
class Thresholds:
    """`least` (channels, codes): for code `first + 1 + i` of a channel, the least sum that reaches it, turned such that
    codes rise with it; `used` says which of them there are. Sums lie in `low`..`high`, with codes first..last."""

    low: np.ndarray
    high: np.ndarray
    first: np.ndarray
    last: np.ndarray
    falling: np.ndarray
    least: np.ndarray
    used: np.ndarray

    @property
    def codes(self) -> np.ndarray:
        """The code of each threshold."""
        return self.first[:, None] + 1 + np.arange(self.least.shape[1])


def thresholds(chain: Chain, low: np.ndarray, high: np.ndarray) -> Thresholds:
    """The thresholds of a chain over sums in low..high, int64 (channels,), by bisection. Raises ValueError where a
    channel has more than MAX_CODES codes."""
    start, end = (chain(side[:, None])[:, 0] for side in (low, high))
    falling = end < start
    sign = np.where(falling, -1, 1)
    low, high = np.where(falling, -high, low), np.where(falling, -low, high)
    first, last = np.minimum(start, end), np.maximum(start, end)
    most = int((last - first).max(initial=0))
    if most > MAX_CODES:
        raise ValueError(f"{most + 1:,} codes")
    wanted = first[:, None] + 1 + np.arange(most)
    used = wanted <= last[:, None]
    # Of each, `below` has a smaller code and `reached` has it.
    below = np.broadcast_to(low[:, None], wanted.shape).copy()
    reached = np.broadcast_to(high[:, None], wanted.shape).copy()
    while most and (reached - below > 1).any():
        middle = below + (reached - below) // 2
        there = chain(sign[:, None] * middle) >= wanted
        reached, below = np.where(there, middle, reached), np.where(there, below, middle)
    return Thresholds(low, high, first, last, falling, reached, used)


def slopes(found: Thresholds) -> np.ndarray:
    """Codes a unit of the sum, float64 (channels,), of lines that put every threshold in its place: the middle of all
    such slopes, where there are some."""
    made = np.ones(len(found.first))
    for channel, used in enumerate(found.used):
        least, codes = found.least[channel, used].astype(np.float64), found.codes[channel, used].astype(np.float64)
        if not len(least):
            continue
        # At a threshold a line has reached its code, and a sum before any other it has not reached that one's.
        run, rise = least[:, None] - (least[None] - 1), codes[:, None] - codes[None]
        low = (rise[run > 0] / run[run > 0]).max()
        falls = run < 0
        high = (rise[falls] / run[falls]).min() if falls.any() else 2 * max(low, 0.5)
        made[channel] = (low + high) / 2
    return made


def multiply_shift(found: Thresholds, slope: np.ndarray) -> MultiplyShift:
    """The factors of the fewest bits that agree with the thresholds; `slope`: codes a unit of the sum, float64
    (channels,), about. Where no factor of MAX_FACTOR_BITS agrees, the best of those."""
    channels = len(found.first)
    lowest, highest = int(found.first.min()), int(found.last.max())
    factor, offset, shift = (np.zeros(channels, np.int64) for _ in range(3))
    # A channel of one code is that code, whatever its sums are.
    exact = found.first == found.last
    offset[exact] = found.first[exact]
    slope = np.abs(slope)
    settled = exact.copy()
    for step in range(MAX_SHIFT + 1):
        near = np.floor(np.ldexp(slope, step)).astype(np.float64)
        for neighbour in NEIGHBOURS:
            tried = np.clip(near + neighbour, 0, 2.0**MAX_FACTOR_BITS - 1).astype(np.int64)
            least, most = _offsets(found, tried, step, lowest, highest)
            # A line that is steeper than any factor passes all codes within one sum: so does the largest factor.
            good = ~settled & (least <= most) & ((near + neighbour < 2.0**MAX_FACTOR_BITS) | (step == 0))
            factor[good], shift[good] = tried[good], step
            offset[good] = _roundest(least[good], most[good])
            settled |= good
            exact |= good
        if settled.all():
            break
    difference = 0
    for channel in np.flatnonzero(~settled).tolist():
        step = int(np.clip(MAX_FACTOR_BITS - 1 - np.floor(np.log2(slope[channel])), 0, MAX_SHIFT))
        near = np.minimum(np.rint(np.ldexp(slope[channel], step)), 2.0**MAX_FACTOR_BITS - 1)
        factor[channel], shift[channel] = int(near), step
        one = _one(found, channel)
        least, most = _offsets(one, factor[[channel]], step, lowest, highest)
        offset[channel] = (int(least[0]) + int(most[0])) // 2
        apart = _difference(one, int(factor[channel]), int(offset[channel]), step, lowest, highest)
        difference = max(difference, apart)
    return MultiplyShift(np.where(found.falling, -factor, factor), offset, shift, exact, difference)


def _one(found: Thresholds, channel: int) -> Thresholds:
    at = slice(channel, channel + 1)
    return Thresholds(found.low[at], found.high[at], found.first[at], found.last[at], found.falling[at],
                      found.least[at], found.used[at])


def _offsets(found: Thresholds, factor: np.ndarray, shift: int, lowest: int,
             highest: int) -> tuple[np.ndarray, np.ndarray]:
    """(least, most): the offsets with which every sum gets its code, once clamped to lowest..highest; none where least
    is above most."""
    codes, unit = found.codes, np.int64(1) << shift
    far = np.int64(1) << 62
    reach = np.where(found.used, codes * unit - found.least * factor[:, None], -far).max(axis=1, initial=-far)
    stay = np.where(found.used, codes * unit - 1 - (found.least - 1) * factor[:, None], far).min(axis=1, initial=far)
    # The ends: below the lowest and above the highest code the clamp helps.
    floor = np.where(found.first > lowest, found.first * unit - found.low * factor, -far)
    ceiling = np.where(found.last < highest, (found.last + 1) * unit - 1 - found.high * factor, far)
    return np.maximum(reach, floor), np.minimum(stay, ceiling)


def _roundest(least: np.ndarray, most: np.ndarray) -> np.ndarray:
    """The number in each stretch least..most that ends in the most zero bits: the cheapest to add."""
    found = least.copy()
    for bits in range(1, 60):
        candidate = -((-least) >> bits) << bits
        found = np.where(candidate <= most, candidate, found)
    return found


def _difference(one: Thresholds, factor: int, offset: int, shift: int, lowest: int, highest: int) -> int:
    """The largest difference between the codes of one channel and what the factor makes: at a threshold or just
    below one, where it is largest, or at an end."""
    least = one.least[0][one.used[0]]
    sums = np.concatenate([least, least - 1, one.low, one.high])
    codes = one.first[0] + np.searchsorted(least, sums, side="right")
    made = np.clip((sums * factor + offset) >> shift, lowest, highest)
    return int(np.abs(made - codes).max())
