"""`verilator --lint-only -Wall` over generated projects of every kind of layer; a warning is a failure."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.networks import INPUT, log2_weights, mlp
from toolkit.design import (
    Add,
    ArgMax,
    Clamp,
    Concat,
    Dense,
    Design,
    FixedPoint,
    IntegerFormat,
    Layer,
    Log2Format,
    Overflow,
    Requantise,
    Reshape,
    Rounding,
    Tensor,
    TwoTermFormat,
    Weights,
)
from toolkit.generate import generate
from toolkit.hardware import Options


def every_layer() -> Design:
    """Every layer, rounding and overflow; a saturating sum of different formats; a dead input and a dead neuron."""
    rng = np.random.default_rng(0)
    form = Log2Format.of(4)
    drawn = log2_weights(rng.normal(0, 0.5, (8, 12)), form)
    codes = drawn.codes.copy()
    codes[3], codes[:, 5] = 0, 0
    sparse = Weights(form, codes, drawn.exponents)
    whole = IntegerFormat(5)
    integers = Weights(whole, whole.encode(rng.integers(-16, 16, (8, 8))), np.full(8, -4))
    double = TwoTermFormat.of(5)
    sums = rng.choice(np.concatenate([-double.magnitudes, double.magnitudes]), (5, 16))
    wide = FixedPoint(True, 9, 5)
    layers: tuple[Layer, ...] = (
        Reshape("flat", ("x",), (12,)),
        Dense("a", ("flat",), sparse, rng.integers(-99, 99, 8), 10,
              Requantise.to(FixedPoint(False, 6, 4))),
        Dense("b", ("a",), integers, rng.integers(-99, 99, 8), 6,
              Requantise.to(wide, Rounding.HALF_EVEN, Overflow.WRAP)),
        Add("sum", ("a", "b"), Requantise(FixedPoint(True, 7, 4), -40, 50)),
        Clamp("clip", ("sum",), Requantise(FixedPoint(False, 5, 3), 0, 20, Rounding.FLOOR)),
        Concat("both", ("clip", "b")),
        Dense("out", ("both",), Weights(double, double.encode(sums), np.full(5, -5)), rng.integers(-99, 99, 5), 8,
              Requantise.to(FixedPoint(True, 12, 6))),
        ArgMax("class", ("out",)),
    )
    return Design("every layer", Tensor("x", (3, 4), INPUT), layers)


def main() -> int:
    failed = 0
    with tempfile.TemporaryDirectory() as place:
        for name, design, depth in (("mlp", mlp(), 4), ("deep", mlp((8, 12, 6), bits=3, levels=2), 1),
                                    ("every", every_layer(), 2)):
            folder = Path(place) / name
            generate(design, folder, options=Options(depth), vectors=100)
            told = subprocess.run([sys.executable, "-B", str(folder / "sim" / "run.py"), str(folder), "--lint"],
                                  capture_output=True, text=True)
            print(told.stdout.strip(), told.stderr.strip())
            failed += told.returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
