"""Generated Verilog under Icarus Verilog, with a bench and a packing of its own: nothing of hw_sim takes part."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.design import Design, Tensor
from toolkit.emit.verilog import Verilog, verilog
from toolkit.emit.verilog.folded import verilog_folded
from toolkit.hardware import Options, choose, plan
from toolkit.hardware.folded import plan_folded

BENCH = Path(__file__).with_name("icarus_bench.v")


@dataclass(frozen=True)
class Circuit:
    """A design's Verilog, and how many beats carry a sample in and out (0: one beat, with its own tlast)."""

    design: Design
    made: Verilog
    folded: bool
    patience: int


def circuit(design: Design, options: Options | None = None) -> Circuit | None:
    """The Verilog of a design; None where it computes nothing."""
    if options is not None and options.arch == "folded":
        folded = plan_folded(design, choose(design, options), options)
        cycles = int(folded.latency + 4 * folded.initiation_interval) + 200
        return Circuit(design, verilog_folded(folded), True, 4 * cycles)
    unrolled = plan(design, options) if options else plan(design)
    return Circuit(design, verilog(unrolled), False, 500) if unrolled.latency else None


def codes_of(design: Design, count: int, seed: int) -> np.ndarray:
    """int64 (count, *input.shape): both ends of the input's format and everything between."""
    rng = np.random.default_rng(seed)
    form = design.input.format
    drawn = rng.integers(form.min_code, form.max_code, (count, *design.input.shape), endpoint=True)
    ends = rng.choice([form.min_code, form.max_code], drawn.shape)
    return np.where(rng.random((count, *(1 for _ in design.input.shape))) < 0.5, ends, drawn)


def beats(codes: np.ndarray, tensor: Tensor, elements: int) -> list[str]:
    """Each beat of `elements` elements as a hexadecimal number, padded to whole bytes."""
    width = tensor.format.width
    rows = codes.reshape(-1, elements).tolist()
    return [f"{sum((int(code) & ((1 << width) - 1)) << (i * width) for i, code in enumerate(row)):x}" for row in rows]


def play(given: Circuit, place: Path, codes: np.ndarray, *, seed: int = 1, pause: int = 96, patient_sink: bool = False,
         resets: int = 1, defines: tuple[str, ...] = (), more: str = "", change: tuple[str, str] | None = None) -> str:
    """The bench's last line: "PASS: ..." or "FAIL: rule ...". `defines` and the Verilog text `more` go to Icarus with
    the circuit; `change` replaces a text in every file that holds it, which must be one at least."""
    design = given.design
    place.mkdir(parents=True, exist_ok=True)
    texts = {**given.made.files, **({"more.v": more} if more else {})}
    if change is not None:
        assert any(change[0] in text for text in texts.values()), change
        texts = {name: text.replace(*change) for name, text in texts.items()}
    for name, text in texts.items():
        (place / name).write_text(text)
    size_in, size_out = (1, 1) if given.folded else (design.input.size, design.output.size)
    ins, outs = beats(codes, design.input, size_in), beats(design.reference(codes), design.output, size_out)
    (place / "inputs.hex").write_text("\n".join(ins) + "\n")
    (place / "expected.hex").write_text("\n".join(outs) + "\n")
    settings = {"TOP": given.made.top, "IN_BITS": -(-size_in * design.input.format.width // 8) * 8,
                "OUT_BITS": -(-size_out * design.output.format.width // 8) * 8, "IN_COUNT": len(ins),
                "OUT_COUNT": len(outs), "FRAME": design.output.size if given.folded else 0, "PAUSE": pause,
                "SINK": int(patient_sink), "SEED": seed, "RESETS": resets,
                "PATIENCE": given.patience}
    built = subprocess.run(["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-s", "icarus_bench", "-o", "bench.vvp",
                            *(f"-D{name}={value}" for name, value in settings.items()),
                            *(f"-D{name}" for name in defines), *texts, str(BENCH)], cwd=place, timeout=300,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert (built.returncode, built.stdout) == (0, ""), built.stdout
    told = subprocess.run(["vvp", "-n", "bench.vvp"], cwd=place, check=True, timeout=300, capture_output=True,
                          text=True).stdout
    return told.strip().splitlines()[0] if told.strip() else "nothing was told"
