"""The tables of docs/supported.md, each cell by making the network of its line for the target of its column."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import fx

from benchmarks.supported import onnx_cases, torch_cases
from toolkit.capture import QuantisedModel, capture, load_onnx, operations
from toolkit.capture.builder import operation
from toolkit.capture.exported import exported
from toolkit.capture.onnx.constants import FUNCTIONS
from toolkit.capture.onnx.file import LINEAR, OPSETS
from toolkit.capture.onnx.moving import MOVES
from toolkit.capture.onnx.quantisers import HANDLERS as QUANTISERS
from toolkit.capture.onnx.translate import OPERATORS
from toolkit.compress.baseline import without_argmax
from toolkit.compress.lower import lower
from toolkit.compress.quantisation.ptq import Widths, quantise
from toolkit.compress.scheme import Quantise, parse_step
from toolkit.design import Design
from toolkit.emit.target import Job
from toolkit.emit.targets import TARGETS
from toolkit.hardware import Options
from toolkit.importing import design_of
from toolkit.utils.errors import InputError

COLUMNS = {"Verilog, unrolled": ("verilog", "unrolled"), "Verilog, folded": ("verilog", "folded"),
           "C": ("c", "auto"), "HLS": ("hls", "auto"), "hls4ml": ("hls4ml", "auto")}
FORMS = {
    "convolution": "nn.Conv2d", "constant_pad_nd": "F.pad (zeros, before a Conv)",
    "max_pool2d_with_indices": "nn.MaxPool2d", "_adaptive_avg_pool2d": "nn.AdaptiveAvgPool2d",
    "_native_batch_norm_legit_no_training": "nn.BatchNorm1d", "_unsafe_view": "x.view",
    "_softmax": "nn.Softmax (at the end)",
    "_log_softmax": "nn.LogSoftmax (at the end)", "_to_copy": "x.to(float32)", "alias": "x.detach",
    "lift_fresh_copy": "x.detach", "unsafe_split": "torch.split", "unsafe_split_with_sizes": "torch.split, sizes",
    "unsafe_chunk": "torch.chunk", "concat": "torch.cat", "concatenate": "torch.cat", "subtract": "x - y",
    "multiply": "x * constant", "divide": "x / constant", "true_divide": "x / constant", "negative": "-x",
    "relu6": "nn.ReLU6", "_prelu_kernel": "nn.PReLU", "contiguous": "x.contiguous",
}
"""Other names under which a program may hold an operation, and the line that they belong to."""
FOUND: dict[tuple[object, ...], tuple[str, ...]] = {}
"""What was found, by the layers of a design: their kinds, windows and shapes."""
HEAD = """# What is captured, and what it becomes

Written by `python -m benchmarks.supported` from the tables of the code; a test fails where it is out of date. Each line
is a tiny network of that operation alone, quantised to `log2:4`, and a cell says whether its files were **made** for
the target; networks whose designs have the same layers of the same shapes share what was found. Nothing was simulated
for this table: that what is made computes every bit is what the other tests are for.

- **Verilog, unrolled** has no hardware for layers over images: give the network `--arch folded`.
- A scale or an offset (BatchNorm, `x * constant`) is a layer here because nothing stands beside it. Beside a layer with
  weights it goes into them.
- What only moves elements (`x[:, 1:3]`, `x.permute`, `torch.split`) is wires in unrolled Verilog; a ReLU stands beside
  it here, because a network of wires alone is none.
"""


def document() -> str:
    """The text of docs/supported.md."""
    reasons: list[str] = []
    torch.manual_seed(0)
    lines = [HEAD, "## `nn.Module` and `.pt2`", "", *_head("PyTorch", "in a program")]
    seen: dict[str, str] = {}
    for title, make in torch_cases.CASES.items():
        case = make().eval()
        found, design = _captured(case)
        names = sorted({n for n in found if n in operations.HANDLERS} | {n for n, of in FORMS.items() if of == title})
        seen |= dict.fromkeys(names, title)
        lines.append(_line(f"`{title}`", ", ".join(f"`{n}`" for n in names), design, reasons))
    missing = sorted(operations.HANDLERS.keys() - seen)
    assert not missing, f"benchmarks/supported/torch_cases.py has no network of {', '.join(missing)}"
    lines += ["", "## `.onnx`", "", f"Opsets {OPSETS[0]} to {OPSETS[1]}.", "", *_head("ONNX", "opset of the network")]
    every = OPERATORS.keys() | QUANTISERS.keys() | set(LINEAR)
    missing = sorted(every - onnx_cases.CASES.keys() - {"Erf", "IntQuant"})
    assert not missing, f"benchmarks/supported/onnx_cases.py has no network of {', '.join(missing)}"
    for operator in sorted(onnx_cases.CASES):
        of = "QONNX" if operator in QUANTISERS else str(onnx_cases.OLD.get(operator, 20))
        lines.append(_line(operator, of, _loaded(operator), reasons))
    constant = FUNCTIONS.keys() | MOVES.keys() | {"Constant", "Shape", *LINEAR} | QUANTISERS.keys() - {"MultiThreshold"}
    lines += ["", "IntQuant is Quant under another name; Erf is captured as a part of GELU.", "",
              f"Of constants alone these are evaluated: {', '.join(sorted(constant))}.", "", "## Why not", ""]
    lines += [f"{i}. {reason}" for i, reason in enumerate(reasons, 1)]
    return "\n".join(lines) + "\n"


def _head(*first: str) -> list[str]:
    titles = [*first, *COLUMNS]
    return ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]


def _line(name: str, detail: str, design: Design, reasons: list[str]) -> str:
    cells = []
    for reason in _made(design):
        if reason and reason not in reasons:
            reasons.append(reason)
        cells.append(f"no ({reasons.index(reason) + 1})" if reason else "yes")
    return "| " + " | ".join([name, detail, *cells]) + " |"


def _made(design: Design) -> tuple[str, ...]:
    """For each column why the design cannot be made for it; empty where it was."""
    key = tuple((layer.kind, getattr(layer, "window", None), getattr(layer, "groups", None),
                 getattr(layer, "gate", None),
                 design.tensors[layer.name].shape, tuple(t.shape for t in design.inputs_of(layer)))
                for layer in design.layers)
    if key not in FOUND:
        FOUND[key] = tuple(_refused(design, *how) for how in COLUMNS.values())
    return FOUND[key]


def _refused(design: Design, target: str, arch: str) -> str:
    try:
        TARGETS[target](Job(design, Options(arch=arch)))
    except InputError as error:
        return re.sub(r"layer '[^']*' \((\w+)\)", r"a layer of the kind \1", str(error))
    return ""


def _captured(case: torch.nn.Module) -> tuple[set[str], Design]:
    """The operations that torch.export writes of a case, and its design."""
    program = exported(case, case.shape)  # type: ignore[arg-type]
    names = {operation(node) for node in program.graph.nodes if node.op == "call_function"}
    return names, _lowered(capture(program, case.shape))  # type: ignore[arg-type]


def _loaded(operator: str) -> Design:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        path.write_bytes(onnx_cases.network(operator).SerializeToString())
        loaded = load_onnx(path)
    if isinstance(loaded, QuantisedModel):
        return design_of(loaded).design
    return _lowered(capture(loaded, loaded.sample_shape))


def _lowered(graph: fx.GraphModule) -> Design:
    x = np.random.default_rng(0).random((16, *graph.meta["input_shape"]), np.float32)
    graph, argmax = without_argmax(graph)
    step = parse_step("log2:4")
    assert isinstance(step, Quantise)
    made = quantise(graph, torch.from_numpy(x), step, Widths()).double()
    return lower(made, "network", argmax=argmax)
