"""What a simulation found, for people, for machines, and for CI."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from xml.etree import ElementTree

from build import Build
from checks import Check
from diagnose import Diagnosis
from manifest import Manifest


@dataclass(frozen=True)
class Result:
    """A whole run. It is good when no check has a fault, every BER is within `max_ber`, and no file was changed."""

    manifest: Manifest
    build: Build | None
    checks: tuple[Check, ...]
    diagnosis: Diagnosis | None
    max_ber: float
    changed: tuple[str, ...]
    edited: bool
    faults: tuple[str, ...]

    def failed(self, check: Check) -> list[str]:
        """Why a check is not good; nothing where it is."""
        found = list(check.faults)
        if check.ber > self.max_ber:
            found.insert(0, check.mismatch.describe() if check.mismatch else f"BER {check.ber:.3g}")
        return found

    @property
    def integrity(self) -> list[str]:
        found = []
        for name in () if self.edited else self.changed:
            layer = self.manifest.layer_of(name)
            found.append(f"'{name}'{f', layer {layer!r},' if layer else ''} is not the file that was generated; "
                         "--edited allows it")
        return found

    @property
    def ok(self) -> bool:
        return not (self.integrity or self.faults or any(self.failed(c) for c in self.checks))

    @property
    def bits(self) -> int:
        return sum(c.bits for c in self.checks)

    @property
    def wrong_bits(self) -> int:
        return sum(c.wrong_bits for c in self.checks)

    @property
    def ber(self) -> float:
        return self.wrong_bits / self.bits if self.bits else 0.0

    def first(self, key: str) -> Any:
        return next((getattr(c, key) for c in self.checks if getattr(c, key) is not None), None)


def text(result: Result) -> str:
    """A table of the checks, then the verdict."""
    rows = [("bench", "vectors", "samples", "wrong bits", "BER", "latency", "interval", "samples/s")]
    for c in result.checks:
        rows.append((c.bench, c.set, f"{c.samples:,}", f"{c.wrong_bits:,} / {c.bits:,}", f"{c.ber:.3g}",
                     "-" if c.latency is None else f"{c.latency}", "-" if c.interval is None else f"{c.interval:.3g}",
                     f"{c.rate:,.0f}"))
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in
                       enumerate(zip(row, widths, strict=True))).rstrip() for row in rows]
    lines.insert(1, "-" * len(lines[0]))
    if result.build:
        lines.append(f"simulation {'found built' if result.build.cached else 'built'} in {result.build.seconds:.1f} s")
    lines += [f"INTEGRITY: {line}" for line in result.integrity]
    seen = set()
    for check in result.checks:
        for line in result.failed(check):
            if line not in seen:
                lines.append(f"FAILED ({check.bench}): {line}")
            seen.add(line)
    lines += [f"FAILED: {line}" for line in result.faults]
    if result.diagnosis:
        lines.append(f"diagnosis: {result.diagnosis.note}")
    lines.append(f"hardware BER {result.ber:.3g} ({result.wrong_bits:,} of {result.bits:,} bits): "
                 f"{'PASS' if result.ok else 'FAIL'}")
    return "\n".join(lines)


def to_json(result: Result) -> dict[str, Any]:
    """The same for machines."""
    first = next((c.mismatch for c in result.checks if c.mismatch), None)
    mismatch = None
    if first:
        mismatch = {**asdict(first), "input": first.input[::-1].hex(),
                    "got_binary": f"{first.got & ((1 << first.width) - 1):0{first.width}b}",
                    "expected_binary": f"{first.expected & ((1 << first.width) - 1):0{first.width}b}"}
    return {
        "schema": 1, "ok": result.ok, "name": result.manifest.name, "top": result.manifest.top,
        "hardware_ber": result.ber, "wrong_bits": result.wrong_bits, "bits": result.bits, "max_ber": result.max_ber,
        "latency": result.first("latency"), "initiation_interval": result.first("interval"),
        "build_seconds": result.build and result.build.seconds, "build_cached": result.build and result.build.cached,
        "integrity": result.integrity, "faults": list(result.faults),
        "checks": [{"bench": c.bench, "set": c.set, "samples": c.samples, "bits": c.bits, "wrong_bits": c.wrong_bits,
                    "ber": c.ber, "seconds": c.seconds, "samples_per_second": c.rate,
                    "latency": c.latency, "interval": c.interval, "failures": result.failed(c)}
                   for c in result.checks],
        "mismatch": mismatch,
        "diagnosis": None if result.diagnosis is None else {
            "layer": result.diagnosis.layer, "note": result.diagnosis.note, "outputs": result.diagnosis.outputs},
    }


def junit(result: Result) -> bytes:
    """A JUnit file: one test case a check, one for the files."""
    cases = [(f"{c.bench}: {c.set}", c.seconds, result.failed(c)) for c in result.checks]
    cases.append(("files as generated", 0.0, result.integrity))
    if result.faults:
        cases.append(("simulation", 0.0, list(result.faults)))
    suite = ElementTree.Element("testsuite", name=result.manifest.top, tests=str(len(cases)),
                                failures=str(sum(bool(f) for *_, f in cases)),
                                time=f"{sum(s for _, s, _ in cases):.3f}")
    for name, seconds, failures in cases:
        case = ElementTree.SubElement(suite, "testcase", classname=result.manifest.top, name=name,
                                      time=f"{seconds:.3f}")
        if failures:
            why = "\n".join([*failures, *([result.diagnosis.note] if result.diagnosis else [])])
            ElementTree.SubElement(case, "failure", message=failures[0]).text = why
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    return ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
