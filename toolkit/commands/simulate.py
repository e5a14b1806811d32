"""Runs the benches of `hw_sim` on a generated project and reads what they found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from toolkit.design import Design, Tensor
from toolkit.emit.packing import packed
from toolkit.report.simulation import SimulationResult
from toolkit.utils import interrupts
from toolkit.utils.errors import CheckFailed, InputError, ShiftwrightError, ToolMissing
from toolkit.utils.output_folder import passing
from toolkit.utils.progress import bar
from toolkit.utils.resources import folder as resource

GRACE = 10.0
"""Seconds that the benches get beyond their own deadline, and to clean up."""


def simulate(folder: Path | str, *, targets: tuple[str, ...] = (), boards: tuple[str, ...] = (),
             vectors: int | None = None, bench: str = "both", axi_samples: int = 2000, stalls: bool = False,
             waves: bool = False, max_ber: float = 0.0, junit: Path | str | None = None, seed: int = 1,
             timeout: int = 1200, rebuild: bool = False, allow_edited: bool = False,
             cache: str | None = None, keep_outputs: bool = False) -> SimulationResult:
    """Run the targets of a generated project and compare every bit with the reference's outputs.

    `targets`: only these of the folder's, all by default; `boards`: run the target c on these emulated microcontrollers
    too (cortex-m0, rv32i, all); `vectors`: play so many of them; `allow_edited`: accept files that are not as
    generated. Of the RTL: `bench`: player (from memory, one wake-up), axi (cocotbext-axi, random stalls) or both;
    `stalls`: play all vectors once more with stalls; `waves`: write build/waves.vcd; `keep_outputs`: write what the
    player got, codes (n, elements of a sample), to build/outputs/SET.npy; `cache`: the folder for compiled
    parts of Verilator's runtime, in the place of the user's. `timeout`: seconds for all of it, builds included. Raises
    InputError for a folder that is none of ours, ToolMissing where a tool is. A bit that differs is no exception: it
    is in the result.

    What the folder holds is compiled and run: a stranger's folder wants `verify` instead.
    """
    folder = Path(folder)
    command = [sys.executable, str(resource("hw_sim") / "run.py"), str(folder), "--json", "--bench", bench,
               "--axi-samples", str(axi_samples), "--max-ber", repr(float(max_ber)), "--seed", str(seed),
               "--timeout", str(timeout)]
    command += [word for target in targets for word in ("--target", target)]
    command += [word for board in boards for word in ("--board", board)]
    command += ["--vectors", str(vectors)] if vectors is not None else []
    command += ["--junit", str(junit)] if junit is not None else []
    command += [f"--{name}" for name, wanted in (("stalls", stalls), ("waves", waves), ("rebuild", rebuild),
                                                 ("allow-edited", allow_edited),
                                                 ("keep-outputs", keep_outputs)) if wanted]
    try:
        code, out, err = _run(command, {} if cache is None else {"XDG_CACHE_HOME": cache}, timeout)
    except KeyboardInterrupt:
        if not passing(folder):
            interrupts.left(f"there is no result; what was built stays in '{folder / 'build'}' for the next run")
        raise
    if code in (0, 1) and out.startswith("{"):
        data = json.loads(out)
        _complete(folder, data)
        return SimulationResult(data["ok"], data["hardware_ber"], data["bit_errors"], data["bits"], data["latency"],
                                data["ii"], data["build_seconds"], data)
    kinds: dict[int, type[ShiftwrightError]] = {2: InputError, 3: ToolMissing}
    message = next((line.split("error: ", 1)[1] for line in err.splitlines() if "error: " in line), err.strip()[-500:])
    raise kinds.get(code, CheckFailed)(message or f"the simulation ended with code {code}")


def require(targets: tuple[str, ...]) -> None:
    """Raise ToolMissing, before any work is done, where something that the benches of `targets` need is missing."""
    command = [sys.executable, "-B", str(resource("hw_sim") / "run.py"), "--require",
               *(word for target in targets for word in ("--target", target))]
    told = subprocess.run(command, capture_output=True, text=True)
    if told.returncode:
        raise ToolMissing(told.stderr.split("error: ", 1)[-1].strip())


def _run(command: list[str], environment: dict[str, str], timeout: float) -> tuple[int, str, str]:
    """Run the benches; each step that they name goes to the progress bar. They keep to the timeout themselves and are
    ended where they do not; on an interrupt they are asked to clean up first."""
    env = {**os.environ, **environment, "SHIFTWRIGHT_PROGRESS": "1"}
    kept: list[str] = []
    with bar("simulating", None) as advance, tempfile.TemporaryFile() as out:
        def listen(lines: IO[bytes]) -> None:
            for line in lines:
                text = line.decode(errors="replace")
                if text.rstrip().endswith("..."):
                    advance(1, note=text.strip())
                else:
                    kept.append(text)

        # What they print goes to a file: a pipe that nobody reads would hold them up when it is full.
        with interrupts.started(command, _end, stdout=out, stderr=subprocess.PIPE, env=env,
                                stdin=subprocess.DEVNULL) as process:
            assert process.stderr is not None
            told = threading.Thread(target=listen, args=(process.stderr,), daemon=True)
            told.start()
            try:
                process.wait(timeout + GRACE)
            except subprocess.TimeoutExpired:
                raise CheckFailed(f"the simulation did not end within {timeout:g} s, and was ended; a longer --timeout "
                                  "may help, if the network is large") from None
        told.join(GRACE)
        out.seek(0)
        return process.returncode, out.read().decode(errors="replace"), "".join(kept)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the benches if they still run: first so that they end what they started."""
    if process.poll() is not None:
        return
    with suppress(subprocess.TimeoutExpired):
        process.terminate()
        process.wait(GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _complete(folder: Path, data: dict[str, Any]) -> None:
    """Where the project's traces do not show the layer at fault, the design itself does."""
    found, mismatch = data["diagnosis"], data["mismatch"]
    path = folder / "design.swd"
    if not found or found["layer"] or not found["outputs"] or not mismatch or mismatch["target"] != "verilog":
        return
    if not path.is_file() or "held still" in found["note"]:
        return
    design = Design.load(path)
    octets = np.frombuffer(bytes.fromhex(mismatch["input"])[::-1], np.uint8)
    trace = design.trace(_codes(octets, design.input))
    for layer in design.layers:
        due = packed(trace[layer.name], design.tensors[layer.name])[0].tobytes()
        if int(found["outputs"].get(layer.name, "0"), 16) != int.from_bytes(due, "little"):
            found["layer"] = layer.name
            found["note"] = f"the first layer whose output differs is '{layer.name}'"
            return
    if int(trace[design.layers[-1].name].reshape(-1)[mismatch["element"]]) != mismatch["expected"]:
        found["note"] = ("the vectors are at fault, no layer is blamed: every layer's output is right, and the "
                         f"expected outputs of '{mismatch['vectors']}' disagree with the design")
        return
    found["note"] = ("with this input held still every layer's output is right: look at the registers between layers "
                     "and at the handshake")


def _codes(octets: np.ndarray, tensor: Tensor) -> np.ndarray:
    """One beat to codes (1, *shape)."""
    form = tensor.format
    bits = np.unpackbits(octets, bitorder="little")[:tensor.bits].reshape(tensor.size, form.width).astype(np.int64)
    return form.wrap(bits @ (np.int64(1) << np.arange(form.width))).reshape(1, *tensor.shape)
