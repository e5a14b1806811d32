"""The report as tables of plain text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from toolkit.compress.measure.measures import Step
from toolkit.report.differences import dropped, quality, share
from toolkit.report.report import Hardware, Network, Report
from toolkit.report.simulation import SimulationResult
from toolkit.report.tables import size, table
from toolkit.report.targets import TABLES
from toolkit.utils.printable import printable


def text(report: Report) -> str:
    """The whole report; the last table is the hardware's, with its BER."""
    parts = [report.title, "=" * len(report.title)]
    for network in report.networks:
        parts += ["", *_network(network)]
    for hardware in report.hardware:
        parts += ["", *_hardware(hardware)]
    if report.seconds:
        parts += ["", f"{report.seconds:.1f} s"]
    return "\n".join([*map(printable, parts), ""])


def _share(value: float | None, digits: int = 2) -> str:
    return "n/a" if value is None else f"{100 * value:.{digits}f} %"


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.5g}"


QUALITIES = {"metric": ("metric", _number), "task_ber": ("task BER", _share), "error": ("RMS error", _number)}
"""Columns that a network's task may have."""


def _network(network: Network) -> list[str]:
    columns = {key: show for key, show in QUALITIES.items() if any(getattr(s, key) is not None for s in network.steps)}
    known = any(s.accuracy is not None for s in network.steps)
    head = ["step", "size", "zlib -9", "ratio", "sparsity", "non-zeros", "weight BER", "output BER",
            *(title for title, _ in columns.values()), *(("accuracy (95 %)",) if known else ()), "validation", "epochs",
            "disagreement", "storage"]
    rows = [head, *(_step(step, columns, known) for step in network.steps)]
    lines = [f"{network.name}: {network.scheme}", "", *(table(rows) if network.steps else ())]
    lines += _drops(network)
    if network.layers:
        lines += [*([""] if network.steps else ()), *table([("layer", "kind", "shape", "format"), *network.layers], 4)]
    return [*lines, *(f"note: {note}" for note in network.notes)]


def _drops(network: Network) -> list[str]:
    """What the last step cost, beside the original trained as long and the original as it came."""
    last, baseline = (network.steps[-1] if network.steps else None), network.baseline
    if last is None or last.drop is None or baseline is None:
        return []
    lines = ["", (f"drop of the last step: {dropped(last.drop)} against the original trained as long "
             f"({last.epochs} epochs both: {quality(baseline, test=True)})")]
    if last.epochs:
        lines.append(f"against the original as given: {dropped(last.drop_as_given)}")
    return lines


def _step(step: Step, columns: Mapping[str, tuple[str, Callable[[float | None], str]]], known: bool) -> list[str]:
    return [step.name, size(step.size), f"{step.compressed_size:,} B", f"{step.ratio:.1f}", _share(step.sparsity, 1),
            f"{step.non_zeros:,}", _share(step.weight_ber), _share(step.output_ber),
            *(show(getattr(step, key)) for key, (_, show) in columns.items()),
            *((share(step.accuracy, step.interval),) if known else ()), quality(step, test=False), f"{step.epochs}",
            _share(step.disagreement), step.storage]


def _hardware(hardware: Hardware) -> list[str]:
    lines = []
    for target, entry in hardware.targets.items():
        lines += [*TABLES[target](hardware.name, entry), ""]
    return [*lines, *(simulation_text(hardware.simulation) if hardware.simulation else ["not simulated"])]


def simulation_text(simulation: SimulationResult) -> list[str]:
    """What the benches found, and the verdict."""
    rows = [("target", "bench", "vectors", "samples", "bits", "bit errors", "BER", "latency", "II",
             "samples/s", "build")]
    for c in simulation.data["checks"]:
        rows.append((c["target"], c["bench"], c["set"], f"{c['samples']:,}", f"{c['bits']:,}", f"{c['bit_errors']:,}",
                     f"{c['ber']:.3g}", "-" if c["latency"] is None else f"{c['latency']:,} cycles",
                     "-" if c["initiation_interval"] is None else f"{c['initiation_interval']:,.5g}",
                     f"{c['samples_per_second']:,.0f}",
                     _built(simulation.data["targets"][c["target"]])))
    verdict = "PASS: every bit is equal" if simulation.ok else "FAIL"
    if simulation.ok and simulation.bit_errors:
        verdict = f"PASS: within the BER of {simulation.data['max_ber']:g} that was allowed"
    measured = [f"{machine}: {', '.join(f'{what} {value:,} B' for what, value in figures.items())}"
                for target in simulation.data["targets"].values() for machine, figures in target["figures"].items()]
    return [*table(rows, 3), "", *map(printable, measured),
            f"hardware BER {simulation.hardware_ber:.3g} over {simulation.bits:,} bits: {verdict}",
            *(f"  {printable(line)}" for line in simulation.failures)]


def _built(target: dict[str, Any]) -> str:
    seconds = target["build_seconds"]
    return "-" if seconds is None else "cached" if target["build_cached"] else f"{seconds:.1f} s"
