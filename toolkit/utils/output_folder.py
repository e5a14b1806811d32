"""Output folders: written whole or not at all, and never over something that is not ours."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from toolkit.utils import interrupts
from toolkit.utils.errors import InputError

MARKER = ".shiftwright"
"""In each folder that we write: the list of our files in it. Simulations keep one of their own in build/."""
LOCK = "lock"
"""In the folder beside an output, in which it is made: whose it is; locked while its process lives."""
NEW, OLD = "new", "was"
MAX_MARKER = 1 << 26
_also: ContextVar[tuple[Path, str, bytes] | None] = ContextVar("also", default=None)


@contextmanager
def output_folder(path: Path | str) -> Iterator[Path]:
    """A new folder to write into; it takes the place of `path` when the block ends well, and vanishes when it does not.

    `path` may be missing, empty, or a folder that we wrote before and in which nothing else was put since: this is
    looked at again at the end, and what was made gets another name if something was put there meanwhile. Raises
    InputError for any other, and for what the disk refuses.
    """
    path = named = Path(path)
    check_ours(path)
    path = path.resolve() if path.exists() else path
    there = path.exists()
    if there and path == Path.cwd():
        raise InputError(f"'{path}' is the folder that you are in; name another with -o")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(path)
        place, handle = _place(path)
    except OSError as error:
        raise InputError(f"cannot make the folder '{path}': {error.strerror}") from error
    fresh = place / NEW
    try:
        yield fresh
        for name, data in also(named).items():
            (fresh / name).write_bytes(data)
        (fresh / MARKER).write_text("".join(f"{name}\n" for name in sorted(_files(fresh))), errors="surrogateescape")
        _replace(path, place)
    except OSError as error:
        what = f" '{error.filename}'" if error.filename and not str(error.filename).startswith(str(place)) else ""
        raise InputError(f"cannot write the folder '{path}': {error.strerror or error}{what}") from error
    except KeyboardInterrupt:
        if not passing(path):
            interrupts.left(f"'{path}' is as it was" if there else f"nothing was written to '{path}'")
        raise
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(handle)


@contextmanager
def also_written(path: Path, name: str, data: bytes) -> Iterator[None]:
    """While the block runs, the output folder `path` gets one file more. No folder in it does: a project's files are
    what its design makes of them, byte by byte."""
    token = _also.set((path, name, data))
    try:
        yield
    finally:
        _also.reset(token)


def also(path: Path) -> dict[str, bytes]:
    """The file that the output folder `path` gets beside what is made in it, by name."""
    asked = _also.get()
    return {asked[1]: asked[2]} if asked and asked[0] == path else {}


def project_folder(path: Path | str) -> Path:
    """The generated project that a user means by `path`: itself, or hardware/ in it where `build` and `demo` put it.
    A link is no such folder."""
    path = Path(path)
    inner = path / "hardware"
    try:
        if not os.path.lexists(path / "manifest.json") and stat.S_ISDIR(inner.lstat().st_mode) \
                and stat.S_ISREG((inner / "manifest.json").lstat().st_mode):
            return inner
    except (OSError, ValueError):
        pass  # whoever opens the folder says what is wrong with it
    return path


def check_ours(path: Path | str, holds: str | None = None) -> None:
    """Raise InputError unless `path` may be written: missing, empty, or ours and untouched; with `holds`, ours with
    that file or folder in it, so that no command takes the place of what another one wrote."""
    path = Path(path)
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_dir():
        raise InputError(f"'{path}' is not a folder; name a new one with -o")
    try:
        present = _files(path)
        if not present:
            return
        listed = _listed(path / MARKER)
        foreign = None if listed is None else sorted(present - listed - _left_by_running(path, present, listed))
    except OSError as error:
        raise InputError(f"cannot read the folder '{path}': {error}") from error
    if foreign is None:
        raise InputError(f"the folder '{path}' is not empty and was not written by shiftwright; name a new one with -o")
    if foreign:
        raise InputError(f"the folder '{path}' also holds {foreign[0]!a}, which shiftwright did not write; move "
                         "it away, or name a new folder with -o")
    if holds is not None and not (path / holds).exists():
        raise InputError(f"the folder '{path}' holds what another command of shiftwright wrote; name a new one with -o")


def passing(path: Path) -> bool:
    """Whether a path lies in an output folder that is not complete."""
    return any(parent.name == NEW and (parent.parent / LOCK).is_file() for parent in path.absolute().parents)


def _files(folder: Path) -> set[str]:
    """All that is in a folder but folders, by their paths in it; a link is never followed, and ends in '@'."""
    found = set()
    for here, folders, names in os.walk(folder, onerror=_raise):
        for name in (*names, *folders):
            path = Path(here, name)
            mode = path.lstat().st_mode
            if not stat.S_ISDIR(mode):
                # We write no links: one is foreign whatever its name.
                found.add(f"{path.relative_to(folder)}{'@' if stat.S_ISLNK(mode) else ''}")
    return found


def _raise(error: OSError) -> None:
    raise error


def _listed(marker: Path) -> set[str] | None:
    """What a marker lists, itself included; None where there is none that we wrote."""
    if marker.is_symlink() or not marker.is_file():
        return None
    if marker.stat().st_size > MAX_MARKER:
        raise OSError(f"'{marker}' is too large to be ours")
    return {MARKER, *marker.read_bytes().decode(errors="surrogateescape").split("\n")} - {""}


def _left_by_running(folder: Path, present: set[str], listed: set[str]) -> set[str]:
    """What running our projects left in `folder`: files that a simulation lists in the project's build/, and what
    Python compiled of our own modules."""
    found = {name for name in present if (made := COMPILED.fullmatch(name)) and f"{made[1]}{made[2]}.py" in listed}
    for manifest in (name for name in listed if Path(name).name == "manifest.json"):
        build = Path(manifest).parent / "build"
        made_there = _listed(folder / build / MARKER)
        if made_there is None or (folder / build).is_symlink():
            continue
        inside = {name: str(Path(name).relative_to(build)) for name in present if Path(name).is_relative_to(build)}
        busy = tuple(name for name in made_there if name.endswith("/"))
        found |= {name for name, short in inside.items() if short in made_there or (busy and short.startswith(busy))}
    return found


COMPILED = re.compile(r"(.*/)?__pycache__/([^/]+)\.cpython-\d+(?:\.opt-\d)?\.pyc")


def _place(path: Path) -> tuple[Path, int]:
    """A folder beside `path` to make it in, marked as ours, and the handle whose lock says that we live."""
    place = Path(tempfile.mkdtemp(dir=path.resolve().parent, prefix=f".{path.name[:40]}."))
    try:
        handle = os.open(place / f"{LOCK}.new", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # where there are no locks nothing is cleared away
        os.write(handle, json.dumps({"pid": os.getpid(), "output": os.fsencode(path.name).hex()}).encode())
        (place / f"{LOCK}.new").rename(place / LOCK)
        (place / NEW).mkdir()
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return place, handle


def _remove_left(path: Path) -> None:
    """Remove what runs on the same output left when they were killed; put back the folder that one had moved away."""
    beside = path.resolve().parent
    for place in beside.iterdir():
        if not place.name.startswith(f".{path.name[:40]}.") or place.is_symlink() or not place.is_dir():
            continue
        lock = place / LOCK
        try:
            handle = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue  # none of ours
        try:
            if bytes.fromhex(json.loads(os.read(handle, 4096))["output"]) != os.fsencode(path.name):
                continue
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (place / OLD).is_dir() and not os.path.lexists(path):
                (place / OLD).rename(path)
            shutil.rmtree(place, ignore_errors=True)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue  # alive, or none of ours
        finally:
            os.close(handle)


def _replace(path: Path, place: Path) -> None:
    """Put the new folder where `path` is; the old one comes back if that fails or something was put into it."""
    fresh, old = place / NEW, place / OLD
    if not os.path.lexists(path):
        fresh.rename(path)
        return
    try:
        check_ours(path)
        path.rename(old)
        try:
            check_ours(old)  # from here on nobody can put anything into it by its name
            fresh.rename(path)
        except BaseException:
            old.rename(path)
            raise
    except InputError as error:
        kept = next(k for k in (path.with_name(f"{path.name}.{i}") for i in range(1, 10**6)) if not os.path.lexists(k))
        fresh.rename(kept)
        raise InputError(f"{error}: it was put there meanwhile; what was made is in '{kept}'") from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there complete or not at all, also when the disk is full."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise InputError(f"cannot write '{path}': {error.strerror}") from error
