"""Which elements of the network's input an element of a stream waits for; from that follow FIFOs that cannot lock."""

from __future__ import annotations

import numpy as np

from toolkit.hardware.folded.node import Node


def waits(node: Node, inputs: list[np.ndarray]) -> np.ndarray:
    """int64 (outputs of a frame,): the last input element of the network that must have come before an output can.
    `inputs` holds the same for each element of each of the node's inputs; both never fall."""
    return np.maximum.accumulate(_waits(node, inputs))


def _waits(node: Node, inputs: list[np.ndarray]) -> np.ndarray:
    if node.kind == "mac":
        counts = node.sequence[0]
        taps = _taps(node, inputs[0]).reshape(len(counts), -1).max(axis=1)
        return np.repeat(taps, counts)
    if node.kind in ("pool", "gather"):
        return _taps(node, inputs[0]).reshape(node.output.size, -1).max(axis=1)
    if node.accumulators:
        return inputs[0][node.accumulators.last]
    if node.kind in ("argmax", "unrolled"):
        return np.repeat(inputs[0][-1:], node.output.size)
    if node.kind in ("add", "multiply"):
        return np.maximum.reduce([_repeated(node, port, one) for port, one in enumerate(inputs)])
    if node.kind == "concat":
        found = np.empty(node.output.size, np.int64)
        for i, one in enumerate(inputs):
            found[node.sequence[0] == i] = one
        return found
    return inputs[0]


def _taps(node: Node, inputs: np.ndarray) -> np.ndarray:
    """What each tap of a frame waits for; padding waits for nothing."""
    taps = node.line_buffer.waits if node.line_buffer else np.arange(len(inputs))
    return np.where(taps >= 0, inputs[taps], -1)


def _repeated(node: Node, port: int, inputs: np.ndarray) -> np.ndarray:
    """What each element of an input waits for, once it is repeated: for what comes before it, too."""
    repeat = node.repeat(port)
    return inputs if repeat is None else np.maximum.accumulate(_taps(repeat, inputs))


def depths(node: Node, inputs: list[np.ndarray]) -> list[int]:
    """How many elements the FIFO before each input of an `add`, a `multiply` or a `concat` must hold so that no FIFO
    that is full can keep another from ever being filled. It stands behind what repeats an input."""
    order = node.sequence[0] if node.kind == "concat" else np.tile(np.arange(len(inputs)), node.output.size)
    # When output p is due, its own element has come; by then every branch has been made to give what needs no more.
    taken = [np.cumsum(order == i) - (order == i) for i in range(len(inputs))]
    due = np.empty(len(order), np.int64)
    inputs = [_repeated(node, i, one) for i, one in enumerate(inputs)]
    for i, one in enumerate(inputs):
        mine = order == i
        due[mine] = one[taken[i][mine]]
    due = np.maximum.accumulate(due)
    return [int(np.max(np.searchsorted(one, due, side="right") - taken[i])) for i, one in enumerate(inputs)]
