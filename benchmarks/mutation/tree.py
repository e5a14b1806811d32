"""Copies of the project in which a file may be wrong: one for each process that runs tests."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".hypothesis", ".*_cache", "*-out", "build", "dist", "*.egg-info")


def copied(source: Path, place: Path) -> Path:
    """A copy of the project at `source`, times of files kept, so that compiled bytecode stays good."""
    return Path(shutil.copytree(source, place, ignore=LEFT_OUT, symlinks=True))


def changed(tree: Path, file: str, text: str) -> Callable[[], None]:
    """Write `text` to `file` of a copy; what is returned puts it back as it was, its time included."""
    path = tree / file
    before, status = path.read_bytes(), path.stat()
    path.write_text(text)

    def restore() -> None:
        path.write_bytes(before)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return restore


def digest(root: Path, files: Iterable[str]) -> str:
    """A short hash of the names and contents of files."""
    found = hashlib.sha256()
    for name in sorted(set(files)):
        path = root / name
        data = path.read_bytes() if path.is_file() else b""
        found.update(f"{name}\0{len(data)}\0".encode() + data)
    return found.hexdigest()[:20]
