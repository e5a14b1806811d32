"""QONNX files of the shapes of the public model zoo, with random weights and scales that are not powers of two: a Quant
of the weights, MatMul or Conv, BatchNormalization, a Quant of the activations, as Brevitas exports them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DOMAIN = "qonnx.custom_op.general"


@dataclass
class File:
    """Nodes and constants of a network that is put together one layer after the other; `last` names its value."""

    shape: tuple[int, ...]
    seed: int = 0
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    last: str = "x"

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def constant(self, value: np.ndarray | float) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, np.float32)
        return name

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node; its value is the last one."""
        self.last = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [self.last], name=f"{operator}_{self.last}",
                                           domain=domain, **attributes))
        return self.last

    def quant(self, source: str, bits: int, scale: np.ndarray | float, *, signed: bool = True, narrow: bool = False,
              zero: float = 0, mode: str = "ROUND") -> str:
        """Quant, or BipolarQuant where a signed number has one bit."""
        if bits == 1 and signed:
            return self.node("BipolarQuant", source, self.constant(scale), domain=DOMAIN)
        return self.node("Quant", source, self.constant(scale), self.constant(zero), self.constant(bits), domain=DOMAIN,
                         signed=int(signed), narrow=int(narrow), rounding_mode=mode)

    def weights(self, shape: tuple[int, ...], bits: int, *, per_channel: bool = False, axis: int = 0) -> str:
        """Quantised random weights on a random scale, or one for each index of an axis."""
        values = self.rng.normal(size=shape)
        kept = tuple(i for i in range(len(shape)) if i != axis)
        most = np.abs(values).max(axis=kept, keepdims=True) if per_channel else np.abs(values).max()
        scale = most / max((1 << bits - 1) - 1, 1) * self.rng.uniform(0.5, 1, np.shape(most))
        return self.quant(self.constant(values), bits, scale, narrow=True)

    def batch_norm(self, channels: int, spread: float) -> str:
        """Statistics of sums that spread about so far; some of the scales are negative."""
        gamma = self.rng.uniform(0.5, 1.5, channels) * self.rng.choice([-1, 1, 1, 1], channels)
        parts = (gamma, self.rng.normal(size=channels) * 0.3, self.rng.normal(size=channels) * spread * 0.2,
                 (spread * self.rng.uniform(0.5, 1.5, channels)) ** 2)
        return self.node("BatchNormalization", self.last, *(self.constant(p) for p in parts), epsilon=1e-5)

    def model(self, batch: int) -> onnx.ModelProto:
        """The file, for so many samples at once."""
        graph = helper.make_graph(
            self.nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, (batch, *self.shape))],
            [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(v, k) for k, v in self.constants.items()])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13), helper.make_opsetid(DOMAIN, 1)],
                                 ir_version=8)


def mlp(widths: tuple[int, ...], weight_bits: int, bits: int, *, seed: int = 0, input_bits: int = 8,
        relu: bool = False) -> File:
    """The zoo's TFC and its like: widths (inputs, hidden ..., outputs); `relu`: unsigned activations behind a ReLU."""
    made = File(widths[:1], seed)
    made.quant("x", input_bits, 1 / 127.3)
    for i, (before, after) in enumerate(pairwise(widths)):
        source = made.last
        last = i == len(widths) - 2
        each = i % 2 == 1 and not last
        made.node("MatMul", source, made.weights((before, after), weight_bits, per_channel=each, axis=1))
        if last:
            break
        made.batch_norm(after, before**0.5)
        if relu:
            made.node("Relu", made.last)
        made.quant(made.last, bits, made.rng.uniform(0.5, 0.9) * 2.5 / max((1 << bits - 1) - 1, 1), signed=not relu)
    made.node("Mul", made.last, made.constant(made.rng.uniform(0.1, 0.9)))
    return made


def cnv(size: int, channels: tuple[int, ...], weight_bits: int, bits: int, *, seed: int = 0) -> File:
    """A small CNV: pairs of convolutions of 3 x 3 without padding, MaxPool between them, two dense layers."""
    made = File((3, size, size), seed)
    made.quant("x", 8, 1 / 128.7)
    before = 3
    for i, after in enumerate(channels):
        source = made.last
        made.node("Conv", source, made.weights((after, before, 3, 3), weight_bits, per_channel=True),
                  kernel_shape=[3, 3])
        made.batch_norm(after, (9 * before) ** 0.5)
        made.quant(made.last, bits, made.rng.uniform(0.5, 0.9) * 2.5 / max((1 << bits - 1) - 1, 1))
        size -= 2
        if i % 2 and size > 1:
            made.node("MaxPool", made.last, kernel_shape=[2, 2], strides=[2, 2])
            size //= 2
        before = after
    made.constants["shape"] = np.array([-1, before * size * size], np.int64)
    made.node("Reshape", made.last, "shape")
    flat = made.last
    made.node("MatMul", flat, made.weights((before * size * size, 16), weight_bits))
    made.batch_norm(16, (before * size * size) ** 0.5)
    made.quant(made.last, bits, 0.31)
    source = made.last
    made.node("MatMul", source, made.weights((16, 10), weight_bits))
    made.node("Mul", made.last, made.constant(0.37))
    return made
