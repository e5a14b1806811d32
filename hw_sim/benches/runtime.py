"""Verilator's own runtime, compiled once for all designs: kept in the user's cache, each object with its digest."""

from __future__ import annotations

import hashlib
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from signature import cache

OBJECTS = ("verilated", "verilated_vpi", "verilated_timing", "verilated_threads", "verilated_random",
           "verilated_dpi", "verilated_vcd_c")
DIGEST = 32
"""Bytes of SHA-256 in front of each object that is kept."""
FORGOTTEN = 3600
"""Seconds after which a file that was being written was left by a run that was killed."""


def folder(of: str) -> Path | None:
    """The folder for objects that were made of what the text `of` says; None where there can be none."""
    home = cache()
    if home is None:
        return None
    found = home / f"verilator-{hashlib.sha256(of.encode()).hexdigest()[:16]}"
    try:
        found.mkdir(exist_ok=True)
        return found
    except OSError:
        return None


def bring(kept: Path | None, target: Path) -> None:
    """Put every object that is kept, and whole, into the build folder `target`."""
    if kept is None:
        return
    for name in OBJECTS:
        found = _whole(kept / f"{name}.kept")
        if found is not None:
            (target / f"{name}.o").write_bytes(found)


def keep(kept: Path | None, target: Path) -> None:
    """Keep the objects of `target` that are not kept yet, or not whole."""
    if kept is None:
        return
    with suppress(OSError):
        for left in kept.glob(".making.*"):
            if time.time() - left.stat().st_mtime > FORGOTTEN:
                left.unlink(missing_ok=True)
        for name in OBJECTS:
            made = target / f"{name}.o"
            if made.is_file() and _whole(kept / f"{name}.kept") is None:
                data = made.read_bytes()
                with tempfile.NamedTemporaryFile(dir=kept, prefix=".making.", delete=False) as file:
                    file.write(hashlib.sha256(data).digest() + data)
                Path(file.name).replace(kept / f"{name}.kept")


def _whole(path: Path) -> bytes | None:
    """What was kept; None where it is missing or was damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data[DIGEST:] if hashlib.sha256(data[DIGEST:]).digest() == data[:DIGEST] else None
