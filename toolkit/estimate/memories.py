"""What becomes of each memory on a device, in words and in JSON."""

from __future__ import annotations

from collections import Counter
from typing import Any

from toolkit.hardware.blocks import Needed, Use


def memory_json(use: Use) -> dict[str, Any]:
    """One memory: where it is, and the cells that it takes, with the words and width of each."""
    memory, taken = use.memory, use.taken
    return {"layer": memory.layer, "holds": memory.holds, "words": memory.words, "width": memory.width,
            "bits": memory.bits, "place": use.place, "cell": taken.kind.cell if taken else None,
            "cells": taken.cells if taken else 0, "cell_words": taken.words if taken else 0,
            "cell_width": taken.width if taken else 0, "wasted_bits": use.wasted}


def memory_lines(found: Needed) -> list[str]:
    """A line for each memory, equal ones in one; then all that is wasted."""
    count = Counter(_line(one) for one in found.uses)
    lines = [f"    {line}{f', {times} of these' if times > 1 else ''}" for line, times in count.items()]
    return [*lines, f"    bits of cells that hold nothing: {found.wasted:,}"]


def _line(use: Use) -> str:
    memory, taken = use.memory, use.taken
    whose = f" of {memory.layer}" if memory.layer else ""
    start = f"{memory.holds}{whose}, {memory.words:,} x {memory.width}: "
    if taken is None:
        return start + "logic"
    return f"{start}{taken.cells:,} {taken.kind.cell} of {taken.words:,} x {taken.width}, {use.wasted:,} bits wasted"
