"""The parameters of a network, and the bytes that they take in each way of storing them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import fx

from toolkit.capture.slopes import Slopes
from toolkit.compress.matmul import WEIGHTED
from toolkit.compress.quantisation.fake_quant import FakeQuantLayer, MinifloatLayer
from toolkit.compress.quantisation.layers import Quantised, QuantisedSlopes
from toolkit.design.formats import FixedPoint


def parameters(graph: fx.GraphModule) -> dict[str, np.ndarray]:
    """Every parameter by name, float32, quantised where the layer is. A bias of nothing but zeros is none: capture
    gives one to layers that have none."""
    found: dict[str, np.ndarray] = {}
    with torch.no_grad():
        for name, module in graph.named_modules():
            if isinstance(module, Quantised | FakeQuantLayer):
                weight, bias = module.quantised_weight(), module.quantised_bias()
            elif isinstance(module, Slopes | QuantisedSlopes):
                found |= {f"{name}.{key}": (value if isinstance(module, Slopes) else module.on_grid(value))
                          .detach().float().numpy() for key, value in module.named_parameters()}
                continue
            elif isinstance(module, WEIGHTED):
                assert module.bias is not None
                weight, bias = module.weight.detach(), module.bias.detach()
            else:
                continue
            found[f"{name}.weight"] = weight.float().numpy()
            if bool(bias.any()):
                found[f"{name}.bias"] = bias.float().numpy()
    return found


def packed(graph: fx.GraphModule) -> tuple[str, bytes]:
    """Weight codes, a byte of exponent a channel, biases as narrow integers: every layer on whole bytes. Where that is
    smaller, only the codes that are not zero, with a bitmap of their places."""
    dense, sparse = [], []
    for module in graph.modules():
        if isinstance(module, Quantised):
            weights = module.codes()
            codes, bits = weights.codes.ravel().astype(np.int64), weights.format.bits
            bias = np.floor(module.bias.detach().double().numpy() * 2.0**module.bias_frac + 0.5).astype(np.int64)
            rest = [weights.exponents.astype(np.int8).tobytes(), _bits(bias, _width(bias)) if bias.any() else b""]
            dense += [_bits(codes, bits), *rest]
            sparse += [np.packbits(codes != 0).tobytes(), _bits(codes[codes != 0], bits), *rest]
        elif isinstance(module, QuantisedSlopes):
            negative, positive, _ = module.codes()
            sides = [_bits(side, _width(side)) for side in ([negative] if module.positive is None
                                                            else [negative, positive])]
            dense, sparse = dense + sides, sparse + sides
    ways = {"packed codes": b"".join(dense), "bitmap, packed codes": b"".join(sparse)}
    best = min(ways, key=lambda way: len(ways[way]))
    return best, ways[best]


def stored_codes(graph: fx.GraphModule) -> tuple[str, bytes]:
    """What coded layers store: codes, scales, float biases. Codes of fewer than 8 bits are packed."""
    parts, name = [], ""
    for module in graph.modules():
        if isinstance(module, FakeQuantLayer):
            arrays = module.arrays()
            if not arrays["bias"].any():
                arrays.pop("bias")
            bits = module.form.bits if isinstance(module, MinifloatLayer) else 8
            codes = arrays.pop("codes")
            parts += [codes.tobytes() if bits == 8 else _bits(codes.ravel().astype(np.int64), bits),
                      *(a.tobytes() for a in arrays.values())]
            name = module.kind
    return f"{name} codes", b"".join(parts)


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
