"""What the template of a reader needs to know, every constant as a sized literal."""

from __future__ import annotations

from typing import Any

from toolkit.emit.verilog.expressions import literal
from toolkit.hardware.folded.line_buffer import Reader
from toolkit.hardware.linear import signed_width


def unsigned_bits(most: int) -> int:
    """Bits of a counter up to `most`."""
    return max(int(most).bit_length(), 1)


def signed(value: int, bits: int) -> str:
    """A signed literal of a register of `bits` bits."""
    return f"$signed({literal(value, bits)})"


def context(reader: Reader) -> dict[str, Any]:
    """The buffer and the loops of a reader."""
    place_bits = unsigned_bits(reader.depth - 1)
    had_bits = unsigned_bits(reader.depth + reader.frame) + 1
    loops: list[dict[str, Any]] = [
        {"name": loop.name, "count": loop.count, "reg": f"n_{loop.name}", "end": f"end_{loop.name}",
         "bits": unsigned_bits(loop.count - 1), "final": literal(loop.count - 1, unsigned_bits(loop.count - 1)),
         "level": i} for i, loop in enumerate(reader.loops)][::-1]
    for i, loop in enumerate(loops):
        inner = " && ".join(other["end"] for other in loops[:i])
        loop["when"] = f"if ({inner}) " if inner else ""
    found: dict[str, Any] = {
        "depth": f"{reader.depth:,}", "place_bits": place_bits, "had_bits": had_bits, "loops": loops,
        "last_place": literal(reader.depth - 1, place_bits), "frame": literal(reader.frame, had_bits),
        "limit": literal(reader.depth, had_bits), "frame_end": " && ".join(loop["end"] for loop in loops),
        "at_start": literal(reader.start, had_bits + 1),
        "at_step": _steps(reader, loops, "at", lambda v: literal(v, had_bits + 1)),
        "place_start": literal(reader.start % reader.depth, place_bits),
        "place_step": _steps(reader, loops, "at", lambda v: literal(v % reader.depth, place_bits + 1),
                             reader.next_frame),
        "depth_word": literal(reader.depth, place_bits + 1), "keep": None, "y": None, "x": None,
        "table": None, "blind": reader.blind,
    }
    if reader.table is not None:
        found["half"] = literal(reader.frame, place_bits)
        found["table"] = [literal(int(v), place_bits) for v in reader.table]
    # Once around, the low bits of `onward` less `depth` are right whatever the carry.
    found["wrapped"] = f"onward[{place_bits - 1}:0] - {literal(reader.depth % (1 << place_bits), place_bits)}"
    found["depth"] = reader.depth
    if reader.height is not None and reader.width is not None:
        for key, axis, size in (("y", "y", reader.height), ("x", "x", reader.width)):
            values = reader.values(axis)
            bits = max(signed_width(int(values.min()), int(values.max())), signed_width(0, size)) + 1
            found[key] = {"bits": bits, "start": signed(reader.origin(axis), bits), "zero": signed(0, bits),
                          "size": signed(size, bits),
                          "step": _steps(reader, loops, axis, lambda v, bits=bits: signed(v, bits))}
    level = next((i for i, loop in enumerate(reader.loops) if loop.keep), None)
    if level is not None:
        most = reader.keep + reader.loops[level].keep * reader.loops[level].count
        bits = max(signed_width(reader.keep, most), had_bits + 1)
        found["keep"] = {"bits": bits, "start": signed(reader.keep, bits), "zero": signed(0, bits),
                         "step": signed(reader.loops[level].keep, bits), "word": f"keep_next[{had_bits - 1}:0]",
                         "when": " && ".join(loop["end"] for loop in loops if loop["level"] > level) or "1'b1"}
    return found


def _steps(reader: Reader, loops: list[dict[str, Any]], axis: str, text: Any, after: int | None = None) -> str:
    """What an axis moves by, chosen by the innermost loop that does not end; `after` for the end of a frame."""
    cases = [(loop["end"], reader.delta(axis, loop["level"])) for loop in loops]
    last = text(after) if after is not None else text(cases[-1][1])
    kept = cases if after is not None else cases[:-1]
    return "".join(f"!{end} ? {text(step)} : " for end, step in kept) + last
