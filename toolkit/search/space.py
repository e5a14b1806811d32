"""What a trial may choose, and how its choice reads as a scheme and settings of single layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import fx

from toolkit.capture.builder import module_of
from toolkit.compress.compress import Settings
from toolkit.compress.matmul import WEIGHTED
from toolkit.compress.pruning.structured import fixed, outputs, together
from toolkit.compress.quantisation.insert_quantisers import FUNCTIONS, MEANS, STEEP
from toolkit.compress.scheme import Overrides

RATIOS = ("0", "0.25", "0.5", "0.65", "0.75", "0.85")
FORMATS = ("log2:2", "log2:3", "log2:4,levels=4", "log2:4", "log2x2:4")
HIDDEN = (4, 5, 6, 8)
SPACE = (RATIOS, FORMATS, HIDDEN)


@dataclass(frozen=True)
class Choice:
    """A trial's network: what `shiftwright build` takes as --scheme, --layer-config and --hidden-bits."""

    scheme: str
    layers: tuple[str, ...]
    hidden_bits: int

    def settings(self, base: Settings) -> Settings:
        return replace(base, widths=replace(base.widths, hidden=self.hidden_bits),
                       overrides=Overrides.parse(list(self.layers)))

    def to_json(self) -> dict[str, Any]:
        return {"scheme": self.scheme, "layers": list(self.layers), "hidden_bits": self.hidden_bits}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Choice:
        return cls(str(data["scheme"]), tuple(map(str, data["layers"])), int(data["hidden_bits"]))


def choose(trial: Any, graph: fx.GraphModule) -> Choice:
    """Let an optuna trial choose for every layer of a captured network."""
    last, whole = outputs(graph), fixed(graph)
    groups = together(graph)
    ratios: dict[int, str] = {}
    layers, pruned = [], False
    for name, module in graph.named_modules():
        if not isinstance(module, WEIGHTED):
            continue
        path = graph.meta["paths"].get(name, name)
        if module not in whole:
            # Layers that lose channels together have one ratio, asked for with the first of them.
            group = next((i for i, members in enumerate(groups) if module in members), None)
            ratio = ratios.get(group, "") if group is not None else ""
            ratio = ratio or trial.suggest_categorical(f"{path}: pruning", RATIOS)
            if group is not None:
                ratios[group] = ratio
            pruned = pruned or ratio != "0"
            layers.append(f"{_literal(path)}={'keep' if ratio == '0' else f'structured:{ratio}'}")
        if module not in last:
            layers.append(f"{_literal(path)}=act:{trial.suggest_categorical(f'{path}: activations', HIDDEN)}")
        layers.append(f"{_literal(path)}={trial.suggest_categorical(f'{path}: weights', FORMATS)}")
    # What is not a Linear's or a Conv's own output (a sum, a clip behind one, a mean, a table) has one width for all.
    others = any(node.op == "call_function" or isinstance(module_of(graph, node), (*MEANS, *FUNCTIONS, *STEEP))
                 for node in graph.graph.nodes)
    hidden = trial.suggest_categorical("hidden bits", HIDDEN) if others else HIDDEN[-1]
    return Choice("structured:0.5+log2:4" if pruned else "log2:4", tuple(layers), hidden)


def _literal(path: str) -> str:
    """A path as a pattern that matches nothing else."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)
