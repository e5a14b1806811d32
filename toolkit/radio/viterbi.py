"""The most likely sequence of BPSK symbols behind a channel with interference."""

from __future__ import annotations

import numpy as np


def viterbi(received: np.ndarray, channel: np.ndarray) -> np.ndarray:
    """Bits uint8 (frames, n + memory) whose symbols, through the channel, come nearest to what was received
    (frames, n); memory = len(channel) - 1. Nothing is known of the bits before and after: each frame is decided by
    itself. Forney, "Maximum-likelihood sequence estimation of digital sequences in the presence of intersymbol
    interference", IEEE Transactions on Information Theory 18 (3), 1972.

    A state is the last `memory` bits, the newest the lowest; all frames go step by step together.
    """
    memory = len(channel) - 1
    states = 1 << memory
    frames, steps = received.shape
    # The 2 ways into each state: from the states that end in its bits but the newest, with either oldest bit.
    into = np.arange(states)
    before = np.stack([into >> 1, into >> 1 | states >> 1], axis=1)
    word = before << 1 | (into & 1)[:, None]  # the memory + 1 bits of a step, the newest the lowest
    symbols = 2.0 * (word[..., None] >> np.arange(memory + 1) & 1) - 1.0
    expected = symbols @ channel
    cost = np.zeros((frames, states))
    chosen = np.empty((steps, frames, states), bool)
    for step in range(steps):
        ways = cost[:, before] + (received[:, step, None, None] - expected) ** 2
        chosen[step] = ways[..., 1] < ways[..., 0]
        cost = ways.min(axis=-1)
    bits = np.empty((frames, steps + memory), np.uint8)
    state, rows = cost.argmin(axis=1), np.arange(frames)
    for step in range(steps - 1, -1, -1):
        bits[:, step + memory] = state & 1
        state = before[state, chosen[step, rows, state].astype(int)]
    for place in range(memory):
        bits[:, memory - 1 - place] = state >> place & 1
    return bits
