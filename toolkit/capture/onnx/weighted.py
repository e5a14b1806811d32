"""Operators with weights: MatMul, Gemm, Conv, BatchNormalization, and arithmetic with constants."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from toolkit.capture.curve import Op
from toolkit.capture.onnx import elementwise
from toolkit.capture.onnx.file import Node
from toolkit.capture.onnx.gates import gated
from toolkit.capture.onnx.moving import taken
from toolkit.capture.onnx.steps import (
    Affine,
    Convolve,
    ConvolveTransposed,
    Function,
    Linear,
    Plus,
    Reshaped,
    Times,
)
from toolkit.capture.onnx.translator import Handler, Translator
from toolkit.capture.onnx.values import Value
from toolkit.capture.onnx.window import window
from toolkit.utils.limits import MAX_VALUE


def matmul(t: Translator, node: Node) -> None:
    """x @ weights of shape (in, out), on every row of features; weights @ x the same on every column."""
    left = not isinstance(t.given(node, 0), Value)
    matrix = t.constant(node, 0 if left else 1, "weight")
    if matrix.ndim > 2 and prod(matrix.shape[:-2]) == 1:
        matrix = matrix.reshape(matrix.shape[-2:])
    if not left:
        _linear(t, node, matrix, None)
        return
    x = t.value(node, 1)
    if matrix.ndim != 2 or len(x.seen) < 2 or x.seen[-2] != matrix.shape[1]:
        raise node.fail(f"a weight of shape {matrix.shape} from the left does not fit a sample of shape {x.seen}")
    t.set(node, _mixed(t, node, x, len(x.seen) - 2, matrix.astype(np.float64), np.zeros(len(matrix))))


def gemm(t: Translator, node: Node) -> None:
    """alpha * x @ weights + beta * bias."""
    a = node.attributes
    if a.get("transA", 0):
        raise node.fail("transposes its input (transA), which mixes samples")
    matrix = t.constant(node, 1, "weight")
    if matrix.ndim != 2:
        raise node.fail(f"its weight is of shape {matrix.shape}; a matrix is expected")
    matrix = (matrix.T if a.get("transB", 0) else matrix) * np.float64(a.get("alpha", 1.0))
    bias = t.optional(node, 2, "bias")
    _linear(t, node, matrix, None if bias is None else bias * np.float64(a.get("beta", 1.0)))


def _linear(t: Translator, node: Node, matrix: np.ndarray, bias: np.ndarray | None) -> None:
    x = t.value(node, 0)
    if matrix.ndim != 2 or not matrix.size:
        raise node.fail(f"its weight is of shape {matrix.shape}; a matrix is expected")
    if not x.seen or x.seen[-1] != matrix.shape[0]:
        raise node.fail(f"a weight of shape {matrix.shape} does not fit an input of shape {x.seen}")
    weight = matrix.T.astype(np.float64)
    out = len(weight)
    bias = np.zeros(out) if bias is None else bias.astype(np.float64)
    if bias.size not in (1, out):
        raise node.fail(f"a bias of shape {bias.shape} does not fit {out} outputs")
    bias = np.broadcast_to(bias.reshape(-1), (out,)).copy()
    seen = x.seen
    if x.size != seen[-1]:
        t.set(node, _mixed(t, node, x, len(seen) - 1, weight, bias))
        return
    x = t.vector(node, x)
    if x.order is not None:
        turned = np.empty_like(weight)
        turned[:, x.order] = weight
        weight = turned
    made = t.step(node, Linear, (x,), (out,), weight=weight, bias=bias)
    if len(seen) > 1:  # leading axes of one element
        made = Value(t.step(node, Reshaped, (made,), (*seen[:-1], out)).name, (*seen[:-1], out),
                     tuple(range(len(seen))))
    t.set(node, made)


def _mixed(t: Translator, node: Node, x: Value, axis: int, weight: np.ndarray, bias: np.ndarray) -> Value:
    """`weight @ x + bias` along one axis that is seen, at every place of the others: a convolution of one pixel."""
    if x.axes[axis] != 0:
        x = t.leading(node, x, axis)
    rank = len(x.shape) - 1
    if rank > 2:
        raise node.fail(f"a sample of shape {x.seen} has too many axes for rows of features; flatten some of them")
    ones = (1,) * rank
    made = t.step(node, Convolve, (x,), (len(weight), *x.shape[1:]), weight=weight.reshape(*weight.shape, *ones),
                  bias=bias, stride=ones, padding=((0, 0),) * rank, dilation=ones, groups=1)
    return Value(made.name, made.shape, x.axes)


def conv(t: Translator, node: Node) -> None:
    """Convolution over one or two spatial axes."""
    weight = t.constant(node, 1, "weight").astype(np.float64)
    bias = t.optional(node, 2, "bias")
    x = t.value(node, 0)
    pads, x = x.pads, t.plain(node, replace(x, pads=None))
    groups = node.attributes.get("group", 1)
    if len(x.shape) not in (2, 3) or weight.ndim != len(x.shape) + 1 or not weight.size:
        raise node.fail(f"a weight of shape {weight.shape} does not fit a sample of shape {x.shape}; 1-D and 2-D "
                        "convolutions are supported")
    if groups < 1 or weight.shape[1] * groups != x.shape[0] or len(weight) % groups:
        raise node.fail(f"a weight of shape {weight.shape} in {groups} groups does not fit {x.shape[0]} channels")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise node.fail(f"a bias of shape {bias.shape} does not fit {len(weight)} channels")
    found = window(node, x.shape, weight.shape[2:], pads)
    t.set(node, t.step(node, Convolve, (x,), (len(weight), *found.outputs), weight=weight,
                       bias=np.zeros(len(weight)) if bias is None else bias.astype(np.float64), stride=found.stride,
                       padding=found.padding, dilation=found.dilation, groups=groups))


def batch_norm(t: Translator, node: Node) -> None:
    """A scale and an offset for each channel, from the stored statistics."""
    training = node.attributes.get("training_mode", 0) or len([name for name in node.outputs if name]) > 1
    if training or node.attributes.get("spatial", 1) == 0:
        raise node.fail("computes its statistics from the data; export the model in evaluation mode")
    gamma, beta, mean, variance = (t.constant(node, i, "statistics").astype(np.float64) for i in range(1, 5))
    x = t.value(node, 0)
    shapes = {gamma.shape, beta.shape, mean.shape, variance.shape}
    if shapes != {(x.seen[0],)}:
        raise node.fail(f"its statistics do not fit {x.seen[0]} channels")
    if (variance < 0).any():
        raise node.fail("its variance is negative")
    scale = gamma / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    lifted = (-1,) + (1,) * (len(x.seen) - 1)
    t.set(node, affine(t, node, x, scale.reshape(lifted), (beta - mean * scale).reshape(lifted)))


def arithmetic(t: Translator, node: Node) -> None:
    """Add, Sub, Mul, Div: of two activations, or with a constant."""
    if len(node.inputs) != 2:
        raise node.fail(f"has {len(node.inputs)} inputs; two are expected")
    first, second = (t.given(node, i) for i in range(2))
    if isinstance(first, Value) and isinstance(second, Value):
        _of_two(t, node, t.value(node, 0), t.value(node, 1))
        return
    x = t.value(node, 0 if isinstance(first, Value) else 1)
    c = t.constant(node, 1 if isinstance(first, Value) else 0, "operand").astype(np.float64)
    if t.file.opset < 7 and node.attributes.get("broadcast", 0) and "axis" in node.attributes:
        axis = node.attributes["axis"]  # the constant's axes begin there, counted with the batch
        c = c.reshape(*c.shape, *(1,) * (len(x.seen) + 1 - axis % (len(x.seen) + 1) - c.ndim))
    ones, zeros = np.ones_like(c), np.zeros_like(c)
    if node.operator == "Add":
        scale, offset = ones, c
    elif node.operator == "Mul":
        scale, offset = c, zeros
    elif node.operator == "Sub":
        scale, offset = (ones, -c) if isinstance(first, Value) else (-ones, c)
    elif isinstance(first, Value) and (c != 0).all():
        scale, offset = 1 / c, zeros
    elif not isinstance(first, Value) and c.size and (c == c.flat[0]).all():
        elementwise.put(t, node, x, Op("reciprocal", (0,)), Op("affine", (1,), (float(c.flat[0]), 0.0)))
        return
    else:
        raise node.fail("divides by zero, or several constants by what a layer made; one number over it is a table")
    t.set(node, affine(t, node, x, scale, offset))


def _of_two(t: Translator, node: Node, a: Value, b: Value) -> None:
    if node.operator == "Mul":
        found = gated(t, a, b) or gated(t, b, a)
        if found is not None:
            name, factor, x = found
            made = t.like(node, Function, x, function=name)
            t.set(node, affine(t, node, made, np.full(1, factor), np.zeros(1)))
            return
    if a.seen == b.seen and a.name != b.name and elementwise.fused(
            t, node, elementwise.PAIRS[node.operator], (a, b), bent=node.operator in ("Add", "Sub")):
        return
    if node.operator == "Mul":
        t.set(node, times(t, node, a, b))
        return
    if node.operator not in ("Add", "Sub"):
        raise node.fail("divides one activation by another; of two, Add, Sub, Mul, Max and Min are supported")
    if node.operator == "Sub":
        b = negated(t, node, b)
    t.set(node, plus(t, node, *aligned(t, node, a, b)))


def total(t: Translator, node: Node) -> None:
    """Sum of any number of activations."""
    found = t.value(node, 0)
    for i in range(1, len(node.inputs)):
        found = plus(t, node, *aligned(t, node, found, t.value(node, i)))
    t.set(node, found)


def negative(t: Translator, node: Node) -> None:
    """Neg."""
    t.set(node, affine(t, node, t.value(node, 0), np.full(1, -1.0), np.zeros(1)))


def negated(t: Translator, node: Node, x: Value) -> Value:
    """-x as a step of its own, as something else reads x too."""
    return t.like(node, Affine, x, scale=np.full(x.shape[0], -1.0), offset=np.zeros(x.shape[0]))


def aligned(t: Translator, node: Node, a: Value, b: Value) -> tuple[Value, Value]:
    """Both of one shape: axes of one element are repeated."""
    if a.seen == b.seen:
        return a, b
    if len(a.seen) != len(b.seen) or any(n != m and 1 not in (n, m) for n, m in zip(a.seen, b.seen, strict=True)):
        raise node.fail(f"combines shapes {a.seen} and {b.seen}; they must be equal, or 1 where they differ")
    wanted = np.broadcast_shapes(a.seen, b.seen)
    if prod(wanted) > MAX_VALUE:
        raise node.fail(f"makes {prod(wanted):,} elements a sample; {MAX_VALUE:,} are supported")
    both = [taken(t, node, x, np.broadcast_to(np.arange(x.size).reshape(x.seen), wanted)) for x in (a, b)]
    return both[0], both[1]


def plus(t: Translator, node: Node, a: Value, b: Value) -> Value:
    """The sum of two activations of one shape."""
    a, b = same_order(t, node, a, b)
    made = t.step(node, Plus, (a, b), a.shape)
    return Value(made.name, a.shape, a.axes, a.order)


def times(t: Translator, node: Node, a: Value, b: Value) -> Value:
    """The product of two activations; axes of one element are repeated by what computes it."""
    if a.name == b.name and a.axes == b.axes and a.order is b.order:
        return t.like(node, Function, a, function="square")
    if len(a.seen) != len(b.seen) or any(n != m and 1 not in (n, m) for n, m in zip(a.seen, b.seen, strict=True)):
        raise node.fail(f"multiplies shapes {a.seen} and {b.seen}; they must be equal, or 1 where they differ")
    wanted = np.broadcast_shapes(a.seen, b.seen)
    if prod(wanted) > MAX_VALUE:
        raise node.fail(f"makes {prod(wanted):,} elements a sample; {MAX_VALUE:,} are supported")
    a, b = (_as_lying(t, node, one, other) for one, other in ((a, b), (b, a)))
    if a.axes != b.axes or a.order is not None or b.order is not None:
        a, b = t.plain(node, a), t.plain(node, b)
    made = t.step(node, Times, (a, b), tuple(np.broadcast_shapes(a.shape, b.shape)))
    return Value(made.name, made.shape, a.axes)


def _as_lying(t: Translator, node: Node, x: Value, other: Value) -> Value:
    """`x` with its axes as those of `other`, which is larger, where nothing but axes of one element must move."""
    if x.axes == other.axes or x.order is not None or x.size >= other.size:
        return x
    lies = tuple(x.seen[i] for i in np.argsort(other.axes))
    if [n for n in lies if n > 1] != [n for n in x.shape if n > 1]:
        return x
    return Value(t.step(node, Reshaped, (x,), lies).name, lies, other.axes)


def same_order(t: Translator, node: Node, a: Value, b: Value) -> tuple[Value, Value]:
    """Two activations such that their elements lie alike."""
    same = a.axes == b.axes and (a.order is b.order or (a.order is not None and b.order is not None
                                                        and np.array_equal(a.order, b.order)))
    if not same:
        a, b = t.plain(node, a), t.plain(node, b)
    return a, b


def affine(t: Translator, node: Node, x: Value, scale: np.ndarray, offset: np.ndarray) -> Value:
    """`scale * x + offset`, taken into the weights before it where they are this node's alone."""
    scale, offset = _level(x, lying(node, x, scale), lying(node, x, offset))
    if (scale == 1).all() and not offset.any():
        return x
    before = t.producer(x)
    if isinstance(before, Affine):
        scale, offset, factor, constant = _level(x, scale, offset, before.scale, before.offset)
        scale, offset = factor * scale, constant * scale + offset
        if np.allclose(scale, 1, rtol=1e-6, atol=0) and not offset.any():
            t.drop()
            return Value(before.inputs[0], x.shape, x.axes, x.order)
        t.replace(replace(before, scale=scale, offset=offset))
        return x
    if isinstance(before, Linear | Convolve | ConvolveTransposed) and scale.ndim == 1:
        lifted = scale.reshape((-1,) + (1,) * (before.weight.ndim - 1))
        t.replace(replace(before, weight=before.weight * lifted, bias=before.bias * scale + offset))
        return x
    return t.like(node, Affine, x, scale=scale, offset=offset)


def _level(x: Value, *values: np.ndarray) -> list[np.ndarray]:
    """Numbers of a channel, or of an element where any of them are."""
    if all(v.ndim == 1 for v in values):
        return list(values)
    ones = (1,) * (len(x.shape) - 1)
    return [np.broadcast_to(v if v.ndim > 1 else v.reshape(-1, *ones), x.shape) for v in values]


def lying(node: Node, x: Value, constant: np.ndarray) -> np.ndarray:
    """A constant as ONNX would broadcast it over a batch of x: one number a channel (or feature) where that is enough,
    else one for each element of x as it lies."""
    if constant.size == 1:
        return np.full(x.shape[0], constant.reshape(()).item())
    seen = constant
    if constant.ndim > len(x.seen):
        if constant.ndim != len(x.seen) + 1 or constant.shape[0] != 1:
            raise node.fail(f"a constant of shape {constant.shape} differs from sample to sample")
        seen = constant[0]
    try:
        if np.broadcast_shapes(seen.shape, x.seen) != x.seen:
            raise ValueError
    except ValueError:
        raise node.fail(f"a constant of shape {constant.shape} does not fit a sample of shape {x.seen}") from None
    lifted = seen.reshape((1,) * (len(x.seen) - seen.ndim) + seen.shape)
    lies = lifted.transpose(np.argsort(x.axes))  # axis a of what lies is the seen axis that maps to it
    if prod(lies.shape[1:]) != 1:
        return np.broadcast_to(lies, x.shape).copy()
    flat = np.broadcast_to(lies.reshape(-1), (x.shape[0],))
    if x.order is None:
        return flat.copy()
    turned = np.empty(x.shape[0])
    turned[x.order] = flat
    return turned


HANDLERS: dict[str, Handler] = {"MatMul": matmul, "Gemm": gemm, "Conv": conv, "BatchNormalization": batch_norm,
                                **dict.fromkeys(("Add", "Sub", "Mul", "Div"), arithmetic),
                                "Neg": negative, "Sum": total}
