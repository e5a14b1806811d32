"""The target `verilog`: its files, and its entry in the manifest."""

from __future__ import annotations

from typing import Any

from toolkit.design.tensors import Tensor
from toolkit.emit.packing import beat_bits
from toolkit.emit.target import Emitted, Job
from toolkit.emit.verilog.top import verilog
from toolkit.estimate.memory import memory


def emit(job: Job) -> Emitted:
    """Plan the hardware and write it."""
    plan, design = job.plan, job.design
    made = verilog(plan)
    rtl = [f"rtl/{name}" for name in made.files]
    entry = {"top": made.top, "rtl": rtl, "s_axis": stream(design.input), "m_axis": stream(design.output),
             "latency": plan.latency, "initiation_interval": plan.initiation_interval,
             "layers": [{"name": p.layer.name, "module": made.modules[p.layer.name], "net": made.nets[p.layer.name]}
                        for p in plan.layers],
             "memory": memory(plan).to_json()}
    rows = {p.layer.name: {"module": made.modules[p.layer.name], "adders": p.adders, "adder_bits": p.adder_bits,
                           "register_bits": p.datapath.register_bits, "latency": p.ready} for p in plan.layers}
    return Emitted({f"rtl/{name}": text.encode() for name, text in made.files.items()}, entry, rows)


def stream(tensor: Tensor) -> dict[str, Any]:
    """One sample of a tensor on a stream: elements in a beat, beats in a sample, bits of a beat."""
    return {"elements": tensor.size, "beats": 1, "tdata_bits": beat_bits(tensor)}
