"""Exact minimum and maximum of every accumulator and every output, by interval arithmetic through the whole design."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolkit.design.layers import LayerRange
from toolkit.design.tensors import Interval

if TYPE_CHECKING:
    from toolkit.design.design import Design


def analyse(design: Design) -> dict[str, LayerRange]:
    """The range of every layer, from the full range of the input format. Refuses what needs more than 62 bits."""
    intervals = {design.input.name: Interval.full(design.input.shape, design.input.format)}
    found: dict[str, LayerRange] = {}
    for layer in design.layers:
        found[layer.name] = layer.ranges(design.inputs_of(layer), [intervals[n] for n in layer.inputs])
        intervals[layer.name] = found[layer.name].output
    return found
