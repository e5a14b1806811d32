"""The command line: it parses, calls and prints; it has no logic of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from toolkit.errors import ShiftwrightError, ToolMissing

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="From a trained PyTorch network to shift-and-add hardware, every bit proved on the way.")

Json = Annotated[bool, typer.Option("--json", help="Print the result for machines.")]
Out = Annotated[Path, typer.Option("-o", "--out", help="The folder to write; new, empty, or written by us before.")]
Model = Annotated[str, typer.Argument(help="A .pt2 file, or package.module:callable that returns an nn.Module.")]
DataFile = Annotated[Path, typer.Option("--data", help="An .npz with x_train, y_train, x_test, y_test, or x alone.")]
Schemes = Annotated[list[str] | None, typer.Option(help="As structured:0.5+log2:4; may be repeated.")]
Layers = Annotated[list[str] | None, typer.Option(
    help="PATTERN=log2:6 or PATTERN=keep, for single layers; may be repeated.")]
Epochs = Annotated[int, typer.Option(help="Epochs of training after quantisation; 0 leaves it as it is.")]
Tuning = Annotated[int, typer.Option(help="Epochs of training after pruning.")]
Rate = Annotated[float, typer.Option(help="Learning rate.")]
Seed = Annotated[int, typer.Option(help="Seed of training and of random vectors.")]
InputBits = Annotated[int, typer.Option(help="Bits of an input.")]
HiddenBits = Annotated[int, typer.Option(help="Bits of a hidden activation.")]
OutputBits = Annotated[int, typer.Option(help="Bits of an output.")]
Plain = Annotated[bool, typer.Option("--plain", help="Round weights plainly instead of compensating errors (GPTQ).")]
Name = Annotated[str, typer.Option(help="The network's name: its top module.")]
Target = Annotated[str, typer.Option(help="What to generate, separated by commas.")]
Vectors = Annotated[int, typer.Option(help="Random and boundary vectors to put into the project.")]
Depth = Annotated[int, typer.Option(help="Levels of adders between two registers.")]


@app.command()
def doctor(as_json: Json = False) -> None:
    """List each tool, its version, whether it serves, and what would mend it."""
    from toolkit.doctor import doctor as run
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
         vectors: Vectors = 100_000, seed: Seed = 0, as_json: Json = False) -> None:
    """Train, compress, generate, simulate and report, on data that is included."""
    from toolkit.demo import demo as run

    _report(run(name, out, vectors=vectors, seed=seed), out, as_json)


@app.command()
def compress(model: Model, data: DataFile, out: Out, scheme: Schemes = None,
             sweep: Annotated[bool, typer.Option("--sweep/--no-sweep", help="The 22 rows of the reference.")] = True,
             trained: Annotated[bool, typer.Option("--trained/--as-is", help="Also each row after training.")] = True,
             epochs: Epochs = 30, tuning: Tuning = 60, rate: Rate = 2e-3, seed: Seed = 0, input_bits: InputBits = 8,
             hidden_bits: HiddenBits = 8, output_bits: OutputBits = 16, plain: Plain = False, layer: Layers = None,
             name: Name = "network", as_json: Json = False) -> None:
    """Try every technique on a trained model and report what each saves and costs."""
    from toolkit.api import Data, compress_all, load_model
    from toolkit.report import sweep as report

    settings = _settings(epochs, tuning, rate, seed, input_bits, hidden_bits, output_bits, plain, layer)
    found = compress_all(load_model(model), Data.load(data), out, schemes=scheme, reference=sweep, trained=trained,
                         settings=settings, name=name)
    _print(report.to_json(found) if as_json else f"{report.text(found)}written to {out}")
    if len(found.good) < len(found.rows):
        raise typer.Exit(1)


@app.command()
def build(model: Model, data: DataFile, out: Out,
          scheme: Annotated[str, typer.Option(help="As structured:0.5+log2:4,levels=4.")] = "log2:4",
          target: Target = "verilog", epochs: Epochs = 30, tuning: Tuning = 60, rate: Rate = 2e-3, seed: Seed = 0,
          input_bits: InputBits = 8, hidden_bits: HiddenBits = 8, output_bits: OutputBits = 16, plain: Plain = False,
          layer: Layers = None, name: Name = "network", vectors: Vectors = 100_000, adders_per_stage: Depth = 4,
          check: Annotated[bool, typer.Option("--simulate/--no-simulate", help="Simulate the hardware.")] = True,
          search: Annotated[Path | None, typer.Option(help="The folder of a search, for --trial.")] = None,
          trial: Annotated[int | None, typer.Option(help="The trial to build, in the place of --scheme.")] = None,
          as_json: Json = False) -> None:
    """Take a trained model all the way: compress it, generate its hardware, simulate every bit, report."""
    from toolkit.api import Data, Options, build_trial, load_model
    from toolkit.api import build as run
    from toolkit.errors import InputError

    settings = _settings(epochs, tuning, rate, seed, input_bits, hidden_bits, output_bits, plain, layer)
    if (search is None) != (trial is None):
        raise InputError("--search and --trial belong together: the folder of a search, and the number of its trial")
    source, samples = load_model(model), Data.load(data)
    rest: Any = {"settings": settings, "targets": _targets(target), "options": Options(adders_per_stage),
                 "vectors": vectors, "check": check, "name": name}
    built = run(source, samples, scheme, out, **rest) if search is None or trial is None \
        else build_trial(search, trial, source, samples, out, **rest)
    _report(built.report, out, as_json)


@app.command()
def search(model: Model, data: DataFile, out: Out,
           trials: Annotated[int, typer.Option(help="Finished trials that the study shall have.")] = 100,
           storage: Annotated[str | None, typer.Option(help="An optuna URL that several machines share.")] = None,
           objective: Annotated[list[str] | None, typer.Option(help="accuracy, bytes, adder_bits; all by default.")]
           = None,
           max_accuracy_drop: Annotated[float | None, typer.Option(help="Points below the original.")] = None,
           max_kib: Annotated[float | None, typer.Option(help="KiB of parameters.")] = None,
           finalists: Annotated[int, typer.Option(help="How many of the front are trained in full.")] = 6,
           epochs: Epochs = 30, tuning: Tuning = 60, rate: Rate = 2e-3, seed: Seed = 0, input_bits: InputBits = 8,
           output_bits: OutputBits = 16, as_json: Json = False) -> None:
    """Search pruning, weights and activations for every layer; run it again, or elsewhere, to go on."""
    from toolkit.api import Data, load_model
    from toolkit.search import Limits, run_search, search_text
    from toolkit.search.search import OBJECTIVES

    found = run_search(load_model(model), Data.load(data), out, trials=trials, storage=storage,
                       objectives=tuple(objective or OBJECTIVES), limits=Limits(max_accuracy_drop, max_kib),
                       settings=_settings(epochs, tuning, rate, seed, input_bits, 8, output_bits, False, None),
                       seed=seed, finalists=finalists)
    _print(found.to_json() if as_json else f"{search_text(found)}written to {out}")


@app.command()
def generate(design: Annotated[Path, typer.Argument(help="A .swd file.")], out: Out, target: Target = "verilog",
             vectors: Vectors = 100_000, seed: Seed = 0, adders_per_stage: Depth = 4, as_json: Json = False) -> None:
    """Write the project folder of a design."""
    from toolkit.api import Options
    from toolkit.api import generate as run
    from toolkit.report import Hardware, Report, text

    made = run(design, out, targets=_targets(target), options=Options(adders_per_stage), vectors=vectors, seed=seed)
    name = made.design.name
    report = Report(f"shiftwright generate: {name}", (), (Hardware.of(name, made, None),), 0.0)
    if as_json:
        _print({"folder": str(out), "targets": made.entries})
    else:
        _print(f"{text(report)}\nwritten to {out}")


@app.command()
def simulate(folder: Annotated[Path, typer.Argument(help="A generated project.")],
             target: Annotated[str, typer.Option(help="Only these targets, separated by commas.")] = "",
             vectors: Annotated[int | None, typer.Option(min=1, help="Play so many vectors instead of all.")] = None,
             bench: Annotated[str, typer.Option(help="player, axi or both.")] = "both",
             stalls: Annotated[bool, typer.Option("--stalls", help="Play all vectors once more with stalls.")] = False,
             waves: Annotated[bool, typer.Option("--waves", help="Write build/waves.vcd.")] = False,
             max_ber: Annotated[float, typer.Option(help="Hardware BER that still passes.")] = 0.0,
             junit: Annotated[Path | None, typer.Option(help="Write a JUnit file.")] = None, seed: Seed = 1,
             timeout: Annotated[int, typer.Option(min=1, help="Seconds that a simulation may take.")] = 1200,
             rebuild: Annotated[bool, typer.Option("--rebuild", help="Build even what is built.")] = False,
             edited: Annotated[bool, typer.Option("--edited", help="Files were edited on purpose.")] = False,
             as_json: Json = False) -> None:
    """Run every target of a project and compare every bit: RTL under Verilator, and whatever else it holds."""
    from toolkit.api import simulate as run
    from toolkit.report.text import simulation_text

    found = run(folder, targets=_targets(target), vectors=vectors, bench=bench, stalls=stalls, waves=waves,
                max_ber=max_ber, junit=junit, seed=seed, timeout=timeout, rebuild=rebuild, edited=edited)
    _print(found.data if as_json else "\n".join(simulation_text(found)))
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
              plain: bool, layers: list[str] | None) -> Any:
    from toolkit.compress import Settings
    from toolkit.compress.quantise import Widths
    from toolkit.compress.scheme import Overrides

    return Settings(Widths(input_bits, hidden_bits, output_bits), epochs, tuning, rate, not plain, seed,
                    Overrides.parse(layers or []))


def _targets(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _report(report: Any, out: Path, as_json: bool) -> None:
    from toolkit.report import text

    _print(report.to_json() if as_json else f"{text(report)}written to {out}")
    if not report.ok:
        raise typer.Exit(1)


def _print(what: Any) -> None:
    print(what if isinstance(what, str) else json.dumps(what, indent=1))


def main() -> None:
    """The command `shiftwright`. With --debug anywhere, errors keep their traceback."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    try:
        app([a for a in arguments if a != "--debug"], standalone_mode=True)
    except ShiftwrightError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except MemoryError:
        if debug:
            raise
        print("error: there is not enough memory for this network or data", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
