"""Nodes that are not supported, collected; those of one module are told as the module."""

from __future__ import annotations

from toolkit.capture.builder import refused_class
from toolkit.capture.faults import Fault, Layer, parted
from toolkit.capture.onnx.file import File, Node
from toolkit.capture.onnx.steps import name_of
from toolkit.capture.onnx.translator import Translator
from toolkit.capture.onnx.values import Value
from toolkit.capture.ways_out import ATTENTION, BY_OPERATOR, NORM, RECURRENT


class Refusals:
    """Collects nodes: `whole` are refused for their operator, others for what they do with what they read. An exporter
    writes one module as many nodes: a fault in one of them is told once, of the operator that says most."""

    def __init__(self, file: File) -> None:
        self.file = file
        self._found: dict[str, list[tuple[Node, str, bool]]] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, node: Node, why: str, *, whole: bool) -> None:
        """A node that is not supported; `why` has the way out behind a semicolon."""
        group = module_of(node)
        self._found.setdefault(group or node.label, []).append((node, why, whole))

    @property
    def faults(self) -> tuple[Fault, ...]:
        """One for each layer."""
        found: dict[Fault, None] = {}
        for group, refused in self._found.items():
            node, _, _ = refused[0]
            known = refused_class(list(node.modules))
            if known is not None:
                layer, way = known
                found[Fault(layer.kind, layer.path, way.why, way.way_out)] = None
            elif (softmax := self._softmax(group, refused)) is not None:
                found[_fault(softmax, f"is part of an attention, which is not supported: {ATTENTION.why}; "
                                      f"{ATTENTION.way_out}")] = None
            else:
                for node, why in _telling(refused):
                    found[_fault(node, why)] = None
        return tuple(found)

    def _softmax(self, group: str, refused: list[tuple[Node, str, bool]]) -> Node | None:
        """The softmax of an attention: it stands in a module whose matrix product is refused."""
        if not any(node.operator == "MatMul" for node, _, _ in refused):
            return None
        return next((n for n in self.file.nodes if n.operator == "Softmax" and module_of(n) == group), None)


def is_never_supported(node: Node) -> bool:
    """It is part of a module that has no hardware however an exporter writes it."""
    known = refused_class(list(node.modules))
    return known is not None and known[1] in (RECURRENT, ATTENTION, NORM)


def multiplies_activations(t: Translator, node: Node) -> bool:
    """It is a matrix product of something unknown with another activation."""
    return node.operator == "MatMul" and all(
        t.unknown.get(name) or isinstance(t.values.get(name), Value) for name in node.inputs)


def module_of(node: Node) -> str:
    """The path of the module that an exporter made a node of; empty where the file does not tell."""
    known = refused_class(list(node.modules))
    if known is not None:
        return known[0].path
    if node.modules:
        return node.modules[-1][0]
    return node.name.rpartition("/")[0].strip("/") if node.name.startswith("/") else ""


def layer_of(node: Node) -> Layer:
    """What a node is part of: a module of PyTorch's own, or the operator itself."""
    if node.modules and node.modules[-1][1].startswith("torch.nn."):
        path, kind = node.modules[-1]
        return Layer(kind.rpartition(".")[2], path)
    return Layer(node.operator[:40], name_of(node.name or node.outputs[0]))


def _telling(refused: list[tuple[Node, str, bool]]) -> list[tuple[Node, str]]:
    """Of the nodes of one module those that say most: operators that the table knows, or else that nothing knows, each
    once; or else the first."""
    known = [r for r in refused if r[0].operator in BY_OPERATOR]
    chosen = known or [r for r in refused if r[2]] or refused[:1]
    return [*{node.operator: (node, why) for node, why, _ in reversed(chosen)}.values()][::-1]


def _fault(node: Node, why: str) -> Fault:
    return Fault(node.operator[:40], name_of(node.name or (node.outputs[0] if node.outputs else "?")), *parted(why),
                 node=True)
