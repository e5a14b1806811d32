"""What the template of a line buffer needs to know, every constant as a sized literal."""

from __future__ import annotations

from typing import Any

from toolkit.emit.verilog.expressions import literal
from toolkit.hardware.folded.line_buffer import LineBuffer
from toolkit.hardware.linear import signed_width


def unsigned_bits(most: int) -> int:
    """Bits of a counter up to `most`."""
    return max(int(most).bit_length(), 1)


def signed(value: int, bits: int) -> str:
    """A signed literal of a register of `bits` bits."""
    return f"$signed({literal(value, bits)})"


def context(line_buffer: LineBuffer) -> dict[str, Any]:
    """The buffer and the loops of a line buffer."""
    place_bits = unsigned_bits(line_buffer.depth - 1)
    had_bits = unsigned_bits(line_buffer.depth + line_buffer.frame) + 1
    loops: list[dict[str, Any]] = [
        {"name": loop.name, "count": loop.count, "reg": f"n_{loop.name}", "end": f"end_{loop.name}",
         "bits": unsigned_bits(loop.count - 1), "final": literal(loop.count - 1, unsigned_bits(loop.count - 1)),
         "level": i} for i, loop in enumerate(line_buffer.loops)][::-1]
    for i, loop in enumerate(loops):
        inner = " && ".join(other["end"] for other in loops[:i])
        loop["when"] = f"if ({inner}) " if inner else ""
    found: dict[str, Any] = {
        "depth": f"{line_buffer.depth:,}", "place_bits": place_bits, "had_bits": had_bits, "loops": loops,
        "last_place": literal(line_buffer.depth - 1, place_bits), "frame": literal(line_buffer.frame, had_bits),
        "limit": literal(line_buffer.depth, had_bits), "frame_end": " && ".join(loop["end"] for loop in loops),
        "at_start": literal(line_buffer.start, had_bits + 1),
        "at_step": _steps(line_buffer, loops, "at", lambda v: literal(v, had_bits + 1)),
        "place_start": literal(line_buffer.start % line_buffer.depth, place_bits),
        "place_step": _steps(line_buffer, loops, "at", lambda v: literal(v % line_buffer.depth, place_bits + 1),
                             line_buffer.next_frame),
        "depth_word": literal(line_buffer.depth, place_bits + 1), "keep": None, "y": None, "x": None,
        "table": None, "all_padding": line_buffer.all_padding,
    }
    if line_buffer.table is not None:
        found["half"] = literal(line_buffer.frame, place_bits)
        found["table"] = [literal(int(v), place_bits) for v in line_buffer.table]
    # Once around, the low bits of `onward` less `depth` are right whatever the carry.
    found["wrapped"] = f"onward[{place_bits - 1}:0] - {literal(line_buffer.depth % (1 << place_bits), place_bits)}"
    found["depth"] = line_buffer.depth
    if line_buffer.height is not None and line_buffer.width is not None:
        for key, axis, size in (("y", "y", line_buffer.height), ("x", "x", line_buffer.width)):
            values = line_buffer.values(axis)
            bits = max(signed_width(int(values.min()), int(values.max())), signed_width(0, size)) + 1
            found[key] = {"bits": bits, "start": signed(line_buffer.origin(axis), bits), "zero": signed(0, bits),
                          "size": signed(size, bits),
                          "step": _steps(line_buffer, loops, axis, lambda v, bits=bits: signed(v, bits))}
    level = next((i for i, loop in enumerate(line_buffer.loops) if loop.keep), None)
    if level is not None:
        most = line_buffer.keep + line_buffer.loops[level].keep * line_buffer.loops[level].count
        bits = max(signed_width(line_buffer.keep, most), had_bits + 1)
        found["keep"] = {"bits": bits, "start": signed(line_buffer.keep, bits), "zero": signed(0, bits),
                         "step": signed(line_buffer.loops[level].keep, bits), "word": f"keep_next[{had_bits - 1}:0]",
                         "when": " && ".join(loop["end"] for loop in loops if loop["level"] > level) or "1'b1"}
    return found


def _steps(line_buffer: LineBuffer, loops: list[dict[str, Any]], axis: str, text: Any, after: int | None = None) -> str:
    """What an axis moves by, chosen by the innermost loop that does not end; `after` for the end of a frame."""
    cases = [(loop["end"], line_buffer.delta(axis, loop["level"])) for loop in loops]
    last = text(after) if after is not None else text(cases[-1][1])
    kept = cases if after is not None else cases[:-1]
    return "".join(f"!{end} ? {text(step)} : " for end, step in kept) + last
