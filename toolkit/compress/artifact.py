"""Each compressed network as files: a `.swd` where hardware can be made of it, else arrays and the graph as JSON."""

from __future__ import annotations

import json
import operator
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from toolkit.compress.coded import CodedLinear, DynamicLinear, MinifloatLinear
from toolkit.compress.data import Data
from toolkit.compress.measures import Step, accuracy, error, task_ber
from toolkit.compress.minifloat import Minifloat
from toolkit.compress.train import evaluate
from toolkit.design import ArgMax, Design
from toolkit.errors import InputError

SCHEMA = 1


@dataclass(frozen=True, eq=False)
class Artifact:
    """A network that was loaded. `manifest` is its JSON; one of `design` and `graph` is there."""

    manifest: dict[str, Any]
    design: Design | None
    graph: fx.GraphModule | None

    def outputs(self, samples: np.ndarray) -> np.ndarray:
        """Real outputs (n, outputs) for real samples (n, *shape)."""
        if self.design is not None:
            codes = self.design.reference(self.design.input.format.quantise(samples))
            return self.design.output.format.value(codes.reshape(len(samples), -1))
        assert self.graph is not None
        return evaluate(self.graph, samples)

    def accuracy(self, data: Data) -> float | None:
        """As the row says it: the share of test samples (or bits) that are right."""
        found = self.outputs(data.x_test)
        if self.design is not None and isinstance(self.design.layers[-1], ArgMax):
            return None if data.y_test is None else float((found[:, 0] == data.y_test).mean())
        return accuracy(found, data)

    def measured(self, data: Data) -> dict[str, float | None]:
        """Accuracy, task BER and error as the row says them."""
        found = self.outputs(data.x_test)
        return {"accuracy": self.accuracy(data), "task_ber": task_ber(found, data), "error": error(found, data)}


def save(folder: Path, name: str, scheme: str, step: Step, graph: fx.GraphModule, design: Design | None) -> Path:
    """Write NAME.json beside NAME.swd or NAME.npz; returns the JSON's path."""
    manifest: dict[str, Any] = {"schema": SCHEMA, "name": name, "scheme": scheme, **step.to_json()}
    if design is not None:
        manifest["design"] = f"{name}.swd"
        design.save(folder / manifest["design"])
    else:
        manifest["arrays"] = f"{name}.npz"
        manifest["input_shape"] = list(graph.meta["input_shape"])
        manifest["graph"], arrays = _described(graph)
        np.savez(folder / manifest["arrays"], allow_pickle=False, **arrays)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(manifest, indent=1) + "\n")
    return path


def load(path: Path | str) -> Artifact:
    """Read what `save` wrote; the file beside it must lie in the same folder. No pickle is loaded."""
    path = Path(path)
    try:
        manifest = json.loads(path.read_text())
        if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
            raise InputError(f"'{path}' is no artifact of schema {SCHEMA}")
        file = str(manifest.get("design") or manifest.get("arrays"))
        if not re.fullmatch(r"[A-Za-z0-9_.+-]+", file) or file.startswith("."):
            raise InputError(f"'{path}' names the file '{file[:60]}', which is no plain name")
        if "design" in manifest:
            return Artifact(manifest, Design.load(path.parent / file), None)
        with np.load(path.parent / file, allow_pickle=False) as arrays:
            return Artifact(manifest, None, _rebuilt(manifest, {k: arrays[k] for k in arrays.files}))
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, IndexError, EOFError) as problem:
        raise InputError(f"'{path}' is no artifact, or a damaged one: {str(problem)[:200]}") from problem


def _described(graph: fx.GraphModule) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """The nodes of a graph in order, and the arrays of its Linears."""
    nodes: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    for node in graph.graph.nodes:
        entry: dict[str, Any] = {"name": node.name, "inputs": [n.name for n in node.all_input_nodes]}
        if node.op == "call_module":
            module = graph.get_submodule(str(node.target))
            entry["path"] = graph.meta["paths"].get(str(node.target), str(node.target))
            if isinstance(module, CodedLinear):
                entry["op"] = module.kind
                arrays |= {f"{node.name}.{key}": value for key, value in module.arrays().items()}
            elif isinstance(module, nn.Linear):
                entry["op"] = "linear"
                arrays[f"{node.name}.weight"] = module.weight.detach().numpy()
                arrays[f"{node.name}.bias"] = module.bias.detach().numpy()
            elif isinstance(module, nn.Hardtanh) and not isinstance(module, nn.ReLU6):
                entry |= {"op": "clip", "bounds": [float(module.min_val), float(module.max_val)]}
            else:
                entry["op"] = {nn.ReLU: "relu", nn.ReLU6: "relu6", nn.Flatten: "flatten"}[type(module)]
        elif node.op == "call_function":
            entry["op"] = "add" if node.target is operator.add else "cat"
            if entry["op"] == "cat":
                entry["dim"] = node.args[1]
                entry["inputs"] = [n.name for n in node.args[0]]
            else:
                entry["inputs"] = [n.name for n in node.args]
        else:
            entry["op"] = {"placeholder": "input", "output": "output"}[node.op]
        nodes.append(entry)
    return nodes, arrays


def _rebuilt(manifest: dict[str, Any], arrays: dict[str, np.ndarray]) -> fx.GraphModule:
    """The inverse of `_described`."""
    root, graph = nn.Module(), fx.Graph()
    env: dict[str, fx.Node] = {}
    paths = {}
    for entry in manifest["graph"]:
        name, op = str(entry["name"]), str(entry["op"])
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise InputError(f"a node is named '{name[:40]}', which is no identifier")
        sources = [env[n] for n in entry["inputs"]]
        if op == "input":
            env[name] = graph.placeholder("x")
        elif op == "output":
            graph.output(sources[0])
        elif op == "add":
            env[name] = graph.call_function(operator.add, tuple(sources))
        elif op == "cat":
            env[name] = graph.call_function(torch.cat, (sources, int(entry["dim"])))
        else:
            root.add_module(name, _module(op, entry, {k.rpartition(".")[2]: v for k, v in arrays.items()
                                                      if k.rpartition(".")[0] == name}))
            env[name] = graph.call_module(name, tuple(sources))
            paths[name] = str(entry.get("path", name))
    made = fx.GraphModule(root, graph)
    made.meta.update(input_shape=tuple(manifest["input_shape"]), notes=[], paths=paths)
    return made.eval()


def _module(op: str, entry: dict[str, Any], arrays: dict[str, np.ndarray]) -> nn.Module:
    if op in ("relu", "relu6", "flatten"):
        return {"relu": nn.ReLU, "relu6": nn.ReLU6, "flatten": nn.Flatten}[op]()
    if op == "clip":
        return nn.Hardtanh(float(entry["bounds"][0]), float(entry["bounds"][1]))
    bias = torch.from_numpy(arrays["bias"])
    if op.startswith("minifloat:"):
        form, scale = Minifloat(op.removeprefix("minifloat:")), int(arrays["scale"][0])
        return MinifloatLinear(torch.from_numpy(form.values(arrays["codes"], scale)), bias, form, scale)
    if op == DynamicLinear.kind:
        step = float(arrays["scale"][0])
        return DynamicLinear(torch.from_numpy(arrays["codes"].astype(np.float32)) * step, bias, step)
    if op != "linear":
        raise InputError(f"the node '{entry['name']}' is of the unknown kind '{op[:40]}'")
    layer = nn.Linear(arrays["weight"].shape[1], arrays["weight"].shape[0])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(arrays["weight"]))
        layer.bias.copy_(bias)
    return layer
