"""Writes pt2e_*.onnx: networks quantised by PyTorch's PT2E flow (torchao) with the quantiser of XNNPACK,
int8 with a scale for each channel of the weights, and exported by torch.onnx.

    pip install torchao -c constraints.txt && python tests/quantised/by_pt2e.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from kept import keep
from torch import nn
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.testing.pt2e._xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x).relu()
        y = (self.second(h) + h).relu()
        return self.head(torch.nn.functional.adaptive_avg_pool2d(y, 1).flatten(1))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 3))


def conv() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


NETWORKS = {"mlp": (mlp, (8,)), "conv": (conv, (2, 8, 8)), "residual": (Residual, (2, 8, 8))}


def main() -> None:
    for number, (name, (made, shape)) in enumerate(NETWORKS.items()):
        torch.manual_seed(number)
        net, x = made().eval(), torch.rand(8, *shape) * 2 - 1
        dynamic = ({0: torch.export.Dim("batch")},)
        quantiser = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
        prepared = prepare_pt2e(torch.export.export(net, (x,), dynamic_shapes=dynamic).module(), quantiser)
        for _ in range(8):
            prepared(torch.rand(32, *shape) * 2 - 1)
        program = torch.export.export(convert_pt2e(prepared), (x,), dynamic_shapes=dynamic)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.onnx"
            torch.onnx.export(program, (x,), str(path), dynamo=True, external_data=False, verbose=False)
            keep(path, f"pt2e_{name}", "torchao", "torch", "onnxscript")


if __name__ == "__main__":
    main()
