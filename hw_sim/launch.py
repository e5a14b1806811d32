"""Starts one built simulation with one cocotb module: `launch.py BUILD_FOLDER MODULE WORK_FOLDER [argument...]`.

A process of its own, so that a simulation that never ends can be ended. The arguments go to the simulator.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

from errors import SimulationError
from processes import Deadline, end, start

HERE = Path(__file__).resolve().parent


class Running:
    """A simulation at work in `work`; its log is `log.txt` there."""

    def __init__(self, build: Path, module: str, work: Path, args: list[str], seed: int) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self.work, self.module = work, module
        command = [sys.executable, "-B", str(HERE / "launch.py"), str(build), module, str(work), str(seed), *args]
        self.output = (work / "output.txt").open("w+")
        self.process = start(command, stdout=self.output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def wait(self, deadline: Deadline) -> None:
        """Wait for its end; SimulationError if it takes longer or did not end well."""
        try:
            code = self.process.wait(deadline.left())
        except subprocess.TimeoutExpired:
            raise deadline.passed(f"the simulation ({self.module})") from None
        finally:
            self.stop()
        if code or not (self.work / "result.json").is_file():
            text = "".join(p.read_text(errors="replace") for p in (self.work / "output.txt", self.work / "log.txt")
                           if p.is_file())
            lines = [line.strip() for line in text.splitlines() if "rror" in line or "%" in line[:2]]
            raise SimulationError(f"the simulation ({self.module}) ended with code {code}: "
                                  f"{lines[-1] if lines else 'no word why'} (see {self.work / 'log.txt'})")

    def stop(self) -> None:
        """End it at once, whatever it is doing; nothing if it has ended."""
        if not self.output.closed:
            end(self.process)
            self.output.close()


def _main(build: str, module: str, work: str, seed: str, *args: str) -> None:
    from cocotb_tools.runner import get_runner

    warnings.simplefilter("ignore")
    sys.path.insert(0, str(HERE))
    get_runner("verilator").test(
        test_module=f"benches.{module}", hdl_toplevel="bench", hdl_toplevel_lang="verilog", build_dir=build,
        test_dir=work, results_xml=str(Path(work) / "cocotb.xml"), log_file=str(Path(work) / "log.txt"), seed=seed,
        test_args=list(args), extra_env={"PYTHONDONTWRITEBYTECODE": "1"})


if __name__ == "__main__":
    _main(*sys.argv[1:])
