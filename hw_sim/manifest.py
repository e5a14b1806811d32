"""manifest.json, read as a stranger's file: every name and path in it is checked before anything uses it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import BadFolder

SCHEMA = 1
IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,199}")
MAX_BITS = 1 << 22
"""Of one beat."""
MAX_SAMPLES = 1 << 26


@dataclass(frozen=True)
class Port:
    """A stream: `elements` words of `width` bits in a beat of `bits`."""

    name: str
    format: str
    elements: int
    width: int
    signed: bool
    bits: int


@dataclass(frozen=True)
class VectorSet:
    """Input and expected output beats, as hex files with one beat a line."""

    name: str
    samples: int
    inputs: Path
    expected: Path


@dataclass(frozen=True)
class LayerInfo:
    """A layer's module, the net of the top module that carries its output, and what the reference puts there."""

    name: str
    module: str
    net: str
    elements: int
    width: int
    signed: bool
    trace: Path


@dataclass(frozen=True)
class Manifest:
    """A project folder that has passed its checks. Paths are absolute and lie inside it."""

    folder: Path
    name: str
    top: str
    rtl: tuple[Path, ...]
    input: Port
    output: Port
    latency: int
    interval: float
    layers: tuple[LayerInfo, ...]
    vectors: tuple[VectorSet, ...]
    trace_samples: int
    files: dict[str, str]

    @property
    def samples(self) -> int:
        return sum(s.samples for s in self.vectors)

    def changed(self) -> list[str]:
        """The files whose SHA-256 is no longer the one that was written, or that are gone."""
        return [name for name, digest in self.files.items() if _digest(self.folder / name) != digest]

    def layer_of(self, file: str) -> str | None:
        """The layer whose module a file holds."""
        return next((layer.name for layer in self.layers if Path(file).stem == layer.module), None)


def load(folder: Path) -> Manifest:
    """Read and check a project folder; whatever is wrong is a BadFolder error that says so."""
    folder = folder.resolve()
    path = folder / "manifest.json"
    if not folder.is_dir():
        raise BadFolder(f"'{folder}' is not a folder; give the folder that shiftwright generated")
    if not path.is_file():
        raise BadFolder(f"'{folder}' has no manifest.json; give the folder that shiftwright generated")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise BadFolder(f"'{path}' holds no JSON object")
        if data.get("schema") != SCHEMA:
            raise BadFolder(f"'{path}' has schema {data.get('schema')!r}; these benches read schema {SCHEMA}")
        return _manifest(folder, data)
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise BadFolder(f"'{path}' cannot be read: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise BadFolder(f"'{path}' is damaged: {type(error).__name__} at {error}") from error


def _manifest(folder: Path, data: dict[str, Any]) -> Manifest:
    sets = tuple(VectorSet(_name(s["name"]), _count(s["samples"], "samples", MAX_SAMPLES),
                           _inside(folder, s["inputs_hex"]), _inside(folder, s["expected_hex"]))
                 for s in data["vectors"])
    if not sets:
        raise BadFolder("the manifest names no vectors")
    layers = tuple(LayerInfo(str(e["name"]), _name(e["module"]), _name(e["net"]),
                             _count(e["elements"], "elements", MAX_BITS), _count(e["width"], "width", 62),
                             bool(e["signed"]), _inside(folder, e["trace"])) for e in data["layers"])
    return Manifest(folder, str(data["name"]), _name(data["top"]), tuple(_inside(folder, f) for f in data["rtl"]),
                    _port(data["input"]), _port(data["output"]), _count(data["latency"], "latency", 1 << 24),
                    float(data["initiation_interval"]), layers, sets,
                    int(data["trace_samples"]), {str(k): str(v) for k, v in data["files"].items()
                                                 if _inside(folder, k)})


def _port(entry: dict[str, Any]) -> Port:
    port = Port(str(entry["name"]), str(entry["format"]), _count(entry["elements"], "elements", MAX_BITS),
                _count(entry["width"], "width", 62), bool(entry["signed"]),
                _count(entry["tdata_bits"], "tdata_bits", MAX_BITS))
    if port.bits != -(-port.elements * port.width // 8) * 8:
        raise BadFolder(f"port '{port.name}': {port.elements} words of {port.width} bits do not make {port.bits} bits")
    return port


def _count(value: Any, what: str, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise BadFolder(f"the manifest's {what} is {value!r}, outside 1..{most}")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not IDENTIFIER.fullmatch(value):
        raise BadFolder(f"the manifest names {str(value)[:60]!r}, which is no identifier")
    return value


def _inside(folder: Path, name: Any) -> Path:
    """A path of the manifest: relative, of plain characters, inside the folder, links followed."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_.][A-Za-z0-9_./-]*", name):
        raise BadFolder(f"the manifest names the file {str(name)[:60]!r}, which is no plain relative path")
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise BadFolder(f"the manifest names the file '{name[:60]}', which lies outside the folder")
    return path


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
