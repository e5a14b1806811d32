"""Whether the vectors are what was generated: each set lies in the folder twice, as .npy and as hex beats, and the
manifest has the digest of both."""

from __future__ import annotations

import hashlib

import numpy as np
import safe_files
from benches.beats import of_words
from benches.checks import Loaded
from benches.rtl import Rtl, Stream
from errors import BadFolder
from manifest import Manifest
from native import Vectors
from results import Diagnosis


def disagreements(manifest: Manifest, rtl: Rtl, beats: Loaded, words: list[Vectors]) -> dict[str, tuple[str, ...]]:
    """For each set, what its .npy and its .hex files disagree in; nothing where all agree."""
    found: dict[str, tuple[str, ...]] = {}
    for i, (one, files) in enumerate(zip(words, manifest.vectors, strict=True)):
        told = []
        for what, codes, stream, hexed, names in (
                ("inputs", one.inputs, rtl.input, beats.inputs[i], (files.inputs_hex, files.inputs)),
                ("expected outputs", one.expected, rtl.output, beats.expected[i],
                 (files.expected_hex, files.expected))):
            sample = _first(codes, stream, hexed)
            if sample is not None:
                shown = [path.relative_to(manifest.folder).as_posix() for path in names if path]
                told.append(f"the {what} of '{files.name}' disagree: sample {sample} is one in {shown[0]} and another "
                            f"in {shown[1]}")
        found[files.name] = tuple(told)
    return found


def _first(codes: np.ndarray, stream: Stream, beats: np.ndarray) -> int | None:
    """The first sample whose words do not make its beats."""
    differ = (of_words(codes, stream) != beats).any(axis=1)
    return int(np.flatnonzero(differ)[0]) if differ.any() else None


def altered(manifest: Manifest, names: list[str]) -> list[str]:
    """Those of the files that are not what was generated, or are gone."""
    def digest(name: str) -> str:
        try:
            return hashlib.sha256(safe_files.read(manifest.folder / name)).hexdigest()
        except BadFolder:
            return ""

    return [name for name in names if digest(name) != manifest.files.get(name)]


def blame_vectors(manifest: Manifest, name: str, told: dict[str, tuple[str, ...]]) -> Diagnosis | None:
    """Where the set `name` ('all': any) is not what was generated: a diagnosis that blames no layer."""
    sets = [s for s in manifest.vectors if name in (s.name, "all")]
    files = [path.relative_to(manifest.folder).as_posix() for s in sets
             for path in (s.inputs, s.expected, s.inputs_hex, s.expected_hex) if path]
    wrong = [f"{file} differs from what was generated" for file in altered(manifest, files)] or \
            [line for s in sets for line in told[s.name]]
    return Diagnosis(None, f"the vectors are at fault, no layer is blamed: {'; '.join(wrong)}", {}) if wrong else None
