"""From a trained model to a checked project folder: compress, generate, simulate, report."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.capture import QuantisedModel
from toolkit.capture.capture import Source
from toolkit.commands.generate import DEFAULT_TARGETS, Generated, generate
from toolkit.commands.simulate import require, simulate
from toolkit.compress import Compressed, Data, Scheme, Settings, compress
from toolkit.compress.sweep import DEFAULT, Sweep, sweep
from toolkit.emit.targets import check_targets
from toolkit.hardware import Options
from toolkit.importing import InputRange, design_of
from toolkit.report import Hardware, Network, Report, svg, text
from toolkit.report import sweep as sweep_report
from toolkit.report.plot import sweep_svg
from toolkit.report.simulation import SimulationResult
from toolkit.utils.errors import InputError
from toolkit.utils.output_folder import check_ours, output_folder

INPUT_RANGE = (-1.0, 1.0)
"""Of an .onnx model's inputs, where neither data nor the user say more."""


@dataclass(frozen=True)
class Built:
    """A finished folder: the project in `hardware/`, the report beside it. `compressed` is None for a network that came
    as integers (QONNX)."""

    folder: Path
    compressed: Compressed | None
    generated: Generated
    simulation: SimulationResult | None
    report: Report


def build(model: Source | QuantisedModel, data: Data | None, scheme: Scheme | str, out: Path | str, *,
          settings: Settings | None = None, targets: tuple[str, ...] = DEFAULT_TARGETS,
          options: Options | None = None, vectors: int | None = None, check: bool = True, name: str = "network",
          input_range: tuple[float, float] = INPUT_RANGE) -> Built:
    """Compress `model` by `scheme`, write the folder `out`, and (unless `check` is off) simulate the hardware.

    `out` holds hardware/ (the project, with every test sample among its vectors), report.json, report.txt and
    report.svg. Raises InputError for what cannot be used, ToolMissing before any work where a tool is missing. A bit
    that differs is no exception: see `report.ok`.

    `data` may be None for a model from an .onnx file: then random inputs over `input_range` stand in. A QONNX model is
    quantised already: it takes no scheme, and `input_range` (or the data) says what an input holds that it leaves real.
    """
    if isinstance(model, QuantisedModel):
        return _build_imported(model, data, out, settings=settings or Settings(), targets=targets, options=options,
                               vectors=vectors, check=check, name=name, input_range=input_range)
    told = None if data is None else data.described()
    data = data or random_data(model, input_range, settings)
    start = time.perf_counter()
    scheme = Scheme.parse(scheme) if isinstance(scheme, str) else scheme
    if scheme.quantise is None:
        raise InputError(f"the scheme '{scheme}' does not quantise, and hardware needs integers; end it in +log2:4, "
                         "say")
    check_targets(targets)
    check_ours(out, "hardware")
    if check:
        require(targets)
    compressed = compress(model, data, scheme, settings, name=name)
    with output_folder(out) as fresh:
        generated, simulation = hardware(compressed, fresh / "hardware", targets=targets, options=options,
                                         vectors=vectors, check=check, seed=(settings or Settings()).seed)
        report = Report(f"shiftwright build: {name}", (Network.of(name, compressed),),
                        (Hardware.of(name, generated, simulation),), time.perf_counter() - start, told)
        write_report(fresh, report)
    return Built(Path(out), compressed, generated, simulation, report)


def _build_imported(model: QuantisedModel, data: Data | None, out: Path | str, *, settings: Settings,
                    targets: tuple[str, ...], options: Options | None, vectors: int | None, check: bool, name: str,
                    input_range: tuple[float, float]) -> Built:
    """As `build`, of a network that is integers already."""
    start = time.perf_counter()
    check_targets(targets)
    check_ours(out, "hardware")
    if check:
        require(targets)
    samples = None if data is None else data.arranged(model)
    low, high = input_range if samples is None else (0.0, 255.0) if samples.raw else \
        (float(samples.x_train.min()), float(samples.x_train.max()))
    imported = design_of(model, input=InputRange(settings.widths.input, low, high), name=name)
    test = None if samples is None else imported.codes(samples.x_test)
    if samples is None or test is None:
        note = "no data were given: the hardware is checked on random and boundary inputs, and there is no accuracy"
    else:
        right = imported.accuracy(test, samples.y_test)
        note = f"{len(test):,} test samples are among the vectors; " \
            + ("they have no classes" if right is None else f"accuracy {100 * right:.2f} %")
    imported = replace(imported, notes=(*imported.notes, note))
    with output_folder(out) as fresh:
        generated = generate(imported.design, fresh / "hardware", targets=targets, options=options, test=test,
                             vectors=vectors, seed=settings.seed)
        simulation = simulate(fresh / "hardware") if check else None
        report = Report(f"shiftwright build: {name}", (Network.imported(name, imported),),
                        (Hardware.of(name, generated, simulation),), time.perf_counter() - start,
                        None if data is None else data.described())
        write_report(fresh, report)
    return Built(Path(out), None, generated, simulation, report)


def random_data(model: object, input_range: tuple[float, float], settings: Settings | None) -> Data:
    """Random samples for a model that says what shape its samples have: one from an .onnx file."""
    shape = getattr(model, "sample_shape", None)
    if shape is None:
        raise InputError("data are needed to compress this model (--data); only an .onnx file, which says what its "
                         "samples look like, goes without")
    return Data.uniform(shape, *input_range, (settings or Settings()).seed)


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


def compress_all(model: Source, data: Data | None, out: Path | str, *, schemes: list[str] | None = None,
                 reference: bool = True, trained: bool = True, settings: Settings | None = None,
                 name: str = "network", input_range: tuple[float, float] = INPUT_RANGE) -> Sweep:
    """Try many schemes on one model: the rows of the reference report and combinations (with `reference`), then
    `schemes`. `data` may be None as in `build`.

    `out` gets report.txt, .json, .csv and .svg, and rows/ with every network: a `.swd`, or arrays and a manifest.
    """
    told = None if data is None else data.described()
    data = data or random_data(model, input_range, settings)
    chosen = [*(DEFAULT.items() if reference else ()), *((scheme, scheme) for scheme in schemes or ())]
    if not chosen:
        raise InputError("no scheme is given; say --scheme log2:4, for one")
    check_ours(out, "rows")
    with output_folder(out) as fresh:
        (fresh / "rows").mkdir()
        made = sweep(model, data, chosen, settings or Settings(), fresh / "rows", trained=trained, name=name)
        made = replace(made, data=told)
        (fresh / "report.txt").write_text(sweep_report.text(made))
        (fresh / "report.json").write_text(json.dumps(sweep_report.to_json(made), indent=1) + "\n")
        (fresh / "report.csv").write_text(sweep_report.to_csv(made))
        picture = sweep_svg(made)
        if picture is not None:
            (fresh / "report.svg").write_text(picture)
    return made
