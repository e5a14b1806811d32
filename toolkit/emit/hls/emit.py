"""The target `hls`: its files, and its entry in the manifest."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolkit.design import Design
from toolkit.design.tensors import Tensor
from toolkit.emit.hls.cpp import type_of
from toolkit.emit.hls.layers import WRITERS
from toolkit.emit.hls.network import Network, Stream, network
from toolkit.emit.hls.site import Site, Written
from toolkit.emit.packing import small_type
from toolkit.emit.ports import lines
from toolkit.emit.target import Emitted, Job
from toolkit.emit.templates import render
from toolkit.utils.identifiers import comment

SAMPLES = 64
"""Samples with expected outputs that lie beside the sources, for C simulation and co-simulation on their own."""
PART = "xc7a100tcsg324-1"
CLOCK_NS = 5


def emit(job: Job) -> Emitted:
    """Write the sources, the scripts of Vitis and Vivado, and a few samples."""
    design, net = job.design, network(job)
    top, unrolled = net.top, job.architecture.unrolled
    lanes = job.architecture.one_by_one.lanes
    written: dict[str, Written] = {}
    for layer in net.layers:
        sources = tuple(net.names[net.roots[n]] for n in layer.inputs)
        site = Site(design, layer, net.names[layer.name], sources, lanes[layer.name], not unrolled)
        if layer.kind not in WRITERS:
            raise layer.fail("there is no HLS C++ for it; the layers that have some are " + ", ".join(WRITERS))
        written[layer.name] = WRITERS[layer.kind](site)
    context = _context(design, net, written, unrolled)
    files = {f"hls/{file.format(top)}": render(f"hls/{template}.j2", **context).encode() for file, template in FILES}
    files["hls/samples.txt"] = samples(design)
    rows = [_row(job, net, name, one) for name, one in written.items()]
    entry = {"top": top, "sources": [f"hls/{top}{end}" for end in SOURCES], "testbench": f"hls/{top}_tb.cpp",
             "architecture": "unrolled" if unrolled else "dataflow",
             "s_axis": _stream(net.input), "m_axis": _stream(net.output),
             "layers": rows}
    return Emitted(files, entry, {row["name"]: row for row in rows})


SOURCES = (".h", "_weights.h", "_layers.h", ".cpp")
FILES = (("{}.h", "network.h"), ("{}_weights.h", "weights.h"), ("{}_layers.h", "layers.h"), ("{}.cpp", "network.cpp"),
         ("{}_tb.cpp", "testbench.cpp"), ("build.tcl", "build.tcl"), ("hls_config.cfg", "hls_config.cfg"),
         ("vivado.tcl", "vivado.tcl"))
"""(file, template)."""


def samples(design: Design) -> bytes:
    """Random and extreme inputs, one sample a line: its input codes, then the output codes that are due."""
    form = design.input.format
    shape = (SAMPLES, design.input.size)
    rng = np.random.default_rng(0)
    codes = rng.integers(form.min_code, form.max_code, shape, endpoint=True)
    ends = np.where(rng.random(shape) < rng.random((SAMPLES, 1)), form.min_code, form.max_code)
    codes[::2] = ends[::2]
    due = design.reference(codes.reshape(-1, *design.input.shape)).reshape(SAMPLES, -1)
    return "".join(" ".join(map(str, row)) + "\n" for row in np.concatenate([codes, due], axis=1)).encode()


def _context(design: Design, net: Network, written: dict[str, Written], unrolled: bool) -> dict[str, Any]:
    """What the templates are given. `space` is the namespace of all but the top function."""
    stem = net.top.rstrip("_")
    return {"top": net.top, "space": f"{stem}_net", "guard": stem.upper(), "design": comment(design.name),
            "unrolled": unrolled, "net": net, "initiation_interval": net.initiation_interval, "part": PART,
            "clock": CLOCK_NS, "port_lines": lines(design),
            "types": _types(design, net, written), "tables": [t for w in written.values() for t in w.tables],
            "functions": [w.function for w in written.values()],
            "input": _port(design.input, net.input, net.names[design.input.name]),
            "output": _port(design.output, net.output, net.names[net.roots[design.output.name]])}


def _types(design: Design, net: Network, written: dict[str, Written]) -> list[dict[str, Any]]:
    roots = [design.input.name, *written]
    return [{"name": net.names[n], "code": type_of(design.tensors[n].format),
             "about": f"{comment(n)}: {' x '.join(map(str, design.tensors[n].shape))} of {design.tensors[n].format}",
             "acc": written[n].acc if n in written else None} for n in roots]


def _port(tensor: Tensor, stream: Stream, name: str) -> dict[str, Any]:
    """An end of the network. A beat is read in `parts` of `part_words` words, as many as 64 bits hold."""
    dtype = small_type(tensor.format)
    kinds = {1: "char", 2: "short", 4: "int", 8: "long long"}
    words = min(64 // tensor.format.width, stream.elements)
    signed = "unsigned" if dtype.kind == "u" else "signed"
    return {"code": f"{name}_Code", "size": tensor.size, "width": tensor.format.width,
            "parts": -(-stream.elements // words), "part_words": words, "mask": (1 << tensor.format.width) - 1,
            "word": f"{signed} {kinds[dtype.itemsize]}", "stream": stream}


def _stream(stream: Stream) -> dict[str, Any]:
    return {"elements": stream.elements, "beats": stream.beats, "tdata_bits": stream.bits}


def _row(job: Job, net: Network, name: str, written: Written) -> dict[str, Any]:
    lanes = job.architecture.one_by_one.lanes[name]
    return {"name": name, "function": net.names[name], "lanes": lanes, "terms": written.terms,
            "rom_bits": sum(t.bits for t in written.tables if t.rom),
            "table_bits": sum(t.bits for t in written.tables if not t.rom),
            "cycles": job.architecture.one_by_one.cycles(name)}
