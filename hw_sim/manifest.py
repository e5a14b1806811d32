"""manifest.json, read as a stranger's file: every name and path in it is checked before anything uses it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safe_files
from errors import BadFolder

SCHEMA = 4
IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,199}")
MAX_BITS = 1 << 22
"""Of one beat."""
MAX_PARTS, MAX_AXES = 256, 8
MAX_SAMPLES = 1 << 26
MAX_TEXT = 1 << 25
"""Bytes of a manifest."""


@dataclass(frozen=True)
class Part:
    """One of several inputs or outputs: elements `start` .. `stop` of all."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Port:
    """The network's input or output: `elements` words of `width` bits a sample; of several inputs or outputs, `parts`
    one after the other."""

    name: str
    format: str
    elements: int
    width: int
    signed: bool
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class VectorSet:
    """Input and expected output codes, as .npy files (samples, elements); as hex beats where the project has RTL."""

    name: str
    samples: int
    inputs: Path
    expected: Path
    inputs_hex: Path | None
    expected_hex: Path | None


@dataclass(frozen=True)
class LayerInfo:
    """A layer, and what the reference makes of the traced samples: a .npy file (samples, elements)."""

    name: str
    elements: int
    width: int
    signed: bool
    trace: Path


@dataclass(frozen=True)
class Manifest:
    """A project folder that has passed its checks. Paths are absolute and lie inside it. `targets`: each target's own
    entry, to be read by its bench."""

    folder: Path
    name: str
    input: Port
    output: Port
    layers: tuple[LayerInfo, ...]
    vectors: tuple[VectorSet, ...]
    trace_samples: int
    files: dict[str, str]
    targets: dict[str, dict[str, Any]]

    @property
    def samples(self) -> int:
        return sum(s.samples for s in self.vectors)

    def changed(self) -> list[str]:
        """The files whose SHA-256 is no longer the one that was written, or that are gone."""
        return [name for name, digest in self.files.items() if _digest(self.folder / name) != digest]

    def inside(self, name: Any) -> Path:
        """A path that an entry names: relative, of plain characters, inside the folder, no link on the way."""
        return _inside(self.folder, name)


def load(folder: Path) -> Manifest:
    """Read and check a project folder; whatever is wrong is a BadFolder error that says so."""
    folder = folder.resolve()
    path = folder / "manifest.json"
    if not folder.is_dir():
        raise BadFolder(f"'{folder}' is not a folder; give the folder that shiftwright generated")
    if not path.is_file():
        raise BadFolder(f"'{folder}' has no manifest.json; give the folder that shiftwright generated")
    try:
        text = safe_files.read(path, MAX_TEXT).decode("utf-8")
        data = json.loads(text, parse_constant=_number, parse_float=_number)
        json.dumps(data, ensure_ascii=False).encode()  # half a surrogate is not a character, and cannot be printed
        if not isinstance(data, dict):
            raise BadFolder(f"'{path}' holds no JSON object")
        if data.get("schema") != SCHEMA:
            raise BadFolder(f"'{path}' has schema {ascii(data.get('schema'))[:40]}; these benches read schema {SCHEMA}")
        found = _manifest(folder, data)
    except (OSError, ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else _shown(error)
        raise BadFolder(f"'{path}' cannot be read: {why}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise BadFolder(f"'{path}' is damaged: {type(error).__name__} at {_shown(error)}") from error
    for place in sorted({name.split("/")[0] for name in found.files}):
        for _ in safe_files.walk(folder / place) if (folder / place).is_dir() else ():
            pass  # a link anywhere in the folders that we use is refused
    return found


def _number(text: str) -> float:
    """A finite number; JSON's writers know no other."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is not finite")
    return value


def _shown(error: Exception) -> str:
    return ascii(str(error))[1:-1][:200]


def _manifest(folder: Path, data: dict[str, Any]) -> Manifest:
    sets = tuple(VectorSet(identifier(s["name"]), count(s["samples"], "samples", MAX_SAMPLES),
                           *(_inside(folder, s[key]) for key in ("inputs", "expected")),
                           *(_inside(folder, s[key]) if key in s else None for key in ("inputs_hex", "expected_hex")))
                 for s in data["vectors"])
    if not sets:
        raise BadFolder("the manifest names no vectors")
    layers = tuple(LayerInfo(str(e["name"]), count(e["elements"], "elements", MAX_BITS),
                             count(e["width"], "width", 62), bool(e["signed"]), _inside(folder, e["trace"]))
                   for e in data["layers"])
    targets = {str(name): dict(entry) for name, entry in data["targets"].items()}
    if not targets:
        raise BadFolder("the manifest names no targets")
    return Manifest(folder, str(data["name"]), _port(data["input"]), _port(data["output"]), layers, sets,
                    count(data["trace_samples"], "trace_samples", MAX_SAMPLES),
                    {str(k): str(v) for k, v in data["files"].items() if _inside(folder, k)}, targets)


def _port(entry: dict[str, Any]) -> Port:
    elements = count(entry["elements"], "elements", MAX_BITS)
    parts = _parts(entry["ports"], elements) if "ports" in entry else ()
    return Port(str(entry["name"]), str(entry["format"]), elements, count(entry["width"], "width", 62),
                bool(entry["signed"]), parts)


def _parts(entries: Any, elements: int) -> tuple[Part, ...]:
    """Several inputs or outputs, consecutive and as large together as the port."""
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_PARTS:
        raise BadFolder(f"the manifest's ports are no list of 1 to {MAX_PARTS}")
    parts: list[Part] = []
    for entry in entries:
        start = parts[-1].stop if parts else 0
        shape = entry["shape"]
        if not isinstance(shape, list) or not 0 < len(shape) <= MAX_AXES:
            raise BadFolder(f"the manifest's port {ascii(entry['name'])[:60]} has no shape of 1 to {MAX_AXES} axes")
        size = math.prod(count(n, "shape of a port", MAX_BITS) for n in shape)
        if (count(entry["start"], "start", MAX_BITS, 0), count(entry["stop"], "stop", MAX_BITS)) != (start,
                                                                                                    start + size):
            raise BadFolder(f"the manifest's port {ascii(entry['name'])[:60]} is not behind the one before it, or not "
                            "of the size of its shape")
        parts.append(Part(str(entry["name"]), start, start + size))
    if parts[-1].stop != elements:
        raise BadFolder(f"the manifest's ports have {parts[-1].stop} elements together, and the port {elements}")
    return tuple(parts)


def count(value: Any, what: str, most: int, least: int = 1) -> int:
    """An integer of an entry, from `least` to `most`."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadFolder(f"the manifest's {what} is {ascii(value)[:60]}, outside {least}..{most}")
    return value


def identifier(value: Any) -> str:
    """A name of an entry that goes into commands or code."""
    if not isinstance(value, str) or not IDENTIFIER.fullmatch(value):
        raise BadFolder(f"the manifest names {ascii(value)[:60]}, which is not an identifier")
    return value


def _inside(folder: Path, name: Any) -> Path:
    """A path of the manifest: relative, of plain characters, inside the folder, no link on the way."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_.][A-Za-z0-9_./-]{0,1000}", name):
        raise BadFolder(f"the manifest names the file {ascii(name)[:60]}, which is not a plain relative path")
    if ".." in name.split("/"):
        raise BadFolder(f"the manifest names the file '{name[:60]}', which lies outside the folder")
    safe_files.check(folder, folder / name)
    return folder / name


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(safe_files.read(path)).hexdigest()
    except BadFolder:
        return None
