"""Writes brevitas_*.onnx: networks quantised and exported by Brevitas, calibrated in training mode on random samples.

    pip install brevitas onnxoptimizer -c constraints.txt && python tests/quantised/by_brevitas.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import brevitas.nn as qnn
import torch
from brevitas.export import export_onnx_qcdq, export_qonnx
from brevitas.quant import (
    Int8WeightPerChannelFloat,
    Int32Bias,
    SignedBinaryActPerTensorConst,
    SignedBinaryWeightPerTensorConst,
    SignedTernaryWeightPerTensorConst,
)
from kept import keep
from torch import nn


def mlp() -> nn.Module:
    """Weights of a scale for each channel, BatchNorm, quantised biases, an output of 8 bits."""
    return nn.Sequential(
        qnn.QuantIdentity(bit_width=8, return_quant_tensor=True),
        qnn.QuantLinear(12, 16, True, weight_bit_width=4, weight_quant=Int8WeightPerChannelFloat, bias_quant=Int32Bias),
        nn.BatchNorm1d(16), qnn.QuantReLU(bit_width=4, return_quant_tensor=True),
        qnn.QuantLinear(16, 5, True, weight_bit_width=8, bias_quant=Int32Bias), qnn.QuantIdentity(bit_width=8))


def binary() -> nn.Module:
    return nn.Sequential(
        qnn.QuantIdentity(bit_width=8), qnn.QuantLinear(16, 24, False, weight_quant=SignedBinaryWeightPerTensorConst),
        nn.BatchNorm1d(24), qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst),
        qnn.QuantLinear(24, 12, False, weight_quant=SignedTernaryWeightPerTensorConst), nn.BatchNorm1d(12),
        qnn.QuantHardTanh(bit_width=2, min_val=-1.0, max_val=1.0), qnn.QuantLinear(12, 3, False, weight_bit_width=2))


def pools() -> nn.Module:
    """Pools between convolutions with biases, or BatchNorm, and the quantisers behind them."""
    return nn.Sequential(
        qnn.QuantIdentity(bit_width=8), qnn.QuantConv2d(2, 4, 3, padding=1, bias=False, weight_bit_width=4),
        nn.BatchNorm2d(4), nn.MaxPool2d(2), qnn.QuantReLU(bit_width=6),
        qnn.QuantConv2d(4, 4, 1, weight_bit_width=4), nn.AvgPool2d(2), qnn.QuantIdentity(bit_width=8), nn.Flatten(),
        qnn.QuantLinear(16, 2, True, weight_bit_width=4), qnn.QuantIdentity(bit_width=8))


def curves() -> nn.Module:
    """Sigmoid and Tanh right behind layers, as Brevitas has them: nothing quantises what they read."""
    return nn.Sequential(
        qnn.QuantIdentity(bit_width=8), qnn.QuantLinear(8, 8, True, weight_bit_width=4), qnn.QuantSigmoid(bit_width=8),
        qnn.QuantLinear(8, 8, True, weight_bit_width=4), qnn.QuantTanh(bit_width=6),
        qnn.QuantLinear(8, 3, True, weight_bit_width=4), qnn.QuantIdentity(bit_width=8))


class Residual(nn.Module):
    """A sum of two tensors of one scale, and a mean whose bits are cut."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = qnn.QuantIdentity(bit_width=8, return_quant_tensor=True)
        self.first = qnn.QuantConv2d(2, 4, 3, padding=1, bias=False, weight_bit_width=4)
        self.second = qnn.QuantConv2d(4, 4, 3, padding=1, bias=False, weight_bit_width=4)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(2))
        self.relu = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
        self.shared = qnn.QuantIdentity(bit_width=4, return_quant_tensor=True)
        self.end = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
        self.mean = qnn.TruncAvgPool2d(8, bit_width=4, return_quant_tensor=True)
        self.head = qnn.QuantLinear(4, 3, False, weight_bit_width=4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.shared(self.relu(self.norms[0](self.first(self.entry(x)))))
        y = self.end(h + self.shared(self.norms[1](self.second(h))))
        return self.head(self.mean(y).flatten(1))


NETWORKS = {"mlp": (mlp, (12,)), "binary": (binary, (16,)), "pools": (pools, (2, 8, 8)), "curves": (curves, (8,)),
            "residual": (Residual, (2, 8, 8))}


def main() -> None:
    for number, (name, (made, shape)) in enumerate(NETWORKS.items()):
        torch.manual_seed(number)
        net = made()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.normal_(module.weight, 0.5, 0.7)  # some are negative
                nn.init.normal_(module.bias, 0, 0.3)
        with torch.no_grad():
            for _ in range(20):
                net(torch.rand(32, *shape) * 2 - 1)
            net.eval()
            for dialect, export in (("qonnx", export_qonnx), ("qcdq", export_onnx_qcdq)):
                if (dialect == "qonnx") == (name in ("pools", "curves")) and name != "residual":
                    continue  # one of each; of quantised biases and bipolar numbers Brevitas writes no QCDQ
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / "net.onnx"
                    export(net, torch.zeros(1, *shape), str(path))
                    keep(path, f"brevitas_{name}_{dialect}", "brevitas", "torch", "onnxscript")


if __name__ == "__main__":
    main()
