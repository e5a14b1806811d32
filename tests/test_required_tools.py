"""A fresh machine: what scripts/setup installs and refuses, and what the tests leave out, name, and refuse in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.tools import SCRIPTS
from toolkit.commands import doctor
from toolkit.utils.resources import folder as resource

sys.path.insert(0, str(resource("hw_sim")))

import tools
from boards import emulated

CONFTEST = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parent.parent)!r}]
from required_tools import *
from required_tools import pytest_testnodedown
"""
TESTS = """
import pytest

@pytest.mark.needs("simavr")
@pytest.mark.parametrize("n", [1, 2])
def test_on_the_avr(n): pass

@pytest.mark.needs("simavr", "valgrind")
def test_on_both(): pass

def test_anywhere(): pass
"""
APT = """#!/bin/sh
echo "$@" >>{log}
case " $* " in *" install "*) [ ! -e {stubs} ] || cp {stubs}/* {bin} ;; esac
{more}
"""


def table() -> dict[str, tuple[str, str, str]]:
    """(library, targets, packages) of each program of scripts/debian.txt."""
    lines = [line.split(None, 3) for line in (SCRIPTS / "debian.txt").read_text().splitlines()
             if line and line[0] != "#"]
    return {program: (library, targets, packages.strip()) for program, library, targets, packages in lines}


def stub(folder: Path, *names: str, text: str = "#!/bin/sh\necho /lib/found\n") -> None:
    """Programs that do nothing but say where a library is."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The only folder of programs: all of the table but simavr, no apt-get, no sudo, and a sleep that does not."""
    shadow = tmp_path / "bin"
    stub(shadow, "sleep", *(set(table()) - {"simavr"}))
    for name in ("sh", "dirname", "id", "mktemp", "tail", "grep", "rm", "cp", "wc", "env", "true", "python3"):
        (shadow / name).symlink_to(str(shutil.which(name)))
    return shadow


def apt(machine: Path, more: str = "", brings: tuple[str, ...] = ("simavr",)) -> Path:
    """An apt-get that notes how it is called and brings some programs; the file of its notes."""
    log, stubs = machine.parent / "apt.log", machine.parent / "stubs"
    if brings:
        stub(stubs, *brings)
    stub(machine, "apt-get", text=APT.format(log=log, stubs=stubs, bin=machine, more=more))
    return log


def setup(machine: Path, target: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("CI", "PYTHON")}
    return subprocess.run([SCRIPTS / "setup", target], capture_output=True, text=True,
                          env={**clean, "PATH": str(machine), "PYTHON": sys.executable, **env})


def run(tmp_path: Path, machine: Path, *options: str, tests: str = TESTS, ci: str = "") -> tuple[int, str]:
    """Exit code and output of pytest over `tests` on this machine."""
    folder = tmp_path / "run"
    folder.mkdir(exist_ok=True)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(tests)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -q -p no:cacheprovider\nmarkers = needs(program): x\n")
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    done = subprocess.run([sys.executable, "-m", "pytest", *options], cwd=folder, capture_output=True, text=True,
                          env={**env, "PATH": str(machine), "CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("options", [(), ("-p", "xdist.plugin", "-n", "2")], ids=["alone", "workers"])
def test_tests_without_their_program_are_left_out_and_named_with_what_brings_it(tmp_path, machine, options):
    code, said = run(tmp_path, machine, *options)
    assert code == 0 and "this run is not whole" in said and "1 passed" in said
    assert "left out: 3 tests; missing: simavr\n" in said
    assert all(f"{name} (simavr)" in said for name in ("test_on_the_avr[1]", "test_on_the_avr[2]", "test_on_both"))
    assert "what brings it: apt-get install simavr\n" in said and "test_anywhere" not in said


@pytest.mark.parametrize("options", [(), ("-p", "xdist.plugin", "-n", "2")], ids=["alone", "workers"])
def test_ci_refuses_a_run_that_is_not_whole(tmp_path, machine, options):
    code, said = run(tmp_path, machine, *options, ci="true")
    assert code == 1 and "1 passed" in said and "CI takes no run that is not whole" in said


@pytest.mark.parametrize("ci", ["", "true"])
def test_a_whole_run_says_nothing_of_it(tmp_path, machine, ci):
    stub(machine, "simavr")
    code, said = run(tmp_path, machine, ci=ci)
    assert code == 0 and "4 passed" in said and "whole" not in said


def test_a_test_that_was_not_asked_for_is_not_left_out(tmp_path, machine):
    code, said = run(tmp_path, machine, "-k", "anywhere", ci="true")
    assert code == 0 and "whole" not in said


@pytest.mark.parametrize("ci", ["", "true"])
def test_ci_refuses_a_skipped_test(tmp_path, machine, ci):
    code, said = run(tmp_path, machine, tests="import pytest\ndef test_it(): pytest.skip('no reason')\n", ci=ci)
    assert (code, "skipped: test_it.py::test_it" in said) == ((1, True) if ci else (0, False))


def test_a_program_that_set_up_does_not_know_is_refused(tmp_path, machine):
    code, said = run(tmp_path, machine, tests=TESTS.replace("valgrind", "valgrid"))
    assert code == 4 and "needs 'valgrid', which is not in scripts/debian.txt" in said


def test_what_is_missing_is_installed(machine):
    log = apt(machine)
    done = setup(machine, "test")
    assert done.returncode == 0 and done.stderr == "" and done.stdout == "setup: apt-get install simavr \n"
    update, install = log.read_text().splitlines()
    assert update.endswith(" update") and install.endswith(" install --no-install-recommends simavr")


def test_where_nothing_is_missing_nothing_is_installed_nor_said(machine):
    log = apt(machine)
    stub(machine, "simavr")
    done = setup(machine, "test")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "") and not log.exists()


def test_a_target_installs_only_what_it_needs(machine):
    log = apt(machine)
    assert all(setup(machine, target).returncode == 0 for target in ("demo", "lint", "bench")) and not log.exists()
    assert setup(machine, "soak").returncode == 0 and "simavr" in log.read_text()


def test_a_compiler_without_its_library_is_missing(machine):
    stub(machine, "simavr")
    stub(machine, "riscv64-unknown-elf-gcc", text="#!/bin/sh\necho picolibc.specs\n")
    log = apt(machine, brings=("riscv64-unknown-elf-gcc",))
    assert setup(machine, "test").returncode == 0 and "picolibc-riscv64-unknown-elf" in log.read_text()


@pytest.mark.parametrize("ci", ["", "true"])
@pytest.mark.parametrize("why", ["no apt-get", "apt-get fails", "neither root nor sudo"])
def test_what_cannot_be_installed_is_named_and_ci_refuses_it(machine, why, ci):
    if why != "no apt-get":
        apt(machine, "exit 100" if why == "apt-get fails" else "", ())
    if why == "neither root nor sudo":
        stub(machine, "id", text="#!/bin/sh\necho 1000\n")
        stub(machine, "sudo", text="#!/bin/sh\nexit 1\n")
    done = setup(machine, "test", CI=ci)
    assert "missing: simavr - what brings it: apt-get install simavr" in done.stderr
    assert done.returncode == (3 if ci else 0) and ("whole or not at all" in done.stderr) == bool(ci)
    assert ("could not be installed" in done.stderr) == (why == "apt-get fails")
    assert (machine.parent / "apt.log").exists() == (why == "apt-get fails")


def test_sudo_without_a_password_serves(machine):
    log = apt(machine)
    stub(machine, "id", text="#!/bin/sh\necho 1000\n")
    stub(machine, "sudo", text='#!/bin/sh\n[ "$1" = -n ] || exit 1\nshift\nexec "$@"\n')
    assert setup(machine, "test").returncode == 0 and len(log.read_text().splitlines()) == 2


def test_a_lock_of_apt_is_waited_for(machine):
    log = apt(machine, f"[ $(wc -l <{machine.parent}/apt.log) -gt 3 ] || "
              "{ echo 'E: Could not get lock /var/lib/apt/lists/lock.'; exit 100; }", ())
    stub(machine.parent / "stubs", "simavr")
    assert setup(machine, "test").returncode == 0
    assert [line.split()[-1] for line in log.read_text().splitlines()] == ["update"] * 4 + ["simavr"]


def test_one_package_that_is_unknown_costs_one_program(machine):
    (machine / "valgrind").unlink()
    (machine / "qemu-system-arm").unlink()
    (machine / "simavr").unlink(missing_ok=True)
    log = apt(machine, "case \"$*\" in *valgrind*) echo 'E: Unable to locate package valgrind'; exit 100 ;; esac",
              ("qemu-system-arm",))
    done = setup(machine, "bench")
    assert done.returncode == 0 and "valgrind could not be installed: E: Unable to locate" in done.stderr
    assert "missing: valgrind - what" in done.stderr and len(log.read_text().splitlines()) == 4


@pytest.mark.parametrize("program", ["g++", "perl"])
def test_without_a_compiler_nothing_goes(machine, program):
    (machine / program).unlink()
    done = setup(machine, "demo")
    assert done.returncode == 3 and f"apt-get install {program}" in done.stderr and "cannot run" in done.stderr


def python(machine: Path, version: tuple[int, int], *, modules: bool = True) -> None:
    """A Python that says that it is of this version, and without the modules of a virtual environment."""
    hide = "" if modules else "import importlib.util; importlib.util.find_spec = lambda name: None"
    (machine / "site").mkdir()
    (machine / "site" / "sitecustomize.py").write_text(
        f"import sys, platform\nsys.version_info = ({version[0]}, {version[1]}, 0)\n"
        f"platform.python_version = lambda: '{version[0]}.{version[1]}.0'\n{hide}\n")
    stub(machine, "python3", text=f'#!/bin/sh\nPYTHONPATH={machine}/site exec {sys.executable} "$@"\n')


def test_an_old_python_is_one_sentence(machine):
    python(machine, (3, 9))
    done = setup(machine, "demo", PYTHON="python3")
    assert done.returncode == 3 and done.stderr.count("\n") == 1
    assert "needs Python 3.11 or newer, and 'python3' is 3.9.0; name another: make demo PYTHON=" in done.stderr


def test_a_python_without_venv_gets_debians_package(machine):
    python(machine, (3, 11), modules=False)
    log = apt(machine)
    done = setup(machine, "demo", PYTHON="python3")
    assert log.read_text().splitlines()[-1].endswith(" python3.11-venv") and done.returncode == 3


def test_no_python_at_all_is_installed(machine):
    log = apt(machine, brings=())
    assert setup(machine, "demo", PYTHON="python3.99").returncode == 3
    assert "python3 python3-venv" in log.read_text()


def test_everyone_names_the_same_packages():
    packages = {program: found[2] for program, found in table().items()}
    for board in emulated.BOARDS.values():
        assert board.packages.items() <= packages.items()
    assert {name: f"apt-get install {packages[name]}" for name in ("g++", "make", "perl")} == tools.BUILDERS
    others = {name: text for name, text in packages.items() if name not in tools.BUILDERS}
    assert others == {**doctor.BOARDS, **doctor.TESTS}
