"""Microcontrollers under emulation: the generated C cross-compiled, run over semihosting, and its sizes measured."""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import native
from errors import BadFolder, SimulationError
from manifest import Port
from native import Vectors
from results import Check

HERE = Path(__file__).resolve().parent / "boards"
# `used` keeps every table and the whole memory where the compiler could do without a part: they are to be measured.
DEFINES = ["-DNET_FLASH=__attribute__((used))", "-DNET_RAM=__attribute__((used))"]
MULTIPLY = re.compile(r"\s(mul|mulh|mulhu|mulhsu|div|divu|rem|remu)\s|__(mul|u?div|u?mod)[sdt]i3")


@dataclass(frozen=True)
class Board:
    """A machine that QEMU knows. `prefix`: of its compiler's programs; `packages`: of Debian, by program;
    `alignment`: bytes to which its widest words are aligned; `bare`: it has neither a multiplier nor a divider."""

    name: str
    prefix: str
    flags: tuple[str, ...]
    libraries: tuple[str, ...]
    places: tuple[int, int, int, int]
    emulator: tuple[str, ...]
    packages: dict[str, str]
    alignment: int = 8
    bare: bool = False

    @property
    def title(self) -> str:
        return f"{self.name} (QEMU)"

    def program(self, name: str) -> str:
        return native.tool(f"{self.prefix}{name}", self.packages[f"{self.prefix}gcc"])

    def require(self) -> None:
        """Raise NoTool where its compiler or its emulator is missing."""
        for program, package in self.packages.items():
            native.tool(program, package)


SEMIHOSTING = ("-nographic", "-monitor", "none", "-serial", "null", "-semihosting-config", "enable=on,target=native")
BOARDS = {board.name: board for board in (
    Board("cortex-m0", "arm-none-eabi-", ("-mcpu=cortex-m0", "-mthumb"), ("--specs=nano.specs",),
          (0x0, 256 << 10, 0x20000000, 16 << 10), ("qemu-system-arm", "-M", "microbit", *SEMIHOSTING),
          {"arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi", "qemu-system-arm": "qemu-system-arm"}),
    Board("rv32i", "riscv64-unknown-elf-", ("-march=rv32i", "-mabi=ilp32", "--specs=picolibc.specs"), (),
          (0x80000000, 4 << 20, 0x80400000, 4 << 20),
          ("qemu-system-riscv32", "-M", "virt", "-bios", "none", *SEMIHOSTING),
          {"riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
           "qemu-system-riscv32": "qemu-system-misc"}, bare=True))}


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
    """A built network for a board. `image`: all of the firmware; `network`: its part; `symbols`: bytes of each name."""

    image: Path
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


def build(board: Board, source: Path, main: Path, folder: Path, rebuild: bool, timeout: float) -> Firmware:
    """Compile a network with the board's start-up code, and measure it."""
    start = time.perf_counter()
    gcc = board.program("gcc")
    flags = [*board.flags, "-std=c99", "-Os", "-Wall", "-Wextra", "-Werror", "-ffunction-sections"]
    part, image = folder / "network.o", folder / "firmware.elf"
    command = [gcc, *flags, *DEFINES, "-c", str(source), "-o", str(part)]
    native.build(part, command, [source, source.with_suffix(".h")], rebuild, timeout)
    sides = [f"-Wl,--defsym={name}={value}" for name, value in
             zip(("FLASH_AT", "FLASH_BYTES", "RAM_AT", "RAM_BYTES"), board.places, strict=True)]
    command = [gcc, *flags, '-DNET_IO="board.h"', "-I", str(HERE), "-I", str(source.parent), str(main),
               str(HERE / "start.c"), str(part), *board.libraries, "-nostartfiles", "-Wl,--gc-sections", *sides,
               "-T", str(HERE / "board.ld"), "-o", str(image)]
    native.build(image, command, [main, part, *sorted(HERE.iterdir())], rebuild, timeout)
    seconds = time.perf_counter() - start
    whole, network = (size(_told(board.program("size"), path)) for path in (image, part))
    return Firmware(image, seconds, whole, network, symbols(_told(board.program("nm"), "-S", part)),
                    _told(board.program("objdump"), "-d", image))


def play(board: Board, firmware: Firmware, sets: list[Vectors], output: Port, timeout: float) -> list[Check]:
    """Every sample through the emulated board."""
    checks = []
    command = [native.tool(board.emulator[0], board.packages[board.emulator[0]]), *board.emulator[1:],
               "-kernel", str(firmware.image)]
    for one in sets:
        work = firmware.image.parent
        (work / "in.bin").write_bytes(one.inputs.tobytes())
        (work / "out.bin").unlink(missing_ok=True)
        start = time.perf_counter()
        try:
            told = subprocess.run(command, cwd=work, capture_output=True, timeout=timeout, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired as error:
            raise SimulationError(f"{board.title} did not end within {timeout:g} s") from error
        seconds = time.perf_counter() - start
        answer = (work / "out.bin").read_bytes() if (work / "out.bin").is_file() else b""
        checks.append(native.compare(board.title, one, answer, output, seconds, native.failure(told)))
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
        raise SimulationError(f"'size' printed what is no table: {text[:80]!r}")
    return Size(*map(int, match.groups()))


def symbols(text: str) -> dict[str, int]:
    """What `nm -S` prints: bytes by name, of whatever has a size."""
    rows = (line.split() for line in text.splitlines())
    return {row[3]: int(row[1], 16) for row in rows if len(row) == 4}


def multiplications(listing: str) -> list[str]:
    """The lines of a disassembly that multiply or divide, or call what does."""
    return [" ".join(line.split()) for line in listing.splitlines() if MULTIPLY.search(line)]


def _told(program: str, *arguments: str | Path) -> str:
    told = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if told.returncode:
        raise SimulationError(f"{Path(program).name} failed: {told.stderr.strip()[:200]}")
    return told.stdout
