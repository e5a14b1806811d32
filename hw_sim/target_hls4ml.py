"""The bench of the target `hls4ml`: its firmware compiled with g++, fed integer codes, every bit compared."""

from __future__ import annotations

import argparse
import hashlib
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from errors import BadFolder, NoTool, SimulationError
from manifest import Manifest, Port, VectorSet, identifier
from results import Check, Mismatch, Outcome, shares

FLAGS = ("-std=c++17", "-O1", "-w")
STACK = 1 << 30
"""Bytes: hls4ml's layers hold their products on the stack."""


@dataclass(frozen=True)
class Project:
    """The checked entry of the manifest."""

    folder: Path
    include: Path
    sources: tuple[Path, ...]
    weights: Path
    files: tuple[Path, ...]


def require(args: argparse.Namespace) -> None:
    """Raise NoTool, before any work is done, where the compiler is missing."""
    if shutil.which("g++") is None:
        raise NoTool("g++ is not there; install it: apt-get install g++")


def run(manifest: Manifest, args: argparse.Namespace, say: Callable[[str], None]) -> Outcome:
    """Compile the firmware and its reader of codes, and run the vectors through it."""
    project = parse(manifest)
    start = time.perf_counter()
    checks: list[Check] = []
    try:
        say("compiling hls4ml's firmware with g++")
        program, cached = build(manifest, project, args.rebuild, args.timeout)
        seconds = time.perf_counter() - start
        counts = shares([s.samples for s in manifest.vectors], args.vectors)
        for vectors, samples in zip(manifest.vectors, counts, strict=True):
            say(f"running {samples:,} vectors of '{vectors.name}' through hls4ml's firmware")
            checks.append(play(manifest, project, program, vectors, samples, args.processes, args.timeout))
    except SimulationError as error:
        if error.exit_code != 1:
            raise
        return Outcome("hls4ml", None, False, tuple(checks), faults=(str(error),))
    return Outcome("hls4ml", seconds, cached, tuple(checks))


def parse(manifest: Manifest) -> Project:
    """The entry, read as a stranger's: what it names lies inside the project."""
    entry = manifest.targets["hls4ml"]
    try:
        identifier(entry["top"])
        folder, include = manifest.inside(entry["folder"]), manifest.inside(entry["include"])
        sources = tuple(manifest.inside(name) for name in entry["sources"])
    except (KeyError, TypeError) as error:
        raise BadFolder(f"the manifest's entry of hls4ml is damaged: {type(error).__name__} at {error}") from error
    if not sources or any(path.suffix != ".cpp" or not path.is_file() for path in sources):
        raise BadFolder("the manifest names sources of hls4ml that are not there, or are no .cpp files")
    files = tuple(manifest.folder / name for name in manifest.files
                  if (manifest.folder / name).resolve().is_relative_to(folder))
    return Project(folder, include, sources, folder / "firmware" / "weights", files)


def build(manifest: Manifest, project: Project, rebuild: bool, timeout: float) -> tuple[Path, bool]:
    """(program, whether it was there already): built again when any file of the project or the compiler changes."""
    place = manifest.folder / "build" / "hls4ml"
    program, key = place / "codes", place / "key"
    digest = hashlib.sha256(repr((FLAGS, _version())).encode())
    for path in project.files:
        digest.update(str(path.relative_to(manifest.folder)).encode() + b"\0"
                      + (path.read_bytes() if path.is_file() else b"") + b"\0")
    if not rebuild and program.is_file() and key.is_file() and key.read_text() == digest.hexdigest():
        return program, True
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    weights = str(project.weights).replace("\\", "\\\\").replace('"', '\\"')
    running, objects = [], []
    for source in project.sources:
        objects.append(place / f"{source.stem}.o")
        command = ["g++", *FLAGS, f"-I{project.folder}", f"-I{project.include}", f'-DWEIGHTS_DIR="{weights}"', "-c",
                   str(source), "-o", str(objects[-1])]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                        stdin=subprocess.DEVNULL))
    told = [_ended(process, timeout, "g++") for process in running]
    wrong = next((text for code, _, text in told if code), None)
    if wrong is None:
        code, _, text = _ended(subprocess.Popen(["g++", *map(str, objects), "-o", str(program)], text=True,
                                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE), timeout, "g++")
        wrong = text if code else None
    if wrong is not None:
        first = next((line for line in wrong.splitlines() if "error" in line), wrong.strip()[:300])
        raise SimulationError(f"g++ could not compile hls4ml's project: {first.strip()}")
    key.write_text(digest.hexdigest())
    return program, False


def play(manifest: Manifest, project: Project, program: Path, vectors: VectorSet, samples: int, processes: int,
         timeout: float) -> Check:
    """Run the first `samples` vectors of a set, in so many processes, and compare."""
    start = time.perf_counter()
    inputs = _read(vectors.inputs, vectors.samples, manifest.input)[:samples]
    expected = _read(vectors.expected, vectors.samples, manifest.output)[:samples]
    size = -(-samples // processes)
    running = []
    for begin in range(0, samples, size):
        part = inputs[begin:begin + size]
        files = [program.parent / f"{vectors.name}_{begin}.{end}" for end in ("in", "out")]
        files[0].write_bytes(part.astype(np.int64).tobytes())
        running.append((subprocess.Popen([str(program), *map(str, files), str(len(part))], stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
                                         preexec_fn=_deep_stack), files, len(part)))
    got, longest = [], 0.0
    for process, files, count in running:
        code, told, why = _ended(process, timeout, "hls4ml's firmware")
        if code:
            raise SimulationError(f"hls4ml's firmware ended with code {code}: {why.strip()[:300] or 'it says nothing'}")
        got.append(np.fromfile(files[1], np.int64).reshape(count, manifest.output.elements))
        longest = max(longest, float(told))
        for path in files:
            path.unlink()
    return compare(manifest, vectors, inputs, np.concatenate(got), expected, time.perf_counter() - start,
                   samples / max(longest, 1e-9))


def compare(manifest: Manifest, vectors: VectorSet, inputs: np.ndarray, got: np.ndarray, expected: np.ndarray,
            seconds: float, rate: float) -> Check:
    """Every bit of the output words, and the first sample that differs."""
    port = manifest.output
    mask = np.int64((1 << port.width) - 1)
    differing = np.bitwise_count((got ^ expected) & mask).sum(axis=1, dtype=np.int64)
    differing += (((got ^ expected) & mask) == 0).all(axis=1) & (got != expected).any(axis=1)  # beyond the word
    mismatch = None
    if differing.any():
        sample = int(np.flatnonzero(differing)[0])
        element = int(np.flatnonzero(got[sample] != expected[sample])[0])
        mismatch = Mismatch(vectors.name, sample, element, int(got[sample, element]), int(expected[sample, element]),
                            port.width, inputs[sample].astype("<i8").tobytes(), int((differing > 0).sum()))
    return Check("g++", vectors.name, len(got), got.size * port.width, int(differing.sum()), seconds, rate,
                 mismatch=mismatch)


def _read(path: Path, samples: int, port: Port) -> np.ndarray:
    """A file of vectors as int64 (samples, elements)."""
    try:
        codes = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BadFolder(f"'{path}' cannot be read: {error}") from error
    if codes.shape != (samples, port.elements) or codes.dtype.kind not in "iu":
        raise BadFolder(f"'{path}' holds {codes.dtype} of shape {codes.shape}, not integers of "
                        f"{(samples, port.elements)}")
    return codes.astype(np.int64)


def _ended(process: subprocess.Popen, timeout: float, what: str) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise SimulationError(f"{what} took more than {timeout:g} s; --timeout allows more") from error
    return process.returncode, out or "", err or ""


def _deep_stack() -> None:
    most = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (STACK if most == resource.RLIM_INFINITY else min(STACK, most), most))


def _version() -> str:
    return subprocess.run(["g++", "--version"], capture_output=True, text=True).stdout
