"""hls4ml 1.3.0 on the same network: its csim, every precision set by hand so that it is exact."""

from __future__ import annotations

import contextlib
import io
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from toolkit.design import Dense, Design, FixedPoint


@dataclass(frozen=True)
class Result:
    build_seconds: float
    samples_per_second: float
    samples: int
    mismatches: int


def measure(design: Design, folder: Path, codes: np.ndarray) -> Result:
    """Convert, compile and run `design` (Dense layers in a row) on `codes` int64 (n, features)."""
    import hls4ml

    model = equivalent(design)
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        config = hls4ml.utils.config_from_pytorch_model(
            model, (design.input.size,), granularity="name", backend="Vivado", default_precision="fixed<32,16>")
        config["LayerName"] = {**config.get("LayerName", {}), **precisions(design, config["LayerName"])}
        converted = hls4ml.converters.convert_from_pytorch_model(
            model, hls_config=config, output_dir=str(folder), backend="Vivado", io_type="io_parallel")
        converted.compile()
    built = time.perf_counter() - start
    values = np.ascontiguousarray(np.ldexp(codes.astype(np.float64), -design.input.format.frac))
    best, outputs = np.inf, None
    for _ in range(3):
        start = time.perf_counter()
        outputs = converted.predict(values)
        best = min(best, time.perf_counter() - start)
    got = np.ldexp(np.asarray(outputs, np.float64), design.output.format.frac).reshape(len(codes), -1)
    return Result(built, len(codes) / best, len(codes), int((got != design.reference(codes)).sum()))


def equivalent(design: Design) -> nn.Module:
    """The network as torch layers fc1, relu1, fc2, ... with the quantised weights."""
    model = nn.Sequential()
    for i, layer in enumerate(design.layers, 1):
        assert isinstance(layer, Dense)
        linear = nn.Linear(layer.weights.codes.shape[1], layer.weights.codes.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(layer.weights.values()))
            linear.bias.copy_(torch.from_numpy(np.ldexp(layer.bias.astype(np.float64), -layer.bias_frac)))
        model.add_module(f"fc{i}", linear)
        if i < len(design.layers):
            model.add_module(f"relu{i}", nn.ReLU())
    return model.eval()


def precisions(design: Design, known: dict) -> dict:
    """hls4ml's settings for every layer: sums exact, the activation rounded half up and saturated."""
    found: dict[str, dict] = {}
    first = next(name for name in known if "fc" not in name and "relu" not in name)
    found[first] = {"Precision": {"result": ap(design.input.format)}}
    for i, layer in enumerate(design.layers, 1):
        assert isinstance(layer, Dense)
        integers, frac = layer.weights.integers()
        span = design.ranges[layer.name]
        assert span.accumulator is not None
        acc = FixedPoint.holding(int(span.accumulator.low.min()) * 2, int(span.accumulator.high.max()) * 2,
                                 span.acc_frac)
        weight = FixedPoint.holding(min(int(integers.min()), -1), int(integers.max()), frac)
        bias = FixedPoint.holding(min(int(layer.bias.min()), -1), int(layer.bias.max()), layer.bias_frac)
        out = ap(layer.requantise.format, ",RND,SAT")
        last = i == len(design.layers)
        found[f"fc{i}"] = {**known.get(f"fc{i}", {}), "Precision": {
            "weight": ap(weight), "bias": ap(bias), "accum": ap(acc), "result": out if last else ap(acc)}}
        if not last:
            found[f"relu{i}"] = {**known.get(f"relu{i}", {}), "Precision": {"result": out}}
    return found


def ap(form: FixedPoint, more: str = "") -> str:
    return f"{'' if form.signed else 'u'}fixed<{form.width},{form.width - form.frac}{more}>"
