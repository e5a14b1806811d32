"""What a simulation found, for people, for machines, and for CI."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from manifest import Manifest
from printable import printable
from results import Check, Mismatch, Outcome
from tables import fitted, terminal_width


@dataclass(frozen=True)
class Result:
    """A whole run. It is good when no check has a fault, every BER is within `max_ber`, and no file was changed."""

    manifest: Manifest
    outcomes: tuple[Outcome, ...]
    max_ber: float
    changed: tuple[str, ...]
    allow_edited: bool

    @property
    def checks(self) -> list[tuple[Outcome, Check]]:
        return [(outcome, check) for outcome in self.outcomes for check in outcome.checks]

    @property
    def faults(self) -> list[str]:
        return [f"{outcome.target}: {fault}" for outcome in self.outcomes for fault in outcome.faults]

    @property
    def mismatch(self) -> tuple[Outcome, Mismatch] | None:
        """The first sample that differs, and the target in which it does."""
        return next(((o, c.mismatch) for o, c in self.checks if c.mismatch), None)

    def failed(self, check: Check) -> list[str]:
        """Why a check is not good; nothing where it is."""
        found = list(check.faults)
        if check.ber > self.max_ber:
            found.insert(0, check.mismatch.describe() if check.mismatch else f"BER {check.ber:.3g}")
        return found

    @property
    def integrity(self) -> list[str]:
        found = []
        for name in () if self.allow_edited else self.changed:
            layer = self._layer_of(name)
            found.append(f"'{name}'{f', layer {layer!r},' if layer else ''} differs from what was generated; "
                         "--allow-edited allows it")
        return found

    def _layer_of(self, file: str) -> str | None:
        """The layer whose RTL module a file holds."""
        layers = self.manifest.targets.get("verilog", {}).get("layers", [])
        return next((str(layer.get("name")) for layer in layers if layer.get("module") == Path(file).stem), None)

    @property
    def ok(self) -> bool:
        return not (self.integrity or self.faults or any(self.failed(c) for _, c in self.checks))

    @property
    def bits(self) -> int:
        return sum(c.bits for _, c in self.checks)

    @property
    def bit_errors(self) -> int:
        return sum(c.bit_errors for _, c in self.checks)

    @property
    def ber(self) -> float:
        return self.bit_errors / self.bits if self.bits else 0.0

    def first(self, key: str) -> Any:
        return next((getattr(c, key) for _, c in self.checks if getattr(c, key) is not None), None)


def text(result: Result) -> str:
    """A table of the checks, then the verdict. Its heads without their units, in lower case and with "_" for blanks,
    are the keys of a check in the JSON."""
    rows = [("target", "bench", "vectors", "samples", "bit errors", "BER", "latency [cycles]", "II [cycles]",
             "rate [1/s]")]
    for outcome, c in result.checks:
        rows.append((outcome.target, c.bench, c.vectors, f"{c.samples:,}", f"{c.bit_errors:,}", f"{c.ber:.3g}",
                     "-" if c.latency is None else f"{c.latency:,}",
                     "-" if c.initiation_interval is None else f"{c.initiation_interval:,.5g}", f"{c.rate:,.0f}"))
    lines = fitted(rows, 3, terminal_width(), repeated=3)
    lines += [f"{o.target}: {built(o)}" for o in result.outcomes if o.build_seconds is not None]
    lines += [f"{machine}: {', '.join(f'{what} {value:,} B' for what, value in found.items())}"
              for o in result.outcomes for machine, found in o.figures.items()]
    lines += [f"INTEGRITY: {line}" for line in result.integrity]
    seen = set()
    for outcome, check in result.checks:
        for line in result.failed(check):
            if line not in seen:
                lines.append(f"FAILED ({outcome.target}, {check.bench}): {line}")
            seen.add(line)
    lines += [f"FAILED: {line}" for line in result.faults]
    lines += [f"diagnosis: {o.diagnosis.note}" for o in result.outcomes if o.diagnosis]
    lines.append(f"hardware BER {result.ber:.3g} ({result.bit_errors:,} of {result.bits:,} bits): "
                 f"{'PASS' if result.ok else 'FAIL'}")
    return "\n".join(map(printable, lines))


def built(outcome: Outcome) -> str:
    """How long the build took."""
    return "built before" if outcome.cached else f"built in {outcome.build_seconds:.1f} s"


def to_json(result: Result) -> dict[str, Any]:
    """The same for machines."""
    found = result.mismatch
    mismatch = None
    if found:
        outcome, first = found
        mismatch = {**asdict(first), "target": outcome.target, "input": first.input[::-1].hex(),
                    "got_binary": f"{first.got & ((1 << first.width) - 1):0{first.width}b}",
                    "expected_binary": f"{first.expected & ((1 << first.width) - 1):0{first.width}b}"}
    diagnosis = next((o.diagnosis for o in result.outcomes if o.diagnosis), None)
    build = next((o for o in result.outcomes if o.build_seconds is not None), None)
    return {
        "schema": 4, "ok": result.ok, "name": result.manifest.name,
        "hardware_ber": result.ber, "bit_errors": result.bit_errors, "bits": result.bits, "max_ber": result.max_ber,
        "latency": result.first("latency"), "ii": result.first("initiation_interval"),
        "build_seconds": build and build.build_seconds, "build_cached": build and build.cached,
        "integrity": result.integrity, "faults": result.faults,
        "targets": {o.target: {"build_seconds": o.build_seconds, "build_cached": o.cached, "faults": list(o.faults),
                               "figures": o.figures,
                               "samples": sum(c.samples for c in o.checks), "bits": sum(c.bits for c in o.checks),
                               "bit_errors": sum(c.bit_errors for c in o.checks)} for o in result.outcomes},
        "checks": [{"target": o.target, "bench": c.bench, "vectors": c.vectors, "samples": c.samples, "bits": c.bits,
                    "bit_errors": c.bit_errors, "ber": c.ber, "seconds": c.seconds, "rate": c.rate,
                    "latency": c.latency, "ii": c.initiation_interval, "failures": result.failed(c)}
                   for o, c in result.checks],
        "mismatch": mismatch,
        "diagnosis": None if diagnosis is None else {
            "layer": diagnosis.layer, "note": diagnosis.note, "outputs": diagnosis.outputs},
    }


def junit(result: Result) -> bytes:
    """A JUnit file: one test case a check, one for the files."""
    cases = [(f"{o.target}, {c.bench}: {c.vectors}", c.seconds, result.failed(c)) for o, c in result.checks]
    cases.append(("files as generated", 0.0, result.integrity))
    if result.faults:
        cases.append(("simulation", 0.0, list(result.faults)))
    cases = [(printable(title), seconds, [*map(printable, found)]) for title, seconds, found in cases]
    name = printable(result.manifest.name)
    notes = [printable(o.diagnosis.note) for o in result.outcomes if o.diagnosis]
    suite = ElementTree.Element("testsuite", name=name, tests=str(len(cases)),
                                failures=str(sum(bool(f) for *_, f in cases)),
                                time=f"{sum(s for _, s, _ in cases):.3f}")
    for title, seconds, failures in cases:
        case = ElementTree.SubElement(suite, "testcase", classname=name, name=title,
                                      time=f"{seconds:.3f}")
        if failures:
            why = "\n".join([*failures, *notes])
            ElementTree.SubElement(case, "failure", message=failures[0]).text = why
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    return ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
