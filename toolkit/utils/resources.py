"""Where the templates and the benches lie: beside the package in a checkout, inside it in an installed wheel."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def folder(name: str) -> Path:
    """The folder `templates` or `hw_sim`."""
    shipped = PACKAGE / "_shipped" / name
    return shipped if shipped.is_dir() else PACKAGE.parent / name
