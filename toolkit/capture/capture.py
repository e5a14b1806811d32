"""Capture: torch.export flattens any model to aten operations; here they become nn modules in a fresh fx graph."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import fx, nn
from torch.utils._pytree import treespec_dumps

from toolkit.capture import images
from toolkit.capture.builder import Builder, module_of
from toolkit.capture.collect import collect
from toolkit.capture.eval_mode import in_eval_mode
from toolkit.capture.exported import exported
from toolkit.capture.fold import fold_batch_norms
from toolkit.capture.onnx import OnnxModule, QuantisedModel
from toolkit.capture.outputs import output_names
from toolkit.capture.pick import Pick
from toolkit.capture.ports import inputs_of
from toolkit.capture.program import Program
from toolkit.capture.ways_out import BREVITAS
from toolkit.design.ports import Port
from toolkit.utils.errors import InputError

Source = nn.Module | torch.export.ExportedProgram | Program


def capture(model: Source, sample_shape: tuple[int, ...], inputs: tuple[Port, ...] = ()) -> fx.GraphModule:
    """`model` as a GraphModule of nn layers, in eval mode, BatchNorm folded, Dropout and Identity gone.

    `sample_shape` is one sample's, without the batch. Of a network with several inputs the graph takes all their
    elements in one row, as `inputs` say (in the model's order; what a file says itself need not be given), and of one
    with several outputs it gives theirs in one row. The graph's `meta` holds `input_shape`, `ports` (which elements are
    which of several inputs and outputs, in PyTorch's order), `notes` (what was left out, as sentences), `paths` (module
    name to its path in the model) and `layers` (what the model was made of). Raises InputError for a model that does
    not take that shape or has weights that are not finite, and Refused, which has all of them, for layers that have no
    hardware here.
    """
    if isinstance(model, QuantisedModel):
        raise InputError(f"'{model.file.path}' is quantised already (QONNX) and takes no scheme; `shiftwright build` "
                         "makes hardware of it as it is")
    if not isinstance(model, Source):
        raise InputError(f"{type(model).__name__} is not a model; give an nn.Module or a .pt2 file")
    if isinstance(model, fx.GraphModule) and "paths" in model.meta:
        return copy.deepcopy(model)
    notes: tuple[str, ...] = ()
    source = model
    if isinstance(model, nn.Module):
        if any(type(module).__module__.startswith("brevitas.") for module in model.modules()):
            raise InputError(f"{type(model).__name__} is quantised already: {BREVITAS.why}; {BREVITAS.way_out}")
        model, notes = in_eval_mode(model)
        if isinstance(model, OnnxModule):
            notes = tuple(model.notes)
        inputs = inputs_of(source) or inputs
        model = exported(model, *(port.shape for port in inputs) if inputs else (sample_shape,))
    program = model if isinstance(model, Program) else _program(model)
    names: tuple[str, ...] = ()
    if isinstance(source, OnnxModule):
        program, names = replace(program, outputs=source.output_names), tuple(port.name for port in inputs)
    graph = rebuilt(program, sample_shape, names)
    graph.meta["notes"] = [*notes, *graph.meta["notes"]]
    try:
        with torch.no_grad():
            graph(torch.zeros(2, *sample_shape))
    except RuntimeError as error:
        raise InputError(f"the model does not take samples of shape {tuple(sample_shape)}: "
                         f"{str(error).splitlines()[0]}") from error
    return graph


def _program(exported: torch.export.ExportedProgram) -> Program:
    """What torch.export made, in the form in which a file is read too."""
    signature = exported.graph_signature
    stored = {**exported.state_dict, **exported.constants}
    tensors = {spec.arg.name: stored[spec.target] for spec in signature.input_specs
               if spec.target is not None and spec.target in stored}
    return Program(exported.graph, tensors, exported.state_dict, tuple(map(str, signature.user_inputs)),
                   output_names(treespec_dumps(exported.call_spec.out_spec), len(signature.user_outputs)))


def rebuilt(program: Program, sample_shape: tuple[int, ...], names: tuple[str, ...] = ()) -> fx.GraphModule:
    """A program as a GraphModule of nn modules; `names` of its several inputs, where it has none of its own."""
    for name, tensor in program.parameters.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise InputError(f"the parameter '{name}' holds values that are not finite")
    if not program.inputs:
        raise InputError("the model has no input")
    several = inputs_of(program)
    if names:
        several = tuple(replace(port, name=name) for port, name in zip(several, names, strict=True))
    total = sum(port.size for port in several)
    if several and tuple(sample_shape) != (total,):
        told = ", ".join(f"{port.name} of shape {port.shape}" for port in several)
        raise InputError(f"the model has {len(several)} inputs ({told}), whose {total:,} elements do not make a sample "
                         f"of shape {tuple(sample_shape)}; give samples of each under its name")
    ports = dict(zip(program.inputs, several or (Port(program.inputs[0], sample_shape),), strict=True))
    builder = Builder(program.tensors, tuple(sample_shape), ports, program.outputs)
    layers = collect(builder, program)
    graph = builder.finish()
    graph.meta["notes"] += [f"nothing reads the input '{port.name}'; its elements stay part of a sample"
                            for port in several if not _is_read(graph, port)]
    fold_batch_norms(graph)
    graph.meta["layers"] = layers
    images.check_padding(graph)
    return graph


def _is_read(graph: fx.GraphModule, port: Port) -> bool:
    """Whether anything reads one of several inputs."""
    row = next(n for n in graph.graph.nodes if n.op == "placeholder")
    places = (module.index for user in row.users if isinstance(module := module_of(graph, user), Pick))
    return any(bool(torch.logical_and(index >= port.start, index < port.stop).any()) for index in places)
