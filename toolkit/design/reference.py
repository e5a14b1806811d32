"""The reference: integer codes in, integer codes out, exact, vectorised. Everything generated is compared with this."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from toolkit.errors import InputError

if TYPE_CHECKING:
    from toolkit.design.design import Design

CACHE_BYTES = 1 << 20
"""Working set of one chunk of samples: small enough to stay in a core's own cache."""


def number_type(bound: int) -> np.dtype:
    """The fastest numpy type in which sums up to `bound` are exact: floats have the fast matrix product."""
    if bound < 1 << 24:
        return np.dtype(np.float32)
    return np.dtype(np.float64) if bound < 1 << 53 else np.dtype(np.int64)


def run(design: Design, codes: np.ndarray) -> np.ndarray:
    """Input codes (n, *input.shape) to output codes (n, *output.shape) as int64."""
    codes = _checked(design, codes)
    program = _compile(design)
    output = np.empty((len(codes), *design.output.shape), np.int64)
    last_use = {name: i for i, (_, _, inputs, _) in enumerate(program) for name in inputs}
    step = _chunk(design)
    for start in range(0, len(codes), step):
        values = {design.input.name: codes[start:start + step]}
        for i, (name, dtype, inputs, kernel) in enumerate(program):
            values[name] = kernel([values[n].astype(dtype, copy=False) for n in inputs])
            for n in inputs:
                if last_use[n] == i:
                    values.pop(n, None)
        output[start:start + step] = values[design.output.name]
    return output


def trace(design: Design, codes: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor's codes by name, as int64: the input, then each layer's output."""
    values = {design.input.name: _checked(design, codes)}
    for name, dtype, inputs, kernel in _compile(design):
        values[name] = kernel([values[n].astype(dtype) for n in inputs]).astype(np.int64)
    return values


def _compile(design: Design):
    program = []
    for layer in design.layers:
        found = design.ranges[layer.name]
        dtype = number_type(found.bound)
        program.append((layer.name, dtype, layer.inputs, layer.kernel(design.inputs_of(layer), found, dtype)))
    return program


def _chunk(design: Design) -> int:
    widest = max(t.size for t in design.tensors.values())
    return max(16, CACHE_BYTES // (4 * widest * 2))


def _checked(design: Design, codes: np.ndarray) -> np.ndarray:
    """The codes as an integer array, or an InputError that says why they are none."""
    codes = np.asarray(codes)
    want = design.input
    if codes.ndim != len(want.shape) + 1 or codes.shape[1:] != want.shape:
        raise InputError(f"input codes of shape {codes.shape} do not fit the design's input (n, "
                         f"{', '.join(map(str, want.shape))})")
    if codes.dtype.kind not in "iu":
        raise InputError(f"the reference takes integer codes, not {codes.dtype}; use the input's quantise()")
    if codes.size and not want.format.holds(int(codes.min()), int(codes.max())):
        raise InputError(f"input codes {codes.min()}..{codes.max()} are outside {want.format}")
    return codes
