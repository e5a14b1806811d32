"""The top module of a folded network: layers, FIFOs and forks between two AXI4-Streams."""

from __future__ import annotations

from typing import Any

from toolkit.design.tensors import Tensor
from toolkit.emit.ports import lines as told_lines
from toolkit.emit.target import TOP
from toolkit.emit.templates import render
from toolkit.emit.verilog.expressions import literal, zeros
from toolkit.emit.verilog.folded.line_buffer import unsigned_bits
from toolkit.emit.verilog.folded.modules import module, port_names
from toolkit.emit.verilog.layer import describe
from toolkit.emit.verilog.layer import module as unrolled_module
from toolkit.emit.verilog.top import PORTS, Verilog
from toolkit.hardware.folded import FoldedPlan
from toolkit.hardware.folded.node import Node
from toolkit.hardware.plan import LayerPlan
from toolkit.hardware.words import Words
from toolkit.utils.identifiers import comment, identifiers


def _before(node: Node) -> list[tuple[int, Node, str]]:
    """(port, node, what its module is called behind the layer's name) of all that stands before a node's inputs."""
    found: list[tuple[int, Node, str]] = []
    for port in range(len(node.inputs)):
        for one in node.chain(port):
            name = f"{'repeat' if one.kind == 'gather' else one.kind}{port}"
            again = sum(other.rstrip("b") == name for _, _, other in found)
            found.append((port, one, name + "b" * again))
    return found


def verilog_folded(plan: FoldedPlan, multipliers: str = "no multiplier") -> Verilog:
    """All Verilog of a folded design: one file a module. `nets` are the names of streams; `multipliers` says how many
    it has."""
    design = plan.design
    top = identifiers([design.name], fallback=TOP)[design.name]
    tensors = [design.input.name, *(n.name for n in plan.nodes)]
    short = identifiers(tensors, taken=(*PORTS, "given", "unused"))
    real = [n for n in plan.nodes if n.kind != "wires"]
    fifos = [f"{top}_{short[q.layer]}_fifo{q.port}" for q in plan.fifos]
    sums = [f"{top}_{short[n.name]}_sums" for n in real]
    before = [f"{top}_{short[n.name]}_{stands}" for n in real for _, _, stands in _before(n)]
    names = identifiers([f"{top}_{short[n.name]}" for n in real], taken=[top, *fifos, *sums, *before])
    modules = {n.name: names[f"{top}_{short[n.name]}"] for n in real}
    title = comment(design.name)
    files = {f"{modules[n.name]}.v": module(n, modules[n.name], title) for n in real}
    for node in real:
        if node.datapath is not None:
            name = f"{modules[node.name]}_sums"
            layer = LayerPlan(node.layer, node.datapath, 0, (0,))
            ends = [(t.name, w.elements, t.format) if node.kind == "pixel" else (t.name, t.size, t.format)
                    for t, w in ((node.inputs[0], node.reads[0]), (node.output, node.gives))]
            source, sink = (Tensor(tensor, (size,), form) for tensor, size, form in ends)
            files[f"{name}.v"] = unrolled_module(layer, name, [source], sink, title)
        for _, one, stands in _before(node):
            name = f"{modules[node.name]}_{stands}"
            files[f"{name}.v"] = module(one, name, title)
    for fifo, name in zip(plan.fifos, fifos, strict=True):
        place_bits, held_bits = unsigned_bits(fifo.depth - 1), unsigned_bits(fifo.depth) + 1
        files[f"{name}.v"] = render(
            "verilog/folded/fifo.v.j2", module=name, depth=fifo.depth, width=fifo.width, place_bits=place_bits,
            held_bits=held_bits, depth_word=literal(fifo.depth, held_bits),
            last_place=literal(fifo.depth - 1, place_bits))
    nets = {name: f"{text}_y" for name, text in short.items()}
    files[f"{top}.v"] = _top(plan, top, short, modules, fifos, nets, multipliers)
    made = {n.name: modules.get(n.name, top) for n in plan.nodes}
    return Verilog(files, top, made, {n: nets[n] for n in tensors[1:]})


def _top(plan: FoldedPlan, top: str, short: dict[str, str], modules: dict[str, str], fifos: list[str],
         nets: dict[str, str], multipliers: str) -> str:
    design = plan.design
    items: list[dict[str, Any]] = []
    sources: dict[tuple[str, int], str] = {}

    def publish(name: str) -> None:
        """Give each reader of a tensor a stream of its own."""
        readers, net = plan.users[name], nets[name]
        if len(readers) < 2:
            sources.update(dict.fromkeys(readers, net))
            return
        width = design.tensors[name].format.width * words[name].elements
        branches = [f"{net}_to{i}" for i in range(len(readers))]
        lines = [f"wire {branch}_ready;" for branch in branches]
        for i, branch in enumerate(branches):
            others = " && ".join(f"{b}_ready" for j, b in enumerate(branches) if j != i)
            lines += [f"wire [{width - 1}:0] {branch}_data = {net}_data;",
                      f"wire {branch}_valid = {net}_valid && {others};"]
            sources[readers[i]] = branch
        lines.append(f"assign {net}_ready = {' && '.join(f'{b}_ready' for b in branches)};")
        items.append({"comment": f"'{comment(name)}' goes to {len(readers)} layers; all take {what(name)} in the same "
                                 "cycle.", "lines": lines})

    words = {design.input.name: Words(design.input.shape)} | {n.name: n.gives for n in plan.nodes}

    def what(name: str) -> str:
        return "an element" if words[name].elements == 1 else "a word"

    publish(design.input.name)
    fifo_of = {(q.layer, q.port): (q, name) for q, name in zip(plan.fifos, fifos, strict=True)}
    for node in plan.nodes:
        net, tensor = nets[node.name], node.output
        streams = [sources[node.name, port] for port in range(len(node.inputs))]
        declared = _declared(net, tensor, node.gives)
        if node.kind == "wires":
            lines = [f"wire [{tensor.format.width * node.gives.elements - 1}:0] {net}_data = {streams[0]}_data;",
                     f"wire {net}_valid = {streams[0]}_valid;", f"wire {net}_ready;",
                     f"assign {streams[0]}_ready = {net}_ready;"]
            items.append({"comment": f"'{comment(node.name)}': the same elements, seen as {describe(tensor)}.",
                          "lines": lines})
            publish(node.name)
            continue
        for port in range(len(streams)):
            for _, one, stands in (one for one in _before(node) if one[0] == port):
                net_before = f"{short[node.name]}_{stands}"
                items.append({"comment": f"'{comment(one.inputs[0].name)}', {_stands(one)}.",
                              "lines": [*_declared(net_before, one.output, one.gives),
                                        *_instance(f"{modules[node.name]}_{stands}", f"u_{net_before}",
                                                   [("x", streams[port]), ("y", net_before)])]})
                streams[port] = net_before
            if (node.name, port) in fifo_of:
                fifo, name = fifo_of[node.name, port]
                held = f"{short[node.name]}_q{port}"
                items.append({"comment": f"'{comment(fifo.source)}' waits here for the branch it meets.",
                              "lines": [*_declared(held, node.inputs[port], node.reads[port]),
                                        *_instance(name, f"u_{held}", [("x", streams[port]), ("y", held)])]})
                streams[port] = held
        ports = [*zip(port_names(node), streams, strict=True), ("y", net)]
        items.append({"comment": f"'{comment(node.name)}': {describe(tensor)}.",
                      "lines": [*declared, *_instance(modules[node.name], f"u_{short[node.name]}", ports)]})
        publish(node.name)
    return render("verilog/folded/top.v.j2", port_lines=told_lines(design), top=top,
                  design=comment(design.name), items=items,
                  multipliers=multipliers[0].upper() + multipliers[1:],
                  latency=plan.latency, initiation_interval=f"{plan.initiation_interval:g}",
                  input=_end(design.input, nets[design.input.name]),
                  output=_end(design.output, nets[design.output.name]))


def _stands(one: Node) -> str:
    if one.kind == "gather":
        return f"repeated as {describe(one.output)}"
    if one.kind == "window":
        return f"its windows as words: {describe(one.output)}"
    return f"{one.gives.elements} element{'s' * (one.gives.elements > 1)} a cycle instead of {one.reads[0].elements}"


def _declared(net: str, tensor: Tensor, words: Words) -> list[str]:
    return [f"wire [{tensor.format.width * words.elements - 1}:0] {net}_data;", f"wire {net}_valid, {net}_ready;"]


def _instance(module: str, name: str, streams: list[tuple[str, str]]) -> list[str]:
    connections = [f".{port}_{part}({net}_{part})" for port, net in streams for part in ("data", "valid", "ready")]
    return [f"{module} {name} (", "    .clk(aclk), .rstn(aresetn),",
            *(f"    {', '.join(connections[i:i + 3])}{',' if i + 3 < len(connections) else ''}"
              for i in range(0, len(connections), 3)), ");"]


def _end(tensor: Tensor, net: str) -> dict[str, Any]:
    width = tensor.format.width
    bus = -(-width // 8) * 8
    bits = unsigned_bits(tensor.size - 1)
    padding = zeros(bus - width)
    return {"about": describe(tensor), "beats": tensor.size, "net": net, "width": width, "bus": bus,
            "part": "" if bus == width else f"[{width - 1}:0]",
            "unused": "" if bus == width else f", s_axis_tdata[{bus - 1}:{width}]", "count_bits": bits,
            "last": literal(tensor.size - 1, bits),
            "padded": f"{{{padding}, {net}_data}}" if padding else f"{net}_data"}
