"""slang over a circuit of the tests."""

from __future__ import annotations

from pathlib import Path

from icarus import Circuit

from benchmarks.slang import told


def said(made: Circuit, place: Path, *options: str) -> str:
    """What slang finds in a circuit, whose files are written to `place`: "" where there is nothing."""
    place.mkdir(parents=True, exist_ok=True)
    for name, text in made.made.files.items():
        (place / name).write_text(text)
    return told([place / name for name in made.made.files], made.made.top, *options)
