"""The target `verilog`: its files, and its entry in the manifest."""

from __future__ import annotations

from typing import Any

from toolkit.design.tensors import Tensor
from toolkit.emit.target import Emitted, Job
from toolkit.emit.verilog.declared import declared
from toolkit.emit.verilog.folded import verilog_folded
from toolkit.emit.verilog.top import Verilog, verilog
from toolkit.hardware.blocks import needed
from toolkit.hardware.boards import device
from toolkit.hardware.devices import Device
from toolkit.hardware.memory import Memory, folded_memory, memory
from toolkit.hardware.storage import Declared
from toolkit.utils.errors import InputError


def emit(job: Job) -> Emitted:
    """Plan the hardware and write it."""
    return _unrolled(job) if job.architecture.unrolled else _folded(job)


def _unrolled(job: Job) -> Emitted:
    plan, design = job.plan, job.design
    made = verilog(plan, memory(plan, {}).multipliers_told)
    entry = _entry(made, "unrolled", stream(design.input, design.input.size), stream(design.output, design.output.size),
                   {"ends": [plan.latency], "period": 1, "span": 1, "proved": True, "warm_up_cycles": 0},
                   memory(plan, declared(made.files, made.top, made.modules)))
    rows = {p.layer.name: {"module": made.modules[p.layer.name], "adders": p.adders, "adder_bits": p.adder_bits,
                           "register_bits": p.datapath.register_bits, "latency": p.ready} for p in plan.layers}
    return Emitted({f"rtl/{name}": text.encode() for name, text in made.files.items()}, entry, rows)


def _folded(job: Job) -> Emitted:
    plan, design = job.folded, job.design
    made = verilog_folded(plan, folded_memory(plan, {}).multipliers_told)
    schedule = plan.schedule
    counted = folded_memory(plan, declared(made.files, made.top, made.modules))
    if job.options.device:
        check_memory(counted.everything, device(job.options.device))
    entry = _entry(made, "folded", stream(design.input, 1), stream(design.output, 1),
                   {"ends": list(schedule.ends), "period": schedule.period, "span": schedule.span,
                    "proved": schedule.proved, "warm_up_cycles": schedule.warm_up_cycles},
                   counted) | {"bound": job.architecture.bound}
    for layer in entry["layers"]:
        words = next(n.gives for n in plan.nodes if n.name == layer["name"])
        layer |= {"elements": words.elements, "row": words.shape[-1]}
    rows = {n.name: {"module": made.modules[n.name], "lanes": n.lanes.count if n.lanes else 1,
                     "simd": n.lanes.simd if n.lanes else 1, "elements": n.gives.elements,
                     "cycles": job.architecture.cycles(n.name),
                     "rom": f"{n.lanes.rom_words} x {n.lanes.rom_width}" if n.lanes else "-",
                     "buffer_bits": counted.declared[n.name].buffer_bits} for n in plan.nodes}
    return Emitted({f"rtl/{name}": text.encode() for name, text in made.files.items()}, entry, rows)


def check_memory(found: Declared, chip: Device) -> None:
    """Raise InputError where the memories that the RTL declares take more blocks than the device has."""
    made = needed(found.memories, chip.memories)
    if made.blocks > chip.blocks:
        most = max(made.uses, key=lambda use: use.blocks)
        whose = f" of '{most.memory.layer}'" if most.memory.layer else ""
        raise InputError(f"the network's memories take {made.blocks:,} {chip.memories.block}, and {chip.name} has "
                         f"{chip.blocks:,}; the largest, which takes {most.blocks:,}, holds the {most.memory.holds}"
                         f"{whose}; prune the network, or choose a larger device")


def _entry(made: Verilog, architecture: str, source: dict[str, Any], sink: dict[str, Any], schedule: dict[str, Any],
           memory: Memory) -> dict[str, Any]:
    return {"top": made.top, "rtl": [f"rtl/{name}" for name in made.files], "architecture": architecture,
            "s_axis": source, "m_axis": sink, "latency": schedule["ends"][0],
            "initiation_interval": schedule["span"] / schedule["period"], "schedule": schedule,
            "layers": [{"name": name, "module": made.modules[name], "net": made.nets[name]} for name in made.nets],
            "multipliers": memory.multipliers_told, "memory": memory.to_json()}


def stream(tensor: Tensor, elements: int) -> dict[str, Any]:
    """One sample of a tensor on a stream: elements in a beat, beats in a sample, bits of a beat."""
    return {"elements": elements, "beats": -(-tensor.size // elements),
            "tdata_bits": -(-elements * tensor.format.width // 8) * 8}
