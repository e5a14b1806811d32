"""What compression did to a network: sizes, sparsity, bit error rates, accuracy."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import fx

from toolkit.compress.coded import CodedLayer, MinifloatLayer
from toolkit.compress.data import Data
from toolkit.compress.layers import Quantised, Requantiser, Table
from toolkit.compress.own import Metric, measured
from toolkit.compress.product import WEIGHTED
from toolkit.compress.train import evaluate
from toolkit.design.formats import FixedPoint


@dataclass(frozen=True)
class Step:
    """One step of a compression and the network after it.

    `size` and `compressed_size`: bytes of the parameters in `storage`, plain and under zlib level 9. `ratio`: the
    original's dense float32 bytes over `size`. `weight_ber`: bits of the float32 patterns that differ from the
    original's, removed weights taken as zero. `output_ber`: bits of the outputs, both in the compressed network's
    format, that differ. `task_ber`: bits decided wrong, where labels are bits. `accuracy`, `disagreement`: shares of
    test samples (of bits, where labels are bits); None where there are no classes. `error`: root of the mean squared
    error, where labels are values. `metric`: the caller's own, where there is one.
    """

    name: str
    storage: str
    parameters: int
    non_zeros: int
    sparsity: float
    size: int
    compressed_size: int
    ratio: float
    weight_ber: float | None
    output_ber: float | None
    accuracy: float | None
    disagreement: float | None
    error: float | None
    task_ber: float | None = None
    metric: float | None = None

    @property
    def quality(self) -> float:
        """How good the network is, greater is better: the caller's metric, else accuracy, else minus the error, else
        agreement with the original."""
        if self.metric is not None:
            return self.metric
        if self.accuracy is not None:
            return self.accuracy
        return -self.error if self.error is not None else 1 - (self.disagreement or 0.0)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Measure:
    """Measures networks against one original."""

    def __init__(self, original: fx.GraphModule, data: Data, metric: Metric | None = None) -> None:
        self.original, self.data, self.metric = original, data, metric
        self.outputs = evaluate(original, data.x_test)
        self.bytes = 4 * sum(p.numel() for p in original.parameters())

    def step(self, name: str, graph: fx.GraphModule) -> Step:
        """The figures of one network."""
        quantised = any(isinstance(m, Quantised) for m in graph.modules())
        coded = any(isinstance(m, CodedLayer) for m in graph.modules())
        values = parameters(graph)
        count = sum(v.size for v in values.values())
        non_zeros = sum(int(np.count_nonzero(v)) for v in values.values())
        storage, stored = packed(graph) if quantised else stored_codes(graph) if coded else smallest(values)
        outputs = evaluate(graph.double() if quantised else graph, self.data.x_test,
                           torch.float64 if quantised else torch.float32)
        graph.float()
        original_count = self.bytes // 4
        return Step(name, storage, count, non_zeros, 1 - non_zeros / original_count, len(stored),
                    len(zlib.compress(stored, 9)), self.bytes / len(stored), self._weight_ber(graph, values),
                    self._output_ber(graph, outputs), accuracy(outputs, self.data), self._disagreement(outputs),
                    error(outputs, self.data), task_ber(outputs, self.data),
                    None if self.metric is None else measured(self.metric, outputs, self.data.y_test))

    def _weight_ber(self, graph: fx.GraphModule, values: Mapping[str, np.ndarray]) -> float | None:
        if graph.meta.get("student"):
            return None  # another network: no weight of it stands for one of the original's
        origin = graph.meta.get("origin", {})
        wrong = 0
        for name, parameter in self.original.named_parameters():
            before = parameter.detach().numpy().astype(np.float32)
            if name not in values:
                return None
            after = np.zeros(before.size, np.float32)
            place = origin.get(name)
            if place is None and values[name].size != before.size:
                return None
            after[slice(None) if place is None else place.numpy().ravel()] = values[name].ravel()
            wrong += int(np.bitwise_count(before.ravel().view(np.uint32) ^ after.view(np.uint32)).sum())
        return wrong / (8 * self.bytes)

    def _output_ber(self, graph: fx.GraphModule, outputs: np.ndarray) -> float:
        form = output_format(graph)
        if form is None:
            ours, theirs = outputs.astype(np.float32).view(np.uint32), self.outputs.view(np.uint32)
            return float(np.bitwise_count(ours ^ theirs).sum()) / (32 * ours.size)
        ours, theirs = form.quantise(outputs), form.quantise(self.outputs)
        mask = (1 << form.width) - 1
        return float(np.bitwise_count((ours ^ theirs) & mask).sum()) / (form.width * ours.size)

    def _disagreement(self, outputs: np.ndarray) -> float | None:
        if self.data.task == "bits":
            return float(((outputs > 0) != (self.outputs > 0)).mean())
        if self.data.task == "values" or outputs.shape[1] < 2:
            return None
        return float((outputs.argmax(axis=1) != self.outputs.argmax(axis=1)).mean())


def parameters(graph: fx.GraphModule) -> dict[str, np.ndarray]:
    """Every parameter by name, float32, quantised where the layer is."""
    found: dict[str, np.ndarray] = {}
    with torch.no_grad():
        for name, module in graph.named_modules():
            if isinstance(module, Quantised | CodedLayer):
                found[f"{name}.weight"] = module.quantised_weight().float().numpy()
                found[f"{name}.bias"] = module.quantised_bias().float().numpy()
            elif isinstance(module, WEIGHTED):
                found[f"{name}.weight"] = module.weight.detach().float().numpy()
                assert module.bias is not None
                found[f"{name}.bias"] = module.bias.detach().float().numpy()
    return found


def output_format(graph: fx.GraphModule) -> FixedPoint | None:
    """The format of a quantised network's output; None for a float one."""
    node = next(n for n in graph.graph.nodes if n.op == "output").all_input_nodes[0]
    while node.op != "placeholder":
        module = graph.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, Requantiser) and module.requantise is not None:
            return module.requantise.format
        if isinstance(module, Table) and module.format is not None:
            return module.format
        node = node.all_input_nodes[0]
    return None


def packed(graph: fx.GraphModule) -> tuple[str, bytes]:
    """Weight codes, a byte of exponent a channel, biases as narrow integers: every layer on whole bytes. Where that is
    smaller, only the codes that are not zero, with a bitmap of their places."""
    dense, sparse = [], []
    for module in graph.modules():
        if isinstance(module, Quantised):
            weights = module.codes()
            codes, bits = weights.codes.ravel().astype(np.int64), weights.format.bits
            bias = np.floor(module.bias.detach().double().numpy() * 2.0**module.bias_frac + 0.5).astype(np.int64)
            rest = [weights.exponents.astype(np.int8).tobytes(), _bits(bias, _width(bias))]
            dense += [_bits(codes, bits), *rest]
            sparse += [np.packbits(codes != 0).tobytes(), _bits(codes[codes != 0], bits), *rest]
    ways = {"packed codes": b"".join(dense), "bitmap, packed codes": b"".join(sparse)}
    best = min(ways, key=lambda way: len(ways[way]))
    return best, ways[best]


def stored_codes(graph: fx.GraphModule) -> tuple[str, bytes]:
    """What coded layers store: codes, scales, float biases. Codes of fewer than 8 bits are packed."""
    parts, name = [], ""
    for module in graph.modules():
        if isinstance(module, CodedLayer):
            arrays = module.arrays()
            bits = module.form.bits if isinstance(module, MinifloatLayer) else 8
            codes = arrays.pop("codes")
            parts += [codes.tobytes() if bits == 8 else _bits(codes.ravel().astype(np.int64), bits),
                      *(a.tobytes() for a in arrays.values())]
            name = module.kind
    return f"{name} codes", b"".join(parts)


def accuracy(outputs: np.ndarray, data: Data) -> float | None:
    """The share of test samples (of bits, where labels are bits) that are right; None where labels are values."""
    if data.y_test is None or data.task == "values":
        return None
    if data.task == "bits":
        return float(((outputs > 0) == data.y_test).mean())
    return float((outputs.argmax(axis=1) == data.y_test).mean())


def task_ber(outputs: np.ndarray, data: Data) -> float | None:
    """The share of wrong bits among those decided, against those sent; None where labels are no bits."""
    if data.task != "bits":
        return None
    return float(((outputs > 0) != data.y_test).mean())


def error(outputs: np.ndarray, data: Data) -> float | None:
    """Root of the mean squared error against labels that are values; None where they are none."""
    if data.y_test is None or data.task != "values":
        return None
    return float(np.sqrt(((outputs - data.y_test) ** 2).mean()))


def _width(values: np.ndarray) -> int:
    low, high = int(values.min()), int(values.max())
    return FixedPoint.holding(low, high, 0).width


def _bits(values: np.ndarray, width: int) -> bytes:
    return np.packbits(((values[:, None] >> np.arange(width)) & 1).astype(np.uint8), bitorder="little").tobytes()


def smallest(values: Mapping[str, np.ndarray]) -> tuple[str, bytes]:
    """Float32 parameters in the smallest of: dense, CSR, bitmap with the non-zeros."""
    ways = {"dense float32": b"".join(v.astype(np.float32).tobytes() for v in values.values()),
            "CSR": b"".join(_csr(v) for v in values.values()),
            "bitmap": b"".join(_bitmap(v) for v in values.values())}
    best = min(ways, key=lambda way: len(ways[way]))
    return best, ways[best]


def _csr(value: np.ndarray) -> bytes:
    """Row ends, column indices and values; indices as narrow as the shape allows."""
    matrix = value.reshape(len(value), -1) if value.ndim > 1 else value.reshape(1, -1)
    rows, columns = np.nonzero(matrix)
    ends = np.cumsum(np.bincount(rows, minlength=len(matrix)))
    return (ends.astype(_unsigned(int(ends[-1]))).tobytes() + columns.astype(_unsigned(matrix.shape[1] - 1)).tobytes()
            + matrix[rows, columns].astype(np.float32).tobytes())


def _unsigned(most: int) -> np.dtype:
    return np.dtype(np.uint8 if most < 1 << 8 else np.uint16 if most < 1 << 16 else np.uint32)


def _bitmap(value: np.ndarray) -> bytes:
    flat = value.ravel()
    return np.packbits(flat != 0).tobytes() + flat[flat != 0].astype(np.float32).tobytes()
