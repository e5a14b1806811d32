"""What a command's options say, as the API takes it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from toolkit.utils.printable import printable_lines


def settings_of(qat_epochs: int, finetune_epochs: int, lr: float, seed: int, input_bits: int, hidden_bits: int,
                output_bits: int, rounding: str, layers: list[str] | None, metric: str | None, loss: str | None,
                trainer: str | None, table_bits: int = 10, gate: str = "power-of-two") -> Any:
    """How a network is trained and quantised. Raises InputError for what is not understood."""
    from toolkit.compress import Settings
    from toolkit.compress.quantisation.ptq import Widths
    from toolkit.compress.scheme import Overrides
    from toolkit.compress.steps import Gate
    from toolkit.utils.entry_points import function

    return Settings(Widths(input_bits, hidden_bits, output_bits, table_bits), qat_epochs, finetune_epochs, lr,
                    rounding, seed, Overrides.parse(layers or []), function(metric, "metric"), function(loss, "loss"),
                    function(trainer, "training loop"), Gate(gate))


def model_and_data(model: str, data: Path | None, task: str | None, label_column: str | None, normalise: str | None,
                   requantise: bool = False, *, quiet: bool) -> tuple[Any, Any]:
    """The model and the data; what is in these is told on stderr, unless `quiet`."""
    from toolkit.api import Data, load_model, normalised
    from toolkit.report.data import data_text
    from toolkit.utils.errors import InputError

    if data is None and (label_column is not None or normalise is not None):
        raise InputError("--label-column and --normalise say how --data is read; give --data")
    source: Any = load_model(model, requantise=requantise)
    if data is None:
        return source, None
    samples = Data.load(data, task, label_column=label_column)
    if not quiet:
        print(printable_lines(data_text(samples.described(), samples.notes)), file=sys.stderr)
    return (source, samples) if normalise is None else normalised(source, samples, normalise)


def input_range_of(text: str) -> tuple[float, float]:
    """(low, high) of LOW,HIGH."""
    from toolkit.utils.errors import InputError

    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"the input range '{text[:40]}' is not LOW,HIGH; write it as --input-range=-1,1") from None
    return low, high


def hardware_options(adders_per_stage: int, arch: str, ii: int | None, samples_per_second: float | None, clock: float,
                     max_lanes: int, lanes: list[str] | None, simd: list[str] | None, stream: list[str] | None,
                     device: str, hls4ml: str) -> Any:
    """How the hardware is built."""
    from toolkit.api import Options

    chosen: Any = Options.parse_hls4ml(hls4ml)
    return Options(adders_per_stage, arch=arch, ii=Options.cycles(ii, samples_per_second, clock),
                   max_lanes=max_lanes, lanes=Options.parse_rules(lanes or []),
                   simd=Options.parse_rules(simd or [], "a number of taps a cycle; write PATTERN=4"),
                   stream=Options.parse_rules(stream or [], "a number of elements a cycle; write PATTERN=4"),
                   device=device, **chosen)


def one_device(device: str, board: str, everything: bool, place: bool) -> None:
    """Raise InputError where the options of `estimate` name several."""
    from toolkit.utils.errors import InputError

    if sum(map(bool, (device, board, everything))) > 1 or (everything and place):
        raise InputError("--device, --board and --all name devices each in its own way, and --place takes one; give "
                         "one of them")


def target_names(text: str) -> tuple[str, ...]:
    """The names in a list that commas separate."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
