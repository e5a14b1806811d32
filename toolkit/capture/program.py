"""The graph inside a .pt2 file, rebuilt from its JSON by a list of what is known; torch's own loader never sees it.

That loader evaluates strings of the file: it imports what a treespec names, hands shapes to sympy, looks callables up,
and lets fx compile the names of nodes. Here names are keys, operators aten's, and shapes computed anew without data.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from toolkit.capture.builder import fault_of, layer_of, refused_class, stack_of
from toolkit.capture.faults import Fault, Layer, Refused
from toolkit.capture.indexing import SEVERAL
from toolkit.capture.operations import ELEMENTWISE, EVALUATED
from toolkit.capture.outputs import output_names
from toolkit.capture.strings import check_strings
from toolkit.capture.ways_out import foreign
from toolkit.utils.errors import InputError
from toolkit.utils.limits import MAX_LAYERS, Budget

SCHEMA = 8
MAX_NODES = MAX_LAYERS
MAX_PARTS = 1 << 12
"""Elements of the axes of a tensor that is split."""
BATCH = 1009
"""What stands for a dynamic batch while shapes are computed: a prime that no network holds by chance."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,19999}")
TARGET = re.compile(r"torch\.ops\.aten\.([A-Za-z0-9_]{1,100})\.([A-Za-z0-9_]{1,100})|_operator\.([a-z_]{1,40})")
DTYPES = {1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16,
          7: torch.float32, 8: torch.float64, 12: torch.bool, 13: torch.bfloat16}
"""Element types by their numbers in the file."""
FORMATS = {1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d, 4: torch.preserve_format}
STRIDED = 7
PLAIN: dict[str, type] = {"as_int": int, "as_float": float, "as_bool": bool, "as_string": str}
LISTS: dict[str, type] = {"as_ints": int, "as_floats": float, "as_bools": bool}
STACK = ";"
MAX_STACK = 32
"""Modules around an operation that are looked at."""
Stack = dict[str, tuple[str, str]]


@dataclass(frozen=True, eq=False)
class Program:
    """A captured graph of aten operations, as `torch.export` makes it. `tensors` are the stored values by the names of
    the placeholders that stand for them, `parameters` the same by their paths in the model; `inputs` are the names of
    the other placeholders, `outputs` what the model calls what it gives. Every node's `meta` holds `val`, a tensor
    without data of its shape, and `nn_module_stack`."""

    graph: fx.Graph
    tensors: dict[str, torch.Tensor]
    parameters: dict[str, torch.Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def program_of(document: Any, stored: dict[str, torch.Tensor]) -> Program:
    """The program of a model's JSON, which need not be trusted; `stored` are the file's tensors by their paths. Raises
    InputError for what is refused, and KeyError, TypeError, ValueError or RuntimeError where it is damaged."""
    if document["schema_version"]["major"] != SCHEMA:
        raise InputError(f"has schema version {int(document['schema_version']['major'])}; this version reads {SCHEMA}, "
                         "which torch 2.9 and later write")
    try:
        check_strings(document)
        return _Reader(document["graph_module"], stored).program()
    except InputError:
        refused = _refused_by_name(document["graph_module"]["graph"]["nodes"])
        if refused is not None:  # what cannot be read is most likely part of them
            raise refused from None
        raise


def _refused_by_name(nodes: Any) -> Refused | None:
    """What is never supported, by the classes and operators that a file names; nothing else of it is looked at."""
    faults: dict[Fault, None] = {}
    layers: dict[Layer, None] = {}
    node = fx.Graph().placeholder("x")
    for entry in nodes[:MAX_NODES]:
        match = TARGET.fullmatch(entry["target"])
        if not match or not match[1] or match[1].startswith(("_assert", "sym_")) or _operator(match) is None:
            continue
        name = match[1].removesuffix("_")
        node.target = _unknown(name)
        node.meta["nn_module_stack"] = _stacked(entry.get("metadata", {}).get("nn_module_stack"))
        if refused_class(stack_of(node)) is not None or name not in EVALUATED:
            faults[fault_of(node)] = None
        elif layer_of(node)[1]:
            layers[layer_of(node)[0]] = None
    return Refused(faults, tuple(layers)) if faults else None


class _Reader:
    def __init__(self, module: dict[str, Any], stored: dict[str, torch.Tensor]) -> None:
        self.module, self.source, self.stored = module, module["graph"], stored
        self.graph = fx.Graph()
        self.named: dict[str, fx.Node] = {}
        self.budget = Budget()

    def program(self) -> Program:
        source, signature = self.source, self.module["signature"]
        if source.get("custom_obj_values"):
            raise InputError("holds objects beside its tensors; export the model with plain tensors alone")
        if len(source["nodes"]) > MAX_NODES:
            raise InputError(f"has {len(source['nodes']):,} operations; {MAX_NODES:,} is the most supported")
        names = [_name(_one(i, "as_tensor")["name"]) for i in source["inputs"]]
        tensors: dict[str, torch.Tensor] = {}
        parameters: dict[str, torch.Tensor] = {}
        inputs = []
        for name, entry in zip(names, signature["input_specs"], strict=True):
            kind, spec = _single(entry)
            path = spec.get({"parameter": "parameter_name", "buffer": "buffer_name",
                             "tensor_constant": "tensor_constant_name"}.get(kind, ""))
            argument = _one(spec["arg"], "as_tensor") if kind == "user_input" else spec["arg"]
            if (path is None and kind != "user_input") or argument["name"] != name:
                raise InputError(f"has an input of the kind '{kind[:40]}'; tensors are supported")
            value = self._declared(name) if path is None else self.stored[path].to("meta")
            node = self._placed(name, self.graph.placeholder(name), value)
            if path is None:
                inputs.append(node.name)
            else:
                tensors[node.name] = parameters[path] = self.stored[path]
        for entry in source["nodes"]:
            self._node(entry)
        if any(_single(o)[0] != "user_output" for o in signature["output_specs"]):
            raise InputError("changes its own buffers as it runs; export it in evaluation mode")
        ends = [self.named[_one(o, "as_tensor")["name"]] for o in source["outputs"]]
        self.graph.output(tuple(ends))
        spec = self.module["module_call_graph"][0]["signature"]["out_spec"]
        return Program(self.graph, tensors, parameters, tuple(inputs), output_names(spec, len(ends)))

    def _declared(self, name: str) -> torch.Tensor:
        """What the file says of an input: only its batch may be open."""
        meta = self.source["tensor_values"][name]
        if not meta["sizes"] or any("as_expr" in size for size in meta["sizes"][1:]):
            raise InputError("computes a shape: an axis beside the batch is dynamic; export it with a dynamic batch "
                             "and no other")
        batch, *shape = [BATCH if "as_expr" in size else _number(size["as_int"]) for size in meta["sizes"]]
        self.budget.tensor(shape, "the input")
        return torch.empty((batch, *shape), dtype=DTYPES[meta["dtype"]], device="meta")

    def _placed(self, name: str, node: fx.Node, value: Any, stack: Stack | None = None) -> fx.Node:
        if name in self.named:
            raise InputError(f"makes '{name[:60]}' twice")
        self.named[name] = node
        node.meta.update(val=value, nn_module_stack=stack or {})
        return node

    def _said(self, name: str) -> torch.Tensor | None:
        """A tensor of the shape that the file gives to what an operation makes that is not supported; None where it
        gives none. What follows it is read with that."""
        meta = self.source["tensor_values"].get(name)
        if meta is None or meta["dtype"] not in DTYPES or any("as_expr" in size for size in meta["sizes"][1:]):
            return None
        sizes = [BATCH if "as_expr" in size else _number(size["as_int"]) for size in meta["sizes"]]
        self.budget.tensor(sizes[1:], name)
        return torch.empty(sizes, dtype=DTYPES[meta["dtype"]], device="meta")

    def _node(self, entry: dict[str, Any]) -> None:
        match = TARGET.fullmatch(entry["target"])
        target: Any = _operator(match) if match else None
        if target is None:
            raise InputError(foreign(str(entry["target"])))
        args, kwargs = self._arguments(target, entry["inputs"])
        stack = _stacked(entry.get("metadata", {}).get("nn_module_stack"))
        outputs = entry["outputs"]
        node = self.graph.create_node("call_function", target, args, kwargs)
        value = self._value(node, _innermost(stack))
        node.meta.update(val=value, nn_module_stack=stack)
        if len(outputs) == 1 and _single(outputs[0])[0] != "as_tensors":
            kind, made = _single(outputs[0])
            if kind in ("as_tensor", "as_sym_int", "as_sym_bool", "as_sym_float"):
                name = _name(made["name" if kind == "as_tensor" else "as_name"])
                if value is None and kind == "as_tensor":
                    value = self._said(name)
                self._placed(name, node, value, stack)
            elif kind == "as_none":
                node.meta["val"] = None
            else:
                raise InputError(f"makes '{kind[:40]}', which is not a tensor")
            return
        several = outputs[0]["as_tensors"] if len(outputs) == 1 else [_one(o, "as_tensor") for o in outputs]
        for index, made in enumerate(several):
            part = self.graph.create_node("call_function", operator.getitem, (node, index))
            name = _name(made["name"])
            self._placed(name, part, value[index] if value is not None else self._said(name), stack)

    def _arguments(self, target: Any, inputs: list[dict[str, Any]]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments in the order of the operator's own schema, by place where the file says so."""
        found = {i["name"]: (self._argument(i["arg"]), i.get("kind")) for i in inputs}
        if not hasattr(target, "_schema"):
            return tuple(value for value, _ in found.values()), {}
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for known in target._schema.arguments:
            if known.name not in found:
                continue
            value, kind = found.pop(known.name)
            if kind == 1 or (kind is None and not known.has_default_value() and not known.kwarg_only):
                args.append(value)
            else:
                kwargs[known.name] = value
        if found:
            raise ValueError(f"{target} has no argument '{next(iter(found))[:40]}'")
        return tuple(args), kwargs

    def _argument(self, argument: dict[str, Any]) -> Any:
        kind, value = _single(argument)
        if kind in PLAIN:
            return _of(PLAIN[kind], value)
        if kind in LISTS:
            return [_of(LISTS[kind], v) for v in value]
        if kind == "as_tensor":
            return self.named[value["name"]]
        if kind == "as_tensors":
            return [self.named[v["name"]] for v in value]
        if kind == "as_optional_tensors":
            return [None if _single(v)[0] == "as_none" else self.named[_one(v, "as_tensor")["name"]] for v in value]
        if kind == "as_sym_int":
            return self._symbol(value)
        if kind == "as_sym_ints":
            return [self._symbol(v) for v in value]
        if kind in ("as_none", "as_layout"):
            return None
        if kind == "as_device":
            return torch.device("cpu")
        tables: dict[str, dict[int, Any]] = {"as_scalar_type": DTYPES, "as_memory_format": FORMATS}
        if kind in tables:
            return tables[kind][value]
        raise InputError(f"passes an argument of the kind '{kind[:40]}' to an operation; tensors and numbers are "
                         "supported")

    def _symbol(self, value: dict[str, Any]) -> Any:
        kind, found = _single(value)
        return _number(found) if kind == "as_int" else self.named[found]

    def _value(self, node: fx.Node, path: str) -> Any:
        """What an operation makes of tensors without data; None for one that is refused later, or makes nothing."""
        if getattr(node.target, "_opname", "").removesuffix("_") not in EVALUATED or any(
                n.meta["val"] is None for n in node.all_input_nodes):
            return None
        known = _unchanged(node)
        if known is not None:
            self.budget.tensor(known.shape[1:], path or str(node.target))
            return known
        if any(max(n.meta["val"].shape, default=0) > MAX_PARTS for n in node.all_input_nodes[:1]
               if getattr(node.target, "_opname", "") in SEVERAL):
            raise InputError(f"splits an axis of more than {MAX_PARTS:,} elements, which is the most supported")
        args, kwargs = fx.node.map_aggregate((node.args, node.kwargs), _without_data)
        try:
            value = node.target(*args, **kwargs)  # type: ignore[operator]
        except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as error:
            line = next(iter(str(error).splitlines()), type(error).__name__)
            raise InputError(f"is damaged: '{node.target}' at '{path[:60]}' does not fit: {line[:160]}") from error
        for one in value if isinstance(value, list | tuple) else (value,):
            if isinstance(one, torch.Tensor):
                self.budget.tensor(one.shape[1:], path or str(node.target))
        return value


def _unchanged(node: fx.Node) -> torch.Tensor | None:
    """What an element-wise operation makes, which is as what it reads: torch takes its time over each of them."""
    name = getattr(node.target, "_opname", "").removesuffix("_")
    values = [n.meta["val"] for n in node.all_input_nodes]
    if name in ELEMENTWISE and values and all(isinstance(v, torch.Tensor) and v.shape == values[0].shape
                                              for v in values):
        return values[0]
    return None


def _without_data(value: Any) -> Any:
    if isinstance(value, fx.Node):  # an alias: an operation in place must not change the shape of what it reads
        value = value.meta["val"]
        return torch.ops.aten.alias.default(value) if isinstance(value, torch.Tensor) else value
    return torch.device("meta") if isinstance(value, torch.device) else value


def _unknown(name: str) -> Callable[..., Any]:
    """A stand-in for a Python operator on numbers: it is refused by name where the graph is read."""
    def function(*_: Any) -> None:
        raise InputError(f"the operation '{name}' is not supported")
    function.__name__ = name
    return function


def _operator(match: re.Match[str]) -> Any:
    """The aten operator that a target names; None where there is none."""
    name, overload, number = match.groups()
    if number:
        return _unknown(number)
    try:
        packet = getattr(torch.ops.aten, name)
        found = getattr(packet, overload)
    except (AttributeError, RuntimeError):
        return None
    return found if isinstance(found, torch._ops.OpOverload) and found.namespace == "aten" else None


def _stacked(text: Any) -> Stack:
    """{place: (path, class)} of the modules in a stack `key,path,class;...`, whose parts may hold commas in brackets;
    of a long one the innermost."""
    found: Stack = {}
    for number, entry in enumerate(str(text or "").split(STACK)[-MAX_STACK:]):
        depth, parts = 0, [""]
        for c in entry[:2000]:
            depth += (c in "[(") - (c in ")]")
            if c == "," and depth == 0:
                parts.append("")
            else:
                parts[-1] += c
        found[str(number)] = (parts[1][:500], parts[2][:500]) if len(parts) == 3 else ("", "")
    return found


def _innermost(stack: Stack) -> str:
    return [*stack.values()][-1][0] if stack else ""


def _single(entry: dict[str, Any]) -> tuple[str, Any]:
    """The one (key, value) of a union."""
    (pair,) = entry.items()
    return pair


def _one(entry: dict[str, Any], kind: str) -> Any:
    found, value = _single(entry)
    if found != kind:
        raise InputError(f"has an input or output of the kind '{found[:40]}'; tensors are supported")
    return value


def _name(name: Any) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InputError(f"names a value '{str(name)[:60]}', which is not an identifier")
    return name


def _of(kind: Any, value: Any) -> Any:
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ValueError(f"{str(value)[:40]} is no {kind.__name__}")
    return _number(value) if kind is int else kind(value)


def _number(value: Any) -> int:
    if type(value) is not int or not -1 << 63 <= value < 1 << 63:
        raise ValueError(f"{str(value)[:40]} is not a number of 64 bits")
    return value
