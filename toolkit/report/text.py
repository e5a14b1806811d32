"""The report as tables of plain text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from toolkit.compress.measures import Step
from toolkit.report.report import Hardware, Network, Report
from toolkit.simulation import SimulationResult


def text(report: Report) -> str:
    """The whole report; the last table is the hardware's, with its BER."""
    parts = [report.title, "=" * len(report.title)]
    for network in report.networks:
        parts += ["", *_network(network)]
    for hardware in report.hardware:
        parts += ["", *_hardware(hardware)]
    if report.seconds:
        parts += ["", f"{report.seconds:.1f} s"]
    return "\n".join([*parts, ""])


def table(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Rows as aligned lines: the first `left` columns flush left, the others right, a rule under the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) if i < left else cell.rjust(w)
                       for i, (cell, w) in enumerate(zip(row, widths, strict=True))).rstrip() for row in rows]
    return [lines[0], "-" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]]


def size(count: int) -> str:
    """Bytes exactly, and in KiB or MiB."""
    if count < 1024:
        return f"{count:,} B"
    return f"{count:,} B ({count / 1024:.1f} KiB)" if count < 1 << 20 else f"{count:,} B ({count / (1 << 20):.2f} MiB)"


def _share(value: float | None, digits: int = 2) -> str:
    return "n/a" if value is None else f"{100 * value:.{digits}f} %"


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.5g}"


QUALITIES = {"metric": ("metric", _number), "task_ber": ("task BER", _share), "accuracy": ("accuracy", _share),
             "error": ("RMS error", _number)}
"""Columns that a network's task may have."""


def _network(network: Network) -> list[str]:
    columns = {key: show for key, show in QUALITIES.items() if any(getattr(s, key) is not None for s in network.steps)}
    head = ["step", "size", "zlib -9", "ratio", "sparsity", "non-zeros", "weight BER", "output BER",
            *(title for title, _ in columns.values()), "disagreement", "storage"]
    rows = [head, *(_step(step, columns) for step in network.steps)]
    lines = [f"{network.name}: {network.scheme}", "", *table(rows)]
    if network.layers:
        lines += ["", *table([("layer", "kind", "shape", "format"), *network.layers], 4)]
    return [*lines, *(f"note: {note}" for note in network.notes)]


def _step(step: Step, columns: Mapping[str, tuple[str, Callable[[float | None], str]]]) -> list[str]:
    return [step.name, size(step.size), f"{step.compressed_size:,} B", f"{step.ratio:.1f}", _share(step.sparsity, 1),
            f"{step.non_zeros:,}", _share(step.weight_ber), _share(step.output_ber),
            *(show(getattr(step, key)) for key, (_, show) in columns.items()), _share(step.disagreement), step.storage]


def _hardware(hardware: Hardware) -> list[str]:
    memory = hardware.memory
    rows = [("layer", "kind", "weights", "non-zero", "packed", "ROM", "registers", "adders", "adder bits")]
    rows += [(layer.name[:40], layer.kind, f"{layer.parameters:,}", f"{layer.non_zeros:,}",
              f"{-(-layer.stored_bits // 8):,} B", f"{layer.rom_bits:,} bit", f"{layer.register_bits:,} bit",
              f"{layer.adders:,}", f"{layer.adder_bits:,}") for layer in memory.layers]
    rows.append(("all, with stream control", "", "", "", f"{memory.stored_bytes:,} B", f"{memory.rom_bits:,} bit",
                 f"{memory.register_bits:,} bit", f"{memory.adders:,}", f"{memory.adder_bits:,}"))
    lines = [f"{hardware.name}: hardware '{hardware.top}', unrolled; counts are exact, as declared in the RTL", "",
             *table(rows, 2)]
    simulation = hardware.simulation
    if simulation is None:
        return [*lines, "", (f"latency {hardware.promised_latency} clocks, initiation interval "
                            f"{hardware.promised_interval} (not simulated)")]
    return [*lines, "", *simulation_text(simulation)]


def simulation_text(simulation: SimulationResult) -> list[str]:
    """What the benches found, and the verdict."""
    checks = [("bench", "vectors", "samples", "bits", "wrong", "hardware BER", "latency", "interval", "samples/s")]
    checks += [(c["bench"], c["set"], f"{c['samples']:,}", f"{c['bits']:,}", f"{c['wrong_bits']:,}", f"{c['ber']:.3g}",
                "-" if c["latency"] is None else f"{c['latency']} clocks",
                "-" if c["interval"] is None else f"{c['interval']:.3g}", f"{c['samples_per_second']:,.0f}")
               for c in simulation.data["checks"]]
    verdict = "PASS: every bit is equal" if simulation.ok else "FAIL"
    if simulation.ok and simulation.wrong_bits:
        verdict = f"PASS: within the BER of {simulation.data['max_ber']:g} that was allowed"
    return [*table(checks, 2), "",
            f"hardware BER {simulation.hardware_ber:.3g} over {simulation.bits:,} bits: {verdict}",
            *(f"  {line}" for line in simulation.failures)]
