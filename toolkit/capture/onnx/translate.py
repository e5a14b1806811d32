"""The table of operators, and the walk over a file: ONNX in, steps out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolkit.capture.faults import Layer, Refused
from toolkit.capture.onnx import constants, images, moving, pointwise, quantisers, shaping, transposed, weighted
from toolkit.capture.onnx.file import CHANNELS_LAST, DOMAINS, QONNX_DOMAINS, QONNX_OPERATORS, File, Node, NodeError
from toolkit.capture.onnx.refusals import Refusals, is_never_supported, layer_of, multiplies_activations
from toolkit.capture.onnx.steps import Input, Network
from toolkit.capture.onnx.tensors import shown
from toolkit.capture.onnx.translator import Handler, Translator
from toolkit.capture.onnx.values import Value
from toolkit.capture.ways_out import BY_OPERATOR
from toolkit.utils.errors import InputError

OPERATORS: dict[str, Handler] = {**weighted.HANDLERS, **transposed.HANDLERS, **images.HANDLERS, **pointwise.HANDLERS,
                                **shaping.HANDLERS, **moving.HANDLERS}
"""Of activations. `constants.FUNCTIONS` has those that are evaluated, `quantisers.HANDLERS` QONNX's own."""
MOVING_CODES = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Slice", "Split", "Gather",
                "Concat", "Expand", "Tile", "DepthToSpace", "SpaceToDepth", "MaxPool", "GlobalMaxPool")
"""What may stand between a QuantizeLinear and its DequantizeLinear, as tf2onnx writes it."""
LAST = ("Conv", "MaxPool", "BatchNormalization")
PASSING = ("Quant", "IntQuant", "BipolarQuant", "QuantizeLinear", "DequantizeLinear", "Identity", "Relu", "Clip",
           "Cast", "Dropout")


def translate(file: File, requantise: bool = False) -> Network:
    """The steps of a file. Raises Refused, which has all of them, for nodes that have no hardware here."""
    try:
        return _translated(file, requantise)
    except Refused as error:
        raise error.within(f"'{file.path}': ") from error
    except InputError as error:
        raise InputError(f"'{file.path}': {error}") from error


def _translated(file: File, requantise: bool) -> Network:
    t = Translator(file, requantise)
    if file.codes:
        t.notes.append(f"the file reads codes of {file.codes}; a sample here is the numbers that they stand for")
    inputs = []
    for name, sample in file.inputs.items():
        axes = _input_axes(file, name)
        inputs.append(Input(name, tuple(sample[a] for a in axes), axes))
        t.values[name] = Value(name, inputs[-1].shape, tuple(axes.index(i) for i in range(len(axes))))
    layers = _collected(t, file)
    t.notes += [f"the file gives codes; an output here is such a code less its zero point of {t.codes[name][1]}"
                for name in file.outputs if name in t.codes]
    outputs = tuple(_end(t, file, name) for name in file.outputs)
    live = set(outputs)
    for step in reversed(t.steps):  # what a pattern has replaced is read by nothing any more
        if step.output in live:
            live.update(step.inputs)
    steps = tuple(step for step in t.steps if step.output in live)
    if not steps:
        raise InputError("computes nothing from its input; there is no hardware to make")
    for step in steps:
        numbers = [v for v in vars(step).values() if isinstance(v, np.ndarray)]
        if not all(np.isfinite(v).all() for v in [*numbers, getattr(step, "alpha", 0.0)]):
            raise step.fail("its weights or attributes are not finite")
    first = inputs[0]
    return Network(first.name, first.shape, first.axes, steps, outputs[0], tuple(t.notes), layers,
                   {n.label: n for n in file.nodes}, tuple(inputs), outputs)


def _end(t: Translator, file: File, name: str) -> str:
    """What makes the output `name`, its elements as ONNX sees them."""
    last = next((n for n in reversed(file.nodes) if name in n.outputs), file.nodes[-1])
    end = t.values.get(name)
    if isinstance(end, moving.Elsewhere):
        raise last.fail("moves the batch from its place in front, and nothing moves it back")
    if not isinstance(end, Value):
        what = "" if len(file.outputs) == 1 else f"the output {shown(name)} "
        raise InputError(f"{what}computes nothing from its input; there is no hardware to make" if not what else
                         f"{what}depends on no input; leave it out, it is a constant")
    if end.pads is not None:
        raise last.fail("pads zeros that nothing reads")
    return t.plain(last, end).name


def _collected(t: Translator, file: File) -> tuple[Layer, ...]:
    """Translate every node; the layers they are. Raises Refused with all that are not supported: what such a node makes
    is unknown, and what depends on it is only looked at for its operator."""
    refusals = Refusals(file)
    layers: dict[Layer, None] = {}
    for node in file.nodes:
        try:
            if t.unknown.keys().isdisjoint(node.inputs):
                _take(t, node)
                if isinstance(t.values.get(node.outputs[0]), Value):
                    layers[layer_of(node)] = None
            else:
                t.give_up(node)
                if not _known(node) or is_never_supported(node):
                    raise _unsupported(node)
                if multiplies_activations(t, node):
                    raise node.fail("multiplies activations with each other; only constant weights become hardware")
        except NodeError as error:
            t.give_up(node)
            refusals.add(node, error.why, whole=not _known(node))
        except InputError:
            if refusals:  # a limit: what was found before says more
                break
            raise
    if refusals:
        raise Refused(refusals.faults, tuple(layers))
    return tuple(layers)


def _take(t: Translator, node: Node) -> None:
    """Translate one node."""
    try:
        if node.branches:
            raise node.fail("holds a graph of its own; control flow is not supported")
        if not t.left_out.isdisjoint(node.outputs):
            t.set(node, t.value(node, 0))
        elif node.domain in CHANNELS_LAST and node.operator in LAST:
            _channels_last(t, node)
        elif node.domain in QONNX_DOMAINS and node.operator in QONNX_OPERATORS:
            quantisers.HANDLERS[node.operator](t, node)
        elif node.operator == "Constant":
            constants.constant(t, node)
        elif node.operator == "Shape" and node.domain in DOMAINS:
            constants.shape(t, node)
        elif node.operator in quantisers.LINEAR and node.domain in DOMAINS:
            quantisers.LINEAR[node.operator](t, node)
        elif not t.codes.keys().isdisjoint(node.inputs):
            if node.operator == "Clip":
                quantisers.clipped_codes(t, node)
            else:
                _moved_codes(t, node)
        elif t.all_constant(node) and constants.evaluate(t, node):
            return
        elif node.operator in OPERATORS and node.domain in DOMAINS:
            OPERATORS[node.operator](t, node)
        else:
            raise _unsupported(node)
    except (TypeError, ValueError, IndexError, KeyError, AttributeError, ArithmeticError) as error:
        # An attribute of another type than the operator's: a handler does not ask for each.
        raise node.fail(f"its attributes or constants are damaged: {str(error)[:120]}") from error


def _moved_codes(t: Translator, node: Node) -> None:
    """What moves codes, or takes the largest: it does the same to what they stand for."""
    if node.operator not in MOVING_CODES or node.domain not in DOMAINS:
        raise node.fail("works on codes; DequantizeLinear is to stand before it")
    found = {t.codes.get(name) for name in node.inputs if name in t.codes or isinstance(t.given(
        node, node.inputs.index(name)), Value)}
    scale = found.pop()
    if found or scale is None:
        raise node.fail("joins codes of several scales or zero points; DequantizeLinear is to stand before it")
    OPERATORS[node.operator](t, node)
    t.codes.update(dict.fromkeys(node.outputs, scale))


def _channels_last(t: Translator, node: Node) -> None:
    """An operator over an image whose channels stand last: the same, seen with its channels first."""
    x = t.value(node, 0)
    rank = len(x.seen)
    first, last = (rank - 1, *range(rank - 1)), (*range(1, rank), 0)
    inside = f"{node.outputs[0]} "  # names that no file's node can make
    names = [f"{inside}{i}" if i == 0 or (i == 1 and node.operator == "Conv") else name
             for i, name in enumerate(node.inputs)]
    t.values[names[0]] = replace(x, axes=tuple(x.axes[a] for a in first))
    if node.operator == "Conv":
        weight = t.constant(node, 1, "weight")
        t.values[names[1]] = weight.transpose(0, weight.ndim - 1, *range(1, weight.ndim - 1))
    OPERATORS[node.operator](t, replace(node, domain="", inputs=tuple(names), outputs=(inside,)))
    made = t.values.pop(inside)
    assert isinstance(made, Value)
    t.forget(made, inside)
    t.set(node, replace(made, axes=tuple(made.axes[a] for a in last)))


def _known(node: Node) -> bool:
    """Its operator is supported, at least in some place."""
    if node.branches:
        return False
    if node.domain in CHANNELS_LAST:
        return node.operator in LAST
    if node.domain in QONNX_DOMAINS:
        return node.operator in QONNX_OPERATORS
    return node.domain in DOMAINS and (node.operator in OPERATORS or node.operator in constants.FUNCTIONS
                                       or node.operator in ("Constant", "Shape", *quantisers.LINEAR))


def _unsupported(node: Node) -> NodeError:
    if node.branches:
        return node.fail("holds a graph of its own; control flow is not supported")
    where = "" if node.domain in DOMAINS else f" of the domain '{node.domain[:40]}'"
    way = BY_OPERATOR.get(node.operator)
    if way is not None:
        why = "" if "not supported" in way.why else f"this operator{where} is not supported: "
        return node.fail(f"{why}{way.why}; {way.way_out}")
    return node.fail(f"this operator{where} is not supported; known are {', '.join(sorted(OPERATORS))}, and QONNX's "
                     "Quant, BipolarQuant, Trunc and MultiThreshold")


def _input_axes(file: File, name: str) -> tuple[int, ...]:
    """How the axes of the file's samples become ours: channels-last images, whose first Transpose says that they are,
    go channels first; everything else stays."""
    rank = len(file.inputs[name])
    plain, last = tuple(range(rank)), (rank - 1, *range(rank - 1))
    while len(users := file.users.get(name, [])) == 1 and users[0].operator in PASSING:
        name = users[0].outputs[0]
    wanted = [0, *(a + 1 for a in last)]
    if users and rank in (2, 3) and all(u.domain in CHANNELS_LAST for u in users):
        return last
    if users and rank in (2, 3) and all(u.operator == "MatMul" and u.inputs[0] == name for u in users):
        return last  # rows of features
    turned = users and all(u.operator == "Transpose" and list(u.attributes.get("perm", ())) == wanted for u in users)
    return last if rank in (2, 3) and turned else plain

