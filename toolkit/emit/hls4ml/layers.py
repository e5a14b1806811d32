"""Each layer of a design as layers of hls4ml's: one function a kind, listed at the end."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from toolkit.design import (
    Add,
    ArgMax,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Dense,
    Extremum,
    FixedPoint,
    Interval,
    Layer,
    LayerRange,
    Leaky,
    Lookup,
    MaxPool,
    Multiply,
    Reorder,
    Requantise,
    Reshape,
    Slopes,
    Tensor,
    Upsample,
    Window,
)
from toolkit.design.formats import MAX_WIDTH
from toolkit.design.layers.multiply import MULTIPLIER
from toolkit.emit.hls4ml.exponents import exponents
from toolkit.emit.hls4ml.network import Network, Wire, real
from toolkit.emit.hls4ml.types import Type, cast, signed_holding

Settings = dict[str, Any]
AXES = {1: ("width",), 2: ("height", "width")}
SIDES = {1: (("left", "right"),), 2: (("top", "bottom"), ("left", "right"))}


def requantised(net: Network, layer: Layer, r: Requantise, make: Callable[[Type], Wire]) -> Wire:
    """What `make` makes, assigned to the type that `r` asks for, and clipped where a type alone does not."""
    type, steps = cast(r)
    return net.clip(layer, make(type), steps)


def accumulator(range: LayerRange, r: Requantise) -> FixedPoint:
    """A signed format for the sums before their rounding: partial sums may wrap in it, the last one does not."""
    assert range.accumulator is not None
    half = r.half(range.acc_frac)
    form = signed_holding(int(range.accumulator.low.min()) - half, int(range.accumulator.high.max()), range.acc_frac)
    return FixedPoint(True, max(form.width, form.frac - r.format.frac), form.frac)  # defect "rounding"


def roomy(net: Network, layer: Layer, wire: Wire, dropped: int) -> Wire:
    """A wire with no fewer bits than a rounding drops of it: defect "rounding"."""
    form = wire.format
    if form.width >= dropped:
        return wire
    return net.cast(layer, wire, Type(FixedPoint(form.signed, dropped, form.frac)), "_wide")


def dense(net: Network, layer: Dense, inputs: list[Tensor], range: LayerRange, settings: Settings) -> Wire:
    wire = net.wires[layer.inputs[0]]
    values, frac = layer.weights.integers()
    if wire.index is not None:  # the columns move to where their elements come from
        assert wire.source is not None
        moved = np.zeros((len(values), prod(wire.source.shape)), np.int64)
        np.add.at(moved.T, wire.index, values.T)
        values, wire = moved, wire.source
        if len(wire.shape) > 1:
            wire = net.reshape(layer.name, wire, (prod(wire.shape),))
    weights, precision = constants(layer, values.T, frac, wire, net.exponents)
    bias = layer.bias
    precision |= {"bias": str(signed_holding(int(bias.min()), int(bias.max()), layer.bias_frac)),
                  "accum": str(accumulator(range, layer.requantise))}
    attributes = {"n_in": values.shape[1], "n_out": len(values), **weights,
                  "bias_data": real(layer, bias, layer.bias_frac)}
    return requantised(net, layer, layer.requantise, lambda type: net.add(
        layer.name, "Dense", [wire], (len(values),), type, attributes=attributes, precision=precision,
        settings=settings))


def constants(layer: Layer, values: np.ndarray, frac: int, wire: Wire,
              shifts: bool) -> tuple[Settings, dict[str, str]]:
    """The weights, inputs first, as attributes and precisions: fixed-point, or shifts."""
    data = real(layer, values, frac)
    if shifts:
        quantizer = exponents(layer, values, frac, wire.format)
        return {"weight_data": data, "weight_quantizer": quantizer}, {"weight": f"int<{quantizer.width}>"}
    return {"weight_data": data}, {"weight": str(signed_holding(int(values.min()), int(values.max()), frac))}


def conv(net: Network, layer: Conv, inputs: list[Tensor], range: LayerRange, settings: Settings) -> Wire:
    values, frac = layer.weights.integers()
    return convolution(net, layer, net.plain(layer, layer.inputs[0]), layer.window, whole(values, layer.groups), frac,
                       layer.bias, layer.bias_frac, range, layer.requantise, settings, net.exponents)


def whole(values: np.ndarray, groups: int) -> np.ndarray:
    """Weights (out, *kernel, in / groups) as (out, *kernel, in): what another group reads weighs nothing."""
    outputs, inputs = len(values) // groups, values.shape[-1]
    full = np.zeros((*values.shape[:-1], inputs * groups), np.int64)
    for g in range(groups):
        full[g * outputs:(g + 1) * outputs, ..., g * inputs:(g + 1) * inputs] = values[g * outputs:(g + 1) * outputs]
    return full


def convolution(net: Network, layer: Layer, wire: Wire, window: Window, values: np.ndarray, frac: int,
                bias: np.ndarray, bias_frac: int, range: LayerRange, r: Requantise, settings: Settings,
                shifts: bool) -> Wire:
    """A convolution by weights (out, *kernel, in), ungrouped; dilation becomes zeros between the taps."""
    if shifts and net.backend == "quartus" and not net.streams:
        raise layer.fail("hls4ml's project for Quartus has no convolution by exponents in io_parallel; --hls4ml "
                         "fixed works, and io_stream")
    spread = np.zeros((len(values), *window.span, values.shape[-1]), np.int64)
    spread[(slice(None), *(slice(None, None, d) for d in window.dilation))] = values
    weights, precision = constants(layer, np.moveaxis(spread, 0, -1), frac, wire, shifts)
    precision |= {"bias": str(signed_holding(int(bias.min()), int(bias.max()), bias_frac)),
                  "accum": str(accumulator(range, r))}
    shape = (*window.output(wire.shape), len(values))
    attributes = {"data_format": "channels_last", "n_chan": wire.shape[-1], "n_filt": len(values), **weights,
                  "bias_data": real(layer, bias, bias_frac), **places(window, wire.shape, shape)}
    attributes |= {f"filt_{axis}": span for axis, span in zip(AXES[window.rank], window.span, strict=True)}
    return requantised(net, layer, r, lambda type: net.add(
        layer.name, f"Conv{window.rank}D", [wire], shape, type, attributes=attributes, precision=precision,
        settings=settings))


def places(window: Window, source: tuple[int, ...], made: tuple[int, ...]) -> Settings:
    """Sizes, strides and padding of a window, axis by axis, as hls4ml names them."""
    found: Settings = {}
    for i, axis in enumerate(AXES[window.rank]):
        found |= {f"in_{axis}": source[i], f"out_{axis}": made[i], f"stride_{axis}": window.stride[i]}
        found |= {f"pad_{side}": n for side, n in zip(SIDES[window.rank][i], window.padding[i], strict=True)}
    return found


def pool(net: Network, layer: MaxPool | AvgPool, wire: Wire, type: Type, accum: FixedPoint, op: str) -> Wire:
    """hls4ml's own pool."""
    window = layer.window
    shape = (*window.output(wire.shape), wire.shape[-1])
    attributes = {"data_format": "channels_last", "n_filt": wire.shape[-1], "count_pad": True,
                  **places(window, wire.shape, shape)}
    attributes |= {f"pool_{axis}": k for axis, k in zip(AXES[window.rank], window.kernel, strict=True)}
    if window.rank == 1:
        attributes |= {"n_in": wire.shape[0], "n_out": shape[0]}
    return net.add(layer.name, f"{op}Pooling{window.rank}D", [wire], shape, type, attributes=attributes,
                   precision={"accum": str(accum)})


def tiled(window: Window) -> bool:
    """Windows stand side by side, without padding: all that hls4ml's pools do with streams."""
    return window.stride == window.kernel and not any(map(sum, window.padding))


def maxpool(net: Network, layer: MaxPool, inputs: list[Tensor], range: LayerRange, settings: Settings) -> Wire:
    wire, window = net.plain(layer, layer.inputs[0]), layer.window
    if max(window.dilation) > 1:
        raise layer.fail("hls4ml's pools know no dilation; a dilation of 1 works")
    if net.streams and not tiled(window):
        raise layer.fail("hls4ml pools streams in windows side by side without padding alone; io_parallel works, or a "
                         "stride of the window's size")
    if any(map(sum, window.padding)) and not wire.format.signed:
        # Its padding is the code with the top bit set: the least one only where that bit is a sign.
        signed = FixedPoint(True, wire.format.width + 1, wire.format.frac)
        return pool(net, layer, net.cast(layer, wire, Type(signed), "_signed"), Type(wire.format), signed, "Max")
    return pool(net, layer, wire, Type(wire.format), wire.format, "Max")


def avgpool(net: Network, layer: AvgPool, inputs: list[Tensor], range: LayerRange, settings: Settings) -> Wire:
    wire, window, r = net.plain(layer, layer.inputs[0]), layer.window, layer.requantise
    mean = accumulator(range, r)
    if tiled(window) and max(window.dilation) == 1 and mean.width + layer.factor_frac <= MAX_WIDTH \
            and (layer.factor, 1 << layer.factor_frac) == (1, window.positions):
        total = FixedPoint(True, mean.width + layer.factor_frac, mean.frac)  # it sums before it divides
        return requantised(net, layer, r, lambda type: pool(net, layer, wire, type, total, "Average"))
    # hls4ml divides by the window's size; the design multiplies by a rounded constant: a convolution of each channel.
    channels = wire.shape[-1]
    values = np.zeros((channels, *window.kernel, channels), np.int64)
    values[np.arange(channels), ..., np.arange(channels)] = layer.factor
    return convolution(net, layer, wire, window, values, layer.factor_frac, np.zeros(channels, np.int64), 0, range, r,
                       {}, False)


def add(net: Network, layer: Add, inputs: list[Tensor], range: LayerRange, settings: Settings) -> Wire:
    wires = [net.plain(layer, name) for name in layer.inputs]
    form = accumulator(range, layer.requantise)
    total = roomy(net, layer, wires[0], form.frac - layer.requantise.format.frac)
    for number, wire in enumerate(wires[1:-1], 1):
        # A sum of some of the inputs may leave the range of all of them: it wraps, and comes back.
        total = net.add(layer.name, "Merge", [total, wire], wire.shape, Type(form), suffix=f"_part{number}",
                        attributes={"op": "add"})
    return requantised(net, layer, layer.requantise, lambda type: net.add(
        layer.name, "Merge", [total, wires[-1]], total.shape, type, attributes={"op": "add"}))


def multiply(net: Network, layer: Multiply, inputs: list[Tensor], range: LayerRange, settings: Settings) -> Wire:
    if layer.gate != MULTIPLIER:
        raise layer.fail("hls4ml has no product with a power of two that the data choose; --gate multiplier works, and "
                         "takes a multiplier")
    shape = layer.output(inputs).shape
    first, second = (repeated(net, layer, net.plain(layer, name), shape) for name in layer.inputs)
    first = roomy(net, layer, first, range.acc_frac - layer.requantise.format.frac)
    return requantised(net, layer, layer.requantise, lambda type: net.add(
        layer.name, "Merge", [first, second], shape, type, attributes={"op": "multiply"}))


def repeated(net: Network, layer: Layer, wire: Wire, shape: tuple[int, ...]) -> Wire:
    """A wire with what it has of one element along an axis repeated as in `shape`: pixels by hls4ml's Resize, channels
    by a convolution whose weights are 1."""
    if wire.shape == shape:
        return wire
    if len(shape) not in (2, 3):
        raise layer.fail(f"hls4ml cannot repeat a tensor of shape {wire.shape} as {shape}; pixels and channels of "
                         "images are repeated")
    if wire.shape[-1] != shape[-1]:
        codes, same = Interval.full((*wire.shape[:-1], shape[-1]), wire.format), Requantise.to(wire.format)
        ones = np.ones((shape[-1], *(1,) * (len(shape) - 1), 1), np.int64)
        wire = convolution(net, layer, wire, Window.of((1,) * (len(shape) - 1)), ones, 0,
                           np.zeros(shape[-1], np.int64), 0, LayerRange(codes, codes, wire.format.frac), same, {},
                           False)
    return wire if wire.shape == shape else resized(net, layer, wire, shape, "_repeat")


def concat(net: Network, layer: Concat, inputs: list[Tensor], range: LayerRange, settings: Settings) -> Wire:
    wires = [net.plain(layer, name) for name in layer.inputs]
    type = Type(layer.output(inputs).format)
    joined = wires[0]
    for number, wire in enumerate(wires[1:], 1):
        shape = list(joined.shape)
        shape[layer.axis] += wire.shape[layer.axis]
        joined = net.add(layer.name, "Concatenate", [joined, wire], tuple(shape), type,
                         suffix="" if number == len(wires) - 1 else f"_part{number}",
                         attributes={"op": f"concatenate{len(shape)}d", "axis": layer.axis + 1})
    return joined if len(wires) > 1 else net.cast(layer, joined, type)


def reshape(net: Network, layer: Reshape, inputs: list[Tensor], range: LayerRange, settings: Settings) -> Wire:
    wire = net.wires[layer.inputs[0]]
    if wire.index is not None:
        return Wire(wire.name, wire.format, layer.shape, wire.index, wire.source)
    return net.add(layer.name, "Reshape", [wire], layer.shape, Type(wire.format),
                   attributes={"target_shape": list(layer.shape)})


def reorder(net: Network, layer: Reorder, inputs: list[Tensor], range: LayerRange, settings: Settings) -> Wire:
    wire = net.wires[layer.inputs[0]]
    index = layer.index if wire.index is None else wire.index[layer.index]
    return Wire(wire.name, wire.format, layer.shape, index, wire.source or wire)


def clamp(net: Network, layer: Clamp, inputs: list[Tensor], range: LayerRange, settings: Settings) -> Wire:
    wire = net.plain(layer, layer.inputs[0])
    wire = roomy(net, layer, wire, wire.format.frac - layer.requantise.format.frac)
    return requantised(net, layer, layer.requantise, lambda type: net.cast(layer, wire, type))


def leaky(net: Network, layer: Leaky, inputs: list[Tensor], range: LayerRange, settings: Settings) -> Wire:
    wire = net.plain(layer, layer.inputs[0])
    wire = roomy(net, layer, wire, wire.format.frac + layer.slope - layer.requantise.format.frac)
    slope = FixedPoint(False, 1, layer.slope)
    return requantised(net, layer, layer.requantise, lambda type: net.add(
        layer.name, "LeakyReLU", [wire], wire.shape, type, precision={"param": str(slope)},
        attributes={"activation": "leaky_relu", "activ_param": 2.0**-layer.slope, "n_in": prod(wire.shape)}))


def slopes(net: Network, layer: Slopes, inputs: list[Tensor], range: LayerRange, settings: Settings) -> Wire:
    wire = net.plain(layer, layer.inputs[0])
    wire = roomy(net, layer, wire, wire.format.frac + layer.frac - layer.requantise.format.frac)
    channels = wire.shape[-1]
    negative, positive = (np.broadcast_to(side, channels) for side in (layer.negative, layer.positive))
    if np.array_equal(negative, positive):
        precision = {"scale": str(signed_holding(int(positive.min()), int(positive.max()), layer.frac)),
                     "bias": "fixed<2,2>"}
        return requantised(net, layer, layer.requantise, lambda type: net.add(
            layer.name, "BatchNormalization", [wire], wire.shape, type, precision=precision,
            attributes={"n_in": prod(wire.shape), "n_filt": channels if len(wire.shape) > 1 else -1,
                        "scale_data": real(layer, positive, layer.frac), "bias_data": np.zeros(channels)}))
    if (positive != 1 << layer.frac).any():
        raise layer.fail("hls4ml's PReLU lets what is not negative pass as it is; a slope of 1 there works")
    form = signed_holding(int(negative.min()), int(negative.max()), layer.frac)
    return requantised(net, layer, layer.requantise, lambda type: net.add(
        layer.name, "PReLU", [wire], wire.shape, type, precision={"param": str(form)},
        attributes={"activation": "prelu", "n_in": prod(wire.shape),
                    "param_data": np.resize(real(layer, negative, layer.frac), prod(wire.shape))}))


def extremum(net: Network, layer: Extremum, inputs: list[Tensor], range: LayerRange, settings: Settings) -> Wire:
    wires = [net.plain(layer, name) for name in layer.inputs]
    type, total = Type(layer.output(inputs).format), wires[0]
    for number, wire in enumerate(wires[1:], 1):
        total = net.add(layer.name, "Merge", [total, wire], total.shape, type,
                        suffix="" if number == len(wires) - 1 else f"_part{number}",
                        attributes={"op": "minimum" if layer.least else "maximum"})
    return total


def lookup(net: Network, layer: Lookup, inputs: list[Tensor], range: LayerRange, settings: Settings) -> Wire:
    wire, form = net.plain(layer, layer.inputs[0]), inputs[0].format
    if net.backend == "quartus":
        raise layer.fail("hls4ml's project for Quartus has no tables; --hls4ml vitis works")
    # hls4ml's table is read by the bits of the input, sign and all.
    codes = wire.format.wrap(np.arange(1 << wire.format.width))
    entries = layer.table[codes - form.min_code]
    table = FixedPoint.holding(int(entries.min()), int(entries.max()), layer.format.frac)
    return net.add(layer.name, "UnaryLUT", [wire], wire.shape, Type(table), precision={"table": str(table)},
                   attributes={"activation": "unary_lut", "table_data": real(layer, entries, layer.format.frac),
                               "n_in": prod(wire.shape)})


def upsample(net: Network, layer: Upsample, inputs: list[Tensor], range: LayerRange, settings: Settings) -> Wire:
    wire = net.plain(layer, layer.inputs[0])
    shape = (*(n * s for n, s in zip(wire.shape, layer.scale, strict=False)), wire.shape[-1])
    return resized(net, layer, wire, shape)


def resized(net: Network, layer: Layer, wire: Wire, shape: tuple[int, ...], suffix: str = "") -> Wire:
    """An image's pixels repeated, nearest neighbour."""
    rank = len(shape) - 1
    sizes = {"in_height": 1, "out_height": 1} if rank == 1 else {}
    for i, axis in enumerate(AXES[rank]):
        sizes |= {f"in_{axis}": wire.shape[i], f"out_{axis}": shape[i]}
    return net.add(layer.name, "Resize", [wire], shape, Type(wire.format), suffix=suffix,
                   attributes={"data_format": "channels_last", "algorithm": "nearest", "n_chan": shape[-1], **sizes})


def argmax(net: Network, layer: ArgMax, inputs: list[Tensor], range: LayerRange, settings: Settings) -> Wire:
    raise layer.fail("hls4ml has no argmax; end the design at the layer before it, and compare the outputs outside")


LAYERS: dict[type[Layer], Callable[..., Wire]] = {
    Add: add, ArgMax: argmax, AvgPool: avgpool, Clamp: clamp, Concat: concat, Conv: conv, Dense: dense,
    Extremum: extremum, Leaky: leaky, Slopes: slopes,
    Lookup: lookup, MaxPool: maxpool, Multiply: multiply, Reorder: reorder, Reshape: reshape, Upsample: upsample}
