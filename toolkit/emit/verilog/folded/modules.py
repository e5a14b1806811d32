"""The module of each kind of folded layer. A new kind is one function and one line in the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from toolkit.design.formats import FixedPoint, Requantise
from toolkit.design.layers import Add, AvgPool, Clamp, Conv, Dense, Extremum, Leaky, Lookup, MaxPool, Slopes
from toolkit.emit.templates import render
from toolkit.emit.verilog.expressions import Operand, extend, join, literal, part, zeros
from toolkit.emit.verilog.folded.line_buffer import context as line_buffer_context
from toolkit.emit.verilog.folded.line_buffer import unsigned_bits
from toolkit.emit.verilog.folded.multiply import multiply
from toolkit.emit.verilog.folded.output_stage import Wire, output_stage
from toolkit.emit.verilog.folded.pools import accumulating, arithmetic
from toolkit.emit.verilog.folded.weights import adder_tree, term
from toolkit.emit.verilog.folded.window import window
from toolkit.emit.verilog.layer import describe
from toolkit.hardware.csd import csd_table
from toolkit.hardware.folded.node import STAGES, Lanes, Node
from toolkit.hardware.linear import signed_width
from toolkit.utils.identifiers import comment

MAC_FLAGS = STAGES["mac"] - 1
"""Registers from a tap to its term."""


def module(node: Node, name: str, design: str) -> str:
    """The text of the module `name` for one node."""
    return MODULES[node.kind](node, name, design)


def port_names(node: Node) -> list[str]:
    return ["x"] if len(node.inputs) == 1 else [f"x{i}" for i in range(len(node.inputs))]


def _multiply(node: Node, name: str, design: str) -> str:
    return multiply(node, _head(node, name, design, "element by element"))


def _head(node: Node, name: str, design: str, about: str) -> dict[str, Any]:
    elements, width = node.gives.elements, node.output.format.width
    ports = [{"name": p, "width": t.format.width, "number": i, "signed": t.format.signed, "bits": node.word_bits(i),
              "data": element(f"{p}_data", t.format.width, node.reads[i].elements)}
             for i, (p, t) in enumerate(zip(port_names(node), node.inputs, strict=True))]
    return {"module": name, "layer_name": comment(node.name), "kind": node.layer.kind, "design": design,
            "about": about, "input_about": " and ".join(describe(t) for t in node.inputs), "ports": ports,
            "output_about": describe(node.output), "out_width": width, "out_bits": width * elements,
            "elements": elements, "code3": element("code3", width, elements), "way_out": node.kind in WAY_OUT,
            "pace": _pace(node.reads[0].elements, elements), "width": node.inputs[0].format.width,
            "word_bits": node.word_bits(0), "r": line_buffer_context(node.line_buffer) if node.line_buffer else None}


def _pace(reads: int, gives: int) -> str:
    said = ["one element" if n == 1 else f"{n} elements" for n in (reads, gives)]
    return f"both {said[0]} a cycle" if reads == gives else f"{said[0]} in and {said[1]} out a cycle"


WAY_OUT = ("mac", "pool", "accumulate", "gather", "map", "add", "multiply", "concat", "unrolled", "window", "pixel")
"""Kinds that end in the registers of templates/verilog/folded/output_stage.v.j2, or in such a `moving` of their own."""


def element(name: str, width: int, elements: int) -> str:
    """The part of a word of several elements that is element `e`'s; of one element, all of it."""
    return name if elements == 1 else f"{name}[e*{width} +: {width}]"


def _shift(node: Node, requantise: Requantise) -> int:
    return node.found.acc_frac - requantise.format.frac


def _mac(node: Node, name: str, design: str) -> str:
    layer, lanes = node.layer, node.lanes
    assert isinstance(layer, Dense | Conv) and lanes is not None
    x, inputs, elements = node.inputs[0].format, node.reads[0].elements, node.gives.elements
    taps = f" of {lanes.simd} taps" if lanes.simd > 1 else ""
    head = _head(node, name, design, f"folded to {lanes.count} lanes{taps}")
    x_bits = x.width + (not x.signed)
    made = term(lanes, Operand("own2" if lanes.tree else "x2", x_bits))
    total_bits = signed_width(lanes.low, lanes.high)
    steps, code = output_stage(layer.requantise, _shift(node, layer.requantise) - lanes.drop, lanes.low, lanes.high,
                                "total2")
    counts = node.sequence[0]
    columns = -(-lanes.count // elements)
    left_bits, lane_bits = unsigned_bits(columns), unsigned_bits(columns - 1)
    last_fold = int(counts[lanes.folds - 1])
    groups = -(-columns // 16)
    offsets, offset_bits, moved = _offsets(lanes, total_bits, elements)
    return render(
        "verilog/folded/mac.v.j2", **head, l=lanes, term=made,
        term_extended=extend(Operand("term3", made.width), lanes.sum_bits, True), steps=steps, code=code,
        code_about=("each a sign above a shift, all ones of the shift for zero" if lanes.shifts
                    else "each a two's complement integer"),
        rom=_words(lanes.codes.reshape(lanes.rom_words, -1), lanes.bits), rom_bits=unsigned_bits(lanes.rom_words - 1),
        last_word=literal(lanes.rom_words - 1, unsigned_bits(lanes.rom_words - 1)), x_bits=x_bits, inputs=inputs,
        extended=_extended(x, x_bits, inputs), sum_bits=unsigned_bits(lanes.taps - 1),
        last_sum=literal(lanes.taps - 1, unsigned_bits(lanes.taps - 1)), left_bits=left_bits,
        lane_bits=lane_bits, groups=groups, columns=columns, **_lanes(lanes, made.width, elements, columns),
        column_padded=extend(Operand("across", columns), 16 * groups, False),
        pick_padded=extend(Operand("pick", lane_bits), 4, False), channel_bits=unsigned_bits(len(offsets) - 1),
        last_channel=literal(len(offsets) - 1, unsigned_bits(len(offsets) - 1)), uneven=last_fold != columns,
        fold_bits=unsigned_bits(lanes.folds - 1), last_fold=literal(lanes.folds - 1, unsigned_bits(lanes.folds - 1)),
        left_all=literal(columns, left_bits), left_rest=literal(last_fold, left_bits), offsets=offsets,
        offset_bits=offset_bits, total_bits=total_bits, moved=moved,
        picked=element("picked", lanes.sum_bits, elements), offset0=element("offset0", offset_bits, elements))


def _extended(x: FixedPoint, x_bits: int, inputs: int) -> list[dict[str, str]]:
    """Each element of the word `x1` in two's complement, a part of `x2`."""
    if inputs == 1:
        return [{"to": "x2", "text": extend(Operand("x1", x.width), x_bits, x.signed)}]
    found = []
    for i in range(inputs):
        high = (i + 1) * x.width - 1
        code = f"x1[{high}:{i * x.width}]" if x.width > 1 else f"x1[{high}]"
        text = join("1'b0", code) if not x.signed else code
        found.append({"to": f"x2[{(i + 1) * x_bits - 1}:{i * x_bits}]" if x_bits > 1 else f"x2[{i}]", "text": text})
    return found


def _lanes(lanes: Lanes, term_bits: int, elements: int, columns: int) -> dict[str, Any]:
    """The lanes themselves, and the flags that go along with their terms."""
    stages = MAC_FLAGS + lanes.tree_stages
    flags = ("tap", "last", "first") if lanes.tree else ("tap", "last")
    source = {"tap": "tap", "last": "tap && last_tap",
              "first": f"n_sum == {literal(0, unsigned_bits(lanes.taps - 1))}"}
    moves_on = [(f"{flag}{i}", f"{flag}{i - 1}" if i > 1 else source[flag])
                for flag in flags for i in range(1, stages + 1)]
    if elements == 1:
        place, about = f"place*{lanes.count} + lane", f"bit b of lane i at b * {lanes.count} + i"
    else:
        lane = f"(lane % {elements})*{lanes.sum_bits}" if columns > 1 else f"lane*{lanes.sum_bits}"
        place = f"({lane} + place)*{columns} + lane/{elements}" if columns > 1 else f"{lane} + place"
        about = f"bit b of lane i at (i % {elements} * {lanes.sum_bits} + b) * {columns} + i / {elements}"
    lines, total = adder_tree(lanes, term_bits) if lanes.tree else ([], "")
    beside = lanes.count // lanes.across if lanes.across else 1
    return {"flags": ", ".join(name for name, _ in moves_on), "moves_on": [*moves_on, ("full", f"last{stages}")],
            "held_place": place, "held_about": about, "tree": {"lines": lines, "total": total},
            "tap_end": f"tap{stages}", "first_end": f"first{stages}",
            "own": ("lane" if beside == 1 else f"(lane/{beside})") if lanes.across else "i",
            "spare": columns * elements > lanes.count}


def _offsets(lanes: Lanes, total_bits: int, elements: int) -> tuple[list[str], int, str]:
    """(the words of the offsets' ROM, the bits of a channel's, `sum1` moved as they say). A channel's is which of the
    distinct moves its sum takes, above the offset itself."""
    moves = np.unique(lanes.moves)
    move_bits = unsigned_bits(len(moves) - 1) if len(moves) > 1 else 0
    bits = total_bits + move_bits
    mask = (1 << total_bits) - 1
    fields = [(int(i) << total_bits) | (int(o) & mask)
              for i, o in zip(np.searchsorted(moves, lanes.moves), lanes.offsets, strict=True)]
    words = [sum(field << (bits * i) for i, field in enumerate(fields[at:at + elements]))
             for at in range(0, len(fields), elements)]
    options = [join(extend(Operand("sum1", lanes.sum_bits), total_bits - int(m), True), zeros(int(m)))
               if total_bits > m else literal(0, total_bits) for m in moves]
    selector = f"offset1[{bits - 1}:{total_bits}]" if move_bits > 1 else f"offset1[{total_bits}]"
    moved = "".join(f"{selector} == {literal(i, move_bits)} ? {text} : " for i, text in enumerate(options[:-1]))
    return [literal(word, bits * elements) for word in words], bits, moved + options[-1]


def _words(fields: np.ndarray, bits: int) -> list[str]:
    """Rows of fields of `bits` bits as literals, the first field in the lowest bits."""
    count, lanes = fields.shape
    width = lanes * bits
    octets = -(-width // 8)
    places = np.arange(bits, dtype=np.uint64)
    spread = ((fields.astype(np.uint64)[:, :, None] >> places) & np.uint64(1)).astype(np.uint8)
    packed = np.packbits(spread.reshape(count, width), axis=1, bitorder="little")
    digits = -(-width // 4)
    return [f"{width}'h{bytes(row[::-1]).hex()[2 * octets - digits:]}" for row in packed]


def _pool(node: Node, name: str, design: str) -> str:
    layer, x = node.layer, node.inputs[0].format
    assert isinstance(layer, MaxPool | AvgPool)
    made = arithmetic(node, "x2", "acc")
    taps = layer.window.positions
    sum_bits = unsigned_bits(taps - 1)
    return render("verilog/folded/pool.v.j2", **_head(node, name, design, "as a walk over a buffer"), **made, taps=taps,
                  sum_bits=sum_bits, last_sum=literal(taps - 1, sum_bits), word1=_of_word1(node),
                  x_extended=extend(Operand("x1", x.width), made["acc_bits"], x.signed))


def _of_word1(node: Node) -> str:
    return element("word1", node.inputs[0].format.width, node.reads[0].elements)


def _accumulate(node: Node, name: str, design: str) -> str:
    layer, accumulators, x = node.layer, node.accumulators, node.inputs[0].format
    assert isinstance(layer, MaxPool | AvgPool) and accumulators is not None
    made = arithmetic(node, "x1_wide", "so_far")
    bits, elements = made["acc_bits"], node.gives.elements
    return render("verilog/folded/accumulate.v.j2", **_head(node, name, design, "as its input comes"), **made,
                  **accumulating(node), taps=layer.window.positions, so_far=element("held1", bits, elements),
                  sums1=element("sums1", bits, elements),
                  x_extended=extend(Operand("x1", x.width), made["acc_bits"], x.signed))


def _gather(node: Node, name: str, design: str) -> str:
    width = node.inputs[0].format.width
    head = _head(node, name, design, "as a walk over a buffer")
    return render("verilog/folded/pool.v.j2", **head, taps=1, sum_bits=1, last_sum="1'd0", acc_bits=width,
                  fill=literal(0, width), combine="x2", x_extended="x1", word1=_of_word1(node), total="acc1",
                  total_bits=width, steps=[], code="total2")


def _map(node: Node, name: str, design: str) -> str:
    layer = node.layer
    head = _head(node, name, design, "element by element")
    ports = [p["name"] for p in head["ports"]]
    give = " && ".join(f"{p}_valid" for p in ports)
    for port in head["ports"]:
        port["ready"] = "moving" if len(ports) == 1 else f"moving && {give}"
    if isinstance(layer, Lookup):
        width = layer.format.width
        # The ROM's address is the input's bits: the negative half comes last.
        values = np.roll(layer.table, -len(layer.table) // 2) if node.inputs[0].format.signed else layer.table
        table = [literal(int(v), width) for v in values]
        return _element(head, give, "entries[x1]", width, table=table)
    if isinstance(layer, Slopes):
        return _slopes(node, layer, head)
    if isinstance(layer, Extremum):
        return _extremum(node, layer, head, give)
    assert isinstance(layer, Clamp | Leaky | Add)
    acc = node.found.accumulator
    assert acc is not None
    low, high = int(acc.low.min()), int(acc.high.max())
    bits = signed_width(low, high)
    half = layer.requantise.half(node.found.acc_frac)
    terms = []
    for port, tensor in zip(ports, node.inputs, strict=True):
        form = tensor.format
        moved = node.found.acc_frac - form.frac
        plain = extend(Operand(f"{port}1", form.width), bits, form.signed)
        up = join(extend(Operand(f"{port}1", form.width), bits - moved, form.signed), zeros(moved)) \
            if bits > moved else literal(0, bits)
        sign = f"{port}1[{form.width - 1}]" if form.width > 1 else f"{port}1"
        leaky = isinstance(layer, Leaky) and form.signed and moved
        terms.append(f"({sign} ? {plain} : {up})" if leaky else up)
    total = " + ".join([*terms, *([literal(half, bits)] if half else [])])
    wires, code = output_stage(layer.requantise, _shift(node, layer.requantise), low, high, "total2")
    return _element(head, give, total, bits, steps=wires, code=code)


def _element(head: dict[str, Any], give: str, total: str, total_bits: int, *, before: Sequence[Wire] = (),
             steps: Sequence[Wire] = (), code: str = "total2", table: Sequence[str] = ()) -> str:
    """A module that makes `total` of an element of each input, registers x1 or x01, x11, ...; `before`: wires that it
    reads. An input of which nothing is read has no register."""
    texts = " ".join([total, *(wire.text for wire in before)])
    return render("verilog/folded/map.v.j2", **head, table=table, give=give, total=total, total_bits=total_bits,
                  before=before, steps=steps, code=code, read=[p for p in head["ports"] if f"{p['name']}1" in texts])


def _extremum(node: Node, layer: Extremum, head: dict[str, Any], give: str) -> str:
    form = node.output.format
    codes = [join(extend(Operand(f"{port['name']}1", t.format.width), form.width - shift, t.format.signed),
                  zeros(shift)) for port, t, shift in zip(head["ports"], node.inputs, layer.shifts(list(node.inputs)),
                                                          strict=True)]
    steps, best = [], codes[0]
    for number, code in enumerate(codes[1:]):
        steps += [Wire(f"best{number}", form.width, best), Wire(f"other{number}", form.width, code)]
        a, b = (f"$signed({n}{number})" if form.signed else f"{n}{number}" for n in ("best", "other"))
        best = f"({b} {'<' if layer.least else '>'} {a}) ? other{number} : best{number}"
    return _element(head, give, best, form.width, before=steps)


def _slopes(node: Node, layer: Slopes, head: dict[str, Any]) -> str:
    """Signed digits of both slopes of a channel in one word; a digit moves the input, and is added or taken away."""
    acc, x = node.found.accumulator, node.inputs[0].format
    assert acc is not None
    low, high = int(acc.low.min()), int(acc.high.max())
    bits, count = signed_width(low, high), len(layer.positive)
    tables = [csd_table(side) for side in (layer.positive, layer.negative)]
    digits = max(shifts.shape[1] for shifts, _ in tables)
    move_bits = unsigned_bits(max(int(shifts.max(initial=0)) for shifts, _ in tables))
    field = move_bits + 2  # not a digit at all, taken away, places
    sides = []
    for shifts, signs in tables:
        row = np.zeros((count, digits), np.int64)
        row[:, :shifts.shape[1]] = (signs != 0) << (move_bits + 1) | (signs < 0) << move_bits | shifts
        sides.append(row)
    fields = np.concatenate(sides, 1) if digits else np.zeros((count, 0), np.int64)
    elements = node.gives.elements if count > 1 else 1  # channels in a word of the ROM
    rows = np.zeros((-(-count // elements), elements * fields.shape[1]), np.uint64)
    rows.reshape(-1)[:fields.size] = fields.reshape(-1)
    wires, code = output_stage(layer.requantise, _shift(node, layer.requantise), low, high, "total2")
    return render(
        "verilog/folded/slopes.v.j2", **head, steps=wires, code=code, total_bits=bits, digits=digits, field=field,
        move_bits=move_bits, side_bits=digits * field, rom=_words(rows, field) if digits else [],
        rom_width=2 * digits * field * elements, both=element("word1", 2 * digits * field, elements),
        count=len(rows), count_bits=unsigned_bits(len(rows) - 1),
        last=literal(len(rows) - 1, unsigned_bits(len(rows) - 1)),
        extended=extend(Operand("x1", x.width), bits, x.signed),
        half=literal(layer.requantise.half(node.found.acc_frac), bits),
        negative=(f"x1[{x.width - 1}]" if x.width > 1 else "x1") if x.signed else "1'b0")


def _concat(node: Node, name: str, design: str) -> str:
    head = _head(node, name, design, "one input after the other")
    order = node.sequence[0]
    starts = np.flatnonzero(np.diff(order, prepend=-1, append=-1))
    counts = np.diff(starts)[:len(node.inputs)].tolist()
    port_bits, count_bits = unsigned_bits(len(counts) - 1), unsigned_bits(max(counts) - 1)
    form = node.output.format
    chosen, valid, ends = "", "", ""
    for i, (port, tensor) in enumerate(zip(head["ports"], node.inputs, strict=True)):
        moved = form.frac - tensor.format.frac
        code = join(_extend_part(port["data"], f"{port['name']}_data", tensor.format, form.width - moved), zeros(moved))
        here = f"port == {literal(i, port_bits)} ? " if i < len(counts) - 1 else ""
        end = " : " if here else ""
        chosen += f"{here}{code}{end}"
        valid += f"{here}{port['name']}_valid{end}"
        ends += f"{here}n == {literal(counts[i] - 1, count_bits)}{end}"
        port |= {"count": counts[i], "number": literal(i, port_bits)}
    return render("verilog/folded/concat.v.j2", **head, port_bits=port_bits, count_bits=count_bits, chosen=chosen,
                  give=valid, ends=f"({ends})", last_port=literal(len(counts) - 1, port_bits), steps=[],
                  code="code2")


def _extend_part(text: str, name: str, form: FixedPoint, width: int) -> str:
    """A code that is a part of a word, in `width` bits."""
    if text == name or width <= form.width:
        return extend(Operand(name, form.width), width, form.signed) if text == name else text
    missing = width - form.width
    top = f"{name}[e*{form.width} + {form.width - 1}]"
    return join(f"{{{missing}{{{top}}}}}" if form.signed else zeros(missing), text)


def _argmax(node: Node, name: str, design: str) -> str:
    x, bits = node.inputs[0].format, node.output.format.width
    return render("verilog/folded/argmax.v.j2", **_head(node, name, design, "element by element"),
                  greater="$signed(x_data) > $signed(best)" if x.signed else "x_data > best",
                  last=literal(node.inputs[0].size - 1, bits))


def _unrolled(node: Node, name: str, design: str) -> str:
    assert node.datapath is not None
    stages, results = node.datapath.stages, node.output.size
    head = _head(node, name, design, "unrolled between streams")
    size_bits, left_bits = unsigned_bits(node.inputs[0].size - 1), unsigned_bits(results)
    return render("verilog/folded/unrolled.v.j2", **head, inner=f"{name}_sums", stages=stages,
                  in_bits=node.inputs[0].bits, result_bits=node.output.bits, size_bits=size_bits,
                  last=literal(node.inputs[0].size - 1, size_bits), left_bits=left_bits,
                  results=literal(results, left_bits), clocked=stages > 0,
                  next_valid="full" if stages == 1 else f"{{valid[{stages - 2}:0], full}}")


def _narrow(node: Node, name: str, design: str) -> str:
    parts, row = node.sequence[0], node.reads[0].row
    left_bits, n_bits = unsigned_bits(int(parts.max())), unsigned_bits(row - 1)
    uneven = int(parts[row - 1]) != int(parts[0])
    whole, rest = literal(int(parts[0]), left_bits), literal(int(parts[row - 1]), left_bits)
    return render("verilog/folded/narrow.v.j2", **_head(node, name, design, "its input in narrower words"),
                  left_bits=left_bits, n_bits=n_bits, uneven=uneven, last_n=literal(row - 1, n_bits),
                  parts=f"n == {literal(row - 1, n_bits)} ? {rest} : {whole}" if uneven else whole)


def _widen(node: Node, name: str, design: str) -> str:
    row, parts = node.reads[0].row, int(node.sequence[0].max())
    place_bits, n_bits = unsigned_bits(parts - 1), unsigned_bits(row - 1)
    x = Operand("x_data", node.word_bits(0))
    places = []
    for i in range(parts):
        high = min((i + 1) * x.width, node.output.format.width * node.gives.elements) - 1  # of a row's last, all it has
        places.append({"place": literal(i, place_bits), "low": i * x.width, "high": high,
                       "text": part(x, high - i * x.width)})
    return render("verilog/folded/widen.v.j2", **_head(node, name, design, "its input in wider words"), parts=parts,
                  places=places, place_bits=place_bits, last_place=literal(parts - 1, place_bits), n_bits=n_bits,
                  uneven=row % parts > 0, last_n=literal(row - 1, n_bits))


def _window(node: Node, name: str, design: str) -> str:
    return window(node, _head(node, name, design, "its windows as words"))


def _pixel(node: Node, name: str, design: str) -> str:
    assert node.datapath is not None
    stages = node.datapath.stages
    return render("verilog/folded/pixel.v.j2", **_head(node, name, design, "unrolled, a pixel at a time"),
                  inner=f"{name}_sums", stages=stages,
                  next_valid="x_valid" if stages == 1 else f"{{valid[{stages - 2}:0], x_valid}}")


MODULES: dict[str, Callable[[Node, str, str], str]] = {
    "mac": _mac, "pool": _pool, "accumulate": _accumulate, "gather": _gather, "map": _map, "add": _map,
    "multiply": _multiply,
    "concat": _concat, "argmax": _argmax, "unrolled": _unrolled, "narrow": _narrow, "widen": _widen,
    "window": _window, "pixel": _pixel,
}
