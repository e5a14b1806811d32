"""Tables of plain text, and sizes as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from toolkit.utils.printable import printable


def table(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Rows as aligned lines: the first `left` columns flush left, the others right, a rule under the head."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) if i < left else cell.rjust(w)
                       for i, (cell, w) in enumerate(zip(row, widths, strict=True))).rstrip() for row in rows]
    return [lines[0], "-" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]]


def size(count: int) -> str:
    """Bytes exactly, and in KiB or MiB."""
    if count < 1024:
        return f"{count:,} B"
    return f"{count:,} B ({count / 1024:.1f} KiB)" if count < 1 << 20 else f"{count:,} B ({count / (1 << 20):.2f} MiB)"
