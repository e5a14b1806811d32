"""`--normalise`: the normalisation of raw bytes, put before a network that has none."""

from __future__ import annotations

from math import isfinite
from typing import Any

import torch
from torch import fx, nn

from toolkit.capture import QuantisedModel, capture
from toolkit.capture.capture import Source
from toolkit.capture.fold import fold_batch_norms
from toolkit.compress.data import Data
from toolkit.utils.errors import InputError

UNIT = "unit"
WHITE = 255.0


def parse(text: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(means, standard deviations) of x / 255, one number or one for each channel: of `unit`, which is x / 255 alone,
    or of `MEAN,STD`, each of them numbers with a colon between them."""
    if text.strip() == UNIT:
        return (0.0,), (1.0,)
    try:
        mean, std = (tuple(float(number) for number in part.split(":")) for part in text.split(","))
    except ValueError:
        raise InputError(f"'{text[:60]}' is no normalisation; write {UNIT}, or MEAN,STD of x / 255 as 0.5,0.25 or, "
                         "channel by channel, 0.48:0.45:0.41,0.23:0.22:0.23") from None
    if not all(map(isfinite, (*mean, *std))) or min(std) <= 0:
        raise InputError(f"the normalisation '{text[:60]}' has a standard deviation that is not above 0, or a number "
                         "that is not finite")
    return mean, std


def normalised(model: Source | QuantisedModel, data: Data, how: str) -> tuple[fx.GraphModule, Data]:
    """`model` as a captured graph that takes raw bytes and computes `(x / 255 - mean) / std` first, folded into its
    first layers where they can take it; and the data with their axes as it takes them. `how` as `parse` reads it.

    Raises InputError for data that are no bytes, and for numbers that do not fit their channels.
    """
    mean, std = parse(how)
    if isinstance(model, QuantisedModel):
        raise InputError(f"'{model.file.path}' is quantised already (QONNX): --normalise cannot be folded into it")
    if not data.raw:
        raise InputError("--normalise is of raw bytes (uint8), and these data hold other numbers; give the samples as "
                         "uint8, or normalise them before")
    data = data.arranged(model)
    shape = data.sample_shape
    channels = shape[0]
    for name, numbers in (("means", mean), ("standard deviations", std)):
        if len(numbers) not in (1, channels):
            raise InputError(f"--normalise has {len(numbers)} {name}, and a sample of shape {shape} has {channels} "
                             f"channel{'s' * (channels > 1)}; give one number, or one for each channel")
    if len(shape) > 3:
        raise InputError(f"--normalise takes samples of at most three axes, not of shape {shape}")
    means, stds = (torch.tensor(numbers, dtype=torch.float64).expand(channels) for numbers in (mean, std))
    graph = capture(model, shape)
    own = "normalisation" in graph.meta
    _put_first(graph, 1 / (WHITE * stds), -means / stds, shape)
    if own:
        note = ("the model normalises its input itself, and --normalise comes before that; leave it out if the model "
                "takes bytes")
        graph.meta["notes"] = [*graph.meta["notes"], note]
    return graph, data


def _put_first(graph: fx.GraphModule, scale: torch.Tensor, offset: torch.Tensor, shape: tuple[int, ...]) -> None:
    """Let `scale * x + offset`, of each channel, come before all that reads the input, and fold it."""
    layer: Any = (nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d)(shape[0], eps=0.0)
    with torch.no_grad():
        layer.weight.copy_(scale)
        layer.bias.copy_(offset)
    name = "normalise"
    while hasattr(graph, name):
        name += "_"
    graph.add_module(name, layer.eval())
    graph.meta["paths"] = {**graph.meta["paths"], name: name}
    start = next(node for node in graph.graph.nodes if node.op == "placeholder")
    users = list(start.users)
    with graph.graph.inserting_after(start):
        node = graph.graph.call_module(name, (start,))
    node.meta["shape"] = shape
    for user in users:
        user.replace_input_with(start, node)
    graph.recompile()
    fold_batch_norms(graph)
