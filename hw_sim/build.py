"""Builds the simulation of a project, and keeps it until something that it is made of changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from errors import NoTool, SimulationError
from rtl import Rtl
from rules import COUNTERS
from tail import tail_of
from tools import Verilator

HERE = Path(__file__).resolve().parent
MAX_MEMORY_BITS = 1 << 31
RUNTIME = ("verilated", "verilated_vpi", "verilated_timing", "verilated_threads", "verilated_random",
           "verilated_dpi", "verilated_vcd_c")
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
    tail = tail_of(rtl).samples
    wanted = max((rtl.samples + 1) // 2, 1024) + tail
    sample = 8 * (rtl.input.octets + rtl.output.octets)
    return max(min(1 << (wanted - 1).bit_length(), MAX_MEMORY_BITS // sample), 16 + tail)


def build(rtl: Rtl, verilator: Verilator, *, waves: bool = False, probe: bool = False,
          rebuild: bool = False, jobs: int | None = None) -> Build:
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
    if not rebuild and (target / "bench").is_file() and _read(target / "key") == key:
        return Build(target, words - tail_of(rtl).samples, time.perf_counter() - start, True)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    (target / "public.vlt").write_text(control)
    cache = _cache(verilator, waves)
    _run(rtl, verilator, target, args, defines, waves, jobs, cache)
    _keep(cache, target)
    (target / "key").write_text(key)
    return Build(target, words - tail_of(rtl).samples, time.perf_counter() - start, False)


def _run(rtl: Rtl, verilator: Verilator, target: Path, args: list[str], defines: dict[str, object],
         waves: bool, jobs: int | None, cache: Path | None) -> None:
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
        if step is make and cache is not None:
            # Only now: an object that is older than the Makefile is compiled again.
            for kept in cache.glob("*.o"):
                shutil.copyfile(kept, target / kept.name)
        with log.open("a") as file:
            try:
                code = subprocess.run(step, stdout=file, stderr=subprocess.STDOUT, env=verilator.environment(),
                                      stdin=subprocess.DEVNULL).returncode
            except OSError as error:
                raise NoTool(f"{step[0]} cannot be run: {error.strerror}") from error
        if code:
            lines = [line for line in log.read_text(errors="replace").splitlines() if "rror" in line]
            raise SimulationError(f"{Path(step[0]).name} could not build the simulation: "
                                  f"{lines[0].strip() if lines else f'exit code {code}'} (see {log})")


def lint(rtl: Rtl, verilator: Verilator) -> str:
    """What `verilator --lint-only -Wall` says about the RTL: nothing where it is clean."""
    command = [verilator.executable, "--lint-only", "-Wall", "--top-module", rtl.top, *map(str, rtl.files)]
    told = subprocess.run(command, capture_output=True, text=True, env=verilator.environment())
    # Lines that begin with a dash are Verilator's own statistics.
    text = "\n".join(line for line in (told.stdout + told.stderr).splitlines() if line and not line.startswith("- "))
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


def _cache(verilator: Verilator, waves: bool) -> Path | None:
    """Where compiled objects of Verilator's own runtime are kept: they are the same for every design."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
    digest = hashlib.sha256("\0".join([str(verilator.root), version, str(waves), *verilator.flags, *OPTIMISE,
                                       (verilator.root / "include" / "verilated.mk").read_text()]).encode())
    folder = Path(home) / "shiftwright" / f"verilator-{digest.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Objects from here are linked and run: they must be nobody's but ours.
        return folder if folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & 0o022 else None
    except OSError:
        return None


def _keep(cache: Path | None, target: Path) -> None:
    if cache is None:
        return
    for name in RUNTIME:
        made, kept = target / f"{name}.o", cache / f"{name}.o"
        if made.is_file() and not kept.is_file():
            try:
                with tempfile.NamedTemporaryFile(dir=cache, delete=False) as file:
                    file.write(made.read_bytes())
                Path(file.name).replace(kept)
            except OSError:
                return


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""
