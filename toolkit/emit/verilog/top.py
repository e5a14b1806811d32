"""The top module: the layers in order, skip connections held back, AXI4-Stream on both sides."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.emit.packing import beat_bits
from toolkit.emit.ports import bit_lines
from toolkit.emit.target import TOP
from toolkit.emit.templates import render
from toolkit.emit.verilog.layer import describe, module, port_names
from toolkit.hardware import Plan
from toolkit.utils.errors import InputError
from toolkit.utils.identifiers import comment, identifiers


@dataclass(frozen=True)
class Verilog:
    """The generated files (name to text) and the names that the manifest needs."""

    files: dict[str, str]
    top: str
    modules: dict[str, str]
    nets: dict[str, str]


PORTS = ("aclk", "aresetn", "s_axis_tdata", "s_axis_tvalid", "s_axis_tready", "s_axis_tlast", "m_axis_tdata",
         "m_axis_tvalid", "m_axis_tready", "m_axis_tlast", "en", "valid", "last")


def verilog(plan: Plan, multipliers: str = "no multiplier") -> Verilog:
    """All Verilog of a planned design: one file a module; `multipliers` says how many it has."""
    design = plan.design
    if plan.latency == 0:
        raise InputError(f"design '{comment(design.name)}' computes nothing: it has no layer with arithmetic, so there "
                         "is no hardware to generate")
    top = identifiers([design.name], fallback=TOP)[design.name]
    tensors = [design.input.name, *(p.layer.name for p in plan.layers)]
    short = identifiers(tensors, taken=PORTS)
    modules = identifiers([f"{top}_{short[p.layer.name]}" for p in plan.layers], taken=[top])
    modules = {p.layer.name: modules[f"{top}_{short[p.layer.name]}"] for p in plan.layers}
    nets = {name: f"{text}_y" for name, text in short.items()}
    files = {f"{modules[p.layer.name]}.v": module(p, modules[p.layer.name], design.inputs_of(p.layer),
                                                  design.tensors[p.layer.name], comment(design.name))
             for p in plan.layers}
    files[f"{top}.v"] = _top(plan, top, short, modules, nets, multipliers)
    return Verilog(files, top, modules, {n: nets[n] for n in tensors[1:]})


def _top(plan: Plan, top: str, short: dict[str, str], modules: dict[str, str], nets: dict[str, str],
         multipliers: str) -> str:
    design = plan.design
    holds = {name: {"name": comment(name), "bits": design.tensors[name].bits, "cycles": cycles,
                    "chain": [{"to": f"{nets[name]}_d{k}", "from": nets[name] if k == 1 else f"{nets[name]}_d{k - 1}"}
                              for k in range(1, cycles + 1)]}
             for name, cycles in plan.holds.items()}
    instances = []
    for p in plan.layers:
        sources = [nets[n] if not d else f"{nets[n]}_d{d}" for n, d in zip(p.layer.inputs, p.delays, strict=True)]
        instances.append({
            "layer": comment(p.layer.name), "module": modules[p.layer.name], "name": f"u_{short[p.layer.name]}",
            "net": nets[p.layer.name], "bits": design.tensors[p.layer.name].bits, "ready": p.ready,
            "about": describe(design.tensors[p.layer.name]), "clocked": p.datapath.stages > 0,
            "inputs": [{"port": port, "net": net} for port, net in zip(port_names(len(sources)), sources, strict=True)],
            "hold": holds.get(p.layer.name),
        })
    output = design.output
    n = plan.latency
    valid, last = "s_axis_tvalid", "s_axis_tlast"
    return render(
        "verilog/top.v.j2", port_lines=bit_lines(design), top=top, design=comment(design.name), latency=n,
        instances=instances, multipliers=multipliers[0].upper() + multipliers[1:],
        valid_next=valid if n == 1 else f"{{valid[{n - 2}:0], {valid}}}",
        last_next=last if n == 1 else f"{{last[{n - 2}:0], {last}}}",
        input_part="" if design.input.bits == beat_bits(design.input) else f"[{design.input.bits - 1}:0]",
        input={"net": nets[design.input.name], "bits": design.input.bits, "bus": beat_bits(design.input),
               "width": design.input.format.width, "about": describe(design.input),
               "hold": holds.get(design.input.name)},
        output={"net": nets[output.name], "bits": output.bits, "bus": beat_bits(output),
                "padding": beat_bits(output) - output.bits, "width": output.format.width, "about": describe(output)})
