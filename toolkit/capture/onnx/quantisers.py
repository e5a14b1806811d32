"""QONNX's Quant, BipolarQuant and Trunc, and ONNX's own QuantizeLinear and DequantizeLinear, of constants (evaluated)
and of activations (steps)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from toolkit.capture.onnx.file import Node
from toolkit.capture.onnx.steps import Bipolar, Quant, Threshold, Truncate
from toolkit.capture.onnx.translator import Handler, Translator

MAX_BITS = 32
ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ROUND": np.round, "HALF_EVEN": np.round, "FLOOR": np.floor, "CEIL": np.ceil, "DOWN": np.fix,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
}
"""As the dialect defines them: UP and the halves go away from zero, DOWN towards it."""


def quant(t: Translator, node: Node) -> None:
    """Quant(x, scale, zero point, bit width)."""
    scale = _scales(t, node, 1)
    zero = _whole(node, t.constant(node, 2, "zero point"), "zero point")
    bits = int(_whole(node, t.constant(node, 3, "bit width"), "bit width").reshape(-1)[0])
    if not 1 <= bits <= MAX_BITS:
        raise node.fail(f"a bit width of {bits} is outside 1..{MAX_BITS}")
    signed, narrow = bool(node.attributes.get("signed", 1)), bool(node.attributes.get("narrow", 0))
    low, high = bounds(bits, signed, narrow)
    rounding = _rounding(node, "ROUND")
    if t.all_constant(node):
        t.set(node, _quantised(node, t.constant(node, 0, "input"), scale, zero, bits, signed, low, high, rounding))
    elif bits == 1 and signed:
        t.set(node, t.like(node, Bipolar, t.value(node, 0), scale=_one(node, scale, "scale")))
    else:
        t.set(node, t.like(node, Quant, t.value(node, 0), scale=_one(node, scale, "scale"),
                           zero=int(_one(node, zero, "zero point")), low=low, high=high, rounding=rounding))


def bounds(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    """The least and the largest code."""
    if signed:
        return -(1 << (bits - 1)) + narrow, (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1 - narrow


def _quantised(node: Node, x: np.ndarray, scale: np.ndarray, zero: np.ndarray, bits: int, signed: bool, low: int,
               high: int, rounding: str) -> np.ndarray:
    try:
        y = x.astype(np.float32) / scale + zero.astype(np.float32)
        codes = np.where(y >= 0, 1.0, -1.0) if bits == 1 and signed else ROUNDINGS[rounding](np.clip(y, low, high))
        return ((codes - zero) * scale).astype(np.float64)
    except ValueError as error:
        raise node.fail(f"scale {scale.shape} and zero point {zero.shape} do not fit {x.shape}") from error


def bipolar(t: Translator, node: Node) -> None:
    """BipolarQuant(x, scale)."""
    scale = _scales(t, node, 1)
    if t.all_constant(node):
        t.set(node, (np.where(t.constant(node, 0, "input") >= 0, 1.0, -1.0) * scale).astype(np.float64))
    else:
        t.set(node, t.like(node, Bipolar, t.value(node, 0), scale=_one(node, scale, "scale")))


def trunc(t: Translator, node: Node) -> None:
    """Trunc(x, scale, zero point, input bits, output bits) of version 1; version 2 has the output's scale before its
    bits, and clamps."""
    scale = _one(node, _scales(t, node, 1), "scale")
    if np.any(t.constant(node, 2, "zero point") != 0):
        raise node.fail("has a zero point; a Trunc without one is supported")
    before, *_, after = (int(_whole(node, t.constant(node, i, "bit width"), "bit width").reshape(-1)[0])
                         for i in (3, len(node.inputs) - 1))
    rounding = _rounding(node, "FLOOR")
    if len(node.inputs) == 6:
        output = _one(node, _scales(t, node, 4), "output scale")
        shift = round(math.log2(output / scale))
        low, high = bounds(after, bool(node.attributes.get("signed", 1)), bool(node.attributes.get("narrow", 0)))
        t.set(node, t.like(node, Truncate, t.value(node, 0), scale=scale, bits=shift, output_scale=output, low=low,
                           high=high, rounding=rounding))
    elif len(node.inputs) == 5 and before >= after:
        t.set(node, t.like(node, Truncate, t.value(node, 0), scale=scale, bits=before - after, output_scale=scale,
                           low=None, high=None, rounding=rounding))
    else:
        raise node.fail(f"has {len(node.inputs)} inputs, from {before} to {after} bits, which is not a truncation")


def multi_threshold(t: Translator, node: Node) -> None:
    """FINN's MultiThreshold(x, thresholds): how many of a channel's thresholds x reaches."""
    found = t.constant(node, 1, "thresholds").astype(np.float64)
    x = t.value(node, 0)
    layout = str(node.attributes.get("data_layout", "")) or {1: "NC", 2: "NWC", 3: "NCHW"}.get(len(x.seen), "")
    place = layout.find("C") - 1 if "C" in layout else 0
    if found.ndim != 2 or not 0 <= place < len(x.seen) or len(found) not in (1, x.seen[place]):
        raise node.fail(f"its thresholds of shape {found.shape} do not fit a sample of shape {x.seen} in {layout[:8]}")
    if x.axes[place] != 0:
        raise node.fail("its channels lie along another axis than the weights before it make them")
    scale, offset = float(node.attributes.get("out_scale", 1.0)), float(node.attributes.get("out_bias", 0.0))
    if not scale > 0:
        raise node.fail(f"its out_scale of {scale:g} is not positive")
    each = np.sort(np.broadcast_to(found, (x.shape[0], found.shape[1])), axis=1)
    if x.order is not None:
        turned = np.empty_like(each)
        turned[x.order] = each
        each = turned
    t.set(node, t.like(node, Threshold, x, thresholds=each, scale=scale, offset=offset))


def quantise_linear(t: Translator, node: Node) -> None:
    """QuantizeLinear(x, scale, zero point): codes, which DequantizeLinear reads, and a Clip may narrow."""
    scale = _scales(t, node, 1)
    zero = t.optional(node, 2, "zero point")
    zero = np.zeros(scale.shape, np.uint8) if zero is None else np.asarray(zero)
    if zero.dtype.kind not in "iu" or zero.dtype.itemsize > 2:
        raise node.fail(f"its zero point is of the type {zero.dtype}; integers of 8 and 16 bits are supported")
    ends = np.iinfo(zero.dtype)
    if t.all_constant(node):
        x = t.constant(node, 0, "input")
        scale, zero = (_along(node, a, x) for a in (scale, zero))
        t.set(node, np.clip(np.rint(x.astype(np.float32) / scale) + zero, ends.min, ends.max).astype(np.float64))
        return
    one = _one(node, scale, "scale"), int(_one(node, zero, "zero point"))
    # It rounds before it adds the zero point: the code less that point is what a Quant without one makes.
    t.set(node, t.like(node, Quant, t.value(node, 0), scale=one[0], zero=0, low=int(ends.min) - one[1],
                       high=int(ends.max) - one[1], rounding="ROUND"))
    t.codes[node.outputs[0]] = one


def dequantise_linear(t: Translator, node: Node) -> None:
    """DequantizeLinear(codes, scale, zero point): what the codes stand for."""
    scale = _scales(t, node, 1)
    zero = t.optional(node, 2, "zero point")
    zero = np.zeros(scale.shape, np.int64) if zero is None else np.asarray(zero).astype(np.int64)
    if t.all_constant(node):
        x = t.constant(node, 0, "input")
        scale, zero = (_along(node, a, x) for a in (scale, zero))
        t.set(node, ((x - zero).astype(np.float32) * scale).astype(np.float64))
        return
    if t.codes.get(node.inputs[0]) != (_one(node, scale, "scale"), int(_one(node, zero, "zero point"))):
        raise node.fail("reads what no QuantizeLinear of its own scale and zero point made")
    t.set(node, t.value(node, 0))


def clipped_codes(t: Translator, node: Node) -> None:
    """A Clip between QuantizeLinear and DequantizeLinear, as Brevitas writes it: fewer codes."""
    x = t.value(node, 0)
    before = t.producer(x)
    if not isinstance(before, Quant):
        raise node.fail("clips codes that more than one node reads; quantise them apart")
    ends = [t.optional(node, place, "bound") for place in (1, 2)]
    zero = t.codes[node.inputs[0]][1]
    low, high = (default if end is None else int(_one(node, end, "bound")) - zero
                 for end, default in zip(ends, (before.low, before.high), strict=True))
    t.replace(replace(before, low=max(before.low, low), high=min(before.high, high)))
    t.set(node, x)
    t.codes[node.outputs[0]] = t.codes[node.inputs[0]]


def _along(node: Node, numbers: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Numbers of a scale or zero point such that they lie along their axis of `x`."""
    if numbers.size == 1:
        return numbers.reshape(())
    axis = int(node.attributes.get("axis", 1))
    if numbers.ndim != 1 or not -x.ndim <= axis < x.ndim or x.shape[axis] != numbers.size:
        raise node.fail(f"scales of shape {numbers.shape} do not fit axis {axis} of shape {x.shape}")
    return numbers.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


def _scales(t: Translator, node: Node, index: int) -> np.ndarray:
    """A scale of one or more numbers; float32."""
    scale = np.asarray(t.constant(node, index, "scale"), np.float32)
    if not scale.size or not (np.isfinite(scale).all() and (scale > 0).all()):
        raise node.fail("its scale is not positive")
    return scale


def _one(node: Node, array: np.ndarray, what: str) -> float:
    flat = array.reshape(-1)
    if (flat != flat[0]).any():
        raise node.fail(f"an activation with a {what} for each channel; one for all is supported")
    return float(flat[0])


def _whole(node: Node, array: np.ndarray, what: str) -> np.ndarray:
    array = np.asarray(array)
    if not array.size or (array != np.rint(array)).any() or np.abs(array).max() > 1 << 31:
        raise node.fail(f"its {what} is not a whole number")
    return array


def _rounding(node: Node, default: str) -> str:
    found = str(node.attributes.get("rounding_mode", default)).upper()
    if found not in ROUNDINGS:
        raise node.fail(f"the rounding mode '{found[:40]}' is not known; known are {', '.join(ROUNDINGS)}")
    return found


LINEAR: dict[str, Handler] = {"QuantizeLinear": quantise_linear, "DequantizeLinear": dequantise_linear}
HANDLERS: dict[str, Handler] = {"Quant": quant, "IntQuant": quant, "BipolarQuant": bipolar, "Trunc": trunc,
                                "MultiThreshold": multi_threshold}
