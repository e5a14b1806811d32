"""The whole network as C: which memory each tensor gets, the functions in their order, and what all of it takes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolkit.design import Design, Layer, Reshape, Tensor
from toolkit.emit.c.codebook import half_bytes
from toolkit.emit.c.layers import Part, Table, part
from toolkit.emit.c.memory import SIZES, Buffer, Pools, place
from toolkit.emit.c.types import CType, of_format, smallest
from toolkit.emit.templates import environment, render
from toolkit.utils.identifiers import comment, identifiers

CHOICE = re.compile(r"#if NET_MULTIPLY.*?#endif", re.S)
ORDER = ("shl", "spread_powers", "spread_sums", "spread_whole", "add_row", "add_split", "add_shifted", "add_products",
         "nearest")
HELPER = re.compile(rf"\b({'|'.join(ORDER)})(?:_(\d+))?_i(\d+)\b")


@dataclass
class Value:
    """A tensor of the running network: its type, and its buffer; or the name of the caller's array that it is."""

    type: CType
    buffer: Buffer | None = None
    caller: str = ""


@dataclass(frozen=True)
class Network:
    """Everything the templates need. `tables`: (identifier, table) in their order in the file."""

    design: Design
    base: str
    names: dict[str, str]
    parts: dict[str, Part]
    values: dict[str, Value]
    scratch: dict[str, list[Buffer]]
    pools: Pools
    tables: list[tuple[str, Table]]
    functions: list[dict[str, Any]] = field(default_factory=list)

    @property
    def flash_bytes(self) -> int:
        return sum(table.bytes for _, table in self.tables)


def network(design: Design, base: str) -> Network:
    """Plan memory and constants of a design. Raises InputError for a layer that C cannot express."""
    parts = {layer.name: part(design, layer) for layer in design.layers}
    names = identifiers([layer.name for layer in design.layers])
    values, scratch = _allocate(design, parts)
    buffers = {id(v.buffer): v.buffer for v in values.values() if v.buffer is not None}
    pools = place([*buffers.values(), *(b for each in scratch.values() for b in each)])
    tables = [(f"{names[layer.name]}_{table.what}", table) for layer in design.layers
              for table in parts[layer.name].tables]
    recipe = max((p.context["codebook"].recipe for p in parts.values() if "codebook" in p.context), key=len, default=())
    if recipe:
        tables.append(("sums_recipe", Table("recipe", CType(False, 8), np.array(recipe))))
    return Network(design, base, names, parts, values, scratch, pools, tables)


def _allocate(design: Design, parts: dict[str, Part]) -> tuple[dict[str, Value], dict[str, list[Buffer]]]:
    """What each tensor and each layer's scratch lie in. Time runs in steps of two a layer: it reads, then it writes."""
    last = {name: 2 * i for i, layer in enumerate(design.layers) for name in layer.inputs}
    values = {design.input.name: Value(of_format(design.input.format), caller="input")}
    scratch: dict[str, list[Buffer]] = {}
    for i, layer in enumerate(design.layers):
        made, tensor = parts[layer.name], design.tensors[layer.name]
        scratch[layer.name] = [Buffer(type.bits, count, 2 * i, 2 * i + 1 if name == "acc" else 2 * i)
                               for name, type, count in made.scratch]
        end = last.get(layer.name, 2 * i + 1)
        if i == len(design.layers) - 1:
            values[layer.name] = Value(of_format(tensor.format), caller="output")
            continue
        output = design.ranges[layer.name].output
        type = smallest(int(output.low.min()), int(output.high.max()))
        value = Value(type)
        for name in layer.inputs if made.in_place else ():
            source = values[name]
            if any(layer.inputs[i] == name for i in made.again):
                continue
            if isinstance(layer, Reshape):
                value = Value(source.type, source.buffer, source.caller)
            elif last[name] == 2 * i and source.buffer is not None and source.type.bits == type.bits \
                    and source.buffer.end <= 2 * i:
                value = Value(type, source.buffer)
            if value.buffer is not None or value.caller:
                break
        if value.buffer is not None:
            value.buffer.end = max(value.buffer.end, end)
        elif not value.caller:
            value.buffer = Buffer(type.bits, tensor.size, 2 * i + 1 if made.late else 2 * i, end)
        values[layer.name] = value
    return values, scratch


def source(net: Network, context: dict[str, Any]) -> str:
    """The text of the .c file."""
    design = net.design
    layers, calls = [], []
    for layer in design.layers:
        x = [net.values[n] for n in layer.inputs]
        y = net.values[layer.name]
        if isinstance(layer, Reshape) and (y.buffer is not None or y.caller == "input"):
            continue  # the same codes in the same place
        layers.append(_function(net, layer, x, y))
        calls.append(_call(net, layer, x, y))
    text = "".join(layer["body"] for layer in layers)
    helpers = _helpers(text, _counter(design))
    members = [(CType(True, bits), f"w{bits}", net.pools.words[bits]) for bits in SIZES if bits in net.pools.words]
    return render("c/network.c.j2", **context, layers=layers, calls=calls, helpers=helpers, members=members,
                  constants="\n".join(_array(name, table) for name, table in net.tables), pools=net.pools,
                  whole=any("codebook" in p.context and p.context["codebook"].kind == "whole"
                            for p in net.parts.values()))


def _counter(design: Design) -> str:
    """A type that counts any tensor's elements."""
    return f"uint_fast{16 if max(t.size for t in design.tensors.values()) < 1 << 16 else 32}_t"


def _helpers(text: str, counter: str) -> str:
    """The functions that the layers' `text` calls; what only one kind of machine calls is only there on that kind."""
    module = environment().get_template("c/helpers.j2").make_module({"counter": counter, "half_bytes": half_bytes})
    always = {match.groups() for match in HELPER.finditer(CHOICE.sub("", text))}
    always |= {("shl", None, word) for name, _, word in always if name == "add_shifted"}
    used = always | {match.groups() for match in HELPER.finditer(text)}
    texts = []
    for name, bits, word in sorted(used, key=lambda u: (ORDER.index(u[0]), int(u[1] or 0), int(u[2]))):
        made = getattr(module, name)(int(bits or 0), int(word)).strip("\n")
        if (name, bits, word) not in always:
            made = f"#if {'' if name == 'add_products' else '!'}NET_MULTIPLY\n{made}\n#endif"
        texts.append(made + "\n")
    return "\n".join(texts) + ("\n" if texts else "")


def _function(net: Network, layer: Layer, x: list[Value], y: Value) -> dict[str, Any]:
    made, tensor = net.parts[layer.name], net.design.tensors[layer.name]
    name = net.names[layer.name]
    parameters = [*(f"const {v.type} *x{i}" for i, v in enumerate(x)), f"{y.type} *y",
                  *(f"{type} *{what}" for what, type, _ in made.scratch)]
    body = render(made.template, **made.context, name=name, xt=x[0].type, yt=y.type, elements=tensor.size,
                  counter=_counter(net.design))
    return {"name": name, "comment": _about(net.design, layer), "parameters": ", ".join(parameters),
            "body": re.sub(r"\n{3,}", "\n\n", body.strip("\n")) + "\n"}


def _about(design: Design, layer: Layer) -> str:
    """What a layer does, for the comment above it."""
    def show(tensor: Tensor) -> str:
        return f"{' x '.join(map(str, tensor.shape))} of {tensor.format}"

    reads = ", ".join(f"{comment(t.name)} {show(t)}" for t in design.inputs_of(layer))
    weights = getattr(layer, "weights", None)
    return (f"{comment(layer.name)} ({layer.kind}{f', weights {weights.format}' if weights else ''}): {reads}\n"
            f"   -> {show(design.tensors[layer.name])}")


def _call(net: Network, layer: Layer, x: list[Value], y: Value) -> str:
    scratch = [f"&memory.w{b.bits}[{b.offset}]" for b in net.scratch[layer.name]]
    return f"{net.names[layer.name]}_layer({', '.join([*(_place(v) for v in x), _place(y), *scratch])});"


def _place(value: Value) -> str:
    if value.buffer is None:
        return value.caller
    at = f"&memory.w{value.buffer.bits}[{value.buffer.offset}]"
    return at if value.type.signed else f"({value.type} *){at}"


def _array(name: str, table: Table) -> str:
    """A constant array, as many numbers a line as fit."""
    flat = table.values.reshape(-1)
    if table.what == "codes":
        words = [f"0x{int(v):02x}" for v in flat]
    else:
        words = [f"INT64_C({v})" if table.type.bits == 64 else str(int(v)) for v in flat]
    words = ["INT32_MIN" if w == str(-(1 << 31)) else w for w in words]
    lines, line = [], "   "
    for word in words:
        if len(line) + len(word) + 2 > 120:
            lines.append(line)
            line = "   "
        line += f" {word},"
    return "\n".join([f"static const {table.type} {name}[{len(flat)}] NET_FLASH = {{", *lines, line, "};", ""])
