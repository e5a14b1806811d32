"""Capture: torch.export flattens any model to aten operations; here they become nn modules in a fresh fx graph."""

from __future__ import annotations

import copy
import logging
import warnings

import torch
from torch import fx, nn

from toolkit.capture import images, operations
from toolkit.capture.builder import Builder, Unsupported
from toolkit.capture.eval_mode import in_eval_mode
from toolkit.capture.fold import fold_batch_norms
from toolkit.capture.onnx import OnnxModule, QuantisedModel
from toolkit.capture.program import Program
from toolkit.utils.errors import InputError

Source = nn.Module | torch.export.ExportedProgram | Program


def capture(model: Source, sample_shape: tuple[int, ...]) -> fx.GraphModule:
    """`model` as a GraphModule of nn layers, in eval mode, BatchNorm folded, Dropout and Identity gone.

    `sample_shape` is one sample's, without the batch. The graph's `meta` holds `input_shape`, `notes` (what was left
    out, as sentences) and `paths` (module name to its path in the model). Raises InputError for a model that does not
    take that shape, has weights that are not finite, or does something that has no hardware here.
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
        model = _exported(model, sample_shape)
    graph = rebuilt(model if isinstance(model, Program) else _program(model), sample_shape)
    graph.meta["notes"] = [*notes, *graph.meta["notes"]]
    try:
        with torch.no_grad():
            graph(torch.zeros(2, *sample_shape))
    except RuntimeError as error:
        raise InputError(f"the model does not take samples of shape {tuple(sample_shape)}: "
                         f"{str(error).splitlines()[0]}") from error
    return graph


def _exported(model: nn.Module, sample_shape: tuple[int, ...]) -> torch.export.ExportedProgram:
    training = model.training
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    sample = torch.zeros(2, *sample_shape, device=device)
    try:
        logging.disable(logging.CRITICAL)  # torch logs a stack trace of its own for what is told in one sentence here
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(model.eval(), (sample,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    except Exception as error:  # torch.export raises whatever the model raises, and its own kinds
        line = next((x for x in str(error).splitlines() if x.strip()), type(error).__name__)
        raise InputError(f"the model cannot be captured on samples of shape {tuple(sample_shape)}: {line[:300]}") \
            from error
    finally:
        model.train(training)
        logging.disable(logging.NOTSET)


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
    if len(program.inputs) != 1 or program.outputs != 1:
        raise InputError(f"the model has {len(program.inputs)} inputs and {program.outputs} outputs; one of each "
                         "is supported")
    builder = Builder(program.tensors, tuple(sample_shape))
    for node in program.graph.nodes:
        try:
            operations.read(builder, node, program.inputs[0])
            if node in builder.env and isinstance(value := node.meta.get("val"), torch.Tensor):
                builder.budget.tensor(value.shape[1:], builder.place(node))
        except Unsupported as error:
            place = error.path or "the model itself"
            raise InputError(f"the operation '{error.operation}' in '{place}' is not supported: {error.advice}") \
                from None
    graph = builder.finish()
    fold_batch_norms(graph)
    images.check_padding(graph)
    return graph
