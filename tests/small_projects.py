"""A project that is made and checked in a moment, for tests that break it; and what tells what a command left."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np

from benchmarks.networks import mlp
from toolkit.api import generate


def c_project(out: Path, targets: tuple[str, ...] = ("c",)) -> Path:
    """A network 4-6-3 with 100 vectors and 20 of the user's own."""
    test = np.random.default_rng(0).integers(-8, 8, (20, 4))
    return generate(mlp((4, 6, 3)), out, targets=targets, vectors=100, test=test).folder


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Each file, link and folder below a folder: its kind, and what it holds or points to."""
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = stat.S_IFMT(path.lstat().st_mode)
        held = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = kind, held
    return found


def running(mark: str) -> list[str]:
    """The number and the command line of each living process whose command line holds `mark`."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if mark in line and "State:\tZ" not in (place / "status").read_text():
                    found.append(f"{place.name} {line}")
            except OSError:
                continue
    return found


def fake(folder: Path, name: str, script: str) -> str:
    """A PATH on which the program `name` is a shell script."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def path_without(tmp_path: Path, program: str) -> str:
    """A PATH on which everything is but one program."""
    shadow = tmp_path / "bin"
    shadow.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for found in Path(place).glob("*") if Path(place).is_dir() else ():
            link = shadow / found.name
            if found.name != program and not link.exists():
                link.symlink_to(found)
    return str(shadow)
