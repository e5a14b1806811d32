"""Reading an .onnx file from a stranger: the protobuf is vetted as it stands, before any array is made of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from toolkit.capture.onnx.tensors import declared, shown, to_array, type_name
from toolkit.design.ports import MAX_PORTS
from toolkit.utils.errors import InputError
from toolkit.utils.limits import MAX_AXES, MAX_VALUE

MAX_BYTES = 2 << 30
MAX_NODES = 20_000
MAX_STORED = 1 << 29
"""Elements of all constants together."""
OPSETS = (6, 23)
DOMAINS = ("", "ai.onnx")
QONNX_DOMAINS = ("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas")
KINDS = {
    **dict.fromkeys(("perm", "pads", "kernel_shape", "strides", "dilations", "axes", "shape", "starts", "ends",
                     "output_padding", "split"), onnx.AttributeProto.INTS),
    **dict.fromkeys(("axis", "group", "keepdims", "transA", "transB", "ceil_mode", "count_include_pad", "allowzero",
                     "to", "signed", "narrow", "select_last_index", "training_mode", "spatial", "start", "end",
                     "noop_with_empty_axes", "blocksize", "broadcast", "num_outputs", "batch_dims",
                     "largest", "sorted", "k"),
                    onnx.AttributeProto.INT),
    **dict.fromkeys(("alpha", "beta", "epsilon", "min", "max", "out_scale", "out_bias", "lambd", "bias",
                     "gamma"), onnx.AttributeProto.FLOAT),
    **dict.fromkeys(("auto_pad", "mode", "rounding_mode", "approximate", "coordinate_transformation_mode",
                     "nearest_mode", "out_dtype", "data_layout"), onnx.AttributeProto.STRING),
    "scales": onnx.AttributeProto.FLOATS,
}
"""What attributes hold, by name, whatever operator has them."""
CHANNELS_LAST = ("qonnx.custom_op.channels_last", "finn.custom_op.channels_last")
"""QONNX's domain of Conv, MaxPool and BatchNormalization over images whose channels stand last."""
QONNX_OPERATORS = ("Quant", "IntQuant", "BipolarQuant", "Trunc", "MultiThreshold")
CODES: dict[int, str] = {onnx.TensorProto.INT8: "int8", onnx.TensorProto.UINT8: "uint8",
                         onnx.TensorProto.INT16: "int16", onnx.TensorProto.UINT16: "uint16"}
"""Types of an input that holds codes, as converters of TFLite write it."""
LINEAR = ("QuantizeLinear", "DequantizeLinear")
"""ONNX's own way to write quantised networks (QDQ)."""


NO_TEXT = "a name in it is no text in UTF-8; the file is damaged"
"""Where a name is none, protobuf gives its bytes."""
SCOPES, CLASSES = "pkg.torch.onnx.name_scopes", "pkg.torch.onnx.class_hierarchy"
"""Where PyTorch's exporter writes the modules around a node: their paths, and their classes."""
MAX_SCOPES = 32


class NodeError(InputError):
    """A node that is not supported: `origin` is its label, `why` what is told of it."""

    def __init__(self, origin: str, why: str) -> None:
        super().__init__(f"the node {origin}: {why}")
        self.origin, self.why = origin, why


@dataclass(frozen=True, eq=False)
class Node:
    """One operator. `inputs` holds '' for one that is left out; `attributes` are Python values, without graphs, which
    `branches` says are there; `modules` are (path, class) of the modules around it, where the file tells."""

    operator: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    branches: bool = False
    modules: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """What errors call it: its name, or the name of what it makes."""
        return f"{shown(self.name or (self.outputs[0] if self.outputs else '?'))} ({self.operator[:40]})"

    def fail(self, why: str) -> NodeError:
        return NodeError(self.label, why)


@dataclass(frozen=True, eq=False)
class File:
    """What an .onnx file says, vetted: `nodes` stand in an order in which each reads only what was made before it, and
    some output depends on every one. `inputs`: the shape of one sample of each; `batch` is None where it is dynamic.
    `constant` makes an array of an initializer by name; `stored` counts the elements of all of them. `codes`: the type
    of the codes that the file itself reads, where an input is no float; a QuantizeLinear stands behind it here."""

    path: Path
    opset: int
    domains: dict[str, int]
    inputs: dict[str, tuple[int, ...]]
    batch: int | None
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    initializers: frozenset[str]
    constant: Callable[[str], np.ndarray]
    stored: int
    codes: str = ""
    input_type: str = ""
    """What a FINN annotation says of the input: INT4, BIPOLAR; empty where there is none."""

    @property
    def input(self) -> str:
        """The first input: the one, of most networks."""
        return next(iter(self.inputs))

    @property
    def output(self) -> str:
        """The first output."""
        return self.outputs[0]

    @property
    def quantised(self) -> bool:
        """Some node quantises: it is of the QONNX dialect, or QDQ."""
        return any((n.operator in QONNX_OPERATORS and n.domain in QONNX_DOMAINS)
                   or (n.operator in LINEAR and n.domain in DOMAINS) for n in self.nodes)

    @cached_property
    def users(self) -> dict[str, list[Node]]:
        """The nodes that read each value."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found.setdefault(name, []).append(node)
        return found


def read(path: Path | str) -> File:
    """Read and vet an .onnx file. Raises InputError, one sentence, for whatever is wrong with it."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"the model '{path}' does not exist")
    size = path.stat().st_size
    if size == 0:
        raise InputError(f"the model '{path}' is empty")
    if size > MAX_BYTES:
        raise InputError(f"the model '{path}' is larger than {MAX_BYTES >> 30} GiB; store its weights as external data")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except (DecodeError, RuntimeError, ValueError) as error:
        raise InputError(f"'{path}' is not an .onnx file, or a truncated one") from error
    except OSError as error:
        raise InputError(f"the model '{path}' cannot be read: {error.strerror or error}") from error
    try:
        return _vetted(path, model)
    except InputError as error:
        raise InputError(f"'{path}': {error}") from error


def _vetted(path: Path, model: onnx.ModelProto) -> File:
    graph = model.graph
    if not graph.node:
        raise InputError("holds no graph; it is not an .onnx file, or a truncated one")
    if len(graph.node) > MAX_NODES:
        raise InputError(f"has {len(graph.node):,} nodes; {MAX_NODES:,} is the most supported")
    if not all(isinstance(one.name, str) for one in (*graph.initializer, *graph.input, *graph.output)):
        raise InputError(NO_TEXT)
    domains = {o.domain: o.version for o in model.opset_import}
    opset = domains.get("", domains.get("ai.onnx", 0))
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise InputError(f"is of opset {opset}; opsets {OPSETS[0]} to {OPSETS[1]} are supported, so export it with "
                         f"opset_version={OPSETS[1] if opset > OPSETS[1] else 13}")
    if graph.sparse_initializer:
        raise InputError("holds sparse constants; store them densely")
    stored = {t.name: t for t in graph.initializer}
    inputs = [i for i in graph.input if i.name not in stored]
    if not (0 < len(inputs) <= MAX_PORTS and 0 < len(graph.output) <= MAX_PORTS):
        raise InputError(f"has {len(inputs)} inputs and {len(graph.output)} outputs; 1 to {MAX_PORTS} of each are "
                         "supported")
    if len({i.name for i in inputs}) != len(inputs) or len({o.name for o in graph.output}) != len(graph.output):
        raise InputError("gives two of its inputs, or two of its outputs, one name")
    shapes, batches, codes = zip(*map(_input, inputs), strict=True)
    fixed = {batch for batch in batches if batch is not None}
    if len(fixed) > 1:
        raise InputError(f"has inputs of different batch sizes, {min(fixed)} and {max(fixed)}; export it with one, or "
                         "with a dynamic batch")
    elements = sum(declared(t) for t in stored.values())
    if elements > MAX_STORED:
        raise InputError(f"its constants declare {elements:,} elements; {MAX_STORED:,} is the most supported")
    outputs, names = tuple(o.name for o in graph.output), [i.name for i in inputs]
    given = [_node(n) for n in graph.node]
    for name, kind in zip(names, codes, strict=True):
        given = _quantised_input(name, kind, given) if kind else given
    nodes = _ordered(given, {*names, *stored}, outputs, set(names) if len(outputs) > 1 else ())
    folder = path.parent
    told = next((p.value for a in graph.quantization_annotation if a.tensor_name == inputs[0].name
                 for p in a.quant_parameter_tensor_names if p.key == "finn_datatype"), "")
    return File(path, opset, domains, dict(zip(names, shapes, strict=True)),
                None if None in batches else fixed.pop(), outputs, nodes, frozenset(stored),
                lambda name: to_array(stored[name], folder), elements, next(filter(None, codes), ""), told)




def _quantised_input(name: str, kind: str, nodes: list[Node]) -> list[Node]:
    """The nodes with a QuantizeLinear that makes the codes that they read as an input: of the scale and zero point of
    the DequantizeLinear behind them."""
    made = {name}
    for node in nodes:
        if not made.isdisjoint(node.inputs[:1]):
            if node.operator == "DequantizeLinear" and node.domain in DOMAINS:
                codes = f"{name} as codes"
                first = Node("QuantizeLinear", "", f"{name} quantised", (name, *node.inputs[1:]), (codes,), {})
                return [first, *(replace(n, inputs=tuple(codes if i == name else i for i in n.inputs)) for n in nodes)]
            made.update(node.outputs)
    raise InputError(f"the input {shown(name)} is of type {kind.upper()}, and no DequantizeLinear reads it; a float32 "
                     "input is supported, so export the model in float32 and convert what feeds it")


def _input(value: onnx.ValueInfoProto) -> tuple[tuple[int, ...], int | None, str]:
    """(shape of a sample, batch size or None, type of its codes or nothing) of the graph's input."""
    name = shown(value.name)
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        raise InputError(f"the input {name} has no shape; export the model with one, the batch alone dynamic")
    kind = value.type.tensor_type.elem_type
    if kind not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, *CODES):
        raise InputError(f"the input {name} is of type {type_name(kind)}; a float32 input is supported, so export the "
                         "model in float32 and convert what feeds it")
    dims = value.type.tensor_type.shape.dim
    if len(dims) > MAX_AXES + 1:
        raise InputError(f"the input {name} has {len(dims):,} axes; {MAX_AXES + 1} are the most supported")
    if len(dims) < 2:
        raise InputError(f"the input {name} has {len(dims)} axes; it must be (batch, features) or more")
    for axis, dim in enumerate(dims):
        if axis and not dim.HasField("dim_value"):
            raise InputError(f"the input {name} has a dynamic axis {axis} ({shown(str(dim.dim_param or '?'))}); only "
                             "the batch may be dynamic")
        if dim.HasField("dim_value") and (dim.dim_value < 1 and axis):
            raise InputError(f"the input {name} has {dim.dim_value} elements along axis {axis}")
    shape = tuple(int(d.dim_value) for d in dims[1:])
    if prod(shape) > MAX_VALUE:
        raise InputError(f"the input {name} declares {prod(shape):,} elements a sample; {MAX_VALUE:,} is the most "
                         "supported")
    batch = int(dims[0].dim_value) if dims[0].HasField("dim_value") and dims[0].dim_value > 0 else None
    return shape, batch, CODES.get(kind, "")


def _node(node: onnx.NodeProto) -> Node:
    attributes, branches = {}, False
    for attribute in node.attribute:
        if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            branches = True
            continue
        wanted = KINDS.get(attribute.name, attribute.type)
        if attribute.type != wanted:
            raise InputError(f"the node {shown(node.name)} ({node.op_type[:40]}): its attribute '{attribute.name}' is "
                             f"damaged: {onnx.AttributeProto.AttributeType.Name(attribute.type)} instead of "
                             f"{onnx.AttributeProto.AttributeType.Name(wanted)}")
        attributes[attribute.name] = attribute.t if attribute.type == onnx.AttributeProto.TENSOR \
            else onnx.helper.get_attribute_value(attribute)
    names = (node.op_type, node.domain, node.name, *node.input, *node.output, *(a.name for a in node.attribute),
             *(p.value for p in node.metadata_props))
    if not all(isinstance(name, str) for name in names):
        raise InputError(NO_TEXT)
    texts = {k: v.decode(errors="replace") if isinstance(v, bytes) else v for k, v in attributes.items()}
    told = {p.key: re.findall(r"'([^']*)'", p.value[:4000]) for p in node.metadata_props if p.key in (SCOPES, CLASSES)}
    modules = tuple(zip(told.get(SCOPES, ()), told.get(CLASSES, ()), strict=False))[:-1]  # the last is the node itself
    # onnxruntime's own are the same, of 16 bits too before opset 21.
    domain = "" if node.op_type in LINEAR and node.domain == "com.microsoft" else node.domain
    return Node(node.op_type, domain, node.name, tuple(node.input), tuple(node.output), texts, branches,
                modules[-MAX_SCOPES:])


def _ordered(nodes: list[Node], given: set[str], outputs: tuple[str, ...],
             passed: Collection[str] = ()) -> tuple[Node, ...]:
    """The nodes that the outputs depend on, each behind those that it reads. Those of `passed` may be outputs
    themselves."""
    makers: dict[str, Node] = {}
    for node in nodes:
        for name in node.outputs:
            if name and (name in makers or name in given):
                raise node.fail(f"makes {shown(name)}, which is made already")
            makers[name] = node
    for output in outputs:
        if output not in makers and output not in passed:
            raise InputError(f"nothing makes the output {shown(output)}; the file is truncated")
    order: list[Node] = []
    state: dict[int, bool] = {}  # open while its inputs are being placed, then done
    stack = [(makers[output], False) for output in reversed(outputs) if output in makers]
    while stack:
        node, placed = stack.pop()
        if placed:
            state[id(node)] = True
            order.append(node)
            continue
        if id(node) in state:
            if not state[id(node)]:
                raise node.fail("reads what depends on its own output; the graph is cyclic")
            continue
        state[id(node)] = False
        stack.append((node, True))
        for name in node.inputs:
            if name and name not in given:
                if name not in makers:
                    raise node.fail(f"reads {shown(name)}, which nothing makes; the file is truncated")
                if not state.get(id(makers[name]), False):
                    if id(makers[name]) in state and not state[id(makers[name])]:
                        raise makers[name].fail("reads what depends on its own output; the graph is cyclic")
                    stack.append((makers[name], False))
    needed = {id(node) for node in order}
    kept = [node for node in nodes if id(node) in needed]
    made = set(given)
    for node in kept:
        if any(name and name not in made for name in node.inputs):
            return tuple(order)
        made.update(node.outputs)
    return tuple(kept)
