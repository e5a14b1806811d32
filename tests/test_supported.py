"""docs/supported.md is what the code gives: every operation of its tables, made for every target."""

from __future__ import annotations

import difflib
from pathlib import Path

from benchmarks.supported.table import document

DOCUMENT = Path(__file__).parents[1] / "docs/supported.md"


def test_the_document_is_what_the_code_gives():
    found = document()
    if found != DOCUMENT.read_text():
        lines = difflib.unified_diff(DOCUMENT.read_text().splitlines(), found.splitlines(), "docs", "code", "", "", 0)
        raise AssertionError("docs/supported.md is out of date; python -m benchmarks.supported writes it:\n"
                             + "\n".join(list(lines)[:40]))
