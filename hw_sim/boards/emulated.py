"""Microcontrollers under emulation: the generated C cross-compiled, run over semihosting, and its sizes measured."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import native
import numpy as np
import processes
from errors import BadFolder, SimulationError
from manifest import Port
from native import Vectors
from processes import Deadline
from results import Check

HERE = Path(__file__).resolve().parent
# `used` keeps every table and the whole memory where the compiler could do without a part: they are to be measured.
USED_RAM = "-DNET_RAM=__attribute__((used))"
USED = ("-DNET_FLASH=__attribute__((used))", USED_RAM)
MULTIPLY = re.compile(r"\s(mul|mulh|mulhu|mulhsu|div|divu|rem|remu)\s|__(mul|u?div|u?mod)[sdt]i3")


@dataclass(frozen=True)
class Board:
    """A machine that `simulator` knows. `prefix`: of its compiler's programs; `packages`: of Debian, by program;
    `alignment`: bytes to which its widest words are aligned; `bare`: it has neither a multiplier nor a divider;
    `linked`: what the linker needs beside the network, `after` behind it."""

    name: str
    prefix: str
    flags: tuple[str, ...]
    emulator: tuple[str, ...]
    packages: dict[str, str]
    header: str
    linked: tuple[str, ...]
    after: tuple[str, ...] = ()
    defines: tuple[str, ...] = USED
    alignment: int = 8
    bare: bool = False
    simulator: ClassVar[str]

    @property
    def title(self) -> str:
        return f"{self.name} ({self.simulator})"

    def program(self, name: str) -> str:
        return native.tool(f"{self.prefix}{name}", self.packages[f"{self.prefix}gcc"])

    def require(self) -> None:
        """Raise NoTool where its compiler or its emulator is missing."""
        for program, package in self.packages.items():
            native.tool(program, package)

    def emulate(self, image: Path) -> list[str]:
        return [native.tool(self.emulator[0], self.packages[self.emulator[0]]), *self.emulator[1:], str(image)]

    def run(self, firmware: Firmware, inputs: np.ndarray, deadline: Deadline) -> tuple[bytes, tuple[str, ...]]:
        """The outputs for inputs (samples, elements), as they lie in memory, and what went wrong."""
        raise NotImplementedError


class Qemu(Board):
    """Reads and writes files of the host by semihosting."""

    simulator = "QEMU"

    def run(self, firmware: Firmware, inputs: np.ndarray, deadline: Deadline) -> tuple[bytes, tuple[str, ...]]:
        work = firmware.image.parent
        (work / "in.bin").write_bytes(inputs.tobytes())
        (work / "out.bin").unlink(missing_ok=True)
        told = processes.run(self.emulate(firmware.image), deadline, cwd=work)
        answer = (work / "out.bin").read_bytes() if (work / "out.bin").is_file() else b""
        return answer, native.failure(told)


class Simavr(Board):
    """Has its inputs in flash, and prints its outputs in hexadecimal on its serial port."""

    simulator = "simavr"

    def run(self, firmware: Firmware, inputs: np.ndarray, deadline: Deadline) -> tuple[bytes, tuple[str, ...]]:
        work, answer = firmware.image.parent, bytearray()
        at_once = max(SAMPLE_BYTES // (inputs.shape[1] * inputs.itemsize), 1)
        for first in range(0, len(inputs), at_once):
            (work / "in.bin").write_bytes(inputs[first:first + at_once].tobytes())
            image = work / "samples.elf"
            command = [*firmware.link, "-DSAMPLES", "-o", str(image)]
            native.build(image, command, [work / "in.bin"], deadline, True, work)
            told = processes.run(self.emulate(image), deadline, cwd=work)
            answer += b"".join(bytes.fromhex(line.decode()) for line in PRINTED.findall(told.stdout + told.stderr))
            if told.returncode:
                return bytes(answer), native.failure(told)
        return bytes(answer), ()


LISTING_BYTES = 1 << 28
"""Of a disassembly."""
SAMPLE_BYTES = 60_000
"""Of a run's inputs in the flash of an AVR."""
PRINTED = re.compile(rb":((?:[0-9a-f]{2})+);")
SEMIHOSTING = ("-nographic", "-monitor", "none", "-serial", "null", "-semihosting-config", "enable=on,target=native",
               "-kernel")


def _placed(flash: int, flash_bytes: int, ram: int, ram_bytes: int) -> tuple[str, ...]:
    """The linker's options for our own start-up code."""
    sides = zip(("FLASH_AT", "FLASH_BYTES", "RAM_AT", "RAM_BYTES"), (flash, flash_bytes, ram, ram_bytes), strict=True)
    return ("-nostartfiles", "-Wl,--gc-sections", *(f"-Wl,--defsym={name}={value}" for name, value in sides),
            "-T", str(HERE / "board.ld"))


BOARDS = {board.name: board for board in (
    Qemu("cortex-m0", "arm-none-eabi-", ("-mcpu=cortex-m0", "-mthumb"),
         ("qemu-system-arm", "-M", "microbit", *SEMIHOSTING),
         {"arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi", "qemu-system-arm": "qemu-system-arm"},
         "board.h", (str(HERE / "start.c"),), ("--specs=nano.specs", *_placed(0x0, 256 << 10, 0x20000000, 16 << 10))),
    Qemu("rv32i", "riscv64-unknown-elf-", ("-march=rv32i", "-mabi=ilp32", "--specs=picolibc.specs"),
         ("qemu-system-riscv32", "-M", "virt", "-bios", "none", *SEMIHOSTING),
         {"riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
          "qemu-system-riscv32": "qemu-system-misc"},
         "board.h", (str(HERE / "start.c"),), _placed(0x80000000, 4 << 20, 0x80400000, 4 << 20), bare=True),
    Simavr("avr", "avr-", ("-mmcu=atmega1284p",), ("simavr", "-m", "atmega1284p", "-f", "16000000"),
           {"avr-gcc": "gcc-avr avr-libc", "simavr": "simavr"},
           "avr.h", (str(HERE / "avr.c"),), ("-Wl,--gc-sections", "-Wl,--defsym=__DATA_REGION_LENGTH__=15K"),
           (USED_RAM,), alignment=1))}


@dataclass(frozen=True)
class Size:
    """Bytes as `size` prints them, of all instructions and constants, of initialised and of zeroed memory."""

    text: int
    data: int
    bss: int

    @property
    def flash(self) -> int:
        return self.text + self.data

    @property
    def ram(self) -> int:
        return self.data + self.bss


@dataclass(frozen=True)
class Firmware:
    """A built network for a board. `image`: all of the firmware; `link`: what makes it; `network`: its part; `symbols`:
    bytes of each name."""

    image: Path
    link: list[str]
    seconds: float
    all: Size
    network: Size
    symbols: dict[str, int]
    listing: str


def chosen(names: list[str] | None) -> list[Board]:
    """The boards of these names; `all` is every one."""
    unknown = [n for n in names or () if n not in BOARDS and n != "all"]
    if unknown:
        raise BadFolder(f"unknown board '{unknown[0][:60]}'; known are {', '.join(BOARDS)} and all")
    return [b for b in BOARDS.values() if names and (b.name in names or "all" in names)]


def build(board: Board, source: Path, main: Path, folder: Path, rebuild: bool, deadline: Deadline) -> Firmware:
    """Compile a network with the board's start-up code, and measure it."""
    start = time.perf_counter()
    gcc = board.program("gcc")
    flags = [*board.flags, "-std=c99", "-Os", "-Wall", "-Wextra", "-Werror", "-ffunction-sections"]
    part, image = folder / "network.o", folder / "firmware.elf"
    command = [gcc, *flags, *board.defines, "-c", str(source), "-o", str(part)]
    native.build(part, command, [source, source.with_suffix(".h")], deadline, rebuild)
    link = [gcc, *flags, f'-DNET_IO="{board.header}"', "-I", str(HERE), "-I", str(source.parent), str(main),
            *board.linked, str(part), *board.after]
    native.build(image, [*link, "-o", str(image)], [main, part, *sorted(HERE.glob("*.*"))], deadline, rebuild)
    seconds = time.perf_counter() - start
    whole, network = (size(_told(board.program("size"), deadline, path)) for path in (image, part))
    return Firmware(image, link, seconds, whole, network, symbols(_told(board.program("nm"), deadline, "-S", part)),
                    _told(board.program("objdump"), deadline, "-d", image))


def play(board: Board, firmware: Firmware, sets: list[Vectors], output: Port, deadline: Deadline) -> list[Check]:
    """Every sample through the emulated board."""
    checks = []
    for one in sets:
        start = time.perf_counter()
        answer, faults = board.run(firmware, one.inputs, deadline)
        checks.append(native.compare(board.title, one, answer, output, time.perf_counter() - start, faults))
    return checks


def surprises(board: Board, firmware: Firmware, tables: dict[str, int], ram: int) -> tuple[str, ...]:
    """Where the firmware is not what the manifest promised: a table's bytes, the memory's, or an instruction that a
    board without a multiplier must not need."""
    found = []
    for name, promised in tables.items():
        if firmware.symbols.get(name) != promised:
            found.append(f"the table {name} takes {firmware.symbols.get(name)} bytes of flash, promised {promised}")
    if firmware.network.ram != ram:
        found.append(f"the network takes {firmware.network.ram} bytes of RAM, promised {ram}")
    if board.bare:
        found += [f"an instruction that {board.name} lacks: {line}" for line in multiplications(firmware.listing)]
    return tuple(found)


def size(text: str) -> Size:
    """What `size` prints, in its Berkeley format, for one file."""
    match = re.search(r"^\s*text\s+data\s+bss\s.*\n\s*(\d+)\s+(\d+)\s+(\d+)\s", text, re.M)
    if match is None:
        raise SimulationError(f"'size' printed what is not a table: {text[:80]!r}")
    return Size(*map(int, match.groups()))


def symbols(text: str) -> dict[str, int]:
    """What `nm -S` prints: bytes by name, of whatever has a size."""
    rows = (line.split() for line in text.splitlines())
    return {row[3]: int(row[1], 16) for row in rows if len(row) == 4}


def multiplications(listing: str) -> list[str]:
    """The lines of a disassembly that multiply or divide, or call what does."""
    return [" ".join(line.split()) for line in listing.splitlines() if MULTIPLY.search(line)]


def _told(program: str, deadline: Deadline, *arguments: str | Path) -> str:
    told = processes.run([program, *map(str, arguments)], deadline, most=LISTING_BYTES)
    if told.returncode:
        raise SimulationError(f"{Path(program).name} failed: {told.stderr.decode(errors='replace').strip()[:200]}")
    return told.stdout.decode(errors="replace")
