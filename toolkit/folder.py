"""Output folders: written whole or not at all, and never over something that is not ours."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.errors import InputError

MARKER = ".shiftwright"
"""In each folder that we write: the list of our files in it."""
PASSING = ("build", "__pycache__")
"""Folders that running a project leaves behind: they go with it."""


@contextmanager
def output_folder(path: Path | str) -> Iterator[Path]:
    """A new folder to write into; it takes the place of `path` when the block ends well, and vanishes when it does not.

    `path` may be missing, empty, or a folder that we wrote before and in which nothing else was put since.
    Raises InputError for any other, and for what the disk refuses.
    """
    path = Path(path)
    check_ours(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=path.resolve().parent, prefix=f".{path.name[:40]}."))
    except OSError as error:
        raise InputError(f"cannot make the folder '{path}': {error.strerror}") from error
    try:
        yield fresh
        ours = sorted(str(p.relative_to(fresh)) for p in fresh.rglob("*") if p.is_file())
        (fresh / MARKER).write_text("".join(f"{name}\n" for name in ours))
        fresh.chmod(0o755)
        _replace(path, fresh)
    except OSError as error:
        what = f" '{error.filename}'" if error.filename and not str(error.filename).startswith(str(fresh)) else ""
        raise InputError(f"cannot write the folder '{path}': {error.strerror or error}{what}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def check_ours(path: Path | str, holds: str | None = None) -> None:
    """Raise InputError unless `path` may be written: missing, empty, or ours and untouched; with `holds`, ours with
    that file or folder in it, so that no command takes the place of what another one wrote."""
    path = Path(path)
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_dir():
        raise InputError(f"'{path}' is not a folder; name a new one with -o")
    try:
        marker = path / MARKER
        listed = set(marker.read_text().splitlines()) if marker.is_file() else None
        # What running a project leaves behind may go, but only with a project of ours.
        present = {str(p.relative_to(path)) for p in path.rglob("*") if not p.is_dir()
                   and not (listed is not None and any(part in PASSING for part in p.relative_to(path).parts))}
        if not present:
            return
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the folder '{path}': {error}") from error
    if listed is None:
        raise InputError(f"the folder '{path}' is not empty and was not written by shiftwright; name a new one with -o")
    foreign = sorted(present - listed - {MARKER})
    if foreign:
        raise InputError(f"the folder '{path}' also holds '{foreign[0]}', which shiftwright did not write; move it "
                         "away, or name a new folder with -o")
    if holds is not None and not (path / holds).exists():
        raise InputError(f"the folder '{path}' holds what another command of shiftwright wrote; name a new one with -o")


def _replace(path: Path, fresh: Path) -> None:
    """Put `fresh` where `path` is; the old folder comes back if that fails."""
    if not path.exists():
        fresh.rename(path)
        return
    old = Path(tempfile.mkdtemp(dir=path.resolve().parent, prefix=f".{path.name[:40]}.old."))
    try:
        path.rename(old / "was")
        try:
            fresh.rename(path)
        except OSError:
            (old / "was").rename(path)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
