"""Signals that ask for the end: all of them unwind as Ctrl-C does, and what is left behind is told."""

from __future__ import annotations

import signal
import sys
from types import FrameType

STOPPING = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
"""Signals that end a command tidily, and the exit code each gives."""

_received: list[int] = []
_left: list[str] = []


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


def _interrupt(number: int, frame: FrameType | None) -> None:
    _received.append(STOPPING[signal.Signals(number)])
    raise KeyboardInterrupt
