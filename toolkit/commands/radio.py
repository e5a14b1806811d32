"""The radio demo: two neural receivers, trained, quantised to powers of two, and their RTL's bit error rates."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from torch import nn

from toolkit.commands.build import write_report
from toolkit.commands.exported import save_pt2
from toolkit.commands.simulate import require
from toolkit.commands.waterfall import Bench, waterfall
from toolkit.compress import Baselines, Compressed, Settings, compress
from toolkit.compress.quantisation.ptq import Widths
from toolkit.compress.training.loop import train
from toolkit.emit.targets import check_targets
from toolkit.examples import receivers
from toolkit.examples.receivers import Training
from toolkit.hardware import Options
from toolkit.radio import links, theory
from toolkit.report import Hardware, Network, Report
from toolkit.report.waterfall_plot import waterfall_svg
from toolkit.utils.output_folder import check_ours, output_folder

SCHEME = "log2:4"
WIDTHS = {"demapper": Widths(input=9, hidden=9, output=8), "equaliser": Widths(input=9, hidden=9, output=8)}
"""Bits of the activations. Of the outputs the sign decides."""
BENCHES = {
    "demapper": Bench("16-QAM demapper in white noise", links.qam16_link, receivers.demapper_input,
                      {"exact max-log": links.by_max_log}, ("closed form", theory.qam16),
                      tuple(float(db) for db in range(13)), 200_000, 400),
    "equaliser": Bench("BPSK equaliser behind the Proakis-B channel", links.proakis_link, receivers.equaliser_input,
                       {"Viterbi": links.by_viterbi}, ("no interference, closed form", theory.bpsk),
                       tuple(float(db) for db in range(4, 12)), 50_000, 300,
                       {f"linear MMSE, {links.MMSE_TAPS} taps": (links.by_mmse,
                                                                 tuple(float(db) for db in range(4, 29, 2)))}),
}
TRAINING = {"demapper": receivers.DEMAPPER, "equaliser": receivers.EQUALISER}


def radio(out: Path | str, *, arch: str = "unrolled", targets: tuple[str, ...], vectors: int | None = None,
          seed: int = 0, scale: float = 1.0) -> Report:
    """Write the folder `out`: demapper/ and equaliser/ are the projects, with the signals of the waterfalls as their
    test vectors; NAME.pt2 and NAME.npz are what `shiftwright build` would take; NAME.svg are the waterfalls. `arch` is
    the demapper's; the equaliser takes a received value a cycle, its convolutions unrolled between streams. `scale`: of
    training and of the bits counted; below 1 for a quick look. Raises CheckFailed where the RTL gives no outputs."""
    start = time.perf_counter()
    check_targets(targets)
    check_ours(out)
    require(targets)
    networks, hardware, waterfalls = [], [], []
    with output_folder(out) as fresh:
        for name, bench in BENCHES.items():
            model, real, made = compressed(name, seed, scale)
            save_pt2(model, made.data.sample_shape, fresh / f"{name}.pt2")
            made.data.save(fresh / f"{name}.npz")
            found, generated, simulation = waterfall(
                bench, real, made, fresh / name, targets=targets, options=hardware_of(name, arch), vectors=vectors,
                seed=seed, scale=scale)
            (fresh / f"{name}.svg").write_text(waterfall_svg(found))
            networks.append(Network.of(bench.title, made))
            hardware.append(Hardware.of(bench.title, generated, simulation, name))
            waterfalls.append(found)
        report = Report("shiftwright demo: radio", tuple(networks), tuple(hardware), time.perf_counter() - start,
                        waterfalls=tuple(waterfalls))
        write_report(fresh, report)
    return report


def hardware_of(name: str, arch: str = "unrolled") -> Options:
    """How a receiver is built: the equaliser for as many cycles as a frame has values."""
    return Options(arch=arch) if name == "demapper" else Options(arch="folded", ii=links.FRAME + 2 * receivers.REACH)


def compressed(name: str, seed: int, scale: float = 1.0) -> tuple[nn.Module, nn.Module, Compressed]:
    """A receiver, trained; the same trained for as many epochs as the compressed one; and what SCHEME made of it."""
    training = _scaled(TRAINING[name], scale)
    model = receivers.demapper(seed) if name == "demapper" else receivers.equaliser(seed)
    data = (receivers.demapper_data if name == "demapper" else receivers.equaliser_data)(training, seed)
    train(model, data, epochs=training.epochs, lr=training.lr, seed=seed, what=f"training the {name}")
    settings = Settings(widths=WIDTHS[name], qat_epochs=training.qat_epochs, lr=training.qat_lr, seed=seed)
    baselines = Baselines(model, data, settings)
    made = compress(model, data, SCHEME, settings, name=name, baselines=baselines)
    return model, baselines.network(training.qat_epochs), made


def _scaled(training: Training, scale: float) -> Training:
    """Fewer blocks and epochs, at least enough to run."""
    return replace(training, blocks=max(int(training.blocks * scale), 400),
                   epochs=max(round(training.epochs * scale), 1), qat_epochs=max(round(training.qat_epochs * scale), 1))
