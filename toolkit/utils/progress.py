"""Progress bars on stderr: one line a task with rate and time left; silent where nobody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from toolkit.utils.printable import printable

_active: list[Progress] = []


@contextmanager
def bar(what: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A bar for one piece of work. Yields `advance(steps=1, note="")`; `total=None` is work of unknown length.

    Bars nest: an inner one is drawn below the outer one and goes when it is done.
    """
    own = not _active
    if own:
        console = Console(stderr=True)
        _active.append(Progress(
            TextColumn("{task.description:<34}", markup=False), BarColumn(bar_width=28), MofNCompleteColumn(),
            TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}", markup=False),
            console=console, transient=True, disable=not console.is_terminal))
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
