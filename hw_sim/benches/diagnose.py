"""Where a mismatch begins: every layer's output for one input, beside what the reference put there."""

from __future__ import annotations

import json

import npy
import numpy as np
from launch import Running
from native import word_type
from processes import Deadline
from results import Diagnosis, Mismatch
from tools import Verilator
from workspace import Workspace

from benches.beats import from_words, read_hex, write_hex
from benches.build import build
from benches.rtl import LayerNet, Rtl

PROBED = 256
PROBED_CLOCKS = 200_000
"""Traced inputs that are tried where the one that failed has no trace; fewer where they take more cycles than that."""


def diagnose(rtl: Rtl, verilator: Verilator, folder: Workspace, mismatch: Mismatch, seed: int,
             deadline: Deadline, untold: frozenset[str] = frozenset()) -> Diagnosis:
    """Build a simulation in which every layer can be read, hold the failing input, and compare layer by layer.
    `untold`: layers whose trace is not what was generated, which cannot be blamed."""
    built = build(rtl, verilator, folder, deadline, probe=True)
    first = rtl.vectors[0]
    traced = read_hex(first.inputs, rtl.input, first.samples)[:rtl.trace_samples]
    own = mismatch.vectors == first.name and mismatch.sample < len(traced)
    failing = np.frombuffer(mismatch.input, np.uint8)
    same = np.flatnonzero((traced == failing).all(axis=1))
    if not own and len(same):
        own, index = True, int(same[0])
    else:
        index = mismatch.sample
    samples = [index] if own else list(range(min(len(traced), PROBED, 1 + PROBED_CLOCKS // rtl.latency)))
    beats = np.concatenate([failing[None], traced[samples]])
    work = folder.fresh(built.folder / "probed")
    write_hex(work / "beats.hex", beats, rtl.input)
    (work / "job.json").write_text(json.dumps({"latency": rtl.latency, "folded": rtl.folded,
                                               "in_beats": rtl.input.beats,
                                               "sizes": [[layer.info.elements, layer.info.width, layer.elements,
                                                          layer.row] for layer in rtl.layers],
                                               "nets": [layer.net for layer in rtl.layers]}))
    running = Running(built.folder, "probe", work, [], seed)
    try:
        running.wait(deadline)
    finally:
        running.stop()
    found = json.loads((work / "result.json").read_text())
    if isinstance(found, dict):
        net = found["absent"][0]
        absent = next(layer.info.name for layer in rtl.layers if layer.net == net)
        return Diagnosis(None, f"no layer can be blamed: the module '{rtl.top}' has no net '{net}', which the manifest "
                               f"names for the output of '{absent}'; the RTL was changed or wrapped", {})
    outputs = {layer.info.name: text for layer, text in zip(rtl.layers, found[0], strict=True)}
    for i, layer in enumerate(rtl.layers):
        if layer.info.name in untold:
            continue
        due = _trace(layer, rtl.trace_samples, samples)
        got = [int(row[i], 16).to_bytes(due.shape[1], "little") for row in found[1:]]
        if any(a != b.tobytes() for a, b in zip(got, due, strict=True)):
            name = layer.info.name
            return Diagnosis(name, f"the first layer whose output differs is '{name}' (module {layer.module})", outputs)
    if untold:
        return Diagnosis(None, f"the traces of {', '.join(map(repr, sorted(untold)))} differ from what was generated; "
                               "of the other layers none differs", {})
    if own and _expects(rtl, mismatch, index) != mismatch.expected:
        return Diagnosis(None, "the vectors are at fault, no layer is blamed: every layer's output is right, and the "
                               f"expected outputs of '{mismatch.vectors}' disagree with the last layer's trace", {})
    if own:
        return Diagnosis(None, "with this input held still every layer's output is right: look at the registers "
                               "between layers and at the handshake", outputs)
    return Diagnosis(None, "none of the traced inputs shows the layer at fault", outputs)


def _expects(rtl: Rtl, mismatch: Mismatch, sample: int) -> int:
    """What the last layer's trace holds in the place of the word that differs."""
    last = rtl.layers[-1].info
    return int(npy.read(last.trace, word_type(last), rtl.trace_samples, last.elements)[sample, mismatch.element])


def _trace(layer: LayerNet, traced: int, samples: list[int]) -> np.ndarray:
    """The reference's output beats of a layer, uint8 (samples, bytes)."""
    codes = npy.read(layer.info.trace, word_type(layer.info), traced, layer.info.elements)[samples].astype(np.int64)
    return from_words(codes, layer.info.elements, layer.info.width)
