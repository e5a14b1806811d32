"""One Verilog module a layer: its datapath as wires, stage by stage, with the registers between."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.design.tensors import Tensor
from toolkit.emit.templates import render
from toolkit.emit.verilog.expressions import Operand, expression, literal, read
from toolkit.hardware.datapath import Constant, Datapath, Entry, Read, Sum
from toolkit.hardware.plan import LayerPlan
from toolkit.utils.identifiers import comment


@dataclass(frozen=True)
class Line:
    """`kind [width-1:0] name = text`; `is_sum` marks an adder of the shared graph."""

    name: str
    width: int
    text: str
    is_sum: bool = False

    @property
    def span(self) -> str:
        return f"[{self.width - 1}:0] " if self.width > 1 else ""


@dataclass(frozen=True)
class Stage:
    """The wires between two rows of registers, and the registers that end it."""

    number: int
    wires: tuple[Line, ...]
    registers: tuple[Line, ...]


def port_names(count: int) -> tuple[str, ...]:
    return ("x",) if count == 1 else tuple(f"x{chr(ord('a') + i)}" if count <= 26 else f"xi{i}" for i in range(count))


def describe(tensor: Tensor) -> str:
    units = ", each feature with an exponent of its own (README.md)" if tensor.exponents else ""
    return f"{' x '.join(map(str, tensor.shape))} of {tensor.format}{units}"


def module(plan: LayerPlan, name: str, inputs: list[Tensor], output: Tensor, design_name: str) -> str:
    """The text of the module `name` for one layer."""
    datapath = plan.datapath
    ports = [Operand(p, t.bits) for p, t in zip(port_names(len(inputs)), inputs, strict=True)]
    outputs = reversed([_at(datapath, i, datapath.stages) for i in datapath.outputs])
    return render(
        "verilog/layer.v.j2", module=name, layer=plan.layer, layer_name=comment(plan.layer.name), design=design_name,
        clocked=datapath.stages > 0,
        inputs=[{"name": p.name, "bits": p.width, "about": describe(t)} for p, t in zip(ports, inputs, strict=True)],
        output={"bits": output.bits, "about": describe(output)}, adders=plan.adders, adder_bits=plan.adder_bits,
        register_bits=datapath.register_bits, latency=datapath.stages, tables=_tables(datapath),
        stages=_stages(datapath, ports, inputs),
        output_parts=_rows([o.name for o in outputs]))


def _tables(datapath: Datapath) -> list[dict[str, object]]:
    """The table that the signals of a layer read, as a function of its code."""
    found = {s.op: s.width for s in datapath.signals if isinstance(s.op, Entry)}
    return [{"name": f"entry{len(op.table)}x{width}", "width": width, "bits": (len(op.table) - 1).bit_length(),
             "entries": [(literal(code, (len(op.table) - 1).bit_length()), literal(value, width))
                         for code, value in enumerate(op.table)]} for op, width in found.items()]


def _rows(parts: list[str], width: int = 100) -> list[str]:
    """Comma-separated parts, broken into lines."""
    rows, line = [], ""
    for i, item in enumerate(parts):
        text = item + (", " if i < len(parts) - 1 else "")
        if line and len(line) + len(text) > width:
            rows.append(line.rstrip())
            line = ""
        line += text
    return [*rows, line]


def _at(datapath: Datapath, index: int, stage: int) -> Operand:
    """A signal as it is read in `stage`: its wire in the stage that makes it, a register later."""
    signal = datapath.signals[index]
    if isinstance(signal.op, Constant):
        return Operand(literal(signal.op.value, signal.width), signal.width)
    made = datapath.stage(index)
    return Operand(signal.name if stage == made else f"{signal.name}_r{stage}", signal.width)


def _stages(datapath: Datapath, ports: list[Operand], tensors: list[Tensor]) -> list[Stage]:
    wires: dict[int, list[Line]] = {s: [] for s in range(max(datapath.stages, 1))}
    for i, signal in enumerate(datapath.signals):
        stage = datapath.stage(i)
        if isinstance(signal.op, Constant):
            continue
        if isinstance(signal.op, Read):
            text = read(signal.op, ports[signal.op.port], tensors[signal.op.port].format.width, signal.width)
        else:
            text = expression(signal, [_at(datapath, o, stage) for o in signal.operands])
        wires[stage].append(Line(signal.name, signal.width, text, isinstance(signal.op, Sum)))
    registers: dict[int, list[Line]] = {s: [] for s in range(max(datapath.stages, 1))}
    for i, boundary in datapath.registers:
        registers[boundary - 1].append(Line(_at(datapath, i, boundary).name, datapath.signals[i].width,
                                            _at(datapath, i, boundary - 1).name))
    return [Stage(s, tuple(wires[s]), tuple(registers[s])) for s in wires]
