"""The options and arguments of the commands: names, panels of the help, and what the help says of each."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from toolkit import __version__
from toolkit.utils import config


def show_all(context: typer.Context, wanted: bool) -> None:
    """Print a command's help with the hidden options in it, and exit."""
    if wanted and not context.resilient_parsing:
        for parameter in context.command.params:
            parameter.hidden = False  # type: ignore[attr-defined]
        typer.echo(context.get_help())
        raise typer.Exit


def show_version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        typer.echo(f"shiftwright {__version__}")
        raise typer.Exit


model_option = partial(typer.Option, rich_help_panel="Model and data")
compression_option = partial(typer.Option, rich_help_panel="Compression")
hardware_option = partial(typer.Option, rich_help_panel="Hardware")
check_option = partial(typer.Option, rich_help_panel="Checks")
output_option = partial(typer.Option, rich_help_panel="Output")

HelpAll = Annotated[bool, typer.Option("--help-all", is_eager=True, callback=show_all,
                                       help="Show every option, the advanced ones too, and exit.")]
Config = Annotated[Path | None, typer.Option(
    "--config", is_eager=True, callback=config.load, metavar="FILE.toml",
    help="Read options from a TOML file, by their long names, and arguments by their names in lower case (model = "
         "\"net.pt2\"). What the command line gives wins over the file.")]

Model = Annotated[str, typer.Argument(
    help="A .pt2 or .onnx file, or package.module:callable that returns an nn.Module.")]
Project = Annotated[Path, typer.Argument(
    help="A generated project, or the folder of a build or demo with the project in hardware/.")]
DATA = ("An .npz file with x_train, y_train, x_val, y_val, x_test, y_test (or x and y); a pair x.npy,y.npy, or a "
        "folder of such; a .csv table with a column label, y, class or target; a folder of images by class; or "
        "package.module:callable that returns arrays, a TensorDataset or a DataLoader. Of several inputs NAME_train, "
        "NAME_test, of labels of several outputs y_NAME_train, ... Without x_val, a fifth of the "
        "training samples is held out for validation; x and y are split in three.")
DataFile = Annotated[Path, model_option("--data", help=DATA)]
AnyData = Annotated[Path | None, model_option("--data", help=f"{DATA} Optional for an .onnx model.")]
LabelColumn = Annotated[str | None, model_option(
    "--label-column", metavar="NAME", help="The column of a .csv table that holds the labels; none: there are none.")]
Normalise = Annotated[str | None, model_option(
    "--normalise", metavar="MEAN,STD",
    help="Of samples that are bytes (uint8), for a model that does not normalise them itself: (x / 255 - MEAN) / STD "
         "comes before the model and is folded into it, so that the hardware takes bytes. One number or one for each "
         "channel, as 0.5:0.4:0.4,0.2:0.2:0.2; unit: x / 255.")]
SampleData = Annotated[Path | None, model_option(
    "--data", help="Data as build takes it: its samples say what shape the network takes. Needed for "
                   "package.module:callable alone.")]
InputRange = Annotated[str, model_option(
    help="LOW,HIGH: the range of the inputs of an .onnx model that is given without data.")]
Requantise = Annotated[bool, model_option(
    "--requantise", hidden=True,
    help="Round QONNX weights and scales that are not powers of two to the nearest one, and report the error.")]
Task = Annotated[str | None, model_option(
    hidden=True, help="What the labels are: classes, bits or values. By default it is inferred from their type and "
                      "values.")]
Name = Annotated[str, model_option(help="The network's name, which becomes the name of the top module.")]

Schemes = Annotated[list[str] | None, compression_option(
    help="A compression scheme, such as structured:0.5+log2:4; may be repeated.")]
Layers = Annotated[list[str] | None, compression_option(
    "--layer-config", help="Settings of single layers: PATTERN=log2:6 (weight format), PATTERN=act:6 (activation "
                           "bits), PATTERN=structured:0.7 (pruning ratio), PATTERN=keep (no pruning) or "
                           "PATTERN=gate:multiplier (a product of two tensors); may be repeated.")]
QatEpochs = Annotated[int, compression_option(
    help="Epochs of quantisation-aware training (QAT) after quantisation; with 0, post-training quantisation (PTQ) "
         "alone.")]
FinetuneEpochs = Annotated[int, compression_option(help="Epochs of fine-tuning after pruning.")]
Lr = Annotated[float, compression_option(help="Learning rate of fine-tuning and of QAT.")]
Rounding = Annotated[str, compression_option(
    hidden=True, help="How weights are rounded: gptq (each rounding error is compensated by the weights that follow) "
                      "or nearest.")]
InputBits = Annotated[int, compression_option(help="Bits of an input.")]
HiddenBits = Annotated[int, compression_option(help="Bits of a hidden activation.")]
OutputBits = Annotated[int, compression_option(hidden=True, help="Bits of an output.")]
TableBits = Annotated[int, compression_option(
    hidden=True, help="Bits of the input of a lookup table (sigmoid, SiLU, ...) and of a LeakyReLU.")]
Gate = Annotated[str, compression_option(
    "--gate", help="The product of two tensors (squeeze-and-excite, GLU): power-of-two rounds the gate to the nearest "
                   "power of two, so that it is a shift; multiplier spends a multiplier on it.")]
Metric = Annotated[str | None, compression_option(
    hidden=True, help="package.module:function of (outputs, labels): the measure of quality in place of accuracy; "
                      "greater is better.")]
Loss = Annotated[str | None, compression_option(
    hidden=True, help="package.module:function of (outputs, targets): the loss of training.")]
Trainer = Annotated[str | None, compression_option(
    hidden=True, help="package.module:function of (graph, data, epochs): a training loop of your own.")]
Seed = Annotated[int, compression_option(hidden=True, help="Seed of training and of random vectors.")]

Target = Annotated[str, hardware_option(
    help="What to generate: verilog, hls, c, hls4ml; several are separated by commas.")]
Arch = Annotated[str, hardware_option(
    help="auto, unrolled (fully parallel, one sample a cycle) or folded (time-multiplexed on shared lanes).")]
Ii = Annotated[int | None, hardware_option(
    "--ii", help="Initiation interval (II): cycles from one sample to the next; folded layers get the lanes for it.")]
SamplesPerSecond = Annotated[float | None, hardware_option(
    "--samples-per-second", help="The initiation interval as a throughput, at the frequency of --clock.")]
Clock = Annotated[float, hardware_option(help="Clock frequency in MHz, for --samples-per-second.")]
MaxLanes = Annotated[int, hardware_option(
    hidden=True, help="Most lanes (parallel multiply-accumulate units) of one layer where --ii is not given.")]
Device = Annotated[str, hardware_option(
    help="An FPGA or a board, such as ecp5-25f or icebreaker: folded layers get as many lanes as fit it, and a network "
         "that does not fit is refused.")]
Lanes = Annotated[list[str] | None, hardware_option(
    hidden=True, help="PATTERN=N: the lanes (PE) of single layers, 0 to unroll them; may be repeated.")]
Simd = Annotated[list[str] | None, hardware_option(
    hidden=True, help="PATTERN=N: the taps that each lane of a layer takes in a cycle (SIMD); may be repeated.")]
StreamWidth = Annotated[list[str] | None, hardware_option(
    hidden=True, help="PATTERN=N: the elements of a layer's output that go out in a cycle; may be repeated.")]
Depth = Annotated[int, hardware_option(hidden=True, help="Adders in series between two pipeline registers.")]
Hls4ml = Annotated[str, hardware_option(
    "--hls4ml", hidden=True,
    help="Options of the target hls4ml, separated by commas: vitis, vivado, vivadoaccelerator or quartus; io_parallel "
         "or io_stream; fixed or exponent.")]

Vectors = Annotated[int | None, check_option(
    help="Random and boundary test vectors in the project: 100,000 by default, fewer where a sample takes many "
         "cycles.")]
VectorSeed = Annotated[int, check_option("--seed", hidden=True, help="Seed of the random vectors.")]
StallSeed = Annotated[int, check_option("--seed", hidden=True, help="Seed of the random stalls.")]
OnlyTargets = Annotated[str, check_option(help="Simulate only these targets, separated by commas.")]
Boards = Annotated[list[str] | None, check_option(
    help="Also run the C code on this emulated microcontroller: cortex-m0, rv32i, avr, all; may be repeated.")]
FirstVectors = Annotated[int | None, check_option(min=1, help="Simulate this many vectors instead of all.")]
Bench = Annotated[str, check_option(hidden=True, help="The testbench of the RTL: player, axi or both.")]
Stalls = Annotated[bool, check_option("--stalls", help="Simulate all vectors once more, with random stalls.")]
MaxBer = Annotated[float, check_option(hidden=True, help="The hardware bit error rate (BER) that still passes.")]
Timeout = Annotated[int, check_option(min=1, hidden=True, help="Seconds that the simulation may take, compilation "
                                                               "included.")]

Out = Annotated[Path, output_option(
    "-o", "--out", help="The folder to write: a new one, an empty one, or one that shiftwright wrote before.")]
Json = Annotated[bool, output_option("--json", help="Print the result as JSON.")]
JUnit = Annotated[Path | None, output_option("--junit", help="Write a JUnit file.")]
