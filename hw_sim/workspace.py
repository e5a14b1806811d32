"""`build/` of a project: what simulations make there, and a list of it. Nothing else in it is ever removed.

The list is `build/.shiftwright`: a path a line; a line that ends in `/` is a folder in which a run was at work when it
was ended, all of which it made. One run at a time: the others wait.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import safe_files
from errors import BadFolder, SimulationError
from processes import Deadline

RECORD, LOCK = ".shiftwright", ".lock"
MAX_RECORD = 1 << 26
POLL = 0.1


class Workspace:
    """`folder` is the project's build/. Made by `opened`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known = _recorded(folder)
        self._busy = {name for name in self._known if name.endswith("/")}

    def take(self, path: Path) -> Path:
        """A folder in build/ to work in: made where it is missing. BadFolder where it holds what no run made."""
        safe_files.check(self.folder.parent, path)
        name = f"{path.relative_to(self.folder)}/"
        for file in safe_files.walk(path):
            self._check(file)
        self._busy.add(name)
        self._write(self._known | self._busy)  # ahead of the work, so that it is ours even if we are killed
        path.mkdir(parents=True, exist_ok=True)
        return path

    def fresh(self, path: Path) -> Path:
        """The same, emptied."""
        self.take(path)
        _remove(path)
        path.mkdir(exist_ok=True)
        return path

    def file(self, path: Path) -> Path:
        """A file in build/ that is about to be written; it is no longer there. BadFolder where no run made it."""
        safe_files.check(self.folder.parent, path)
        if os.path.lexists(path):
            self._check(path)
            path.unlink()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._known.add(str(path.relative_to(self.folder)))
        self._write(self._known | self._busy)
        return path

    def record(self) -> None:
        """Put the files of the folders that were worked in on the list."""
        for name in self._busy:
            for file in safe_files.walk(self.folder / name):
                self._known.add(str(file.relative_to(self.folder)))
        self._busy.clear()
        self._known = {name for name in self._known if not name.endswith("/") and (self.folder / name).is_file()}
        self._write(self._known)

    def clean(self) -> list[str]:
        """Remove all that runs made, and build/ itself where nothing else is in it; the names of what stays."""
        left = []
        for file in safe_files.walk(self.folder):
            if self._made(file):
                file.unlink()
            elif file.name not in (RECORD, LOCK) or file.parent != self.folder:
                left.append(str(file.relative_to(self.folder.parent)))
        self._known, self._busy = set(), set()
        (self.folder / RECORD).unlink(missing_ok=True)
        if not left:
            (self.folder / LOCK).unlink(missing_ok=True)
        for here, _, _ in os.walk(self.folder, topdown=False):
            with suppress(OSError):
                Path(here).rmdir()
        return left

    def _made(self, file: Path) -> bool:
        name = str(file.relative_to(self.folder))
        return name in self._known or any(name.startswith(busy) for busy in self._busy)

    def _check(self, file: Path) -> None:
        if not self._made(file):
            raise BadFolder(f"'{file}' was not made by a simulation, which would overwrite it; move it away")
        if file.stat().st_nlink > 1:
            file.unlink()  # another name of some other file: what it holds is not to be written over

    def _write(self, names: set[str]) -> None:
        text = "".join(f"{name}\n" for name in sorted(names))
        fresh = self.folder / f"{RECORD}.new"
        with suppress(FileNotFoundError):
            fresh.unlink()
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        fresh.replace(self.folder / RECORD)


@contextmanager
def opened(project: Path, deadline: Deadline, say: Callable[[str], None]) -> Iterator[Workspace]:
    """build/ of a project folder, ours alone while the block runs. Raises BadFolder for links in it, SimulationError
    where another run does not end in time."""
    folder = project / "build"
    handle = _locked(folder, deadline, say)
    try:
        for _ in safe_files.walk(folder):
            pass  # a link anywhere in it is refused
        work = Workspace(folder)
        try:
            yield work
        finally:
            if folder.is_dir():
                work.record()
    finally:
        os.close(handle)


def _locked(folder: Path, deadline: Deadline, say: Callable[[str], None]) -> int:
    told = False
    while True:
        handle = _open(folder)
        try:
            while not _lock(handle):
                if not told:
                    say(f"waiting for another simulation in {folder}")
                    told = True
                if not deadline.left():
                    raise deadline.passed(f"another simulation in '{folder}'")
                time.sleep(POLL)
            with suppress(OSError):
                # What we wait for may be removed with build/ by the one who held it.
                if os.path.samestat(os.fstat(handle), os.lstat(folder / LOCK)):
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _open(folder: Path) -> int:
    path = folder / LOCK
    safe_files.check(folder.parent, path)
    if folder.exists() and not folder.is_dir():
        raise BadFolder(f"'{folder}' is not a folder; move it away")
    try:
        folder.mkdir(exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise BadFolder(f"'{folder}' cannot be written: {error.strerror}") from error


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise SimulationError(f"build/ cannot be locked: {error.strerror}") from error
    return True


def _recorded(folder: Path) -> set[str]:
    """The list; empty where there is none."""
    path = folder / RECORD
    if not os.path.lexists(path):
        return {LOCK, RECORD}
    try:
        names = safe_files.read(path, MAX_RECORD).decode(errors="surrogateescape").split("\n")
    except BadFolder as error:
        raise BadFolder(f"{error}; remove it, and what else simulations left in '{folder}'") from error
    # A stranger's list may name what is not in the folder.
    return {LOCK, RECORD, *(n for n in names if n and "\0" not in n and n[0] != "/" and ".." not in n.split("/"))}


def _remove(folder: Path) -> None:
    """All that is in a folder whose files were checked."""
    for here, _, names in os.walk(folder, topdown=False):
        for name in names:
            Path(here, name).unlink()
        if Path(here) != folder:
            Path(here).rmdir()
