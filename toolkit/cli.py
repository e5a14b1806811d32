"""The command line: it parses, calls and prints; it has no logic of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from toolkit.arguments import hardware_options, input_range_of, model_and_data, one_device, settings_of, target_names
from toolkit.options import (
    AnyData,
    Arch,
    Bench,
    Boards,
    Clock,
    Config,
    DataFile,
    Depth,
    Device,
    FinetuneEpochs,
    FirstVectors,
    Gate,
    HelpAll,
    HiddenBits,
    Hls4ml,
    Ii,
    InputBits,
    InputRange,
    Json,
    JUnit,
    LabelColumn,
    Lanes,
    Layers,
    Loss,
    Lr,
    MaxBer,
    MaxLanes,
    Metric,
    Model,
    Name,
    Normalise,
    OnlyTargets,
    Out,
    OutputBits,
    Project,
    QatEpochs,
    Requantise,
    Rounding,
    SampleData,
    SamplesPerSecond,
    Schemes,
    Seed,
    Simd,
    Stalls,
    StallSeed,
    StreamWidth,
    TableBits,
    Target,
    Task,
    Timeout,
    Trainer,
    Vectors,
    VectorSeed,
    check_option,
    compression_option,
    hardware_option,
    output_option,
    show_version,
)
from toolkit.utils import config, interrupts
from toolkit.utils.errors import ShiftwrightError, ToolMissing
from toolkit.utils.old_options import renamed
from toolkit.utils.output_folder import project_folder
from toolkit.utils.printable import printable_lines

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]},
    help="From a trained PyTorch network to shift-and-add hardware, with every bit checked on the way.",
    epilog="shiftwright COMMAND --help shows the usual options of a command, --help-all every one. With --debug, an "
           "error shows its traceback.")

command: Callable[..., Any] = partial(app.command, epilog="--help-all shows every option, the advanced ones too.")


@app.callback()
def shiftwright(version: Annotated[bool, typer.Option("--version", is_eager=True, callback=show_version,
                                                      help="Show the version and exit.")] = False,
                help_all: HelpAll = False) -> None:
    pass


@command()
def doctor(as_json: Json = False, help_all: HelpAll = False) -> None:
    """List the tools that Shiftwright calls: their versions, whether they work, and how to install what is missing."""
    from toolkit.commands.doctor import doctor as run
    from toolkit.report.tables import table

    found = run()
    rows = [("tool", "for", "version", "serves")]
    rows += [(t.name, t.purpose, (t.version or "-")[:60], "yes" if t.serves else "NO" if t.needed else "no (optional)")
             for t in found.tools]
    remedies = [f"{t.name}: {t.remedy}" for t in found.tools if not t.serves]
    _print(found.to_json() if as_json else "\n".join([*table(rows, 4), *remedies]))
    if not found.ok:
        raise typer.Exit(ToolMissing.exit_code)


@command()
def demo(context: typer.Context,
         name: Annotated[str, typer.Argument(help="digits (images), or radio (receivers).")] = "digits", *,
         arch: Annotated[str, hardware_option(
             help="unrolled: hardware of the small network; folded: of the one with 98,944 weights. Of radio, the "
                  "demapper's.")] = "unrolled",
         target: Target = "verilog", vectors: Vectors = None, seed: Seed = 0,
         out: Out = Path("demo-out"), as_json: Json = False, config_file: Config = None,
         help_all: HelpAll = False) -> None:
    """Train two networks on included or simulated data, compress them, generate hardware, simulate it and write a
    report."""
    from toolkit.commands.demo import demo as run

    with config.saved(context, out):
        report = run(name, out, arch=arch, targets=target_names(target), vectors=vectors, seed=seed)
    _report(report, out, as_json)


@command()
def check(model: Model, *, data: SampleData = None, requantise: Requantise = False, as_json: Json = False,
          help_all: HelpAll = False) -> None:
    """List the layers of a model: those that are supported, and each that is not, with why and what would work."""
    from toolkit.api import Data
    from toolkit.api import check as run
    from toolkit.commands.check import text
    from toolkit.report.tables import terminal_width
    from toolkit.utils.errors import InputError

    found = run(model, None if data is None else Data.load(data), requantise=requantise)
    _print(found.to_json() if as_json else "\n".join(text(found, terminal_width())))
    if not found.ok:
        raise typer.Exit(InputError.exit_code)


@command()
def compress(context: typer.Context, model: Model, *, data: AnyData = None, label_column: LabelColumn = None,
             normalise: Normalise = None, scheme: Schemes = None,
             sweep: Annotated[bool, compression_option(
                 "--sweep/--no-sweep", help="Try the 22 schemes of the reference report, and combinations.")] = True,
             train: Annotated[bool, compression_option(
                 "--train/--no-train", help="Try each scheme also with fine-tuning and QAT.")] = True,
             qat_epochs: QatEpochs = 30, finetune_epochs: FinetuneEpochs = 60, lr: Lr = 2e-3, seed: Seed = 0,
             input_bits: InputBits = 8, hidden_bits: HiddenBits = 8, output_bits: OutputBits = 16,
             rounding: Rounding = "gptq", layer_config: Layers = None, task: Task = None, metric: Metric = None,
             loss: Loss = None, trainer: Trainer = None, table_bits: TableBits = 10, gate: Gate = "power-of-two",
             name: Name = "network", input_range: InputRange = "-1,1", out: Out, as_json: Json = False,
             config_file: Config = None, help_all: HelpAll = False) -> None:
    """Try many compression schemes on a trained model and report the size and the accuracy drop of each."""
    from toolkit.api import compress_all
    from toolkit.report import sweep as report
    from toolkit.report.tables import terminal_width

    chosen = settings_of(qat_epochs, finetune_epochs, lr, seed, input_bits, hidden_bits, output_bits, rounding,
                         layer_config, metric, loss, trainer, table_bits, gate)
    source, samples = model_and_data(model, data, task, label_column, normalise, quiet=as_json)
    with config.saved(context, out):
        found = compress_all(source, samples, out, schemes=scheme, reference=sweep, trained=train, settings=chosen,
                             name=name, input_range=input_range_of(input_range))
    told = report.text(found, folder=out, width=terminal_width())
    _print(report.to_json(found) if as_json else f"{told}written to {out}")
    if found.failed:
        raise typer.Exit(1)


@command()
def build(context: typer.Context, model: Model, *, data: AnyData = None, label_column: LabelColumn = None,
          normalise: Normalise = None,
          scheme: Annotated[str, compression_option(
              help="The compression scheme, such as structured:0.5+log2:4,levels=4.")] = "log2:4",
          target: Target = "verilog", qat_epochs: QatEpochs = 30, finetune_epochs: FinetuneEpochs = 60,
          lr: Lr = 2e-3, seed: Seed = 0, input_bits: InputBits = 8, hidden_bits: HiddenBits = 8,
          output_bits: OutputBits = 16, rounding: Rounding = "gptq", layer_config: Layers = None, task: Task = None,
          metric: Metric = None, loss: Loss = None, trainer: Trainer = None, name: Name = "network",
          vectors: Vectors = None, adders_per_stage: Depth = 4, arch: Arch = "auto", ii: Ii = None,
          samples_per_second: SamplesPerSecond = None, clock: Clock = 100.0, max_lanes: MaxLanes = 64,
          lanes: Lanes = None, simd: Simd = None, stream: StreamWidth = None, device: Device = "", hls4ml: Hls4ml = "",
          check: Annotated[bool, check_option("--simulate/--no-simulate", help="Simulate the hardware.")] = True,
          search: Annotated[Path | None, compression_option(
              help="The folder of a search, whose --trial is built in place of --scheme.")] = None,
          trial: Annotated[int | None, compression_option(
              help="The number of the trial to build, trained as in the search.")] = None,
          table_bits: TableBits = 10, gate: Gate = "power-of-two", input_range: InputRange = "-1,1",
          requantise: Requantise = False, out: Out, as_json: Json = False, config_file: Config = None,
          help_all: HelpAll = False) -> None:
    """Compress a trained model, generate its hardware, simulate it bit by bit, and write a report."""
    from toolkit.api import build as run
    from toolkit.api import build_trial
    from toolkit.utils.errors import InputError

    chosen = settings_of(qat_epochs, finetune_epochs, lr, seed, input_bits, hidden_bits, output_bits, rounding,
                         layer_config, metric, loss, trainer, table_bits, gate)
    if (search is None) != (trial is None):
        raise InputError("--search and --trial belong together: the folder of a search, and the number of its trial")
    options = hardware_options(adders_per_stage, arch, ii, samples_per_second, clock, max_lanes, lanes, simd, stream,
                               device, hls4ml)
    source, samples = model_and_data(model, data, task, label_column, normalise, requantise, quiet=as_json)
    rest: Any = {"settings": chosen, "targets": target_names(target), "options": options,
                 "vectors": vectors, "check": check, "name": name, "input_range": input_range_of(input_range)}
    with config.saved(context, out):
        built = run(source, samples, scheme, out, **rest) if search is None or trial is None \
            else build_trial(search, trial, source, samples, out, **rest)
    _report(built.report, out, as_json, device if "verilog" in rest["targets"] else "")


@command()
def search(context: typer.Context, model: Model, *, data: DataFile, label_column: LabelColumn = None,
           normalise: Normalise = None,
           trials: Annotated[int, compression_option(help="How many trials the study shall have when it ends.")] = 100,
           storage: Annotated[str | None, compression_option(
               hidden=True, help="An Optuna storage URL that several machines share.")] = None,
           objective: Annotated[list[str] | None, compression_option(
               help="accuracy, bytes or adder_bits; may be repeated. All by default.")] = None,
           max_accuracy_drop: Annotated[float | None, compression_option(
               help="Largest accuracy drop, in percentage points of validation accuracy, against the original trained "
                    "for as many epochs.")] = None,
           max_kib: Annotated[float | None, compression_option(help="Largest size of the parameters, in KiB.")] = None,
           finalists: Annotated[int, compression_option(
               help="How many trials of the Pareto front are trained in full.")] = 6,
           qat_epochs: QatEpochs = 30, finetune_epochs: FinetuneEpochs = 60, lr: Lr = 2e-3, seed: Seed = 0,
           input_bits: InputBits = 8, output_bits: OutputBits = 16, task: Task = None, metric: Metric = None,
           loss: Loss = None, trainer: Trainer = None, gate: Gate = "power-of-two", out: Out, as_json: Json = False,
           config_file: Config = None, help_all: HelpAll = False) -> None:
    """Search pruning ratios, weight formats and activation bits layer by layer; run it again to continue."""
    from toolkit.report.tables import terminal_width
    from toolkit.search import Limits, run_search, search_text
    from toolkit.search.search import OBJECTIVES

    chosen = settings_of(qat_epochs, finetune_epochs, lr, seed, input_bits, 8, output_bits, "gptq", None, metric, loss,
                         trainer, gate=gate)
    source, samples = model_and_data(model, data, task, label_column, normalise, quiet=as_json)
    with config.saved(context, out):
        found = run_search(source, samples, out, trials=trials, storage=storage,
                           objectives=tuple(objective or OBJECTIVES), limits=Limits(max_accuracy_drop, max_kib),
                           settings=chosen, seed=seed, finalists=finalists)
    own = {"--label-column": label_column, "--normalise": normalise, "--task": task, "--metric": metric, "--loss": loss,
           "--trainer": trainer}
    told = search_text(found, out, model, data, own, terminal_width())
    _print(found.to_json() if as_json else f"{told}written to {out}")


@command()
def generate(design: Annotated[Path, typer.Argument(help="A .swd file.")], *,
             target: Target = "verilog", vectors: Vectors = None, seed: VectorSeed = 0, adders_per_stage: Depth = 4,
             arch: Arch = "auto", ii: Ii = None, samples_per_second: SamplesPerSecond = None, clock: Clock = 100.0,
             max_lanes: MaxLanes = 64, lanes: Lanes = None, simd: Simd = None, stream: StreamWidth = None,
             device: Device = "", hls4ml: Hls4ml = "", out: Out, as_json: Json = False,
             config_file: Config = None, help_all: HelpAll = False) -> None:
    """Generate the project folder of a compressed network (.swd).

    The options are kept in its manifest.json (made_from). It gets no config.toml, because verify compares every file
    of a project.
    """
    from toolkit.api import generate as run
    from toolkit.report import Hardware, Report, text
    from toolkit.report.tables import terminal_width

    options = hardware_options(adders_per_stage, arch, ii, samples_per_second, clock, max_lanes, lanes, simd, stream,
                               device, hls4ml)
    made = run(design, out, targets=target_names(target), options=options, vectors=vectors, seed=seed)
    name = made.design.name
    report = Report(f"shiftwright generate: {name}", (), (Hardware.of(name, made, None, "."),), 0.0)
    if as_json:
        _print({"folder": str(out), "targets": made.entries})
    else:
        _print(f"{text(report, out, terminal_width())}written to {out}")


@command()
def simulate(folder: Project, target: OnlyTargets = "", board: Boards = None, vectors: FirstVectors = None,
             bench: Bench = "both", stalls: Stalls = False,
             waves: Annotated[bool, output_option("--waves", help="Write the waveforms to build/waves.vcd.")] = False,
             max_ber: MaxBer = 0.0, junit: JUnit = None, seed: StallSeed = 1, timeout: Timeout = 1200,
             rebuild: Annotated[bool, check_option(
                 "--rebuild", hidden=True, help="Compile again what is compiled already.")] = False,
             allow_edited: Annotated[bool, check_option(
                 "--allow-edited", help="Accept files that were edited since they were generated.")] = False,
             as_json: Json = False, help_all: HelpAll = False) -> None:
    """Simulate every target of a project (the RTL with Verilator) and compare every output bit.

    This compiles and runs what the folder holds. If it is not your own, use verify instead.
    """
    from toolkit.api import simulate as run
    from toolkit.report.text import simulation_text

    found = run(project_folder(folder), targets=target_names(target), boards=tuple(board or ()), vectors=vectors,
                bench=bench, stalls=stalls, waves=waves, max_ber=max_ber, junit=junit, seed=seed, timeout=timeout,
                rebuild=rebuild, allow_edited=allow_edited)
    _print(found.data if as_json else "\n".join(simulation_text(found)))
    if not found.ok:
        raise typer.Exit(1)


@command()
def verify(folder: Project,
           check: Annotated[bool, check_option(
               "--simulate/--no-simulate", help="Simulate the project if every byte is equal.")] = True,
           target: OnlyTargets = "", board: Boards = None, vectors: FirstVectors = None, bench: Bench = "both",
           stalls: Stalls = False, max_ber: MaxBer = 0.0, junit: JUnit = None, seed: StallSeed = 1,
           timeout: Timeout = 1200, as_json: Json = False, help_all: HelpAll = False) -> None:
    """Check a project of somebody else: generate it again, compare every byte, simulate only what was made here."""
    from toolkit.api import verify as run
    from toolkit.commands.verify import text
    from toolkit.report.text import simulation_text

    found = run(project_folder(folder), check=check, targets=target_names(target), boards=tuple(board or ()),
                vectors=vectors, bench=bench, stalls=stalls, max_ber=max_ber,
                junit=None if junit is None else junit.absolute(), seed=seed, timeout=timeout)
    lines = text(found) + ([] if found.simulation is None else simulation_text(found.simulation))
    _print(found.to_json() if as_json else "\n".join(lines))
    if not found.ok:
        raise typer.Exit(1)


@command()
def estimate(folder: Project,
             device: Annotated[str, hardware_option(
                 help="An FPGA, such as ecp5-25f or xc7a35t: does the project fit it?")] = "",
             board: Annotated[str, hardware_option(
                 "--board", help="The FPGA of a board, such as icebreaker, ulx3s-85f or pynq-z2.")] = "",
             everything: Annotated[bool, hardware_option(
                 "--all", help="A table of every FPGA that is known, the smallest first.")] = False,
             synth: Annotated[bool, hardware_option("--synth", help="Count the cells with yosys.")] = False,
             place: Annotated[bool, hardware_option(
                 "--place", help="Place and route with nextpnr for the clock frequency (ECP5).")] = False,
             as_json: Json = False, help_all: HelpAll = False) -> None:
    """Estimate the FPGA resources of a project: exact memory bits, and cells and clock frequency by open tools."""
    from toolkit.estimate import every
    from toolkit.estimate.estimate import estimate as run
    from toolkit.estimate.estimate import text
    from toolkit.report.tables import table

    one_device(device, board, everything, place)
    if everything:
        rows = every.every(project_folder(folder), synth=synth)
        _print(rows.to_json() if as_json else "\n".join([*every.text(rows), *table(every.rows(rows), 2)]))
        return
    found = run(project_folder(folder), device=device or board, synth=synth, placed=place)
    _print(found.to_json() if as_json else "\n".join(text(found)))
    if found.fits is False:
        raise typer.Exit(1)


def _report(report: Any, out: Path, as_json: bool, device: str = "") -> None:
    """Print a report and, where a device is named, what the hardware takes of it."""
    from toolkit.commands.outcome import outcome

    told, good = outcome(report, out, as_json, device)
    _print(told)
    if not good:
        raise typer.Exit(1)


def _print(what: Any) -> None:
    print(printable_lines(what) if isinstance(what, str) else json.dumps(what, indent=1))


def main() -> None:
    """The command `shiftwright`. With --debug anywhere, errors keep their traceback."""
    arguments, notes = renamed(sys.argv[1:])
    debug = "--debug" in arguments
    interrupts.listen()
    try:
        for note in notes:
            print(note, file=sys.stderr)
        app([a for a in arguments if a != "--debug"], prog_name="shiftwright", standalone_mode=True)
    except ShiftwrightError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, SystemExit) as error:
        code = interrupts.ended()
        if code is None and isinstance(error, SystemExit):
            raise
        sys.exit(code or 130)
    except MemoryError:
        if debug:
            raise
        print("error: there is not enough memory for this network or data", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
