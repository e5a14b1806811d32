"""Layers with coded weights for which no hardware is generated: minifloat, and int8 with dynamic activations."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from toolkit.compress.matmul import WEIGHTED, Matmul
from toolkit.compress.quantisation.layers import StraightThrough
from toolkit.compress.quantisation.minifloat import Minifloat


class FakeQuantLayer(nn.Module):
    """A Linear or a Conv whose `weight` (out, ...) is a shadow of coded values; its `bias` (out,) stays float32."""

    kind = ""

    def __init__(self, product: Matmul, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.product = product
        self.weight = nn.Parameter(weight.detach().float().clone())
        self.bias = nn.Parameter(bias.detach().float().clone())

    def quantised_weight(self) -> torch.Tensor:
        raise NotImplementedError

    def quantised_bias(self) -> torch.Tensor:
        return self.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.product(x, StraightThrough.apply(self.weight, self.quantised_weight(), None), self.bias)

    def arrays(self) -> dict[str, np.ndarray]:
        """What is stored of it: all of its bytes."""
        raise NotImplementedError


class MinifloatLayer(FakeQuantLayer):
    """Weights in a minifloat type, one power-of-two scale a layer."""

    def __init__(self, product: Matmul, weight: torch.Tensor, bias: torch.Tensor, form: Minifloat,
                 scale: int | None = None) -> None:
        super().__init__(product, weight, bias)
        self.form = form
        self.scale = form.scale(weight) if scale is None else scale
        self.kind = str(form)

    def quantised_weight(self) -> torch.Tensor:
        return self.form.project(self.weight, self.scale)

    def arrays(self) -> dict[str, np.ndarray]:
        values = self.quantised_weight().detach().numpy()
        return {"codes": self.form.codes(values, self.scale), "scale": np.array([self.scale], np.int16),
                "bias": self.bias.detach().numpy()}


class DynamicLayer(FakeQuantLayer):
    """int8 weights with one float scale a layer; activations become uint8 on the fly, with a scale and a zero point
    for every sample, so that a sample's result does not depend on its batch."""

    kind = "dynamic:int8"

    def __init__(self, product: Matmul, weight: torch.Tensor, bias: torch.Tensor,
                 scale: float | None = None) -> None:
        super().__init__(product, weight, bias)
        peak = float(weight.detach().abs().max())
        self.scale = (peak / 127 if peak else 1.0) if scale is None else scale

    def quantised_weight(self) -> torch.Tensor:
        return torch.clamp(torch.round(self.weight / self.scale), -127, 127) * self.scale

    def rounded(self, x: torch.Tensor) -> torch.Tensor:
        """Activations (n, in, ...) as the uint8 codes of each sample stand for them."""
        every = tuple(range(1, x.ndim))
        low = torch.clamp(x.detach().amin(dim=every, keepdim=True), max=0)
        high = torch.clamp(x.detach().amax(dim=every, keepdim=True), min=0)
        step = torch.clamp((high - low) / 255, min=1e-30)
        zero = torch.round(-low / step)
        codes = torch.clamp(torch.round(x / step) + zero, 0, 255)
        return (codes - zero) * step

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(StraightThrough.apply(x, self.rounded(x), None))

    def arrays(self) -> dict[str, np.ndarray]:
        codes = np.rint(self.quantised_weight().detach().numpy() / self.scale).astype(np.int8)
        return {"codes": codes, "scale": np.array([self.scale], np.float64), "bias": self.bias.detach().numpy()}


def coded(graph: fx.GraphModule, make: Any) -> fx.GraphModule:
    """A copy of a float graph with every Linear and Conv replaced by `make(product, weight, bias)`."""
    graph = copy.deepcopy(graph)
    for name, module in list(graph.named_modules()):
        if isinstance(module, WEIGHTED):
            parent, _, last = name.rpartition(".")
            setattr(graph.get_submodule(parent), last, make(Matmul.of(module), module.weight, module.bias))
    return graph.eval()
