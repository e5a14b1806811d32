"""Capture: torch.export flattens any model to aten operations; here they become nn modules in a fresh fx graph."""

from __future__ import annotations

import copy

import torch
from torch import fx, nn

from toolkit.capture import images
from toolkit.capture.builder import Builder
from toolkit.capture.collect import collect
from toolkit.capture.eval_mode import in_eval_mode
from toolkit.capture.exported import exported
from toolkit.capture.fold import fold_batch_norms
from toolkit.capture.onnx import OnnxModule, QuantisedModel
from toolkit.capture.program import Program
from toolkit.utils.errors import InputError

Source = nn.Module | torch.export.ExportedProgram | Program


def capture(model: Source, sample_shape: tuple[int, ...]) -> fx.GraphModule:
    """`model` as a GraphModule of nn layers, in eval mode, BatchNorm folded, Dropout and Identity gone.

    `sample_shape` is one sample's, without the batch. The graph's `meta` holds `input_shape`, `notes` (what was left
    out, as sentences), `paths` (module name to its path in the model) and `layers` (what the model was made of). Raises
    InputError for a model that does not take that shape or has weights that are not finite, and Refused, which has all
    of them, for layers that have no hardware here.
    """
    if isinstance(model, QuantisedModel):
        raise InputError(f"'{model.file.path}' is quantised already (QONNX) and takes no scheme; `shiftwright build` "
                         "makes hardware of it as it is")
    if not isinstance(model, Source):
        raise InputError(f"{type(model).__name__} is not a model; give an nn.Module or a .pt2 file")
    if isinstance(model, fx.GraphModule) and "paths" in model.meta:
        return copy.deepcopy(model)
    notes: tuple[str, ...] = ()
    if isinstance(model, nn.Module):
        model, notes = in_eval_mode(model)
        if isinstance(model, OnnxModule):
            notes = tuple(model.notes)
        model = exported(model, sample_shape)
    graph = rebuilt(model if isinstance(model, Program) else _program(model), sample_shape)
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
                   len(signature.user_outputs))


def rebuilt(program: Program, sample_shape: tuple[int, ...]) -> fx.GraphModule:
    """A program as a GraphModule of nn modules."""
    for name, tensor in program.parameters.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise InputError(f"the parameter '{name}' holds values that are not finite")
    builder = Builder(program.tensors, tuple(sample_shape))
    layers = collect(builder, program) if len(program.inputs) == 1 else ()
    if len(program.inputs) != 1 or program.outputs != 1:
        raise InputError(f"the model has {len(program.inputs)} inputs and {program.outputs} outputs; one of each "
                         "is supported")
    graph = builder.finish()
    fold_batch_norms(graph)
    graph.meta["layers"] = layers
    images.check_padding(graph)
    return graph
