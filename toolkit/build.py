"""From a trained model to a checked project folder: compress, generate, simulate, report."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

from toolkit.capture.capture import Source
from toolkit.compress import Compressed, Data, Scheme, Settings, compress
from toolkit.compress.sweep import REFERENCE, Sweep, sweep
from toolkit.emit.targets import check_targets
from toolkit.errors import InputError
from toolkit.folder import check_ours, output_folder
from toolkit.generate import DEFAULT_TARGETS, Generated, generate
from toolkit.hardware import Options
from toolkit.report import Hardware, Network, Report, svg, text
from toolkit.report import sweep as sweep_report
from toolkit.report.plot import sweep_svg
from toolkit.simulation import SimulationResult, require, simulate


@dataclass(frozen=True)
class Built:
    """A finished folder: the project in `hardware/`, the report beside it."""

    folder: Path
    compressed: Compressed
    generated: Generated
    simulation: SimulationResult | None
    report: Report


def build(model: Source, data: Data, scheme: Scheme | str, out: Path | str, *, settings: Settings | None = None,
          targets: tuple[str, ...] = DEFAULT_TARGETS, options: Options | None = None, vectors: int | None = None,
          check: bool = True, name: str = "network") -> Built:
    """Compress `model` by `scheme`, write the folder `out`, and (unless `check` is off) simulate the hardware.

    `out` holds hardware/ (the project, with every test sample among its vectors), report.json, report.txt and
    report.svg. Raises InputError for what cannot be used, ToolMissing before any work where a tool is missing. A bit
    that differs is no exception: see `report.ok`.
    """
    start = time.perf_counter()
    scheme = Scheme.parse(scheme) if isinstance(scheme, str) else scheme
    if scheme.quantise is None:
        raise InputError(f"the scheme '{scheme}' does not quantise, and hardware needs integers; end it in +log2:4, "
                         "say")
    check_targets(targets)
    check_ours(out)
    if check:
        require(targets)
    compressed = compress(model, data, scheme, settings, name=name)
    with output_folder(out) as fresh:
        generated, simulation = hardware(compressed, fresh / "hardware", targets=targets, options=options,
                                         vectors=vectors, check=check, seed=(settings or Settings()).seed)
        report = Report(f"shiftwright build: {name}", (Network.of(name, compressed),),
                        (Hardware.of(name, generated, simulation),), time.perf_counter() - start)
        write_report(fresh, report)
    return Built(Path(out), compressed, generated, simulation, report)


def hardware(compressed: Compressed, out: Path, *, targets: tuple[str, ...] = DEFAULT_TARGETS,
             options: Options | None = None, vectors: int | None = None, check: bool = True,
             seed: int = 0) -> tuple[Generated, SimulationResult | None]:
    """The project folder `out` of a compressed network, simulated if `check`."""
    assert compressed.design is not None
    generated = generate(compressed.design, out, targets=targets, options=options, test=compressed.test_codes,
                         vectors=vectors, seed=seed)
    return generated, simulate(out) if check else None


def write_report(folder: Path, report: Report) -> None:
    """report.json, report.txt and, where there are accuracies, report.svg."""
    (folder / "report.json").write_text(json.dumps(report.to_json(), indent=1) + "\n")
    (folder / "report.txt").write_text(text(report))
    picture = svg(report)
    if picture is not None:
        (folder / "report.svg").write_text(picture)


def compress_all(model: Source, data: Data, out: Path | str, *, schemes: list[str] | None = None,
                 reference: bool = True, trained: bool = True, settings: Settings | None = None,
                 name: str = "network") -> Sweep:
    """Try many schemes on one model: the rows of the reference report (with `reference`), then `schemes`.

    `out` gets report.txt, .json, .csv and .svg, and rows/ with every network: a `.swd`, or arrays and a manifest.
    """
    chosen = [*(REFERENCE.items() if reference else ()), *((scheme, scheme) for scheme in schemes or ())]
    if not chosen:
        raise InputError("no scheme is given; say --scheme log2:4, for one")
    check_ours(out)
    with output_folder(out) as fresh:
        (fresh / "rows").mkdir()
        made = sweep(model, data, chosen, settings or Settings(), fresh / "rows", trained=trained, name=name)
        (fresh / "report.txt").write_text(sweep_report.text(made))
        (fresh / "report.json").write_text(json.dumps(sweep_report.to_json(made), indent=1) + "\n")
        (fresh / "report.csv").write_text(sweep_report.to_csv(made))
        picture = sweep_svg(made)
        if picture is not None:
            (fresh / "report.svg").write_text(picture)
    return made
