"""A project folder written by hand, so to speak: a small shift-and-add network by numpy alone, for the bench tests."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

IN_WIDTH = 8
HIDDEN_WIDTH = 8
OUT_WIDTH = 20
LEVELS = 4  # weights are 0 or +-1, 2, 4, 8
DEPTH = 4  # adders between two registers


@dataclass(frozen=True)
class Dense:
    """Weights (inputs, outputs), each 0 or a signed power of two; hidden layers clamp `acc >> shift` to 8 bits."""

    name: str
    weights: np.ndarray
    biases: np.ndarray
    shift: int
    hidden: bool

    @property
    def width(self) -> int:
        return HIDDEN_WIDTH if self.hidden else OUT_WIDTH

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        acc = (codes.astype(np.float64) @ self.weights.astype(np.float64)).astype(np.int64) + self.biases
        return np.clip(acc >> self.shift, 0, 2**HIDDEN_WIDTH - 1) if self.hidden else acc


def draw(sizes: tuple[int, ...], rng: np.random.Generator, density: float = 0.9) -> list[Dense]:
    """Random layers of the given sizes."""
    layers = []
    for i, (n, m) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        weights = rng.choice([-1, 1], (n, m)) * (1 << rng.integers(0, LEVELS, (n, m))) * (rng.random((n, m)) < density)
        hidden = i < len(sizes) - 2
        spread = 128 * np.sqrt(np.maximum((weights**2).sum(0), 1)).mean()
        shift = max(int(np.log2(spread / 100)), 0) if hidden else 0
        layers.append(Dense(f"fc{i + 1}", weights, rng.integers(-500, 500, m), shift, hidden))
    return layers


def _tree(terms: list[tuple[str, int]], prefix: str, first: int) -> tuple[list[list[tuple[str, int, str]]], str, int]:
    """Balanced tree over (text, maximum) of unsigned words: rows of (name, width, text), the sum and its maximum."""
    rows = []
    count = first
    while len(terms) > 1:
        row, above = [], []
        for a, b in zip(terms[::2], terms[1::2], strict=False):
            top = a[1] + b[1]
            row.append((f"{prefix}{count}", top.bit_length(), f"{a[0]} + {b[0]}"))
            above.append((f"{prefix}{count}", top))
            count += 1
        rows.append(row)
        terms = above + terms[len(above) * 2:]
    return rows, terms[0][0], terms[0][1]


def layer_verilog(module: str, layer: Dense) -> tuple[str, int]:
    """The module's text and its latency. Unsigned words, `~x` for minus x, the constants taken back at the end."""
    n, m = layer.weights.shape
    stages: list[list[tuple[str, int, str]]] = []
    finals = []
    depth = int(np.ceil(np.log2(max(n, 2)))) + 1
    latency = -(-depth // DEPTH)
    delays: dict[tuple[str, int], None] = {}
    made: dict[str, int] = {}
    width_of: dict[str, int] = {}
    wires: list[list[str]] = [[] for _ in range(latency)]

    def use(text: str, stage: int) -> str:
        """An operand of an earlier stage is read from its delay register."""
        name = text.strip("~{}").split(",")[0].strip("~ ")
        if name not in made or made[name] == stage:
            return text
        for s in range(made[name] + 1, stage + 1):
            delays[(name, s)] = None
        return text.replace(name, f"{name}_r{stage}")

    for i in range(n):
        made[f"i{i}"], width_of[f"i{i}"] = 0, IN_WIDTH
        wires[0].append(f"wire [{IN_WIDTH - 1}:0] i{i} = x[{i * IN_WIDTH + IN_WIDTH - 1}:{i * IN_WIDTH}];")
    for j in range(m):
        terms, constant = [], int(layer.biases[j])
        for i in range(n):
            w = int(layer.weights[i, j])
            if w == 0:
                continue
            k = abs(w).bit_length() - 1
            terms.append((f"{{{'~' if w < 0 else ''}i{i}, {k}'b0}}" if k else f"{'~' if w < 0 else ''}i{i}", 255 << k))
            constant -= (255 << k) if w < 0 else 0
        if not terms:
            terms = [("8'b0", 0)]
        rows, total, top = _tree(terms, f"t{j}_", 0)
        for level, row in enumerate(rows):
            for name, width, text in row:
                stage = level // DEPTH
                a, b = text.split(" + ")
                made[name], width_of[name] = stage, width
                a, b = _pad(a, width, width_of), _pad(b, width, width_of)
                wires[stage].append(f"wire [{width - 1}:0] {name} = {use(a, stage)} + {use(b, stage)};")
        last = latency - 1
        aw = max(top.bit_length(), int(abs(constant)).bit_length()) + 2
        width_of.setdefault(total, 8)
        acc = f"a{j}"
        wires[last].append(f"wire [{aw - 1}:0] {acc} = {use(_pad(total, aw, width_of), last)} + {aw}'d{constant % 2**aw};")
        made[acc], width_of[acc] = last, aw
        if layer.hidden:
            s = layer.shift
            hi = f"|{acc}[{aw - 2}:{s + 8}]" if aw - 2 >= s + 8 else "1'b0"
            wires[last].append(f"wire [7:0] y{j} = {acc}[{aw - 1}] ? 8'd0 : ({hi}) ? 8'd255 : {acc}[{s + 7}:{s}];")
            made[f"y{j}"], width_of[f"y{j}"] = last, 8
        else:
            ext = f"{{{{{OUT_WIDTH - aw}{{{acc}[{aw - 1}]}}}}, {acc}}}" if aw < OUT_WIDTH else f"{acc}[{OUT_WIDTH - 1}:0]"
            wires[last].append(f"wire [{OUT_WIDTH - 1}:0] y{j} = {ext};")
            made[f"y{j}"], width_of[f"y{j}"] = last, OUT_WIDTH
        delays[(f"y{j}", latency)] = None
        finals.append(f"y{j}_r{latency}")
    text = [f"// {module}: layer {layer.name}", "`default_nettype none", f"module {module} (input wire clk, input wire en,",
            f"    input wire [{n * IN_WIDTH - 1}:0] x, output wire [{m * layer.width - 1}:0] y);"]
    for stage in range(latency):
        text += [f"    {line}" for line in wires[stage]]
        regs = [(name, s) for name, s in delays if s == stage + 1]
        text += [f"    reg [{width_of[name] - 1}:0] {name}_r{s};" for name, s in regs]
        text += ["    always @(posedge clk) if (en) begin"]
        text += [f"        {name}_r{s} <= {name if made[name] == s - 1 else f'{name}_r{s - 1}'};" for name, s in regs]
        text += ["    end"]
    text += [f"    assign y = {{{', '.join(reversed(finals))}}};", "endmodule", "`default_nettype wire", ""]
    return "\n".join(text), latency


def _pad(text: str, width: int, width_of: dict[str, int]) -> str:
    """A word with explicit zeros above it, as wide as its sum."""
    inner = text.strip("{}")
    name = inner.split(",")[0].strip("~ ")
    have = width_of.get(name, 8) + (int(inner.split(",")[1].split("'")[0]) if "," in inner else 0)
    if have >= width:
        return text
    return f"{{{width - have}'b0, {inner}}}"
