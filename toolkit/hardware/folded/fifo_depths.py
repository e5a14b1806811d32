"""Which elements of the network's input an element of a stream waits for; from that follow FIFOs that cannot lock."""

from __future__ import annotations

import numpy as np

from toolkit.hardware.folded.node import Node


def waits(node: Node, inputs: list[np.ndarray]) -> np.ndarray:
    """int64 (words of an output frame,): the last input element of the network that must have come before a word can.
    `inputs` holds the same for each word of each of the node's inputs; both never fall."""
    return np.maximum.accumulate(_waits(node, inputs))


def _waits(node: Node, inputs: list[np.ndarray]) -> np.ndarray:
    if node.kind == "mac":
        counts = node.sequence[0]
        taps = _taps(node, inputs[0]).reshape(len(counts), -1).max(axis=1)
        return np.repeat(taps, counts)
    if node.rows:
        return np.maximum.accumulate(_taps(node, inputs[0]))[node.rows.stands]
    if node.kind in ("pool", "gather"):
        return _taps(node, inputs[0]).reshape(node.gives.count, -1).max(axis=1)
    if node.accumulators:
        return inputs[0][node.accumulators.last]
    if node.kind in ("argmax", "unrolled"):
        return np.repeat(inputs[0][-1:], node.gives.count)
    if node.kind in ("add", "multiply"):
        return np.maximum.reduce(inputs)
    if node.kind == "concat":
        found = np.empty(node.gives.count, np.int64)
        for i, one in enumerate(inputs):
            found[node.sequence[0] == i] = one
        return found
    if node.kind == "narrow":
        return np.repeat(inputs[0], node.sequence[0])
    if node.kind == "widen":
        return inputs[0][np.cumsum(node.sequence[0]) - 1]
    return inputs[0]


def _taps(node: Node, inputs: np.ndarray) -> np.ndarray:
    """What each tap of a frame waits for; padding waits for nothing."""
    reads = node.rows or node.line_buffer
    taps = reads.waits if reads else np.arange(len(inputs))
    return np.where(taps >= 0, inputs[taps], -1)


def depths(node: Node, inputs: list[np.ndarray]) -> list[int]:
    """How many elements the FIFO before each input of an `add`, a `multiply` or a `concat` must hold so that no FIFO
    that is full can keep another from ever being filled. It stands behind what else stands before an input."""
    order = node.sequence[0] if node.kind == "concat" else np.tile(np.arange(len(inputs)), node.gives.count)
    # When output p is due, its own element has come; by then every branch has been made to give what needs no more.
    taken = [np.cumsum(order == i) - (order == i) for i in range(len(inputs))]
    due = np.empty(len(order), np.int64)
    for i, one in enumerate(inputs):
        mine = order == i
        due[mine] = one[taken[i][mine]]
    due = np.maximum.accumulate(due)
    return [int(np.max(np.searchsorted(one, due, side="right") - taken[i])) for i, one in enumerate(inputs)]
