"""Element-wise functions in float64, for tables."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Function = Callable[[np.ndarray, float], np.ndarray]


def _sigmoid(x: np.ndarray, alpha: float) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _gelu(x: np.ndarray, alpha: float) -> np.ndarray:
    return 0.5 * x * (1 + np.array([math.erf(v / math.sqrt(2)) for v in x.reshape(-1)]).reshape(x.shape))


FUNCTIONS: dict[str, Function] = {
    "leaky": lambda x, a: np.where(x < 0, a * x, x),
    "sigmoid": _sigmoid,
    "tanh": lambda x, a: np.tanh(x),
    "hardsigmoid": lambda x, a: np.clip(a * x + 0.5, 0, 1),
    "hardswish": lambda x, a: x * np.clip(x / 6 + 0.5, 0, 1),
    "silu": lambda x, a: x * _sigmoid(x, a),
    "gelu": _gelu,
    "gelu_tanh": lambda x, a: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "elu": lambda x, a: np.where(x < 0, a * np.expm1(np.minimum(x, 0)), x),
    "selu": lambda x, a: 1.0507009873554805 * np.where(x < 0, 1.6732632423543772 * np.expm1(np.minimum(x, 0)), x),
    "softplus": lambda x, a: np.logaddexp(0, x),
    "square": lambda x, a: x * x,
    "mish": lambda x, a: x * np.tanh(np.logaddexp(0, x)),
    "erf": lambda x, a: np.array([math.erf(v) for v in x.reshape(-1)]).reshape(x.shape),
}
"""(values, the node's alpha) to values, for each function of `steps.Function`."""
