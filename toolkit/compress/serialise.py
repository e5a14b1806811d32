"""A float or coded graph as JSON and arrays, and back: what an artifact holds where no hardware can be made of it."""

from __future__ import annotations

import operator
import re
from math import prod
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from toolkit.capture.curve import BINARY, MOST, UNARY, Curve, Op
from toolkit.capture.means import AvgPool1d
from toolkit.capture.pick import Pick
from toolkit.capture.product import Product, Square
from toolkit.capture.slopes import Slopes
from toolkit.compress.matmul import WEIGHTED, Matmul
from toolkit.compress.quantisation.fake_quant import DynamicLayer, FakeQuantLayer, MinifloatLayer
from toolkit.compress.quantisation.layers import InputScale
from toolkit.compress.quantisation.minifloat import Minifloat
from toolkit.design.ports import Ports
from toolkit.utils.errors import InputError

POOL = ("kernel_size", "stride", "padding")
AVERAGE = (*POOL, "divisor_override")
PAIRS: dict[str, Any] = {"add": operator.add, "maximum": torch.maximum, "minimum": torch.minimum}
"""Functions of two tensors of one shape."""
KINDS: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {
    "relu": (nn.ReLU, ()), "relu6": (nn.ReLU6, ()), "clip": (nn.Hardtanh, ("min_val", "max_val")),
    "leaky_relu": (nn.LeakyReLU, ("negative_slope",)), "sigmoid": (nn.Sigmoid, ()), "tanh": (nn.Tanh, ()),
    "hardsigmoid": (nn.Hardsigmoid, ()), "hardswish": (nn.Hardswish, ()), "silu": (nn.SiLU, ()),
    "gelu": (nn.GELU, ("approximate",)), "softplus": (nn.Softplus, ("beta", "threshold")), "elu": (nn.ELU, ("alpha",)),
    "selu": (nn.SELU, ()), "mish": (nn.Mish, ()), "flatten": (nn.Flatten, ()),
    "square": (Square, ()), "multiply": (Product, ()),
    "input_scale": (InputScale, ("exponents", "shape")),
    "unflatten": (nn.Unflatten, ("dim", "unflattened_size")), "pad1d": (nn.ZeroPad1d, ("padding",)),
    "pad2d": (nn.ZeroPad2d, ("padding",)), "upsample": (nn.Upsample, ("scale_factor",)),
    "maxpool1d": (nn.MaxPool1d, (*POOL, "dilation", "ceil_mode")), "avgpool1d": (AvgPool1d, AVERAGE),
    "maxpool2d": (nn.MaxPool2d, (*POOL, "dilation", "ceil_mode")), "avgpool2d": (nn.AvgPool2d, AVERAGE),
}
"""Each kind of layer without weights: its class, and the options it is made of."""
NAMES = {kind: (name, keys) for name, (kind, keys) in KINDS.items()}


def described(graph: fx.GraphModule) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """The nodes of a graph in order, and the arrays of its layers with weights."""
    nodes: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    for node in graph.graph.nodes:
        entry: dict[str, Any] = {"name": node.name, "inputs": [n.name for n in node.all_input_nodes]}
        if node.op == "call_module":
            module = graph.get_submodule(str(node.target))
            entry["path"] = graph.meta["paths"].get(str(node.target), str(node.target))
            if isinstance(module, FakeQuantLayer):
                entry |= {"op": module.kind, "product": module.product.to_json()}
                arrays |= {f"{node.name}.{key}": value for key, value in module.arrays().items()}
            elif isinstance(module, WEIGHTED):
                assert module.bias is not None
                entry |= {"op": "weights", "product": Matmul.of(module).to_json()}
                arrays[f"{node.name}.weight"] = module.weight.detach().numpy()
                arrays[f"{node.name}.bias"] = module.bias.detach().numpy()
            elif isinstance(module, Pick):
                entry |= {"op": "pick", "options": {"shape": list(module.shape)}}
                arrays[f"{node.name}.index"] = module.index.numpy()
            elif isinstance(module, Curve):
                entry |= {"op": "curve", "options": {"ops": [[op.name, op.reads, op.numbers] for op in module.ops]}}
            elif isinstance(module, Slopes):
                entry["op"] = "slopes"
                arrays |= {f"{node.name}.{key}": value.detach().numpy() for key, value in module.named_parameters()}
            else:
                entry["op"], keys = NAMES[type(module)]
                entry["inputs"] = [n.name for n in node.args]
                entry["options"] = {key: getattr(module, key) for key in keys}
        elif node.op == "call_function":
            entry["op"] = next((name for name, of in PAIRS.items() if node.target is of), "cat")
            if entry["op"] == "cat":
                entry["dim"] = node.args[1]
                entry["inputs"] = [n.name for n in node.args[0]]
            else:
                entry["inputs"] = [n.name for n in node.args]
        else:
            entry["op"] = {"placeholder": "input", "output": "output"}[node.op]
        nodes.append(entry)
    return nodes, arrays


def rebuilt(manifest: dict[str, Any], arrays: dict[str, np.ndarray]) -> fx.GraphModule:
    """The inverse of `described`."""
    root, graph = nn.Module(), fx.Graph()
    env: dict[str, fx.Node] = {}
    paths = {}
    for entry in manifest["graph"]:
        name, op = str(entry["name"]), str(entry["op"])
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise InputError(f"a node is named '{name[:40]}', which is not an identifier")
        sources = [env[n] for n in entry["inputs"]]
        if op == "input":
            env[name] = graph.placeholder("x")
        elif op == "output":
            graph.output(sources[0])
        elif op in PAIRS:
            env[name] = graph.call_function(PAIRS[op], tuple(sources))
        elif op == "cat":
            env[name] = graph.call_function(torch.cat, (sources, int(entry["dim"])))
        else:
            root.add_module(name, _module(op, entry, {k.rpartition(".")[2]: v for k, v in arrays.items()
                                                      if k.rpartition(".")[0] == name}))
            env[name] = graph.call_module(name, tuple(sources))
            paths[name] = str(entry.get("path", name))
    made = fx.GraphModule(root, graph)
    ports = Ports.from_json(manifest["ports"]) if "ports" in manifest else Ports()
    ports.check(prod(manifest["input_shape"]), sum(port.size for port in ports.outputs))
    made.meta.update(input_shape=tuple(manifest["input_shape"]), ports=ports, notes=[], paths=paths)
    return made.eval()


def _module(op: str, entry: dict[str, Any], arrays: dict[str, np.ndarray]) -> nn.Module:
    if op in KINDS:
        kind, keys = KINDS[op]
        return kind(**{key: _option(entry["options"][key]) for key in keys
                       if key in entry["options"]})
    if op == "curve":
        return Curve(tuple(_op(i, *given) for i, given in enumerate(entry["options"]["ops"][:MOST])))
    if op == "slopes":
        return Slopes(torch.from_numpy(arrays["negative"]),
                      torch.from_numpy(arrays["positive"]) if "positive" in arrays else None)
    if op == "pick":
        return Pick(torch.from_numpy(arrays["index"]), tuple(int(n) for n in entry["options"]["shape"]))
    product, bias = Matmul.from_json(entry["product"]), torch.from_numpy(arrays["bias"])
    if op.startswith("minifloat:"):
        form, scale = Minifloat(op.removeprefix("minifloat:")), int(arrays["scale"][0])
        return MinifloatLayer(product, torch.from_numpy(form.values(arrays["codes"], scale)), bias, form, scale)
    if op == DynamicLayer.kind:
        step = float(arrays["scale"][0])
        return DynamicLayer(product, torch.from_numpy(arrays["codes"].astype(np.float32)) * step, bias, step)
    if op != "weights":
        raise InputError(f"the node '{entry['name']}' is of the unknown kind '{op[:40]}'")
    return product.module(torch.from_numpy(arrays["weight"]), bias)


def _op(number: int, name: str, reads: list[int], numbers: list[float]) -> Op:
    """Operation `number` of a curve, which reads what earlier ones made."""
    known = {1: UNARY, 2: BINARY, 3: ("where",)}.get(len(reads), ())
    if name not in known or not all(type(i) is int and 0 <= i <= number for i in reads):
        raise InputError(f"a curve has the operation '{str(name)[:40]}', which is not known")
    return Op(name, tuple(reads), tuple(float(v) for v in numbers))


def _option(value: Any) -> Any:
    """A layer's option as torch takes it: numbers, words, and numbers an axis."""
    return tuple(value) if isinstance(value, list) else value
