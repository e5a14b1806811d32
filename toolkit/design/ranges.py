"""Exact minimum and maximum of every accumulator and every output, by interval arithmetic through the whole network."""

from __future__ import annotations

from toolkit.design.layers import LayerRange
from toolkit.design.network import Network
from toolkit.design.tensors import Interval


def analyse(network: Network) -> dict[str, LayerRange]:
    """The range of every layer, from the full range of the input format. Refuses what needs more than 62 bits."""
    intervals = {network.input.name: Interval.full(network.input.shape, network.input.format)}
    found: dict[str, LayerRange] = {}
    for layer in network.layers:
        found[layer.name] = layer.ranges(network.inputs_of(layer), [intervals[n] for n in layer.inputs])
        intervals[layer.name] = found[layer.name].output
    return found
