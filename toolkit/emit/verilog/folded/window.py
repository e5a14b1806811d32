"""The module that makes words of whole windows."""

from __future__ import annotations

from typing import Any

from toolkit.emit.templates import render
from toolkit.emit.verilog.expressions import Operand, extend, literal
from toolkit.emit.verilog.folded.line_buffer import signed, unsigned_bits
from toolkit.hardware.folded.node import Node
from toolkit.hardware.linear import signed_width
from toolkit.hardware.rows import Rows


def window(node: Node, head: dict[str, Any]) -> str:
    """The text of the module for one node; `head` names it and its ports."""
    rows = node.rows
    assert rows is not None
    bits = node.word_bits(0)
    y, x = rows.y, rows.x
    had_bits = unsigned_bits((y.size + rows.banks + 1) * x.size + rows.frame) + 1
    n_bits, column_bits = unsigned_bits(rows.final), unsigned_bits(x.size - 1)
    pass_bits = unsigned_bits(y.windows - 1)
    bank_bits = unsigned_bits(rows.banks - 1)
    top_bits = max(signed_width(min(rows.top, y.size - y.span - 1), y.windows * y.stride), 2)
    reading = "1'b1" if rows.final < x.size else f"n < {literal(x.size, n_bits)}"
    place = f"{{{had_bits - n_bits}'d0, n}}"
    if reading != "1'b1":
        place = f"reading ? {place} : {literal(x.size, had_bits)}"
    step = y.stride % rows.banks if y.windows > 1 else y.size % rows.banks
    masks = _row_masks(rows, top_bits) + _column_masks(rows)
    named = {one["name"] for one in masks}
    columns = y.kernel * bits
    shifted = "column1" if x.span == 1 else f"{{window2[{(x.span - 1) * columns - 1}:0], column1}}"
    return render(
        "verilog/folded/window.v.j2", **head, banks=rows.banks, passes=y.windows, columns=x.size, span=x.span,
        had_bits=had_bits, frame=literal(rows.frame, had_bits), reading=reading, place=place,
        n={"bits": n_bits, "last": literal(rows.places - 1, n_bits),
           "last_flush": literal(rows.places + rows.flush - 1, n_bits)},
        pass_count={"bits": pass_bits, "last": literal(y.windows - 1, pass_bits)},
        top={"bits": top_bits, "start": signed(rows.top, top_bits), "step": signed(y.stride, top_bits),
             "lowest": signed(y.size - y.span - 1, top_bits),
             "step_pixels": literal(y.stride * x.size, had_bits)},
        limit0=literal((rows.top + rows.banks) * x.size, had_bits), need_last=literal((y.size - 1) * x.size, had_bits),
        need0=literal(min(rows.top + y.span - 1, y.size - 1) * x.size, had_bits),
        column={"bits": column_bits, "last": literal(x.size - 1, column_bits)},
        address=extend(Operand("n", n_bits), column_bits, False),
        bank={"bits": bank_bits, "last": literal(rows.banks - 1, bank_bits)},
        into=", ".join(f"bank_in == {literal(b, bank_bits)}" for b in reversed(range(rows.banks))),
        **_banks(rows, bank_bits, step), ahead=_ahead(rows), counts=_counts(rows), masks=masks,
        rows=[_row(rows, i, bits, bank_bits, named) for i in range(y.kernel)],
        row_names=", ".join(f"row{i}" for i in reversed(range(y.kernel))), shifted=shifted,
        word=_word(rows, bits, columns, named))


def _banks(rows: Rows, bits: int, step: int) -> dict[str, str]:
    """How the bank of the top row moves on: from pass to pass, and from the last to the next frame's first."""
    y = rows.y
    after = (y.size - (y.windows - 1) * y.stride) % rows.banks
    moves = literal(step, bits + 1)
    if y.windows > 1 and after != step:
        moves = f"(last_pass ? {literal(after, bits + 1)} : {moves})"
    return {"bank_step": moves, "bank_start": literal(rows.top % rows.banks, bits),
            "bank_count": literal(rows.banks, bits + 1),
            "bank_wrapped": f"bank_next[{bits - 1}:0] - {literal(rows.banks % (1 << bits), bits)}"}


def _ahead(rows: Rows) -> dict[str, Any]:
    """The places between two windows: of a row, from row to row, from frame to frame."""
    row = rows.places - (rows.x.windows - 1) * rows.x.stride
    frame = rows.length + rows.first - ((rows.y.windows - 1) * rows.places + rows.final)
    gaps = [rows.x.stride] * (rows.x.windows > 1) + [row] * (rows.y.windows > 1) + [frame]
    bits = unsigned_bits(max(rows.first, *(gap - 1 for gap in gaps)))
    ends = [f"!{name}_end ? " for name, axis in (("ox", rows.x), ("oy", rows.y)) if axis.windows > 1]
    texts = [literal(gap - 1, bits) for gap in gaps]
    return {"bits": bits, "first": literal(rows.first, bits),
            "next": "".join(f"{end}{text} : " for end, text in zip(ends, texts[:-1], strict=True)) + texts[-1]}


def _counts(rows: Rows) -> list[dict[str, Any]]:
    """The counters of the windows that stand."""
    found: list[dict[str, Any]] = []
    for name, axis in (("ox", rows.x), ("oy", rows.y)):
        if axis.windows > 1:
            bits = unsigned_bits(axis.windows - 1)
            found.append({"name": name, "bits": bits, "last": literal(axis.windows - 1, bits),
                          "when": " && ".join(["stands", *(f"{one['name']}_end" for one in found)])})
    return found


def _row_masks(rows: Rows, bits: int) -> list[dict[str, Any]]:
    """Whether each row of the windows lies in the image, where that is not always so."""
    found = []
    highest = rows.top + (rows.y.windows - 1) * rows.y.stride
    for i in range(rows.y.kernel):
        offset = i * rows.y.dilation
        tests = [f"top >= {signed(-offset, bits)}"] if rows.top + offset < 0 else []
        tests += [f"top < {signed(rows.y.size - offset, bits)}"] if highest + offset >= rows.y.size else []
        if tests and rows.y.windows > 1:
            found.append({"name": f"row_in{i}_", "text": " && ".join(tests), "twice": False})
    return found


def _column_masks(rows: Rows) -> list[dict[str, Any]]:
    """Whether each column of the window that stands lies in the image, where that is not always so."""
    found = []
    bits = unsigned_bits(rows.x.windows - 1)
    for j in range(rows.x.kernel):
        first, last = rows.x.covered(j)
        tests = [f"ox >= {literal(first, bits)}"] if first > 0 else []
        tests += [f"ox <= {literal(last, bits)}"] if last < rows.x.windows - 1 else []
        if tests and rows.x.windows > 1 and first <= last:
            found.append({"name": f"column_in{j}_", "text": " && ".join(tests), "twice": True})
    return found


def _row(rows: Rows, i: int, bits: int, bank_bits: int, masks: set[str]) -> str:
    """Row i of the column that was read, zero in the padding."""
    offset, empty = i * rows.y.dilation, literal(0, bits)
    if rows.y.windows == 1 and not 0 <= rows.top + offset < rows.y.size:
        return empty
    parts = [f"rows1[{(bank + 1) * bits - 1}:{bank * bits}]" for bank in range(rows.banks)]
    text = "".join(f"top1 == {literal(b, bank_bits)} ? {parts[(b + offset) % rows.banks]} : "
                   for b in range(rows.banks - 1)) + parts[(rows.banks - 1 + offset) % rows.banks]
    return f"!row_in{i}_1 ? {empty} : {text}" if f"row_in{i}_" in masks else text


def _word(rows: Rows, bits: int, columns: int, masks: set[str]) -> list[str]:
    """The window that stands, the last position's last channel first."""
    found = []
    for i in reversed(range(rows.y.kernel)):
        for j in reversed(range(rows.x.kernel)):
            low = (rows.x.kernel - 1 - j) * rows.x.dilation * columns + i * bits
            text = f"window2[{low + bits - 1}:{low}]"
            first, last = rows.x.covered(j)
            if first > last or (rows.x.windows == 1 and first > 0):
                text = literal(0, bits)
            elif f"column_in{j}_" in masks:
                text = f"column_in{j}_2 ? {text} : {literal(0, bits)}"
            found.append(text)
    return [text + ("," if k < len(found) - 1 else "") for k, text in enumerate(found)]
