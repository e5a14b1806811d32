"""The demos. digits: two networks on real digits, trained, pruned, quantised; one becomes hardware and is checked.
radio: see toolkit/commands/radio.py."""

from __future__ import annotations

import time
from pathlib import Path

from toolkit.commands.build import hardware, write_report
from toolkit.commands.exported import save_pt2
from toolkit.commands.generate import DEFAULT_TARGETS
from toolkit.commands.radio import radio
from toolkit.commands.simulate import require
from toolkit.compress import Baselines, Settings, compress
from toolkit.compress.training.loop import train
from toolkit.emit.targets import check_targets
from toolkit.examples import datasets, models
from toolkit.hardware import Options
from toolkit.report import Hardware, Network, Report
from toolkit.utils.errors import InputError
from toolkit.utils.output_folder import check_ours, output_folder

NAMES = ("digits", "radio")
EPOCHS, RATE = 60, 3e-3
SETTINGS = Settings(qat_epochs=60, finetune_epochs=150, lr=4e-3)
SCHEMES = {"large": ("log2:4", "structured:0.5+log2:4"), "small": ("log2:4", "structured:0.5+log2:4,levels=4")}
CHOSEN = {"unrolled": ("small", "structured:0.5+log2:4,levels=4"), "folded": ("large", "log2:4")}
"""The network and the scheme that become hardware."""


def demo(name: str = "digits", out: Path | str = "demo-out", *, arch: str = "unrolled",
         targets: tuple[str, ...] = DEFAULT_TARGETS, vectors: int | None = None, check: bool = True,
         seed: int = 0) -> Report:
    """Train, compress, generate, simulate, report. Writes the folder `out`. With digits, hardware/ is the small
    network's project with `arch` unrolled, the large one's with folded; small.pt2, large.pt2 and digits.npz are what
    `shiftwright build` would take. With radio, see `toolkit.commands.radio`; its figures come from the simulation,
    which `check` cannot leave out."""
    if name not in NAMES:
        raise InputError(f"there is no demo '{name}'; known are {', '.join(NAMES)}")
    if arch not in CHOSEN:
        raise InputError(f"the demo has no architecture '{arch}'; known are {', '.join(CHOSEN)}")
    if name == "radio":
        if not check:
            raise InputError("the radio demo counts the bit errors of simulated hardware; leave the simulation in")
        return radio(out, arch=arch, targets=targets, vectors=vectors, seed=seed)
    start = time.perf_counter()
    check_targets(targets)
    check_ours(out)
    if check:
        require(targets)
    data = datasets.digits(seed)
    size, scheme = CHOSEN[arch]
    networks = []
    with output_folder(out) as fresh:
        data.save(fresh / "digits.npz")
        for one, schemes in SCHEMES.items():
            model = models.mlp(models.SIZES[one], seed, dropout=0.0)
            train(model, data, epochs=EPOCHS, lr=RATE, seed=seed, what=f"training the {one} network")
            save_pt2(model, data.sample_shape, fresh / f"{one}.pt2")
            baselines = Baselines(model, data, SETTINGS)
            for text in schemes:
                made = compress(model, data, text, SETTINGS, name=f"digits_{one}", baselines=baselines)
                networks.append(Network.of(f"digits, {one} ({'-'.join(map(str, models.SIZES[one]))})", made))
                if (one, text) == (size, scheme):
                    chosen = made
        generated, simulation = hardware(chosen, fresh / "hardware", targets=targets, options=Options(arch=arch),
                                         vectors=vectors, check=check, seed=seed)
        report = Report("shiftwright demo: digits", tuple(networks),
                        (Hardware.of(f"digits, {size}", generated, simulation),), time.perf_counter() - start)
        write_report(fresh, report)
    return report
