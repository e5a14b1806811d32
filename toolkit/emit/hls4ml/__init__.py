"""The target `hls4ml`: a project of hls4ml's, every precision set from the design, and a program that feeds it."""

from __future__ import annotations

import re

import numpy as np

from toolkit.design import Conv, Dense, Layer, Tensor
from toolkit.emit.hls4ml.layers import LAYERS
from toolkit.emit.hls4ml.network import Network
from toolkit.emit.hls4ml.project import BACKENDS, accepted, files, require
from toolkit.emit.hls4ml.types import Type
from toolkit.emit.packing import small_type
from toolkit.emit.ports import lines
from toolkit.emit.target import Emitted, Job
from toolkit.emit.templates import render
from toolkit.utils.errors import InputError

FOLDER = "hls4ml"
FLOAT_BITS = 24
CLASH = re.compile(r"main|std|hls|nnet|codes|(config|layer|w|b|s|a|table)\d+(_.*)?|.*_t")
"""Names that hls4ml's C++ gives to other things than the top function."""


def emit(job: Job) -> Emitted:
    """The hls4ml project of a design. Raises InputError for what hls4ml cannot do exactly, by the layer's name, and
    ToolMissing where there is no hls4ml."""
    version = require()
    options, design = job.options, job.design
    net = Network(options.hls4ml_backend, options.hls4ml_io, options.hls4ml_weights == "exponent")
    x = design.input
    for tensor, what in ((x, "input"), (design.output, "output")):
        if options.hls4ml_backend == "vivadoaccelerator" and tensor.format.width > FLOAT_BITS:
            raise InputError(f"{what} '{tensor.name}': hls4ml's VivadoAccelerator moves it as float32, which does not "
                             f"hold every {tensor.format}; {FLOAT_BITS} bits do, and --hls4ml vivado works")
    net.wires[x.name] = net.add(x.name, "InputLayer", [], x.shape, Type(x.format), suffix="_in",
                                attributes={"input_shape": list(x.shape)})
    for layer in design.layers:
        net.wires[layer.name] = LAYERS[type(layer)](net, layer, design.inputs_of(layer), design.ranges[layer.name],
                                                    schedule(job, layer))
    last = net.plain(design.layers[-1], design.output.name)
    ac = options.hls4ml_backend == "quartus"  # its numbers are ac_fixed, not ap_fixed
    top = f"{job.top}_net" if CLASH.fullmatch(job.top) else job.top
    made = files(net, top, last.name)
    made[f"{top}_codes.cpp"] = render(
        "hls4ml/codes.cpp.j2", port_lines=lines(design), top=top,
        streams=net.streams, input=port(x), output=port(design.output), ac=ac,
        first=net.layers[0]["name"]).encode()
    entry = {"top": top, "hls4ml": version, "backend": BACKENDS[options.hls4ml_backend], "io": net.io,
             "weights": options.hls4ml_weights, "folder": FOLDER, "source": f"{FOLDER}/{top}_codes.cpp",
             "include": f"{FOLDER}/firmware/{'ac' if ac else 'ap'}_types",
             "layers": [{"name": name, "of": net.owners[name], "type": setting["Precision"]["result"],
                         "strategy": setting["Strategy"], "reuse_factor": setting["ReuseFactor"]}
                        for name, setting in net.settings.items()]}
    return Emitted({f"{FOLDER}/{name}": data for name, data in made.items()}, entry,
                   {layer.name: row(net, layer) for layer in design.layers})


def schedule(job: Job, layer: Layer) -> dict[str, object]:
    """hls4ml's strategy and reuse factor for a layer: the cycles that a lane works on one position."""
    lanes = job.architecture.lanes[layer.name]
    if not lanes or not isinstance(layer, Dense | Conv):
        return {}
    inputs = job.design.inputs_of(layer)[0]
    taps = inputs.size if isinstance(layer, Dense) else int(np.prod(layer.window.span)) * inputs.shape[-1]
    cycles = job.architecture.cycles(layer.name) // job.architecture.works[layer.name].positions
    outputs = len(layer.weights.codes)
    most = taps if isinstance(layer, Conv) and job.options.hls4ml_io == "io_parallel" else taps * outputs  # defect
    reuse = accepted(cycles, taps, outputs, most)
    return {"Strategy": "Resource", "ReuseFactor": reuse}


def row(net: Network, layer: Layer) -> dict[str, object]:
    """What the README's table says of a layer."""
    mine = [name for name, owner in net.owners.items() if owner == layer.name]
    first = net.settings[mine[0]] if mine else {"Strategy": "-", "ReuseFactor": "-", "Precision": {}}
    return {"layers": mine, "types": first["Precision"], "strategy": first["Strategy"], "reuse": first["ReuseFactor"]}


def port(tensor: Tensor) -> dict[str, object]:
    form = tensor.format
    return {"elements": tensor.size, "width": form.width, "integer": form.width - form.frac, "signed": form.signed,
            "format": str(form), "word": f"{'' if form.signed else 'u'}int{8 * small_type(form).itemsize}_t"}
