"""The two links that are simulated: random bits, and what is received of them.

A block is what a receiver takes at once: one 16-QAM symbol, or a frame of BPSK symbols behind the channel with what was
received on both sides of it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from toolkit.radio.channel import PROAKIS_B, through
from toolkit.radio.max_log import max_log
from toolkit.radio.mmse import mmse, mmse_taps
from toolkit.radio.modulation import BPSK_BITS, QAM16_BITS, bpsk, qam16
from toolkit.radio.noise import deviation, noisy
from toolkit.radio.viterbi import viterbi

FRAME = 32
"""Bits that a frame is decided for."""
MARGIN = 24
"""Values received on each side of them; beyond 5 times the channel's memory, more changes no decision of the Viterbi
algorithm that could be measured."""
MMSE_TAPS = 31
Link = Callable[[int, float | np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]
"""(blocks, Eb/N0 in dB, generator) to the bits sent (blocks, bits) and what was received (blocks, values)."""
Decider = Callable[[np.ndarray, float], np.ndarray]
"""(received, Eb/N0 in dB) to decided bits, bool (blocks, bits)."""


def qam16_link(blocks: int, ebn0_db: float | np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Bits uint8 (blocks, 4), and the symbols as received, float64 (blocks, 2); `ebn0_db`: one, or (blocks,)."""
    bits = rng.integers(0, 2, (blocks, QAM16_BITS), np.uint8)
    return bits, noisy(qam16(bits), ebn0_db, QAM16_BITS, rng)


def proakis_link(blocks: int, ebn0_db: float | np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Bits uint8 (blocks, FRAME), and what is received from MARGIN symbols before the first of them to MARGIN behind
    the last, float64 (blocks, FRAME + 2 MARGIN): value MARGIN + i has bit i in the middle of the channel's response."""
    side = MARGIN + len(PROAKIS_B) // 2
    bits = rng.integers(0, 2, (blocks, FRAME + 2 * side), np.uint8)
    return bits[:, side:side + FRAME], noisy(through(bpsk(bits)), ebn0_db, BPSK_BITS, rng)


def by_max_log(received: np.ndarray, ebn0_db: float) -> np.ndarray:
    """bool (blocks, 4): the bits that the exact max-log demapper decides for; those of the nearest symbol."""
    return max_log(received, float(deviation(ebn0_db, QAM16_BITS))) > 0


def by_mmse(received: np.ndarray, ebn0_db: float) -> np.ndarray:
    """bool (blocks, FRAME): the signs of the linear MMSE equaliser of MMSE_TAPS taps, which knows channel and noise."""
    taps = mmse_taps(PROAKIS_B, float(deviation(ebn0_db, BPSK_BITS)), MMSE_TAPS)
    return mmse(window(received, MMSE_TAPS // 2), taps) > 0


def by_viterbi(received: np.ndarray, ebn0_db: float) -> np.ndarray:
    """bool (blocks, FRAME): the bits of the most likely sequence, which knows the channel."""
    side = MARGIN + len(PROAKIS_B) // 2
    return viterbi(received, PROAKIS_B)[:, side:side + FRAME] > 0


def window(received: np.ndarray, reach: int) -> np.ndarray:
    """Of what was received (blocks, FRAME + 2 MARGIN): the frame and `reach` values on each side of it."""
    return received[:, MARGIN - reach:MARGIN + FRAME + reach]
