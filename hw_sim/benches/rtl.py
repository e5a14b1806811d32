"""The manifest's entry of the target `verilog`: the RTL, its streams, what it promises."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import BadFolder
from manifest import MAX_BITS, LayerInfo, Manifest, Port, count, identifier


@dataclass(frozen=True)
class Stream:
    """An AXI4-Stream: a sample of `total` words is `beats` beats of `bits` bits, `elements` words of `width` bits in
    each, the last one filled up with zeros."""

    total: int
    elements: int
    beats: int
    width: int
    signed: bool
    bits: int

    @property
    def octets(self) -> int:
        """Bytes of a sample's beats."""
        return self.beats * self.bits // 8


@dataclass(frozen=True)
class Schedule:
    """When samples end if nobody stalls, in cycles from the first input beat: `ends` of the first ones; then the last
    `period` of them again, `span` cycles later each time, if that is `proved`. The first sample is to come
    `warm_up_cycles` cycles after the reset or later."""

    ends: tuple[int, ...]
    period: int
    span: int
    proved: bool
    warm_up_cycles: int

    def knows(self, sample: int) -> bool:
        """Whether it says when that sample ends."""
        return self.proved or sample < len(self.ends)

    def end(self, sample: int) -> int:
        """When sample number `sample` (from 0) has gone out."""
        rounds = max(-(-(sample - len(self.ends) + 1) // self.period), 0)
        return self.ends[sample - rounds * self.period] + rounds * self.span


@dataclass(frozen=True)
class LayerNet:
    """A layer's module, and the net of the top module that carries its output (with folded layers, its stream: the net
    of that name and _data, _valid, _ready, of words of `elements` each; each `row` of so many begins a new word)."""

    info: LayerInfo
    module: str
    net: str
    elements: int
    row: int


@dataclass(frozen=True)
class BeatSet:
    """Vectors as hex files, one beat a line."""

    name: str
    samples: int
    inputs: Path
    expected: Path


@dataclass(frozen=True)
class Rtl:
    """The target `verilog` of a project. Paths are absolute and lie inside the folder."""

    folder: Path
    top: str
    files: tuple[Path, ...]
    input: Stream
    output: Stream
    folded: bool
    schedule: Schedule
    layers: tuple[LayerNet, ...]
    vectors: tuple[BeatSet, ...]
    trace_samples: int

    @property
    def latency(self) -> int:
        return self.schedule.ends[0]

    @property
    def initiation_interval(self) -> float:
        return self.schedule.span / self.schedule.period

    @property
    def samples(self) -> int:
        return sum(s.samples for s in self.vectors)


def parse(manifest: Manifest) -> Rtl:
    """Read and check the entry; whatever is wrong is a BadFolder error that says so."""
    try:
        return _parse(manifest, manifest.targets["verilog"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadFolder(f"the manifest's entry of verilog is damaged: {type(error).__name__} at {error}") from error


def _parse(manifest: Manifest, entry: dict[str, Any]) -> Rtl:
    sets = []
    for one in manifest.vectors:
        if one.inputs_hex is None or one.expected_hex is None:
            raise BadFolder(f"the manifest names no hex files for the vectors '{one.name}', which the RTL needs")
        sets.append(BeatSet(one.name, one.samples, one.inputs_hex, one.expected_hex))
    infos = {layer.name: layer for layer in manifest.layers}
    layers = tuple(LayerNet(infos[str(e["name"])], identifier(e["module"]), identifier(e["net"]),
                            count(e.get("elements", 1), "elements", MAX_BITS), count(e.get("row", 1), "row", MAX_BITS))
                   for e in entry["layers"])
    return Rtl(manifest.folder, identifier(entry["top"]), tuple(manifest.inside(f) for f in entry["rtl"]),
               _stream(entry["s_axis"], manifest.input), _stream(entry["m_axis"], manifest.output),
               entry["architecture"] != "unrolled", _schedule(entry), layers, tuple(sets), manifest.trace_samples)


def _schedule(entry: dict[str, Any]) -> Schedule:
    found = Schedule(tuple(count(n, "latency", 1 << 40) for n in entry["schedule"]["ends"]),
                     count(entry["schedule"]["period"], "period", 1 << 20),
                     count(entry["schedule"]["span"], "span", 1 << 40), entry["schedule"]["proved"] is True,
                     count(entry["schedule"]["warm_up_cycles"], "warm_up_cycles", 1 << 30, 0))
    if found.period > len(found.ends) or list(found.ends) != sorted(set(found.ends)) \
            or count(entry["latency"], "latency", 1 << 40) != found.ends[0]:
        raise BadFolder("the manifest's schedule does not say when samples end")
    return found


def _stream(entry: dict[str, Any], port: Port) -> Stream:
    elements = count(entry["elements"], "elements", MAX_BITS)
    beats, bits = count(entry["beats"], "beats", MAX_BITS), count(entry["tdata_bits"], "tdata_bits", MAX_BITS)
    if bits != -(-elements * port.width // 8) * 8 or beats != -(-port.elements // elements):
        raise BadFolder(f"stream of '{port.name}': {port.elements} words of {port.width} bits do not make {beats} "
                        f"beats of {bits} bits")
    return Stream(port.elements, elements, beats, port.width, port.signed, bits)
