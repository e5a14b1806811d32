"""The programs that pip does not bring, as scripts/setup sees them."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


@cache
def known() -> frozenset[str]:
    """Every program of scripts/debian.txt."""
    lines = (SCRIPTS / "debian.txt").read_text().splitlines()
    return frozenset(line.split()[0] for line in lines if line.strip() and not line.startswith("#"))


@cache
def missing() -> dict[str, str]:
    """The command that brings each program that is not here."""
    told = subprocess.run([SCRIPTS / "setup", "--missing"], capture_output=True, text=True, check=True).stdout
    return dict(line.split("\t") for line in told.splitlines())
