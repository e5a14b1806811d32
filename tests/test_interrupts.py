"""Time limits, signals and runs side by side: real processes, real signals; nothing is left running."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_projects import c_project, everything, fake, running

from toolkit.api import simulate
from toolkit.commands.simulate import _run
from toolkit.utils.errors import CheckFailed, InputError
from toolkit.utils.resources import folder as resource

RUN = [sys.executable, str(resource("hw_sim") / "run.py")]
CLI = [sys.executable, "-m", "toolkit.cli"]
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
SLOW = 60
"""Seconds that anything here may take on a busy machine."""


@pytest.fixture(autouse=True)
def interruptible():
    """In the background of a shell SIGINT is ignored, and what the tests start would inherit that."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """With every target; nothing built."""
    return c_project(tmp_path_factory.mktemp("made") / "project", ("c", "verilog", "hls", "hls4ml"))


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "project"))


@pytest.fixture
def mark():
    """The argument of a sleep that no other process has; none may be left at the end of a test."""
    number = f"9{os.getpid()}.{time.monotonic_ns() % 10**9}"
    yield number
    for _ in range(50):
        if not running(number):
            return
        time.sleep(0.1)
    raise AssertionError(running(number))


def until(condition) -> None:
    """Wait for it."""
    end = time.monotonic() + SLOW
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


MAKES_A_FILE = 'for a; do [ "$last" = -o ] && out=$a; last=$a; done\n[ -z "$out" ] && exit 0\n'
"""A compiler of shell: $out is the file that it is to make."""


def environment(path: str) -> dict[str, str]:
    return {**os.environ, "PATH": path}


# -- time ends everything ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("target, tool", [("c", "gcc"), ("hls", "g++"), ("hls4ml", "g++"), ("verilog", "make"),
                                          ("verilog", "perl")])
def test_a_build_that_never_ends_is_ended_with_all_that_it_started(project: Path, tmp_path: Path, mark: str, target,
                                                                   tool):
    """Also where it has put processes into the background, which hold its output open."""
    script = f'case "$*" in *--version*) exit 0;; esac\nsleep {mark} &\nsleep {mark}'
    path = fake(tmp_path / "bin", tool, script)
    begun = time.monotonic()
    done = subprocess.run([*RUN, str(project), "--target", target, "--timeout", "6"], capture_output=True, text=True,
                          env=environment(path), timeout=SLOW)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "did not end within the 6 s of the whole run" in done.stdout + done.stderr
    assert time.monotonic() - begun < 30


def test_an_emulator_that_never_ends_is_ended(project: Path, tmp_path: Path, mark: str):
    for tool, script in {"gcc": MAKES_A_FILE + 'touch "$out"', "nm": "", "objdump": "",
                         "size": "printf ' text data bss dec hex filename\\n 1 2 3 6 6 x\\n'"}.items():
        fake(tmp_path / "bin", f"arm-none-eabi-{tool}", script)
    path = fake(tmp_path / "bin", "qemu-system-arm", f"sleep {mark} & sleep {mark}")
    done = subprocess.run([*RUN, str(project), "--target", "c", "--board", "cortex-m0", "--timeout", "8"],
                          capture_output=True, text=True, env=environment(path), timeout=SLOW)
    assert done.returncode == 1 and "qemu-system-arm did not end within the 8 s" in done.stdout, done.stdout


def test_a_simulation_that_never_ends_is_ended(tmp_path: Path, mark: str):
    """The executable that cocotb starts."""
    script = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(resource("hw_sim"))!r})
from launch import Running
from processes import Deadline
one = Running(Path({str(tmp_path)!r}), "player", Path({str(tmp_path / "work")!r}), [], 1)
try:
    one.wait(Deadline(6))
finally:
    one.stop()
"""
    fake(tmp_path, "bench", f"sleep {mark} & sleep {mark}")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=SLOW)
    assert "the simulation (player) did not end within the 6 s" in done.stderr


def test_the_networks_own_program_is_ended(project: Path, tmp_path: Path, mark: str):
    """What gcc makes here is a program that sleeps."""
    script = f'printf "#!/bin/sh\\nsleep {mark} & sleep {mark}\\n" > "$out"; chmod +x "$out"'
    path = fake(tmp_path / "bin", "gcc", MAKES_A_FILE + script)
    done = subprocess.run([*RUN, str(project), "--target", "c", "--timeout", "4"], capture_output=True, text=True,
                          env=environment(path), timeout=SLOW)
    assert done.returncode == 1 and "did not end within the 4 s" in done.stdout


def test_a_program_that_prints_without_end_is_ended(project: Path, tmp_path: Path, mark: str):
    script = f'printf "#!/bin/sh\\nsleep {mark} & yes\\n" > "$out"; chmod +x "$out"'
    path = fake(tmp_path / "bin", "gcc", MAKES_A_FILE + script)
    done = subprocess.run([*RUN, str(project), "--target", "c", "--timeout", "50"], capture_output=True, text=True,
                          env=environment(path), timeout=SLOW)
    assert done.returncode == 1 and "was ended: it printed more than" in done.stdout


def test_one_time_limit_holds_for_all_targets_together(project: Path, tmp_path: Path, mark: str):
    script = f'case "$*" in *--version*) exit 0;; esac\nsleep {mark}'
    fake(tmp_path / "bin", "gcc", script)
    path = fake(tmp_path / "bin", "g++", script)
    begun = time.monotonic()
    done = subprocess.run([*RUN, str(project), "--target", "c", "--target", "hls", "--target", "hls4ml", "--timeout",
                           "5", "--json"], capture_output=True, text=True, env=environment(path), timeout=SLOW)
    found = json.loads(done.stdout)
    assert done.returncode == 1 and sorted(f.split(":")[0] for f in found["faults"]) == ["c", "hls", "hls4ml"]
    assert time.monotonic() - begun < 14


def test_work_of_our_own_is_under_the_time_limit_too(project: Path):
    """A bench that computes for ever: no program to end."""
    script = f"""
import sys
sys.path.insert(0, {str(resource("hw_sim"))!r})
sys.argv = ["run.py"]
import run, native
native.load = lambda *_: [None for _ in iter(int, 1)]
sys.exit(run.main([{str(project)!r}, "--target", "c", "--timeout", "5"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=SLOW)
    assert done.returncode == 1 and "the run did not end within the 5 s" in done.stdout


def test_the_function_is_under_the_time_limit(project: Path, tmp_path: Path, monkeypatch, mark: str):
    path = fake(tmp_path / "bin", "gcc", f'case "$*" in *--version*) exit 0;; esac\nsleep {mark}')
    monkeypatch.setenv("PATH", path)
    found = simulate(project, targets=("c",), timeout=4)
    assert not found.ok and any("did not end within the 4 s" in line for line in found.failures)


def test_benches_that_do_not_keep_to_their_limit_are_ended(monkeypatch, mark: str):
    monkeypatch.setattr("toolkit.commands.simulate.GRACE", 1.0)
    script = f"import signal, subprocess; signal.signal(15, 1); subprocess.run(['sleep', '{mark}'])"
    with pytest.raises(CheckFailed, match="did not end within 1 s, and was ended"):
        _run([sys.executable, "-c", script], {}, 1)


# -- what a pipe holds -------------------------------------------------------------------------------------------------

def test_a_result_and_messages_that_are_more_than_a_pipe_holds_come_whole():
    script = ("import sys\nfor _ in range(3):\n    sys.stdout.write('x' * 300_000); sys.stdout.flush()\n"
              "    sys.stderr.write('y' * 300_000 + '\\n'); sys.stderr.flush()")
    code, out, err = _run([sys.executable, "-c", script], {}, SLOW)
    assert code == 0 and len(out) == 900_000 and len(err) == 900_003


def test_a_simulation_with_a_long_result_ends(project: Path):
    path = project / "manifest.json"
    data = json.loads(path.read_text())
    data["files"].update({f"c/{'long_name' * 10}_{i}.c": "gone" for i in range(3000)})
    path.write_text(json.dumps(data))
    found = simulate(project, targets=("c",), timeout=SLOW)
    assert len(found.data["integrity"]) == 3000 and not found.ok


# -- signals -----------------------------------------------------------------------------------------------------------

def slow_gcc(tmp_path: Path, mark: str) -> str:
    return fake(tmp_path / "bin", "gcc", f'case "$*" in *--version*) exit 0;; esac\nsleep {mark} & sleep {mark}')


@pytest.mark.parametrize("command", [RUN, [*CLI, "simulate"]], ids=["run.py", "shiftwright"])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_simulation_that_is_interrupted_ends_all_that_it_started(project: Path, tmp_path: Path, mark: str, number,
                                                                   command):
    process = subprocess.Popen([*command, str(project), "--target", "c"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env=environment(slow_gcc(tmp_path, mark)))
    until(lambda: running(f"sleep {mark}"))
    process.send_signal(number)
    out, err = process.communicate(timeout=SLOW)
    assert process.returncode == SIGNALS[number], err
    assert out == "" and err.startswith(("interrupted; there is no result", "interrupted: there is no result"))
    assert str(project / "build") in err and err.count("\n") == 1 and "Traceback" not in err
    assert not running(f"sleep {mark}")
    assert simulate(project, targets=("c",)).ok


def test_a_simulation_that_was_killed_is_in_nobodys_way(project: Path, tmp_path: Path, mark: str):
    process = subprocess.Popen([*RUN, str(project), "--target", "c"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env=environment(slow_gcc(tmp_path, mark)))
    until(lambda: len(running(f"sleep {mark}")) == 2)  # both, or the second would come when all are counted
    (project / "build" / "c" / "half.o").write_text("half")  # as a compiler would leave it
    left = [int(line.split()[0]) for line in running(f"sleep {mark}")]
    process.kill()
    process.wait()
    for line in running(f"sleep {mark}"):  # whatever it had started when it was killed
        os.kill(int(line.split()[0]), signal.SIGKILL)
    assert left and simulate(project, targets=("c",)).ok
    assert "c/half.o" in (project / "build" / ".shiftwright").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_build_that_is_interrupted_leaves_nothing_and_says_so(tmp_path: Path, number):
    process = subprocess.Popen([*CLI, "demo", "-o", str(tmp_path / "out")], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    until(lambda: list(tmp_path.glob(".out.*/new/digits.npz")))
    process.send_signal(number)
    out, err = process.communicate(timeout=SLOW)
    assert process.returncode == SIGNALS[number] and out == ""
    assert err == f"interrupted; nothing was written to '{tmp_path / 'out'}'\n"
    assert list(tmp_path.iterdir()) == []


BUILD = """
import sys, time
from toolkit.utils.output_folder import output_folder
import toolkit.cli as cli
def body(*_, **__):
    with output_folder(sys.argv[1]) as fresh:
        print("ready", flush=True)
        time.sleep(600)
cli.app = body
cli.main()
"""


def test_an_interrupted_command_says_that_the_old_folder_is_as_it_was(tmp_path: Path):
    out = c_project(tmp_path / "out")
    before = everything(out)
    process = subprocess.Popen([sys.executable, "-c", BUILD, str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=SLOW)[1] == f"interrupted; '{out}' is as it was\n"
    assert process.returncode == 143 and everything(out) == before and list(tmp_path.iterdir()) == [out]


# -- side by side ------------------------------------------------------------------------------------------------------

def test_two_simulations_in_one_folder_wait_for_each_other(project: Path, tmp_path: Path):
    real = shutil.which("gcc")
    path = fake(tmp_path / "bin", "gcc", f'touch {tmp_path}/begun\ncase "$*" in *--version*) ;; *) sleep 2;; esac\n'
                f'exec {real} "$@"')
    command = [*RUN, str(project), "--target", "c", "--rebuild"]
    env = {**environment(path), "SHIFTWRIGHT_PROGRESS": "1"}
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    until((tmp_path / "begun").exists)
    second = subprocess.run(command, capture_output=True, text=True, env=env, timeout=SLOW)
    out, err = first.communicate(timeout=SLOW)
    assert first.returncode == 0 and second.returncode == 0, err + second.stderr
    assert "PASS" in out and "PASS" in second.stdout
    assert "waiting for another simulation" in second.stderr and "waiting" not in err


def test_a_simulation_that_waits_in_vain_ends_in_time(project: Path, tmp_path: Path, mark: str):
    first = subprocess.Popen([*RUN, str(project), "--target", "c"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, env=environment(slow_gcc(tmp_path, mark)))
    until(lambda: running(f"sleep {mark}"))
    with pytest.raises(CheckFailed, match=r"another simulation in .* did not end within the 2 s"):
        simulate(project, targets=("c",), timeout=2)
    first.terminate()
    assert first.wait(SLOW) == 143


# -- Verilator's runtime -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_an_object_in_the_cache_that_is_not_whole_is_made_anew(tmp_path: Path, damage: bytes | None):
    sys.path.insert(0, str(resource("hw_sim")))
    from benches import runtime

    kept, first, second = (tmp_path / name for name in ("kept", "first", "second"))
    for folder in (kept, first, second):
        folder.mkdir()
    for name in runtime.OBJECTS:
        (first / f"{name}.o").write_bytes(f"object {name}".encode() * 100)
    runtime.keep(kept, first)
    broken = kept / "verilated_vpi.kept"
    broken.write_bytes(broken.read_bytes()[:-1] if damage is None else damage)
    runtime.bring(kept, second)
    assert {p.name for p in second.iterdir()} == {f"{n}.o" for n in runtime.OBJECTS} - {"verilated_vpi.o"}
    assert all((second / p.name).read_bytes() == (first / p.name).read_bytes() for p in second.iterdir())
    runtime.keep(kept, first)
    runtime.bring(kept, second)
    assert (second / "verilated_vpi.o").read_bytes() == (first / "verilated_vpi.o").read_bytes()


def test_a_cache_that_others_may_write_is_not_used(tmp_path: Path, monkeypatch):
    sys.path.insert(0, str(resource("hw_sim")))
    from benches import runtime

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert runtime.folder("x") is not None
    (tmp_path / "shiftwright").chmod(0o777)
    assert runtime.folder("x") is None


def test_a_project_that_cannot_be_written_is_one_sentence(project: Path):
    (project / "build").write_text("mine")
    with pytest.raises(InputError, match="is not a folder"):
        simulate(project, targets=("c",))
    assert (project / "build").read_text() == "mine"
