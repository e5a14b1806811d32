"""Progress on stderr: bars with rate and time left on a terminal; elsewhere a plain line every ten seconds."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from toolkit.utils.printable import printable

INTERVAL = 10.0
"""Seconds before the first plain line, and between two."""


@contextmanager
def bar(what: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """The progress of one piece of work. Yields `advance(steps=1, note="")`; `total=None` is work of unknown length.

    Bars nest: an inner one is drawn below the outer one and goes when it is done. Where stderr is no terminal, a line
    `task: done/total note, M:SS` is printed every ten seconds, also while a single step takes longer.
    """
    own = not _active
    if own:
        console = Console(stderr=True)
        _active.append(_drawn(console) if console.is_terminal else _PlainLines())
        _active[0].start()
    progress = _active[0]
    task = progress.add_task(printable(what[:34]), total=total, note="")

    def advance(steps: int = 1, note: str | None = None) -> None:
        if note is not None:
            progress.update(task, note=printable(note))
        progress.advance(task, steps)

    try:
        yield advance
    finally:
        progress.remove_task(task)
        if own:
            _active.pop().stop()


def _drawn(console: Console) -> Progress:
    return Progress(TextColumn("{task.description:<34}", markup=False), BarColumn(bar_width=28), MofNCompleteColumn(),
                    TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}", markup=False),
                    console=console, transient=True)


@dataclass
class _Task:
    what: str
    total: int | None
    begun: float
    done: float = 0
    note: str = ""

    def __str__(self) -> str:
        of = "" if self.total is None else f"/{self.total}"
        return f"{self.what}: {self.done:g}{of} {self.note}".rstrip()


class _PlainLines:
    """As much of rich's Progress as `bar` needs; a thread prints lines until `stop`."""

    def __init__(self) -> None:
        self._tasks: dict[TaskID, _Task] = {}
        self._numbers = itertools.count()
        self._process = os.getpid()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._print, daemon=True)

    def start(self) -> None:
        _clock.work_begins()
        if multiprocessing.parent_process() is None:  # of several workers the one that started them tells
            self._thread.start()

    def stop(self) -> None:
        if os.getpid() == self._process and self._thread.is_alive():  # a forked process has no such thread
            self._ended.set()
            self._thread.join(1)  # no longer: nobody may be reading what it prints
        _clock.work_ends()

    def add_task(self, what: str, *, total: int | None, note: str) -> TaskID:
        task = TaskID(next(self._numbers))
        self._tasks[task] = _Task(what, total, time.monotonic(), note=note)
        return task

    def update(self, task: TaskID, *, note: str) -> None:
        self._tasks[task].note = note

    def advance(self, task: TaskID, steps: float) -> None:
        self._tasks[task].done += steps

    def remove_task(self, task: TaskID) -> None:
        del self._tasks[task]

    def _print(self) -> None:
        while not self._ended.wait(_clock.left()):
            _clock.printed()
            tasks = list(self._tasks.values())
            if not tasks:
                continue
            minutes, seconds = divmod(int(time.monotonic() - tasks[0].begun), 60)
            with suppress(OSError, ValueError):  # stderr may be closed
                print(f"{'; '.join(map(str, tasks))}, {minutes}:{seconds:02}", file=sys.stderr, flush=True)


class _Clock:
    """When the next line is due. It goes on from one piece of work to the next, so that many short ones in a row are
    seen too, and begins anew after a pause."""

    def __init__(self) -> None:
        self._due = self._ended = float("-inf")

    def work_begins(self) -> None:
        now = time.monotonic()
        if now - self._ended >= INTERVAL:
            self._due = now + INTERVAL

    def work_ends(self) -> None:
        self._ended = time.monotonic()

    def left(self) -> float:
        """Seconds until the next line."""
        return max(0.0, self._due - time.monotonic())

    def printed(self) -> None:
        self._due = time.monotonic() + INTERVAL


_active: list[Progress | _PlainLines] = []
_clock = _Clock()
