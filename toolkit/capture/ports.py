"""What a model calls its inputs and outputs, and the shapes of its inputs where it says them."""

from __future__ import annotations

import inspect

import torch
from torch import nn

from toolkit.capture.program import Program
from toolkit.design.ports import Port, consecutive


def inputs_of(model: object) -> tuple[Port, ...]:
    """The inputs of a model that has several and says their shapes; empty for one that does not."""
    if isinstance(model, Program) and len(model.inputs) > 1:
        shapes = {n.name: tuple(n.meta["val"].shape[1:]) for n in model.graph.nodes if n.name in model.inputs}
        return consecutive((name, shapes[name] or (1,)) for name in model.inputs)
    if isinstance(model, torch.export.ExportedProgram):
        inputs = tuple(map(str, model.graph_signature.user_inputs))
        values = {n.name: n.meta["val"] for n in model.graph.nodes if n.name in inputs}
        known = all(isinstance(n, int) for value in values.values() for n in value.shape[1:])
        return consecutive((name, tuple(values[name].shape[1:]) or (1,)) for name in inputs) \
            if len(inputs) > 1 and known else ()
    if isinstance(model, torch.fx.GraphModule) and "ports" in model.meta:
        return model.meta["ports"].inputs
    return tuple(getattr(model, "inputs", ())) if hasattr(model, "sample_shape") else ()


def input_names(model: object) -> tuple[str, ...]:
    """What a model calls its inputs; empty where it does not say: then they are told apart by their places."""
    found = inputs_of(model)
    if found or not isinstance(model, nn.Module):
        return tuple(port.name for port in found)
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return ()
    plain = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return tuple(p.name for p in plain)


def required_inputs(model: object) -> int:
    """How many inputs a model cannot go without, as far as it says."""
    if inputs_of(model) or not isinstance(model, nn.Module):
        return len(inputs_of(model)) or 1
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return 1
    return sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
