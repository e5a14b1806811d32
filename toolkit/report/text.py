"""The report as tables of plain text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolkit.report.columns import EXPLAINED, told
from toolkit.report.differences import dropped, quality
from toolkit.report.pointers import simulate
from toolkit.report.report import Hardware, Network, Report
from toolkit.report.simulation import SimulationResult
from toolkit.report.tables import WIDTH, fitted, terminal_width
from toolkit.report.targets import TABLES
from toolkit.utils.printable import printable


def text(report: Report, folder: Path | str | None = None, width: int = WIDTH) -> str:
    """The whole report; the last tables are the hardware's, with its BER, and the waterfalls. `folder`: that of the
    report as seen from where the reader's commands run; by default they run in it."""
    parts = [report.title, "=" * len(report.title)]
    for network in report.networks:
        parts += ["", *_network(network, width)]
    for hardware in report.hardware:
        parts += ["", *_hardware(hardware, width)]
    for waterfall in report.waterfalls:
        parts += ["", *waterfall.text(width)]
    if report.hardware:
        where = " (in this folder)" if folder is None else ""
        again = " again" if all(h.simulation for h in report.hardware) else ""
        parts += ["", *(f"simulate it{again}{where}: {simulate(Path(folder or '', h.folder))}"
                        for h in report.hardware)]
    if report.seconds:
        parts += ["", f"{report.seconds:.1f} s"]
    return "\n".join([*map(printable, parts), ""])


def _network(network: Network, width: int) -> list[str]:
    lines = [f"{network.name}: {network.scheme}", ""]
    if network.steps:
        columns = told(network.steps)
        rows = [["step", *(column.head for column in columns)],
                *([step.name, *(column.cell(step) for column in columns)] for step in network.steps)]
        lines += [*fitted(rows, width=width), "", *EXPLAINED]
        lines += [f"{step.name}, output {one.told}" for step in network.steps for one in step.outputs]
    lines += _drops(network)
    if network.layers:
        lines += [*([""] if network.steps else ()),
                  *fitted([("layer", "kind", "shape", "format"), *network.layers], 4, width)]
    return [*lines, *(f"note: {note}" for note in network.notes)]


def _drops(network: Network) -> list[str]:
    """What the last step cost, against the original trained for the same number of epochs and as it was given."""
    last, baseline = (network.steps[-1] if network.steps else None), network.baseline
    if last is None or last.drop is None or baseline is None:
        return []
    lines = ["", (f"drop of the last step: {dropped(last.drop)} against the original trained for the same number of "
                  f"epochs ({last.epochs}: {quality(baseline, test=True)})")]
    if last.epochs:
        lines.append(f"drop against the original as given: {dropped(last.drop_as_given)}")
    return lines


def _hardware(hardware: Hardware, width: int) -> list[str]:
    lines = []
    for target, entry in hardware.targets.items():
        lines += [*TABLES[target](hardware.name, entry, width), ""]
    return [*lines, *(simulation_text(hardware.simulation, width) if hardware.simulation else ["not simulated"])]


def simulation_text(simulation: SimulationResult, width: int | None = None) -> list[str]:
    """What the benches found, and the verdict; by default as wide as the terminal."""
    rows = [("target", "bench", "vectors", "samples", "bit errors", "BER", "latency [cycles]", "II [cycles]",
             "rate [1/s]")]
    for c in simulation.data["checks"]:
        rows.append((c["target"], c["bench"], c["vectors"], f"{c['samples']:,}", f"{c['bit_errors']:,}",
                     f"{c['ber']:.3g}", "-" if c["latency"] is None else f"{c['latency']:,}",
                     "-" if c["ii"] is None else f"{c['ii']:,.5g}",
                     f"{c['rate']:,.0f}"))
    targets = simulation.data["targets"]
    built = [f"{name}: {_built(target)}" for name, target in targets.items() if target["build_seconds"] is not None]
    verdict = "PASS: every bit is equal" if simulation.ok else "FAIL"
    if simulation.ok and simulation.bit_errors:
        verdict = f"PASS: within the BER of {simulation.data['max_ber']:g} that was allowed"
    measured = [f"{machine}: {', '.join(f'{what} {value:,} B' for what, value in figures.items())}"
                for target in targets.values() for machine, figures in target["figures"].items()]
    return [*fitted(rows, 3, width or terminal_width(), repeated=3), "", *map(printable, (*built, *measured)),
            f"hardware BER {simulation.hardware_ber:.3g} over {simulation.bits:,} bits: {verdict}",
            *(f"  {printable(line)}" for line in simulation.failures)]


def _built(target: dict[str, Any]) -> str:
    return "built before" if target["build_cached"] else f"built in {target['build_seconds']:.1f} s"
