"""The command line: it parses, calls and prints; it has no logic of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from toolkit.utils import interrupts
from toolkit.utils.errors import ShiftwrightError, ToolMissing
from toolkit.utils.printable import printable_lines

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="From a trained PyTorch network to shift-and-add hardware, every bit proved on the way.")

Json = Annotated[bool, typer.Option("--json", help="Print the result for machines.")]
Out = Annotated[Path, typer.Option("-o", "--out", help="The folder to write; new, empty, or written by us before.")]
Model = Annotated[str, typer.Argument(
    help="A .pt2 or .onnx file, or package.module:callable that returns an nn.Module.")]
DataFile = Annotated[Path, typer.Option(
    "--data", help="An .npz with x_train, y_train, x_val, y_val, x_test, y_test; without x_val a fifth of the training "
                   "samples validates.")]
AnyData = Annotated[Path | None, typer.Option(
    "--data", help="An .npz with x_train, y_train, x_val, y_val, x_test, y_test, or x and y; without x_val a fifth of "
                   "the training samples validates. An .onnx MODEL goes without.")]
InputRange = Annotated[str, typer.Option(help="LOW,HIGH of the inputs of an .onnx MODEL that comes without data.")]
Requantise = Annotated[bool, typer.Option(
    "--requantise", help="Approximate what is no power of two in a QONNX file, and report it.")]
Schemes = Annotated[list[str] | None, typer.Option(help="As structured:0.5+log2:4; may be repeated.")]
Layers = Annotated[list[str] | None, typer.Option(
    help="PATTERN=log2:6, =act:6, =structured:0.7 or =keep, for single layers; may be repeated.")]
Epochs = Annotated[int, typer.Option(help="Epochs of training after quantisation; 0 leaves it as it is.")]
Tuning = Annotated[int, typer.Option(help="Epochs of training after pruning.")]
Rate = Annotated[float, typer.Option(help="Learning rate.")]
Seed = Annotated[int, typer.Option(help="Seed of training and of random vectors.")]
InputBits = Annotated[int, typer.Option(help="Bits of an input.")]
HiddenBits = Annotated[int, typer.Option(help="Bits of a hidden activation.")]
OutputBits = Annotated[int, typer.Option(help="Bits of an output.")]
TableBits = Annotated[int, typer.Option(help="Bits of what a table (of sigmoid, SiLU, ...) or a LeakyReLU reads.")]
Task = Annotated[str | None, typer.Option(help="What the labels are: classes, bits or values; else by their looks.")]
Metric = Annotated[str | None, typer.Option(
    help="package.module:function of (outputs, labels), greater is better, to judge by.")]
Loss = Annotated[str | None, typer.Option(help="package.module:function of (outputs, targets), to train by.")]
Trainer = Annotated[str | None, typer.Option(help="package.module:function of (graph, data, epochs): the training.")]
Plain = Annotated[bool, typer.Option("--plain", help="Round weights plainly instead of compensating errors (GPTQ).")]
Name = Annotated[str, typer.Option(help="The network's name: its top module.")]
Target = Annotated[str, typer.Option(help="What to generate, separated by commas.")]
Vectors = Annotated[int | None, typer.Option(help="Random and boundary vectors to put into the project; by default "
                                                  "100,000, fewer where a sample takes many cycles.")]
Arch = Annotated[str, typer.Option(help="auto, unrolled (one sample a cycle) or folded (lanes share the work).")]
Interval = Annotated[int | None, typer.Option(help="Clocks that a sample may take; folded layers get lanes for it.")]
Rate_ = Annotated[float | None, typer.Option("--samples-per-second", help="The same with --clock.")]
Clock = Annotated[float, typer.Option(help="MHz, for --samples-per-second.")]
Widest = Annotated[int, typer.Option(help="Lanes that one layer gets at the most where no interval is given.")]
Device = Annotated[str, typer.Option(help="As ecp5-25f: folded layers get as many lanes as fit it, and what does not "
                                          "fit is refused.")]
Lanes = Annotated[list[str] | None, typer.Option(help="PATTERN=N: lanes of single layers, 0 unrolls; may be repeated.")]
Hls4ml = Annotated[str, typer.Option("--hls4ml", help="Of the target hls4ml, separated by commas: vitis, vivado, "
                                     "vivadoaccelerator or quartus; io_parallel or io_stream; fixed or exponent.")]
Timeout = Annotated[int, typer.Option(min=1, help="Seconds that all of it may take, builds included.")]
Depth = Annotated[int, typer.Option(help="Levels of adders between two registers.")]


@app.command()
def doctor(as_json: Json = False) -> None:
    """List each tool, its version, whether it serves, and what would mend it."""
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


@app.command()
def demo(name: Annotated[str, typer.Argument(help="digits")] = "digits", out: Out = Path("demo-out"),
         arch: Annotated[str, typer.Option(help="unrolled: the small network; folded: the one of 98,944 weights.")]
         = "unrolled", target: Target = "verilog", vectors: Vectors = None, seed: Seed = 0,
         as_json: Json = False) -> None:
    """Train, compress, generate, simulate and report, on data that is included."""
    from toolkit.commands.demo import demo as run

    _report(run(name, out, arch=arch, targets=_targets(target), vectors=vectors, seed=seed), out, as_json)


@app.command()
def compress(model: Model, out: Out, data: AnyData = None, scheme: Schemes = None,
             sweep: Annotated[bool, typer.Option(
                 "--sweep/--no-sweep", help="The 22 rows of the reference, and combinations.")] = True,
             trained: Annotated[bool, typer.Option("--trained/--as-is", help="Also each row after training.")] = True,
             epochs: Epochs = 30, tuning: Tuning = 60, rate: Rate = 2e-3, seed: Seed = 0, input_bits: InputBits = 8,
             hidden_bits: HiddenBits = 8, output_bits: OutputBits = 16, plain: Plain = False, layer: Layers = None,
             task: Task = None, metric: Metric = None, loss: Loss = None, trainer: Trainer = None,
             table_bits: TableBits = 10, name: Name = "network", input_range: InputRange = "-1,1",
             as_json: Json = False) -> None:
    """Try every technique on a trained model and report what each saves and costs."""
    from toolkit.api import compress_all
    from toolkit.report import sweep as report
    from toolkit.report.tables import terminal_width

    settings = _settings(epochs, tuning, rate, seed, input_bits, hidden_bits, output_bits, plain, layer, metric, loss,
                         trainer, table_bits)
    source, samples = _model_and_data(model, data, task)
    found = compress_all(source, samples, out, schemes=scheme, reference=sweep, trained=trained, settings=settings,
                         name=name, input_range=_range(input_range))
    told = report.text(found, folder=out, width=terminal_width())
    _print(report.to_json(found) if as_json else f"{told}written to {out}")
    if found.failed:
        raise typer.Exit(1)


@app.command()
def build(model: Model, out: Out, data: AnyData = None,
          scheme: Annotated[str, typer.Option(help="As structured:0.5+log2:4,levels=4.")] = "log2:4",
          target: Target = "verilog", epochs: Epochs = 30, tuning: Tuning = 60, rate: Rate = 2e-3, seed: Seed = 0,
          input_bits: InputBits = 8, hidden_bits: HiddenBits = 8, output_bits: OutputBits = 16, plain: Plain = False,
          layer: Layers = None, task: Task = None, metric: Metric = None, loss: Loss = None, trainer: Trainer = None,
          name: Name = "network", vectors: Vectors = None, adders_per_stage: Depth = 4, arch: Arch = "auto",
          interval: Interval = None, samples_per_second: Rate_ = None, clock: Clock = 100.0, widest: Widest = 64,
          lanes: Lanes = None, device: Device = "", hls4ml: Hls4ml = "",
          check: Annotated[bool, typer.Option("--simulate/--no-simulate", help="Simulate the hardware.")] = True,
          search: Annotated[Path | None, typer.Option(help="The folder of a search, for --trial.")] = None,
          trial: Annotated[int | None, typer.Option(help="The trial to build, trained as in the search.")] = None,
          table_bits: TableBits = 10, input_range: InputRange = "-1,1", requantise: Requantise = False,
          as_json: Json = False) -> None:
    """Take a trained model all the way: compress it, generate its hardware, simulate every bit, report."""
    from toolkit.api import build as run
    from toolkit.api import build_trial
    from toolkit.utils.errors import InputError

    settings = _settings(epochs, tuning, rate, seed, input_bits, hidden_bits, output_bits, plain, layer, metric, loss,
                         trainer, table_bits)
    if (search is None) != (trial is None):
        raise InputError("--search and --trial belong together: the folder of a search, and the number of its trial")
    source, samples = _model_and_data(model, data, task, requantise)
    options = _options(adders_per_stage, arch, interval, samples_per_second, clock, widest, lanes, device, hls4ml)
    rest: Any = {"settings": settings, "targets": _targets(target), "options": options,
                 "vectors": vectors, "check": check, "name": name, "input_range": _range(input_range)}
    built = run(source, samples, scheme, out, **rest) if search is None or trial is None \
        else build_trial(search, trial, source, samples, out, **rest)
    _report(built.report, out, as_json)


@app.command()
def search(model: Model, data: DataFile, out: Out,
           trials: Annotated[int, typer.Option(help="Finished trials that the study shall have.")] = 100,
           storage: Annotated[str | None, typer.Option(help="An optuna URL that several machines share.")] = None,
           objective: Annotated[list[str] | None, typer.Option(help="accuracy, bytes, adder_bits; all by default.")]
           = None,
           max_accuracy_drop: Annotated[float | None, typer.Option(
               help="Points of validation accuracy below the original trained as long.")] = None,
           max_kib: Annotated[float | None, typer.Option(help="KiB of parameters.")] = None,
           finalists: Annotated[int, typer.Option(help="How many of the front are trained in full.")] = 6,
           epochs: Epochs = 30, tuning: Tuning = 60, rate: Rate = 2e-3, seed: Seed = 0, input_bits: InputBits = 8,
           output_bits: OutputBits = 16, task: Task = None, metric: Metric = None, loss: Loss = None,
           trainer: Trainer = None, as_json: Json = False) -> None:
    """Search pruning, weights and activations for every layer; run it again, or elsewhere, to go on."""
    from toolkit.api import Data, load_model
    from toolkit.report.tables import terminal_width
    from toolkit.search import Limits, run_search, search_text
    from toolkit.search.search import OBJECTIVES

    source: Any = load_model(model)
    found = run_search(source, Data.load(data, task), out, trials=trials, storage=storage,
                       objectives=tuple(objective or OBJECTIVES), limits=Limits(max_accuracy_drop, max_kib),
                       settings=_settings(epochs, tuning, rate, seed, input_bits, 8, output_bits, False, None, metric,
                                          loss, trainer),
                       seed=seed, finalists=finalists)
    own = {"--task": task, "--metric": metric, "--loss": loss, "--trainer": trainer}
    told = search_text(found, out, model, data, own, terminal_width())
    _print(found.to_json() if as_json else f"{told}written to {out}")


@app.command()
def generate(design: Annotated[Path, typer.Argument(help="A .swd file.")], out: Out, target: Target = "verilog",
             vectors: Vectors = None, seed: Seed = 0, adders_per_stage: Depth = 4, arch: Arch = "auto",
             interval: Interval = None, samples_per_second: Rate_ = None, clock: Clock = 100.0, widest: Widest = 64,
             lanes: Lanes = None, device: Device = "", hls4ml: Hls4ml = "", as_json: Json = False) -> None:
    """Write the project folder of a design."""
    from toolkit.api import generate as run
    from toolkit.report import Hardware, Report, text
    from toolkit.report.tables import terminal_width

    options = _options(adders_per_stage, arch, interval, samples_per_second, clock, widest, lanes, device, hls4ml)
    made = run(design, out, targets=_targets(target), options=options, vectors=vectors, seed=seed)
    name = made.design.name
    report = Report(f"shiftwright generate: {name}", (), (Hardware.of(name, made, None),), 0.0)
    if as_json:
        _print({"folder": str(out), "targets": made.entries})
    else:
        _print(f"{text(report, out, terminal_width())}written to {out}")


@app.command()
def simulate(folder: Annotated[Path, typer.Argument(help="A generated project.")],
             target: Annotated[str, typer.Option(help="Only these targets, separated by commas.")] = "",
             board: Annotated[list[str] | None, typer.Option(
                 help="Also on this emulated microcontroller: cortex-m0, rv32i, avr, all; may be repeated.")] = None,
             vectors: Annotated[int | None, typer.Option(min=1, help="Play so many vectors instead of all.")] = None,
             bench: Annotated[str, typer.Option(help="player, axi or both.")] = "both",
             stalls: Annotated[bool, typer.Option("--stalls", help="Play all vectors once more with stalls.")] = False,
             waves: Annotated[bool, typer.Option("--waves", help="Write build/waves.vcd.")] = False,
             max_ber: Annotated[float, typer.Option(help="Hardware BER that still passes.")] = 0.0,
             junit: Annotated[Path | None, typer.Option(help="Write a JUnit file.")] = None, seed: Seed = 1,
             timeout: Timeout = 1200,
             rebuild: Annotated[bool, typer.Option("--rebuild", help="Build even what is built.")] = False,
             allow_edited: Annotated[bool, typer.Option("--allow-edited",
                                                        help="Files were edited on purpose.")] = False,
             as_json: Json = False) -> None:
    """Run every target of a project and compare every bit: RTL under Verilator, and whatever else it holds.

    This compiles and runs what the folder holds. If it is not your own, use verify instead.
    """
    from toolkit.api import simulate as run
    from toolkit.report.text import simulation_text

    found = run(folder, targets=_targets(target), boards=tuple(board or ()), vectors=vectors, bench=bench,
                stalls=stalls, waves=waves, max_ber=max_ber, junit=junit, seed=seed, timeout=timeout, rebuild=rebuild,
                allow_edited=allow_edited)
    _print(found.data if as_json else "\n".join(simulation_text(found)))
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def verify(folder: Annotated[Path, typer.Argument(help="A generated project, a stranger's too.")],
           check: Annotated[bool, typer.Option("--simulate/--no-simulate", help="Simulate it if it is equal.")] = True,
           target: Annotated[str, typer.Option(help="Simulate only these targets, separated by commas.")] = "",
           board: Annotated[list[str] | None, typer.Option(
               help="Also on this emulated microcontroller: cortex-m0, rv32i, avr, all; may be repeated.")] = None,
           vectors: Annotated[int | None, typer.Option(min=1, help="Play so many vectors instead of all.")] = None,
           bench: Annotated[str, typer.Option(help="player, axi or both.")] = "both",
           stalls: Annotated[bool, typer.Option("--stalls", help="Play all vectors once more with stalls.")] = False,
           max_ber: Annotated[float, typer.Option(help="Hardware BER that still passes.")] = 0.0,
           junit: Annotated[Path | None, typer.Option(help="Write a JUnit file.")] = None, seed: Seed = 1,
           timeout: Timeout = 1200, as_json: Json = False) -> None:
    """Make a project again from its design, compare every byte, and only then simulate it: the way to take a folder
    from a stranger."""
    from toolkit.api import verify as run
    from toolkit.commands.verify import text
    from toolkit.report.text import simulation_text

    found = run(folder, check=check, targets=_targets(target), boards=tuple(board or ()), vectors=vectors, bench=bench,
                stalls=stalls, max_ber=max_ber, junit=None if junit is None else junit.absolute(), seed=seed,
                timeout=timeout)
    lines = text(found) + ([] if found.simulation is None else simulation_text(found.simulation))
    _print(found.to_json() if as_json else "\n".join(lines))
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def estimate(folder: Annotated[Path, typer.Argument(help="A generated project.")],
             device: Annotated[str, typer.Option(help="Such as ecp5-25f or xc7a35t: does it fit?")] = "",
             synth: Annotated[bool, typer.Option("--synth", help="Let yosys count cells.")] = False,
             place: Annotated[bool, typer.Option("--place", help="Let nextpnr find the clock (ECP5).")] = False,
             as_json: Json = False) -> None:
    """Say what a project takes of a device: its memories exactly, its cells and its clock by open tools."""
    from toolkit.estimate.estimate import estimate as run
    from toolkit.estimate.estimate import text

    found = run(folder, device=device, synth=synth, placed=place)
    _print(found.to_json() if as_json else "\n".join(text(found)))
    if not found.fits:
        raise typer.Exit(1)


def _settings(epochs: int, tuning: int, rate: float, seed: int, input_bits: int, hidden_bits: int, output_bits: int,
              plain: bool, layers: list[str] | None, metric: str | None, loss: str | None,
              trainer: str | None, table_bits: int = 10) -> Any:
    from toolkit.compress import Settings
    from toolkit.compress.quantisation.ptq import Widths
    from toolkit.compress.scheme import Overrides
    from toolkit.utils.entry_points import function

    return Settings(Widths(input_bits, hidden_bits, output_bits, table_bits), epochs, tuning, rate,
                    "nearest" if plain else "gptq", seed,
                    Overrides.parse(layers or []), function(metric, "metric"), function(loss, "loss"),
                    function(trainer, "training loop"))


def _model_and_data(model: str, data: Path | None, task: str | None, requantise: bool = False) -> tuple[Any, Any]:
    from toolkit.api import Data, load_model

    return load_model(model, requantise=requantise), None if data is None else Data.load(data, task)


def _range(text: str) -> tuple[float, float]:
    from toolkit.utils.errors import InputError

    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"the input range '{text[:40]}' is no LOW,HIGH; write it as --input-range=-1,1") from None
    return low, high


def _options(adders_per_stage: int, arch: str, interval: int | None, samples_per_second: float | None, clock: float,
             widest: int, lanes: list[str] | None, device: str, hls4ml: str) -> Any:
    from toolkit.api import Options

    chosen: Any = Options.parse_hls4ml(hls4ml)
    return Options(adders_per_stage, arch=arch, ii=Options.cycles(interval, samples_per_second, clock),
                   max_lanes=widest, lanes=Options.parse_lanes(lanes or []), device=device, **chosen)


def _targets(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _report(report: Any, out: Path, as_json: bool) -> None:
    from toolkit.report import text
    from toolkit.report.tables import terminal_width

    _print(report.to_json() if as_json else f"{text(report, out / 'hardware', terminal_width())}written to {out}")
    if not report.ok:
        raise typer.Exit(1)


def _print(what: Any) -> None:
    print(printable_lines(what) if isinstance(what, str) else json.dumps(what, indent=1))


def main() -> None:
    """The command `shiftwright`. With --debug anywhere, errors keep their traceback."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    interrupts.listen()
    try:
        app([a for a in arguments if a != "--debug"], standalone_mode=True)
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
