"""Tables of plain text. `toolkit/report/tables.py` lays out its tables in the same way."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from printable import printable

WIDTH = 100
"""Columns of a table in a file or a pipe, and at most in a terminal."""
GAP = 2
SHORTEST = 12
"""What a cell is not shortened below."""


def terminal_width() -> int:
    """Columns that a table on the standard output may take."""
    return min(WIDTH, shutil.get_terminal_size().columns) if sys.stdout.isatty() else WIDTH


def table(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Rows as aligned lines: the first `left` columns flush left, the others right, a rule under the head."""
    return _aligned([[printable(cell) for cell in row] for row in rows], list(range(len(rows[0]))), left)


def fitted(rows: Sequence[Sequence[str]], left: int = 1, width: int = WIDTH, repeated: int = 1) -> list[str]:
    """As `table`, in no more than `width` columns: as several tables, a blank line between them, where it takes them.
    Each has the first `repeated` columns. A cell that does not fit even so is shortened."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = _widths(cells)
    if _width(widths) > width:
        room = width - sum(w + GAP for w in widths[1:repeated]) - GAP
        most = max(room - SHORTEST, SHORTEST)
        cells = [[*row[:repeated], *(shortened(cell, most) for cell in row[repeated:])] for row in cells]
        most = max(room - max(_widths(cells)[repeated:], default=0), SHORTEST)
        cells = [[shortened(row[0], most), *row[1:]] for row in cells]
    lines: list[str] = []
    for columns in _parts(_widths(cells), repeated, width):
        lines += [*([""] if lines else []), *_aligned(cells, columns, left)]
    return lines


def shortened(cell: str, most: int) -> str:
    """A cell of at most `most` characters: its two ends, with "..." for what is left out."""
    if len(cell) <= most:
        return cell
    tail = (most - 3) // 2
    return f"{cell[:most - 3 - tail]}...{cell[-tail:]}"


def _parts(widths: list[int], repeated: int, width: int) -> list[list[int]]:
    """The columns of each table: as many as fit, the repeated ones first."""
    parts = [list(range(min(repeated, len(widths))))]
    for column in range(repeated, len(widths)):
        if _width([widths[i] for i in (*parts[-1], column)]) > width and len(parts[-1]) > repeated:
            parts.append(list(range(repeated)))
        parts[-1].append(column)
    return parts


def _aligned(rows: list[list[str]], columns: list[int], left: int) -> list[str]:
    widths = _widths(rows)
    lines = ["  ".join(row[i].ljust(widths[i]) if i < left else row[i].rjust(widths[i]) for i in columns).rstrip()
             for row in rows]
    return [lines[0], "-" * _width([widths[i] for i in columns]), *lines[1:]]


def _widths(rows: list[list[str]]) -> list[int]:
    return [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]


def _width(widths: list[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)
