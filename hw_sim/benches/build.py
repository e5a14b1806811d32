"""Builds the simulation of a project, and keeps it until something that it is made of changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import processes
from errors import SimulationError
from processes import Deadline
from signature import signed
from tools import Verilator
from workspace import Workspace

from benches import runtime
from benches.handshake import handshake_of
from benches.rtl import Rtl
from benches.rules import COUNTERS

HERE = Path(__file__).resolve().parent
MAX_MEMORY_BITS = 1 << 31
OPTIMISE = ("OPT_FAST=-O1", "OPT_GLOBAL=-O1", "OPT_SLOW=-O0")
PORTS = ("aclk", "aresetn", "s_axis_tdata", "s_axis_tvalid", "s_axis_tready", "s_axis_tlast", "m_axis_tdata",
         "m_axis_tvalid", "m_axis_tready", "m_axis_tlast")


@dataclass(frozen=True)
class Build:
    """An executable simulation. `depth` samples fit into its memory at once, and the tail after them."""

    folder: Path
    depth: int
    seconds: float
    cached: bool


def depth(rtl: Rtl) -> int:
    """Samples that the player's memory holds: half of all vectors, since two processes share them, and the tail."""
    tail = handshake_of(rtl).samples
    wanted = max((rtl.samples + 1) // 2, 1024) + tail
    sample = 8 * (rtl.input.octets + rtl.output.octets)
    return max(min(1 << (wanted - 1).bit_length(), MAX_MEMORY_BITS // sample), 16 + tail)


def build(rtl: Rtl, verilator: Verilator, work: Workspace, deadline: Deadline, *, waves: bool = False,
          probe: bool = False, rebuild: bool = False, jobs: int | None = None) -> Build:
    """Build (or find built) the simulation. With `waves` it can write a VCD; with `probe` every layer's output can be
    read. Raises SimulationError with the tool's own words where it refuses."""
    start = time.perf_counter()
    target = rtl.folder / "build" / ("waves" if waves else "probe" if probe else "sim")
    words = depth(rtl)
    defines = {"DUT": rtl.top, "IN_BITS": rtl.input.bits, "OUT_BITS": rtl.output.bits, "DEPTH": words,
               "IN_BEATS": rtl.input.beats, "OUT_BEATS": rtl.output.beats, "SAMPLE_LAST": int(rtl.folded)}
    args = ["-O3", "--timing", "--no-public-flat-rw", "--x-initial", "unique", "--x-assign", "unique", "-Wno-fatal",
            "-Wno-lint", "-Wno-style"]
    control = "`verilator_config\n" + "".join(f'public_flat_rw -module "bench" -var "{p}"\n' for p in PORTS)
    control += "".join(f'public_flat_rd -module "bench" -var "{c}"\n' for c in COUNTERS)
    if probe:
        parts = ("_data", "_valid", "_ready") if rtl.folded else ("",)
        control += "".join(f'public_flat_rd -module "{rtl.top}" -var "{layer.net}{part}"\n'
                           for layer in rtl.layers for part in parts)
    key = _key(rtl, verilator, [*args, *OPTIMISE, control, *map(str, defines.items()), str(waves)])
    work.take(target)
    if not rebuild and _read(target / "key") == signed(key, target / "bench") != "":
        return Build(target, words - handshake_of(rtl).samples, time.perf_counter() - start, True)
    work.fresh(target)
    (target / "public.vlt").write_text(control)
    cache = _cache(verilator, waves, deadline)
    _run(rtl, verilator, target, args, defines, waves, jobs, cache, deadline)
    runtime.keep(cache, target)
    (target / "key").write_text(signed(key, target / "bench"))
    return Build(target, words - handshake_of(rtl).samples, time.perf_counter() - start, False)


def _run(rtl: Rtl, verilator: Verilator, target: Path, args: list[str], defines: dict[str, object],
         waves: bool, jobs: int | None, cache: Path | None, deadline: Deadline) -> None:
    import cocotb_tools.config

    libs = cocotb_tools.config.libs_dir
    command = [verilator.executable, "-cc", "--exe", "-Mdir", str(target), "--top-module", "bench", "--vpi",
               "--prefix", "Vtop", "-o", "bench",
               "-LDFLAGS", f"-Wl,-rpath,{libs} -L{libs} -lcocotbvpi_verilator", *args,
               *(["--trace"] if waves else []), *(f"-D{name}={value}" for name, value in defines.items()),
               str(target / "public.vlt"), str(cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp"),
               str(HERE / "bench.v"), *map(str, rtl.files)]
    make = ["make", "-j", str(jobs or os.cpu_count() or 1), "-C", str(target), "-f", "Vtop.mk",
            f"VM_TRACE={int(waves)}", *OPTIMISE]
    log = target / "build.log"
    for step in (command, make):
        if step is make:
            runtime.bring(cache, target)  # only now: an object that is older than the Makefile is compiled again
        with log.open("ab") as file:
            code = processes.run(step, deadline, environment=verilator.environment(), output=file).returncode
        if code:
            lines = [line for line in log.read_text(errors="replace").splitlines() if "rror" in line]
            raise SimulationError(f"{Path(step[0]).name} could not build the simulation: "
                                  f"{lines[0].strip() if lines else f'exit code {code}'} (see {log})")


def lint(rtl: Rtl, verilator: Verilator, deadline: Deadline) -> str:
    """What `verilator --lint-only -Wall` says about the RTL: nothing where it is clean."""
    command = [verilator.executable, "--lint-only", "-Wall", "--top-module", rtl.top, *map(str, rtl.files)]
    told = processes.run(command, deadline, environment=verilator.environment())
    # Lines that begin with a dash are Verilator's own statistics.
    said = (told.stdout + told.stderr).decode(errors="replace")
    text = "\n".join(line for line in said.splitlines() if line and not line.startswith("- "))
    return text or ("" if told.returncode == 0 else f"exit code {told.returncode}")


def _key(rtl: Rtl, verilator: Verilator, more: list[str]) -> str:
    """A digest of everything that the executable depends on."""
    digest = hashlib.sha256()
    for text in (str(verilator.root), sys.executable, sys.version, *more):
        digest.update(text.encode() + b"\0")
    for path in (HERE / "bench.v", *rtl.files, verilator.root / "include" / "verilated.h"):
        try:
            digest.update(path.read_bytes() + b"\0")
        except OSError as error:
            raise SimulationError(f"'{path}' cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def _cache(verilator: Verilator, waves: bool, deadline: Deadline) -> Path | None:
    """Where compiled objects of Verilator's own runtime are kept: they are the same for every design."""
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    version = processes.run([compiler, "--version"], deadline).stdout.decode(errors="replace")
    return runtime.folder("\0".join([str(verilator.root), version, str(waves), *verilator.flags, *OPTIMISE,
                                     (verilator.root / "include" / "verilated.mk").read_text()]))


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""
