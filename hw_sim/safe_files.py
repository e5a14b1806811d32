"""Files of a project folder, which may be a stranger's: no link is followed, nothing but plain files is opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from errors import BadFolder

MAX_FILE = 1 << 34
"""Bytes of any one file that is read."""


def check(folder: Path, path: Path) -> None:
    """Raise BadFolder where `path`, which lies in `folder`, or a folder on the way to it is a link. What is missing is
    no link."""
    here = folder
    for part in path.relative_to(folder).parts:
        here = here / part
        try:
            mode = os.lstat(here).st_mode
        except OSError:
            return
        if stat.S_ISLNK(mode):
            raise BadFolder(f"'{here}' is a link; nothing is followed in a project: put there what it points to, or "
                            "remove it")


def walk(folder: Path) -> Iterator[Path]:
    """Every plain file in `folder`, which may be missing, and below it, in order. BadFolder for a link, a pipe, a
    device."""
    try:
        found = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        raise BadFolder(f"'{folder}' cannot be read: {error.strerror}") from error
    for entry in found:
        path = folder / entry.name
        if entry.is_symlink():
            check(folder, path)
        if entry.is_dir(follow_symlinks=False):
            yield from walk(path)
        elif entry.is_file(follow_symlinks=False):
            yield path
        else:
            raise BadFolder(f"'{path}' is neither a file nor a folder; remove it")


def read(path: Path, most: int = MAX_FILE) -> bytes:
    """A plain file of at most `most` bytes; BadFolder for what is none."""
    try:
        # A pipe would block for ever where nobody writes.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        why = "it is a link" if path.is_symlink() else error.strerror
        raise BadFolder(f"'{path}' cannot be read: {why}") from error
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)  # of a folder no file can be made
        raise BadFolder(f"'{path}' cannot be read: it is not a plain file")
    with os.fdopen(handle, "rb") as file:
        if found.st_size > most:
            raise BadFolder(f"'{path}' holds {found.st_size:,} bytes; {most:,} is the most supported")
        try:
            return file.read(found.st_size)  # not `most`: Python takes as much memory as it is asked for
        except OSError as error:
            raise BadFolder(f"'{path}' cannot be read: {error.strerror}") from error
