"""An input whose features all have one exponent: the format and the weights take it."""

from __future__ import annotations

from dataclasses import replace

from toolkit.design import Conv, Dense, Layer, MaxPool, Reorder, Reshape, Tensor, Upsample, Weights

PASS = (MaxPool, Reorder, Reshape, Upsample)
"""Layers that hand codes on as they are, in their units."""


def in_one_unit(tensor: Tensor, layers: tuple[Layer, ...]) -> tuple[Tensor, tuple[Layer, ...]]:
    """An input and its layers, the exponents gone where all are one k: the input's format has k fractional bits fewer,
    and weights that read it are divided by 2**k. Every integer stays what it was. Where anything else than weights
    reads the input, it stays as it is."""
    if len(set(tensor.exponents)) != 1:
        return tensor, layers
    k = tensor.exponents[0]
    units, made = {tensor.name}, []
    for layer in layers:
        if units.intersection(layer.inputs):
            if isinstance(layer, PASS):
                units.add(layer.name)
            elif isinstance(layer, Dense | Conv):
                weights = layer.weights
                layer = replace(layer, weights=Weights(weights.format, weights.codes, weights.exponents - k))
            else:
                return tensor, layers
        made.append(layer)
    form = replace(tensor.format, frac=tensor.format.frac - k)
    return replace(tensor, format=form, exponents=()), tuple(made)
