"""The module of each kind of folded layer. A new kind is one function and one line in the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from toolkit.design.formats import Requantise
from toolkit.design.layers import Add, AvgPool, Clamp, Conv, Dense, Extremum, Leaky, Lookup, MaxPool, Slopes
from toolkit.emit.templates import render
from toolkit.emit.verilog.expressions import Operand, extend, join, literal, zeros
from toolkit.emit.verilog.folded.line_buffer import context as line_buffer_context
from toolkit.emit.verilog.folded.line_buffer import unsigned_bits
from toolkit.emit.verilog.folded.multiply import multiply
from toolkit.emit.verilog.folded.output_stage import Wire, output_stage
from toolkit.emit.verilog.folded.pools import accumulating, arithmetic
from toolkit.emit.verilog.folded.weights import term
from toolkit.emit.verilog.layer import describe
from toolkit.hardware.csd import csd_table
from toolkit.hardware.folded.node import Node
from toolkit.hardware.linear import signed_width
from toolkit.utils.identifiers import comment


def module(node: Node, name: str, design: str) -> str:
    """The text of the module `name` for one node."""
    return MODULES[node.kind](node, name, design)


def port_names(node: Node) -> list[str]:
    return ["x"] if len(node.inputs) == 1 else [f"x{i}" for i in range(len(node.inputs))]


def _multiply(node: Node, name: str, design: str) -> str:
    return multiply(node, _head(node, name, design, "element by element"))


def _head(node: Node, name: str, design: str, about: str) -> dict[str, Any]:
    ports = [{"name": p, "width": t.format.width, "number": i, "signed": t.format.signed}
             for i, (p, t) in enumerate(zip(port_names(node), node.inputs, strict=True))]
    return {"module": name, "layer_name": comment(node.name), "kind": node.layer.kind, "design": design,
            "about": about, "input_about": " and ".join(describe(t) for t in node.inputs), "ports": ports,
            "output_about": describe(node.output), "out_width": node.output.format.width,
            "width": node.inputs[0].format.width,
            "r": line_buffer_context(node.line_buffer) if node.line_buffer else None}


def _shift(node: Node, requantise: Requantise) -> int:
    return node.found.acc_frac - requantise.format.frac


def _mac(node: Node, name: str, design: str) -> str:
    layer, lanes = node.layer, node.lanes
    assert isinstance(layer, Dense | Conv) and lanes is not None
    x = node.inputs[0].format
    head = _head(node, name, design, f"folded to {lanes.count} lanes")
    x_bits = x.width + (not x.signed)
    made = term(lanes, x_bits)
    total_bits = signed_width(lanes.low, lanes.high)
    steps, code = output_stage(layer.requantise, _shift(node, layer.requantise) - lanes.drop, lanes.low, lanes.high,
                                "total2")
    # An offset's ROM word: which of the distinct moves, above the offset itself.
    moves = np.unique(lanes.moves)
    move_bits = unsigned_bits(len(moves) - 1) if len(moves) > 1 else 0
    index = np.searchsorted(moves, lanes.moves)
    offset_bits = total_bits + move_bits
    mask = (1 << total_bits) - 1
    offsets = [literal((int(i) << total_bits) | (int(o) & mask), offset_bits)
               for i, o in zip(index, lanes.offsets, strict=True)]
    options = [join(extend(Operand("sum1", lanes.sum_bits), total_bits - int(m), True), zeros(int(m)))
               if total_bits > m else literal(0, total_bits) for m in moves]
    selector = f"offset1[{offset_bits - 1}:{total_bits}]" if move_bits > 1 else f"offset1[{total_bits}]"
    moved = "".join(f"{selector} == {literal(i, move_bits)} ? {text_} : " for i, text_ in enumerate(options[:-1]))
    channels = len(layer.weights.codes)
    counts = node.sequence[0]
    left_bits = unsigned_bits(lanes.count)
    words = lanes.codes.reshape(lanes.rom_words, lanes.count)
    last_fold = int(counts[lanes.folds - 1])
    groups, lane_bits = -(-lanes.count // 16), unsigned_bits(lanes.count - 1)
    return render(
        "verilog/folded/mac.v.j2", **head, l=lanes, term=made,
        term_extended=extend(Operand("term3", made.width), lanes.sum_bits, True), steps=steps, code=code,
        code_about=("each a sign above a shift, all ones of the shift for zero" if lanes.shifts
                    else "each a two's complement integer"),
        rom=_words(words, lanes.bits), word_bits=unsigned_bits(lanes.rom_words - 1),
        last_word=literal(lanes.rom_words - 1, unsigned_bits(lanes.rom_words - 1)), x_bits=x_bits,
        x_extended=extend(Operand("x1", x.width), x_bits, x.signed), sum_bits=unsigned_bits(lanes.taps - 1),
        last_sum=literal(lanes.taps - 1, unsigned_bits(lanes.taps - 1)), left_bits=left_bits,
        lane_bits=lane_bits, groups=groups,
        column_padded=extend(Operand("across", lanes.count), 16 * groups, False),
        pick_padded=extend(Operand("pick", lane_bits), 4, False), channel_bits=unsigned_bits(channels - 1),
        channels=channels,
        last_channel=literal(channels - 1, unsigned_bits(channels - 1)), uneven=last_fold != lanes.count,
        fold_bits=unsigned_bits(lanes.folds - 1), last_fold=literal(lanes.folds - 1, unsigned_bits(lanes.folds - 1)),
        left_all=literal(lanes.count, left_bits), left_rest=literal(last_fold, left_bits), offsets=offsets,
        offset_bits=offset_bits, total_bits=total_bits, moved=moved + options[-1])


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
    return render("verilog/folded/pool.v.j2", **_head(node, name, design, "folded to one lane"), **made, taps=taps,
                  sum_bits=sum_bits, last_sum=literal(taps - 1, sum_bits),
                  x_extended=extend(Operand("x1", x.width), made["acc_bits"], x.signed))


def _accumulate(node: Node, name: str, design: str) -> str:
    layer, accumulators, x = node.layer, node.accumulators, node.inputs[0].format
    assert isinstance(layer, MaxPool | AvgPool) and accumulators is not None
    made = arithmetic(node, "x1_wide", "held1" if accumulators.entries else "acc")
    return render("verilog/folded/accumulate.v.j2", **_head(node, name, design, "as its input comes"), **made,
                  **accumulating(node), taps=layer.window.positions,
                  x_extended=extend(Operand("x1", x.width), made["acc_bits"], x.signed))


def _gather(node: Node, name: str, design: str) -> str:
    width = node.inputs[0].format.width
    head = _head(node, name, design, "as a walk over a buffer")
    return render("verilog/folded/pool.v.j2", **head, taps=1, sum_bits=1, last_sum="1'd0", acc_bits=width,
                  fill=literal(0, width), combine="x2", x_extended="x1", total="acc1", total_bits=width, steps=[],
                  code="total2")


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
    wires, code = output_stage(layer.requantise, _shift(node, layer.requantise), low, high, "total2")
    return render(
        "verilog/folded/slopes.v.j2", **head, steps=wires, code=code, total_bits=bits, digits=digits, field=field,
        move_bits=move_bits, side_bits=digits * field, rom=_words(fields.astype(np.uint64), field) if digits else [],
        count=count, count_bits=unsigned_bits(count - 1), last=literal(count - 1, unsigned_bits(count - 1)),
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
        code = join(extend(Operand(f"{port['name']}_data", tensor.format.width), form.width - moved,
                           tensor.format.signed), zeros(moved))
        here = f"port == {literal(i, port_bits)} ? " if i < len(counts) - 1 else ""
        end = " : " if here else ""
        chosen += f"{here}{code}{end}"
        valid += f"{here}{port['name']}_valid{end}"
        ends += f"{here}n == {literal(counts[i] - 1, count_bits)}{end}"
        port |= {"count": counts[i], "number": literal(i, port_bits)}
    return render("verilog/folded/concat.v.j2", **head, port_bits=port_bits, count_bits=count_bits, chosen=chosen,
                  give=valid, ends=f"({ends})", last_port=literal(len(counts) - 1, port_bits), steps=[],
                  code="code2")


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
                  in_bits=node.inputs[0].bits, out_bits=node.output.bits, size_bits=size_bits,
                  last=literal(node.inputs[0].size - 1, size_bits), left_bits=left_bits,
                  results=literal(results, left_bits), clocked=stages > 0,
                  next_valid="full" if stages == 1 else f"{{valid[{stages - 2}:0], full}}")


MODULES: dict[str, Callable[[Node, str, str], str]] = {
    "mac": _mac, "pool": _pool, "accumulate": _accumulate, "gather": _gather, "map": _map, "add": _map,
    "multiply": _multiply,
    "concat": _concat, "argmax": _argmax, "unrolled": _unrolled,
}
