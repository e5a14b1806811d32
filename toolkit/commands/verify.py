"""A project folder made again from its own design and compared byte by byte: the safe way to take a stranger's."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.commands.generate import generate
from toolkit.commands.simulate import simulate
from toolkit.design import Design
from toolkit.design.tensors import Tensor
from toolkit.emit.packing import small_type
from toolkit.emit.project import SCHEMA, manifest_text
from toolkit.emit.provenance import Provenance
from toolkit.emit.vectors import counts
from toolkit.report.simulation import SimulationResult
from toolkit.utils.errors import InputError
from toolkit.utils.output_folder import MARKER
from toolkit.utils.untrusted import MAX_JSON, parse_json, read_header

MAX_FILE = 1 << 32
MAX_FILES = 100_000
CHUNK = 1 << 20
MANIFEST, DESIGN, TEST = "manifest.json", "design.swd", "vectors/test_in.npy"
VERSION = re.compile(r"[ -~]{1,80}")


@dataclass(frozen=True)
class Verified:
    """`files` of `bytes` were compared. `different`: what differs, each a sentence; `versions`: tools of which the
    project was made with another version than is here. `simulation`: of the folder that was made again; None where
    something differs, or none was asked for."""

    folder: Path
    files: int
    bytes: int
    different: tuple[str, ...]
    versions: tuple[str, ...]
    simulation: SimulationResult | None = None

    @property
    def ok(self) -> bool:
        """Every byte is equal, and so is every bit that was simulated."""
        return not self.different and (self.simulation is None or self.simulation.ok)

    def to_json(self) -> dict[str, Any]:
        return {"ok": self.ok, "folder": str(self.folder), "files": self.files, "bytes": self.bytes,
                "different": list(self.different), "versions": list(self.versions),
                "simulation": None if self.simulation is None else self.simulation.data}


def verify(folder: Path | str, *, check: bool = True, **simulation: Any) -> Verified:
    """Make the project of `folder` again from its design.swd and the options in its manifest, compare every byte of
    every file, and only if all are equal simulate what was made (unless `check` is off).

    Nothing of the folder is run: its design, manifest and test inputs are read as data, expected outputs are computed
    anew. Its build/ is neither compared nor used. `simulation`: options of `simulate`. Raises InputError for a folder
    that cannot be made again.
    """
    folder = Path(folder)
    present = _files(folder)
    manifest = _manifest(folder, present)
    recipe = Provenance.from_json(manifest.get("made_from"))
    if DESIGN not in present:
        raise InputError(f"'{folder}' has no {DESIGN}, from which it could be made again")
    with tempfile.TemporaryDirectory(prefix="shiftwright-verify-") as scratch:
        # Read once: what is compared is what was loaded.
        copy = Path(scratch) / DESIGN
        copy.write_bytes(_read(folder / DESIGN, MAX_FILE))
        design = Design.load(copy)
        _measure(folder, design, recipe)
        test = _test(folder, design.input) if recipe.test else None
        again = generate(design, Path(scratch) / "again", targets=recipe.targets, options=recipe.options, test=test,
                         vectors=recipe.vectors, seed=recipe.seed).folder
        found = _compared(folder, present, manifest, again)
        if found.different or not check:
            return found
        return replace(found, simulation=simulate(again, **simulation))


def text(found: Verified) -> list[str]:
    """What a person reads, the simulation apart."""
    head = f"{found.files:,} files, {found.bytes:,} bytes"
    if not found.different:
        lines = [f"verified: {head}: every byte is what shiftwright makes of {DESIGN}"]
        return lines + [f"made with {version}; no byte depends on it" for version in found.versions]
    lines = [f"DIFFERENT: {line}" for line in found.different]
    lines += [f"a reason may be that it was made with {version}" for version in found.versions]
    return [*lines, f"NOT VERIFIED: {len(found.different)} differences in {head}; nothing was run"]


def _files(folder: Path) -> set[str]:
    """The files of a project by their paths in it, those of build/ left out; InputError for what is not a plain
    file."""
    if not folder.is_dir():
        raise InputError(f"'{folder}' is not a folder; give the folder that shiftwright generated")
    root, found = folder.resolve(), set[str]()

    def failed(error: OSError) -> None:
        raise InputError(f"'{error.filename}' cannot be read: {error.strerror}")

    for here, folders, names in os.walk(root, onerror=failed):
        if Path(here) == root and "build" in folders and not (root / "build").is_symlink():
            folders.remove("build")
        for name in (*folders, *names):
            path = Path(here, name)
            kind = path.lstat().st_mode
            if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                raise InputError(f"{_shown(str(path))} is not a plain file; a project holds no links, pipes or devices")
            if stat.S_ISREG(kind):
                found.add(str(path.relative_to(root)))
        if len(found) > MAX_FILES:
            raise InputError(f"'{folder}' holds more than {MAX_FILES:,} files")
    return found


def _manifest(folder: Path, present: set[str]) -> dict[str, Any]:
    if MANIFEST not in present:
        raise InputError(f"'{folder}' has no {MANIFEST}; give the folder that shiftwright generated")
    path = folder / MANIFEST
    try:
        data = parse_json(_read(path, MAX_JSON))
    except ValueError as error:
        raise InputError(f"'{path}' cannot be read: {_shown(str(error)[:200])}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = ascii(data.get("schema"))[:40] if isinstance(data, dict) else "none"
        raise InputError(f"'{path}' has schema {found}; only a project of schema {SCHEMA} says what it was made from")
    return data


def _measure(folder: Path, design: Design, recipe: Provenance) -> None:
    """Raise InputError where the folder does not hold as many vectors as its manifest would have us compute."""
    for name, number in counts(design, recipe.vectors).items():
        path = folder / "vectors" / f"{name}_in.npy"
        least = number * design.input.size * small_type(design.input.format).itemsize
        if not path.is_file() or path.stat().st_size < least:
            raise InputError(f"'{path}' does not hold the {number:,} vectors that the manifest promises")


def _test(folder: Path, tensor: Tensor) -> np.ndarray:
    """The user's own vectors: data, each a code of the input's format."""
    path = folder / TEST
    data = _read(path, MAX_FILE)
    stream, kind = io.BytesIO(data), small_type(tensor.format)
    try:
        shape, fortran, found = read_header(stream, len(data), "iu")
    except ValueError as error:
        raise InputError(f"'{path}' is damaged: {error}") from error
    if found != kind or fortran or shape != (len(data[stream.tell():]) // (tensor.size * kind.itemsize), tensor.size) \
            or not shape[0]:
        raise InputError(f"'{path}' does not hold codes of the network's input, {kind} (samples, {tensor.size})")
    codes = np.frombuffer(data, kind, offset=stream.tell()).astype(np.int64)
    low, high = tensor.format.min_code, tensor.format.max_code
    if codes.min() < low or codes.max() > high:
        raise InputError(f"'{path}' holds codes outside {low}..{high}, which the format {tensor.format} has not")
    return codes.reshape(-1, *tensor.shape)


def _compared(folder: Path, present: set[str], manifest: dict[str, Any], again: Path) -> Verified:
    """Every byte of every file. Of the manifest all but the versions of tools, which are not part of what was made."""
    ours = _files(again)
    known = json.loads((again / MANIFEST).read_bytes())
    tools = manifest.get("tools")
    versions = _versions(manifest, known)
    # A hidden file may be lost where a folder is packed; whether it is there changes nothing.
    wanted = ours if MARKER in present else ours - {MARKER}
    different = [f"{_shown(name)} is missing" for name in sorted(wanted - present)]
    different += [f"{_shown(name)} was never generated" for name in sorted(present - ours)]
    total = 0
    for name in sorted(ours & present):
        size = (folder / name).stat().st_size
        total += size
        if name == MANIFEST:
            due = manifest_text({**known, "tools": tools})
            where = _first_difference(due, _read(folder / name, MAX_JSON))
        else:
            where = _file_difference(again / name, folder / name)
        if where is not None:
            different.append(f"{_shown(name)} differs from what is generated, at byte {where:,}")
    return Verified(folder, len(ours & present), total, tuple(different), versions)


def _versions(manifest: dict[str, Any], known: dict[str, Any]) -> tuple[str, ...]:
    """What the project says it was made with and is not here in that version."""
    tools = manifest.get("tools")
    if not isinstance(tools, dict) or not all(isinstance(word, str) and VERSION.fullmatch(word)
                                              for word in (*tools, *filter(None, tools.values()))):
        raise InputError("the manifest's entry 'tools' is damaged: it names tools and their versions")
    here = known["tools"]
    found = [f"{name} {tools.get(name)} (here: {here.get(name)})" for name in {**here, **tools}
             if tools.get(name) != here.get(name)]
    generator = manifest.get("generator")
    if generator != known["generator"]:
        found.insert(0, f"{_shown(str(generator)[:80])} (here: {known['generator']})")
    return tuple(found)


def _file_difference(ours: Path, theirs: Path) -> int | None:
    """The first byte that differs; None where none does."""
    at = 0
    with ours.open("rb") as a, _opened(theirs) as b:
        while True:
            due, found = a.read(CHUNK), b.read(CHUNK)
            if (where := _first_difference(due, found)) is not None:
                return at + where
            if not due:
                return None
            at += len(due)


def _first_difference(due: bytes, found: bytes) -> int | None:
    if due == found:
        return None
    return next((i for i, (a, b) in enumerate(zip(due, found, strict=False)) if a != b), min(len(due), len(found)))


def _read(path: Path, most: int) -> bytes:
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise InputError(f"'{path}' holds {size:,} bytes; {most:,} is the most supported")
        return file.read(most)


def _opened(path: Path) -> Any:
    """A plain file, open for reading; no link, and no pipe that would block."""
    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)

    try:
        file = open(path, "rb", opener=opener)  # noqa: SIM115 - Path.open takes no opener
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise InputError(f"'{path}' is not a plain file")
    return file


def _shown(name: str) -> str:
    """A name of a stranger's, quoted, with nothing in it that moves a terminal."""
    return ascii(name)
