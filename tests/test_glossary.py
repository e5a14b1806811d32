"""docs/glossary.md: every term is used in the code under the name that stands beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROWS = re.findall(r"^\| (.+?) \| (.+?) \| `(\w+)` \|$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)


def test_every_line_of_the_tables_is_a_term():
    lines = [line for line in (ROOT / "docs/glossary.md").read_text().splitlines() if line.startswith("| ")]
    assert len(ROWS) == len(lines) - 3 > 40  # three heads
    assert len({term for term, _, _ in ROWS}) == len(ROWS)


@pytest.fixture(scope="module")
def words() -> set[str]:
    """Every name and word in the programs and templates."""
    files = [p for top in ("toolkit", "templates", "hw_sim") for p in (ROOT / top).rglob("*")
             if p.suffix in (".py", ".j2", ".v")]
    return {word for p in files for word in re.findall(r"\w+", f"{p.stem} {p.read_text()}")}


@pytest.mark.parametrize("term, name", [(term, name) for term, _, name in ROWS])
def test_a_term_is_used_in_the_code_under_its_name(term: str, name: str, words: set[str]):
    assert name in words, f"'{term}' is called {name} in docs/glossary.md, and nothing in the code is"
