"""Generated code as a program of this machine: compiled once, fed the vectors as raw bytes, its answers compared.

Such a program reads samples from its standard input and writes one output a sample to its standard output; each word is
the smallest integer type that holds its format (1, 2, 4 or 8 bytes, little-endian), as the vectors' .npy files have it.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import npy
import numpy as np
import processes
import safe_files
from errors import BadFolder, NoTool, SimulationError
from manifest import LayerInfo, Manifest, Port
from processes import SPARE_BYTES, Deadline
from results import Check, Mismatch, shares
from signature import signed


@dataclass(frozen=True)
class Built:
    """An executable, the seconds that its build took, and whether it was there already."""

    path: Path
    seconds: float
    cached: bool


@dataclass(frozen=True)
class Vectors:
    """One set, as words of the ports' types: arrays (samples, elements)."""

    name: str
    inputs: np.ndarray
    expected: np.ndarray


def tool(name: str, package: str) -> str:
    """The path of a program; NoTool, with the Debian package that brings it, where it is missing."""
    found = shutil.which(name)
    if found is None:
        raise NoTool(f"{name} is not installed; as on Debian: apt-get install {package}")
    return found


def build(path: Path, command: list[str], depends: list[Path], deadline: Deadline, rebuild: bool = False,
          cwd: Path | None = None) -> Built:
    """Run `command` in `cwd`, which writes the executable `path` from the files `depends`, unless the same was done
    before, by this user.

    Raises SimulationError with the compiler's own words where it refuses.
    """
    start = time.perf_counter()
    key = _key(command, depends, deadline)
    note = path.with_name(path.name + ".key")
    if not rebuild and path.is_file() and _text(note) == signed(key, path) != "":
        return Built(path, time.perf_counter() - start, True)
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in (note, path):
        old.unlink(missing_ok=True)
    log = path.with_name(path.name + ".log")
    told = processes.run(command, deadline, cwd=cwd)
    log.write_bytes(told.stdout + told.stderr)
    if told.returncode:
        said = log.read_text(errors="replace").splitlines()
        # The linker's own complaints carry no such word, and what ends with it only says that there were some.
        lines = [line for line in said if "rror" in line and not line.startswith("collect2")] or \
            [line for line in said if "ld: " in line]
        raise SimulationError(f"{Path(command[0]).name} could not build {path.name}: "
                              f"{lines[0].strip() if lines else f'exit code {told.returncode}'} (see {log})")
    note.write_text(signed(key, path))
    return Built(path, time.perf_counter() - start, False)


def load(manifest: Manifest, most: int | None = None) -> list[Vectors]:
    """The sets of the folder: all samples, or about `most`, of every set in proportion. Nothing in them is trusted."""
    kept = shares([s.samples for s in manifest.vectors], most)
    return [Vectors(s.name, _words(s.inputs, s.samples, manifest.input)[:n],
                    _words(s.expected, s.samples, manifest.output)[:n])
            for s, n in zip(manifest.vectors, kept, strict=True)]


def play(command: list[str], sets: list[Vectors], output: Port, deadline: Deadline, *, bench: str) -> list[Check]:
    """One run of the program a set."""
    checks = []
    for one in sets:
        start = time.perf_counter()
        told = processes.run(command, deadline, one.inputs.tobytes(), most=one.expected.nbytes + SPARE_BYTES)
        seconds = time.perf_counter() - start
        checks.append(compare(bench, one, told.stdout, output, seconds, faults=failure(told)))
    return checks


def failure(told: subprocess.CompletedProcess[bytes]) -> tuple[str, ...]:
    """What a program that ended badly said; nothing where it ended well."""
    if not told.returncode:
        return ()
    lines = [line for line in told.stderr.decode(errors="replace").splitlines() if line.strip()]
    return (f"it ended with code {told.returncode}: {lines[0].strip()[:300] if lines else 'nothing was said'}",)


def compare(bench: str, one: Vectors, answer: bytes, output: Port, seconds: float,
            faults: tuple[str, ...] = ()) -> Check:
    """Every bit of a program's answer against every bit that was due. Samples that are missing are a fault."""
    due = one.expected
    size = due.dtype.itemsize * due.shape[1]
    came = min(len(answer) // size, len(due))
    got = np.frombuffer(answer[:came * size], due.dtype).reshape(came, due.shape[1])
    if len(answer) != len(due) * size:
        faults = (*faults, f"{len(answer)} bytes came; {len(due)} outputs take {len(due) * size}")
    # The format's bits count; those of a word above them are its sign, or what came is no code at all.
    low, high = _range(output)
    strange = ((got < low) | (got > high)).any(axis=1)
    if strange.any():
        first = int(np.flatnonzero(strange)[0])
        told = (f"{int(strange.sum())} samples hold words that are not codes of {output.format}; the first is sample "
                f"{first} of '{one.name}'")
        faults = (*faults, told)
    mask = np.array((1 << output.width) - 1, f"<u{due.dtype.itemsize}")
    wrong = np.bitwise_count((_unsigned(got) ^ _unsigned(due[:came])) & mask).astype(np.int64)
    mismatch = None
    if wrong.any():
        sample = int(np.flatnonzero(wrong.any(axis=1))[0])
        element = int(np.flatnonzero(wrong[sample])[0])
        mismatch = Mismatch(one.name, sample, element, int(got[sample, element]), int(due[sample, element]),
                            output.width, one.inputs[sample].tobytes(), int(wrong.any(axis=1).sum()))
    return Check(bench, one.name, len(due), came * output.elements * output.width, int(wrong.sum()), seconds,
                 len(due) / max(seconds, 1e-9), mismatch=mismatch, faults=faults)


def _range(port: Port) -> tuple[int, int]:
    """The least and the greatest code of a port's format."""
    return (-(1 << (port.width - 1)), (1 << (port.width - 1)) - 1) if port.signed else (0, (1 << port.width) - 1)


def word_type(port: Port | LayerInfo) -> np.dtype:
    """The smallest integer type that holds every code of a port, little-endian."""
    size = next(n for n in (1, 2, 4, 8) if port.width <= 8 * n)
    return np.dtype(f"<{'i' if port.signed else 'u'}{size}") if size < 8 else np.dtype("<i8")


def _words(path: Path, samples: int, port: Port) -> np.ndarray:
    found = npy.read(path, word_type(port), samples, port.elements)
    low, high = _range(port)
    if found.size and not low <= int(found.min()) <= int(found.max()) <= high:
        raise BadFolder(f"'{path}' holds codes from {found.min()} to {found.max()}; {port.format} has those from {low} "
                        f"to {high}")
    return found


def _unsigned(words: np.ndarray) -> np.ndarray:
    return words.view(np.dtype(f"<u{words.dtype.itemsize}"))


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""


def _key(command: list[str], depends: list[Path], deadline: Deadline) -> str:
    """A digest of everything that the executable depends on."""
    digest = hashlib.sha256("\0".join(command).encode())
    digest.update(processes.run([command[0], "--version"], deadline).stdout)
    for path in depends:
        digest.update(b"\0" + safe_files.read(path))
    return digest.hexdigest()
