"""Signals that ask for the end: all of them unwind as Ctrl-C does, and what is left behind is told."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPPING = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
"""Signals that end a command tidily, and the exit code each gives."""

_received: list[int] = []
_left: list[str] = []
_starting: list[bool] = []


def listen() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread, unless they are ignored."""
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def left(what: str) -> None:
    """Note what an interrupted command leaves behind: the rest of a sentence."""
    if what not in _left:
        _left.append(what)


def ended() -> int | None:
    """The exit code of a command that was interrupted, after telling so on stderr; None where it was not."""
    if not _received:
        return None
    print(f"interrupted; {'; '.join(_left) or 'nothing was written'}", file=sys.stderr)
    return _received[0]


@contextmanager
def started(command: Sequence[str], end: Callable[[subprocess.Popen[bytes]], None],
            **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a session of its own, ended by `end` when the block is left. An interrupt waits until it is known,
    else nobody could end it."""
    _starting.append(True)
    try:
        process = subprocess.Popen(list(command), start_new_session=True, **options)
    except BaseException:
        _starting.pop()
        raise
    try:
        _starting.pop()
        if _received:
            raise KeyboardInterrupt
        yield process
    finally:
        end(process)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _received.append(STOPPING[signal.Signals(number)])
    if not _starting:
        raise KeyboardInterrupt
