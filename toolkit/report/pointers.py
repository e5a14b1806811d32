"""Commands that a report prints for what is to be done next. They can be pasted as they stand."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path


def generate(design: Path | str, out: Path | str) -> str:
    """Make the project folder of a `.swd`."""
    return _command("generate", _path(design), "-o", _path(out))


def simulate(project: Path | str) -> str:
    """Run the benches of a project folder."""
    return _command("simulate", _path(project))


def build_trial(search: Path | str, trial: int, model: str = "MODEL", data: Path | str = "DATA",
                own: Mapping[str, str | None] | None = None, out: Path | str | None = None) -> str:
    """Build a trial of the search in a folder. `own`: options that the search does not keep, such as --metric; by
    default MODEL and DATA stand for what the search was run on."""
    options = [part for key, value in (own or {}).items() if value is not None for part in (key, value)]
    return _command("build", model, "--data", _path(data), "--search", _path(search), "--trial", str(trial), *options,
                    "-o", _path(out or f"trial_{trial}"))


def _command(*parts: str) -> str:
    return shlex.join(("shiftwright", *parts))


def _path(path: Path | str) -> str:
    """A path that is not taken for an option."""
    text = str(path)
    return f"./{text}" if text.startswith("-") else text
