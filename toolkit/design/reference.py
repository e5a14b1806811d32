"""The reference: integer codes in, integer codes out, exact, vectorised. Everything generated is compared with this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from toolkit.design.layers import LayerRange
from toolkit.design.network import Network
from toolkit.utils.errors import InputError

CACHE_BYTES = 1 << 20
"""Working set of one chunk of samples: small enough to stay in a core's own cache."""


def number_type(bound: int) -> np.dtype:
    """The fastest numpy type in which sums up to `bound` are exact: floats have the fast matrix product."""
    if bound < 1 << 24:
        return np.dtype(np.float32)
    return np.dtype(np.float64) if bound < 1 << 53 else np.dtype(np.int64)


def run(network: Network, ranges: Mapping[str, LayerRange], codes: np.ndarray) -> np.ndarray:
    """Input codes (n, *input.shape) to output codes (n, *output.shape) as int64."""
    codes = _checked(network, codes)
    output = np.empty((len(codes), *network.output.shape), np.int64)
    for start, name, values in _outputs(network, ranges, codes):
        if name == network.output.name:
            output[start:start + len(values)] = values
    return output


def watch(network: Network, ranges: Mapping[str, LayerRange], codes: np.ndarray,
          elements: Mapping[str, np.ndarray]) -> np.ndarray:
    """int64 (n, watched): what input codes (n, *input.shape) make of the `elements` (their indices) of each layer, one
    layer's behind the other's, in the order of the network."""
    codes = _checked(network, codes)
    ends = np.cumsum([0, *(len(elements[layer.name]) for layer in network.layers)])
    columns = {layer.name: slice(*ends[i:i + 2]) for i, layer in enumerate(network.layers)}
    found = np.empty((len(codes), ends[-1]), np.int64)
    for start, name, values in _outputs(network, ranges, codes):
        flat = values.reshape(len(values), -1)
        found[start:start + len(values), columns[name]] = flat[:, elements[name]]
    return found


def _outputs(network: Network, ranges: Mapping[str, LayerRange],
             codes: np.ndarray) -> Iterator[tuple[int, str, np.ndarray]]:
    """Each layer's output for one chunk of samples after the other: (the chunk's first sample, the layer, codes)."""
    program = _compile(network, ranges)
    last_use = {name: i for i, (_, _, inputs, _) in enumerate(program) for name in inputs}
    step = _chunk(network)
    for start in range(0, len(codes), step):
        values = {network.input.name: codes[start:start + step]}
        for i, (name, dtype, inputs, kernel) in enumerate(program):
            values[name] = kernel([values[n].astype(dtype, copy=False) for n in inputs])
            for n in inputs:
                if last_use[n] == i:
                    values.pop(n, None)
            yield start, name, values[name]


def trace(network: Network, ranges: Mapping[str, LayerRange], codes: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor's codes by name, as int64: the input, then each layer's output."""
    values = {network.input.name: _checked(network, codes)}
    for name, dtype, inputs, kernel in _compile(network, ranges):
        values[name] = kernel([values[n].astype(dtype) for n in inputs]).astype(np.int64)
    return values


def _compile(network: Network, ranges: Mapping[str, LayerRange]):
    program = []
    for layer in network.layers:
        found = ranges[layer.name]
        dtype = number_type(found.bound)
        program.append((layer.name, dtype, layer.inputs, layer.kernel(network.inputs_of(layer), found, dtype)))
    return program


def _chunk(network: Network) -> int:
    widest = max(t.size for t in network.tensors.values())
    return max(16, CACHE_BYTES // (4 * widest * 2))


def _checked(network: Network, codes: np.ndarray) -> np.ndarray:
    """The codes as an integer array, or an InputError that says why they are none."""
    codes = np.asarray(codes)
    want = network.input
    if codes.ndim != len(want.shape) + 1 or codes.shape[1:] != want.shape:
        raise InputError(f"input codes of shape {codes.shape} do not fit the design's input (n, "
                         f"{', '.join(map(str, want.shape))})")
    if codes.dtype.kind not in "iu":
        raise InputError(f"the reference takes integer codes, not {codes.dtype}; use the input's quantise()")
    if codes.size and not want.format.holds(int(codes.min()), int(codes.max())):
        raise InputError(f"input codes {codes.min()}..{codes.max()} are outside {want.format}")
    return codes
