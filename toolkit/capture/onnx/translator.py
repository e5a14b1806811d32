"""The translation of a vetted file into steps: what the operators' handlers share."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from toolkit.capture.onnx.file import File, Node
from toolkit.capture.onnx.steps import Flat, Permuted, Picked, Reshaped, Step
from toolkit.capture.onnx.tensors import to_array
from toolkit.capture.onnx.values import Value
from toolkit.utils.errors import InputError
from toolkit.utils.limits import MAX_AXES, MAX_STEPS, MAX_VALUE, SPARE, Budget


class Translator:
    """Collects steps. `values` maps each name of the file to a constant or an activation; shapes are inferred here as
    the steps are made, from the operators' own rules. `requantise`: scales that are not powers of two may be used."""

    def __init__(self, file: File, requantise: bool = False) -> None:
        self.file, self.requantise = file, requantise
        self.values: dict[str, Any] = {}
        self.steps: list[Step] = []
        self.labels: set[str] = set()
        self.notes: list[str] = []
        self.made: dict[str, Step] = {}
        self.codes: dict[str, tuple[float, int]] = {}  # names that hold codes, and their scale and zero point
        self.left_out: set[str] = set()  # what a softmax at the end makes, and what only quantises that
        self.unknown: dict[str, bool] = {}  # what depends on a node that is not supported, and whether on the input too
        self.evaluated = 0  # elements of the constants that were evaluated
        self._names: dict[str, list[str]] = {}  # under which names the file knows what each step makes
        self._readers: dict[str, set[int]] = {}  # the nodes that read it under any of them
        self._numbers: dict[str, int] = {}
        self._budget = Budget()
        self._weights = SPARE + 4 * file.stored

    def value(self, node: Node, index: int) -> Value:
        """The activation that is input `index` of a node."""
        found = self.given(node, index)
        if not isinstance(found, Value | np.ndarray):
            raise node.fail("works on an activation whose batch does not stand in front; only what moves elements may, "
                            "up to a Transpose that moves it back")
        if isinstance(found, np.ndarray):
            raise node.fail(f"its input {index} is a constant where what a layer made is expected")
        if found.pads is not None and node.operator not in ("Conv", "AveragePool", "Identity"):
            raise node.fail("reads zero padding, which is only supported right before a Conv or an AveragePool")
        return found

    def constant(self, node: Node, index: int, what: str) -> np.ndarray:
        """The constant that is input `index` of a node."""
        found = self.given(node, index)
        if not isinstance(found, np.ndarray):
            raise node.fail(f"its {what} is computed from data; only a constant one becomes hardware")
        return found

    def optional(self, node: Node, index: int, what: str) -> np.ndarray | None:
        """As `constant`, None where the input is left out."""
        return self.constant(node, index, what) if len(node.inputs) > index and node.inputs[index] else None

    def given(self, node: Node, index: int) -> Any:
        """Input `index` of a node: an activation, a constant, or what stands elsewhere for a while (`moving`)."""
        if index >= len(node.inputs) or not node.inputs[index]:
            raise node.fail(f"its input {index} is missing")
        name = node.inputs[index]
        if name not in self.values:
            self.values[name] = self.file.constant(name)
        return self.values[name]

    def all_constant(self, node: Node) -> bool:
        """No input is an activation."""
        return all(isinstance(self.given(node, i), np.ndarray) for i, name in enumerate(node.inputs) if name)

    def give_up(self, node: Node) -> None:
        """Let what a node makes be unknown."""
        activation = any(self.unknown.get(name) or isinstance(self.values.get(name), Value) for name in node.inputs)
        self.unknown.update(dict.fromkeys(node.outputs, activation))

    def attribute(self, node: Node, name: str) -> np.ndarray:
        """The array of a tensor attribute."""
        return to_array(node.attributes[name], self.file.path.parent)

    def set(self, node: Node, value: Value | np.ndarray, output: int = 0) -> None:
        """Let `value` be what the node makes, as its output of that number."""
        name = node.outputs[output]
        self.values[name] = value
        if isinstance(value, Value):
            self._names.setdefault(value.name, []).append(name)
            self._readers.setdefault(value.name, set()).update(map(id, self.file.users.get(name, ())))

    def forget(self, value: Value, name: str) -> None:
        """Let `name`, under which no node of the file reads a value, be none of its names."""
        self._names[value.name].remove(name)

    def step(self, node: Node, kind: type[Step], inputs: tuple[Value, ...], shape: tuple[int, ...], /,
             **rest: Any) -> Value:
        """Append a step; returns what it makes, plain."""
        if prod(shape) > MAX_VALUE or min(shape, default=0) < 1 or len(shape) > MAX_AXES:
            raise node.fail(f"makes {prod(shape):,} elements a sample, of shape {str(shape)[:80]}; 1 to {MAX_VALUE:,} "
                            f"in {MAX_AXES} axes are supported")
        if len(self.steps) >= MAX_STEPS:
            raise InputError(f"has more than {MAX_STEPS:,} operations on activations, which is the most supported")
        self._budget.tensor(shape, node.label)
        self._weights -= sum(v.size for k, v in rest.items() if isinstance(v, np.ndarray) and k != "index")
        if self._weights < 0:
            raise InputError(f"the node {node.label}: its weights are shared by so many nodes that they take many "
                             "times what is stored")
        label = self._label(node)
        made = kind(output=label, inputs=tuple(v.name for v in inputs), shape=shape, label=label, origin=node.label,
                    **rest)
        self.steps.append(made)
        self.made[label] = made
        return Value.plain(label, shape)

    def like(self, node: Node, kind: type[Step], x: Value, /, **rest: Any) -> Value:
        """Append an element-wise step: its output lies as its input does."""
        made = self.step(node, kind, (x,), x.shape, **rest)
        return Value(made.name, x.shape, x.axes, x.order)

    def plain(self, node: Node, x: Value) -> Value:
        """`x` such that its elements lie as ONNX sees them."""
        if x.order is not None:
            return self.step(node, Picked, (x,), x.shape, index=x.order)
        if x.is_plain:
            return x
        if not x.seen:  # one number, which is a vector of one here
            return Value.plain(x.name, x.shape)
        if x.flat_order() is None:
            return self.step(node, Reshaped, (x,), x.seen)
        return self.step(node, Permuted, (x,), x.seen, axes=x.axes)

    def leading(self, node: Node, x: Value, axis: int) -> Value:
        """`x` such that the axis `axis` that ONNX sees of it lies first, the others in the order in which it sees
        them."""
        lying = (axis, *(i for i in range(len(x.seen)) if i != axis))
        shape = tuple(x.seen[i] for i in lying)
        made = self.step(node, Permuted, (x,), shape, axes=tuple(x.axes[i] for i in lying))
        return Value(made.name, shape, tuple(lying.index(i) for i in range(len(lying))))

    def vector(self, node: Node, x: Value) -> Value:
        """All elements of `x` as one vector, which may lie in another order than ONNX sees."""
        if len(x.shape) == 1:
            return Value(x.name, x.shape, (0,), x.order)
        made = self.step(node, Flat, (x,), (x.size,))
        return Value(made.name, made.shape, (0,), x.flat_order())

    def producer(self, x: Value) -> Step | None:
        """The step that made `x`, if nothing but the node at hand reads it and it was the last one."""
        if not self.steps or self.steps[-1].output != x.name:
            return None
        names = len(self._names.get(x.name, ()))
        readers = len(self._readers.get(x.name, ()))
        ends = any(isinstance(end := self.values.get(name), Value) and end.name == x.name for name in self.file.outputs)
        return self.steps[-1] if readers - (names - 1) <= 1 and not ends else None

    def replace(self, step: Step) -> None:
        """Put `step` in the place of the last one."""
        self.steps[-1] = self.made[step.output] = step

    def drop(self) -> None:
        """Take the last step away."""
        del self.made[self.steps.pop().output]

    def _label(self, node: Node) -> str:
        """What the layer is called: after its weights where they tell, else after the node."""
        weight = next((re.fullmatch(r"(.+?)[./](weight|kernel|MatMul/ReadVariableOp|Conv[12]D/ReadVariableOp)(:0)?", n)
                       for n in node.inputs if n in self.file.initializers and "." in n + "."), None)
        text = weight[1] if weight else re.sub(rf"/{re.escape(node.operator)}(_\d+)?$", "", node.name.strip("/"))
        text = re.sub(r"(?<![^/])([^/]+)/(?=\1\.)", "", text)  # PyTorch repeats a module's name before its children
        text = re.sub(r"^_class__keras_layers_(core|convolutional)_", "", text)
        base = re.sub(r"\s+", " ", text).strip("/ _")[:120] or node.operator[:40].lower()
        found = base
        while found in self.labels or found in self.file.inputs:
            self._numbers[base] = number = self._numbers.get(base, 1) + 1
            found = f"{base}_{number}"
        self.labels.add(found)
        return found


Handler = Callable[[Translator, Node], None]
"""(translator, node): add the node's steps and set its output, or raise InputError."""
