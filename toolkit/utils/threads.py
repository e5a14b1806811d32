"""How many threads torch computes with: one, so that the same seed gives the same bytes on any number of cores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_INSIDE: ContextVar[bool] = ContextVar("threads", default=False)


@contextmanager
def threads(count: int = 1) -> Iterator[None]:
    """`count` threads for all that runs inside; within another such block, the outer one's number holds.

    With several threads a sum is split by their number, and its last bit with it: weights, and after some epochs whole
    codes, would depend on the machine. One thread is also the fastest for networks of up to about a million parameters,
    whose products are too short to share.
    """
    if _INSIDE.get():
        yield
        return
    before, token = torch.get_num_threads(), _INSIDE.set(True)
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _INSIDE.reset(token)
