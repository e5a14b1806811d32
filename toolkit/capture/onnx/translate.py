"""The table of operators, and the walk over a file: ONNX in, steps out."""

from __future__ import annotations

import numpy as np

from toolkit.capture.onnx import constants, images, moving, pointwise, quantisers, shaping, weighted
from toolkit.capture.onnx.file import DOMAINS, QONNX_DOMAINS, QONNX_OPERATORS, File, Node
from toolkit.capture.onnx.steps import Function, Network
from toolkit.capture.onnx.translator import Handler, Translator
from toolkit.capture.onnx.values import Value
from toolkit.utils.errors import InputError

OPERATORS: dict[str, Handler] = {**weighted.HANDLERS, **images.HANDLERS, **pointwise.HANDLERS, **shaping.HANDLERS,
                                **moving.HANDLERS}
"""Of activations. `constants.FUNCTIONS` has those that are evaluated, `quantisers.HANDLERS` QONNX's own."""
WHY_NOT = {
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger",
                     "MatMulInteger"), "export the float model, or one in the QONNX dialect (Quant nodes)"),
    "ConvTranspose": "use a nearest Resize and a Conv instead",
    **dict.fromkeys(("LayerNormalization", "InstanceNormalization", "GroupNormalization", "LpNormalization"),
                    "its scale depends on the data; use BatchNormalization, which folds into a layer's weights"),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "Loop", "Scan", "If"), "recurrence and control flow are not supported"),
}
PASSING = ("Quant", "IntQuant", "BipolarQuant", "Identity", "Relu", "Clip", "Cast", "Dropout")


def translate(file: File, requantise: bool = False) -> Network:
    """The steps of a file. Raises InputError for what has no hardware here, naming the node."""
    try:
        return _translated(file, requantise)
    except InputError as error:
        raise InputError(f"'{file.path}': {error}") from error


def _translated(file: File, requantise: bool) -> Network:
    t = Translator(file, requantise)
    axes = _input_axes(file)
    shape = tuple(file.input_shape[a] for a in axes)
    t.values[file.input] = Value(file.input, shape, tuple(axes.index(i) for i in range(len(axes))))
    for node in file.nodes:
        try:
            _take(t, node)
        except (TypeError, ValueError, IndexError, KeyError, AttributeError, ArithmeticError) as error:
            # An attribute of another type than the operator's: a handler does not ask for each.
            raise node.fail(f"its attributes or constants are damaged: {str(error)[:120]}") from error
    end = t.values[file.output]
    last = file.nodes[-1]
    if isinstance(end, moving.Elsewhere):
        raise last.fail("moves the batch from its place in front, and nothing moves it back")
    if not isinstance(end, Value):
        raise InputError("computes nothing from its input; there is no hardware to make")
    if end.pads is not None:
        raise last.fail("pads zeros that nothing reads")
    end = t.plain(last, end)
    live = {end.name}
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
    if any(isinstance(s, Function) and s.function == "erf" for s in steps):
        raise InputError("holds an Erf that is not part of a GELU, which is not supported")
    return Network(file.input, shape, axes, steps, end.name, tuple(t.notes))


def _take(t: Translator, node: Node) -> None:
    """Translate one node."""
    if node.domain in QONNX_DOMAINS and node.operator in QONNX_OPERATORS:
        quantisers.HANDLERS[node.operator](t, node)
    elif node.operator == "Constant":
        constants.constant(t, node)
    elif node.operator == "Shape" and node.domain in DOMAINS:
        constants.shape(t, node)
    elif t.all_constant(node) and constants.evaluate(t, node):
        return
    elif node.operator in OPERATORS and node.domain in DOMAINS:
        OPERATORS[node.operator](t, node)
    else:
        where = "" if node.domain in DOMAINS else f" of the domain '{node.domain[:40]}'"
        raise node.fail(f"this operator{where} is not supported: "
                        + WHY_NOT.get(node.operator, f"known are {', '.join(sorted(OPERATORS))}, and QONNX's Quant, "
                                                     "BipolarQuant and Trunc"))


def _input_axes(file: File) -> tuple[int, ...]:
    """How the axes of the file's samples become ours: channels-last images, whose first Transpose says that they are,
    go channels first; everything else stays."""
    rank = len(file.input_shape)
    plain = tuple(range(rank))
    name, last = file.input, (rank - 1, *range(rank - 1))
    while len(users := file.users.get(name, [])) == 1 and users[0].operator in PASSING:
        name = users[0].outputs[0]
    wanted = [0, *(a + 1 for a in last)]
    if users and rank in (2, 3) and all(u.operator == "MatMul" and u.inputs[0] == name for u in users):
        return last  # rows of features
    turned = users and all(u.operator == "Transpose" and list(u.attributes.get("perm", ())) == wanted for u in users)
    return last if rank in (2, 3) and turned else plain

