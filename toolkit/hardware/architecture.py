"""Which architecture each layer gets: unrolled, or folded with a number of lanes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from toolkit.design import Conv, Dense, Design
from toolkit.hardware.boards import device
from toolkit.hardware.devices import Device
from toolkit.hardware.layers import unrollable
from toolkit.hardware.options import MAX_LANES, Options
from toolkit.hardware.widths import Widths
from toolkit.hardware.workload import Parallel, Workload, work
from toolkit.utils.errors import InputError

UNROLLED = 0
SMALL = 16_384
"""Sums of non-zero weights a sample up to which `auto` unrolls a network."""
LANE_LUTS = {4: 80, 6: 60}
"""LUTs of a lane and its share of control, by the inputs of a LUT; an estimate (measured in benchmarks/folded.py)."""

WEIGHT_LUTS = 14
"""LUTs of a weight that is not zero in an unrolled convolution, of four inputs; an estimate."""

FILLED = 0.85
"""Of a device's LUTs: what is fuller seldom routes."""


@dataclass(frozen=True)
class Architecture:
    """`parallel`: what each layer does at once; of a layer that is unrolled nothing, its `pe` are UNROLLED. `bound`:
    what kept the lanes from being more, or fewer, in words."""

    parallel: dict[str, Parallel]
    works: dict[str, Workload]
    bound: str

    @property
    def lanes(self) -> dict[str, int]:
        """The lanes of each layer, each of one tap a cycle or more."""
        return {name: one.pe for name, one in self.parallel.items()}

    @property
    def unrolled(self) -> bool:
        """Every layer is."""
        return not any(self.lanes.values())

    def cycles(self, name: str) -> int:
        """Clocks a sample that a layer is busy; 1 where it is unrolled."""
        parallel = self.parallel[name]
        return self.works[name].cycles(parallel) if parallel.pe or self.works[name].places else 1

    @property
    def one_by_one(self) -> Architecture:
        """The same lanes with one tap and one element a cycle, none of them across the channels of a depthwise layer:
        what the HLS C++ is written for."""
        return replace(self, parallel={name: Parallel(min(one.pe, self.works[name].outputs))
                                       for name, one in self.parallel.items()})

    @property
    def busiest(self) -> str:
        """The layer that bounds the initiation interval."""
        return max(self.parallel, key=self.cycles)


def choose(design: Design, options: Options) -> Architecture:
    """The architecture of every layer. Raises InputError for lanes that name no layer, and for a device that is none,
    whether the architecture depends on it or not."""
    if options.device:
        device(options.device)
    works = {layer.name: work(layer, design.inputs_of(layer), design.tensors[layer.name]) for layer in design.layers}
    able = all(unrollable(layer, design.inputs_of(layer)) for layer in design.layers)
    by_hand = options.lanes or options.simd or options.stream
    unroll = options.arch == "unrolled" or (options.arch == "auto" and able and options.ii in (None, 1)
                                            and not by_hand and _sums(design, works) <= SMALL)
    if unroll:
        chosen, bound = dict.fromkeys(works, Parallel(UNROLLED)), "every layer is unrolled"
    else:
        chosen, bound = _fitting(design, works, options)
    for name, count in _named(options.lanes, works, "lanes", lambda w: w.most_lanes).items():
        chosen[name] = replace(chosen[name], pe=works[name].whole(count))
    for name, count in _named(options.simd, works, "taps a cycle", lambda w: w.most_simd).items():
        chosen[name] = replace(chosen[name], simd=count)
    if any(one.pe for one in chosen.values()):
        chosen = _streams(design, works, chosen, options)
    return Architecture(chosen, works, bound)


def _named(rules: tuple[tuple[str, int], ...], works: dict[str, Workload], what: str,
           most: Callable[[Workload], int]) -> dict[str, int]:
    """What each layer is given by the rules (pattern, count); of several that match, the last holds."""
    found: dict[str, int] = {}
    for pattern, count in rules:
        matching = [name for name in works if fnmatchcase(name, pattern)]
        if not matching:
            raise InputError(f"no layer matches '{pattern}'; the layers are {', '.join(works)}")
        largest = max(matching, key=lambda name: most(works[name]))
        if count > most(works[largest]):
            raise InputError(f"'{pattern}' asks for {count} {what}, and layer '{largest}' has work for "
                             f"{most(works[largest])} at the most; give it as many or fewer")
        found |= {name: min(count, most(works[name])) for name in matching}
    return found


def _streams(design: Design, works: dict[str, Workload], chosen: dict[str, Parallel],
             options: Options) -> dict[str, Parallel]:
    """The same with the elements a cycle of every stream: as few as keep up with the layers of weights."""
    weighted = {layer.name: isinstance(layer, Dense | Conv) for layer in design.layers}
    # Among folded layers, what has no weights is one lane.
    found = {name: Parallel(one.pe if weighted[name] else 1, one.simd) for name, one in chosen.items()}
    busy = [works[name].cycles(one) for name, one in found.items() if weighted[name]]
    pace = max(design.input.size, design.output.size, *busy, 1)
    widths = Widths(design, works)
    by_hand = _named(options.stream, works, "elements a cycle", lambda w: MAX_LANES)
    for layer in design.layers:
        one = found[layer.name]
        if layer.name in by_hand:
            found[layer.name] = replace(one, elements=by_hand[layer.name])
            if not widths.allowed(layer, found[layer.name]):
                raise layer.fail(f"it cannot give {by_hand[layer.name]} elements a cycle on {one.pe} lanes; 1 always "
                                 "can, others where they divide its lanes and what reads them takes whole words")
        elif isinstance(layer, Conv) and not one.pe:
            found[layer.name] = replace(one, elements=design.tensors[layer.name].shape[-1])
            if not widths.allowed(layer, found[layer.name]):
                raise layer.fail("it cannot be unrolled: it would give a pixel a cycle, and what reads it takes one "
                                 "element; give it 1 lane or more")
        elif one.pe:
            found[layer.name] = replace(one, elements=widths.least(layer, found, pace))
    return found


def _fitting(design: Design, works: dict[str, Workload], options: Options) -> tuple[dict[str, Parallel], str]:
    """(lanes of each layer, what bounds them) for an initiation interval, for a device, or for the widest layer."""
    chip = device(options.device) if options.device else None
    if options.ii is not None:
        found = _within(design, works, options.ii)
        luts = _luts(design, found, chip) if chip else 0
        if chip and luts > chip.luts:
            least, _ = _fastest(design, works, chip)
            raise InputError(f"an initiation interval of {options.ii:,} cycles takes about {luts:,} LUTs, and "
                             f"{chip.name} has {chip.luts:,}; {least:,} cycles would fit")
        _check(design, works, _streams(design, works, found, options), options.ii)
        return found, f"as few lanes as keep a sample within {options.ii:,} cycles"
    if chip:
        _, found = _fastest(design, works, chip)
        luts = _luts(design, found, chip)
        return found, (f"the fastest for which {chip.name} has room, about {luts:,} of its {chip.luts:,} LUTs "
                       f"({luts / chip.luts:.0%})")
    cycles = max([design.input.size, design.output.size,
                  *(w.cycles(Parallel(min(w.most_lanes, options.max_lanes))) for w in works.values() if w.weighted)])
    return {name: fewest(w, cycles) for name, w in works.items()}, f"at most {options.max_lanes} lanes a layer"


def _within(design: Design, works: dict[str, Workload], cycles: int) -> dict[str, Parallel]:
    """What keeps every layer within so many cycles a sample, if it can be."""
    found = {name: fewest(w, cycles) for name, w in works.items()}
    return found | _cheaper_unrolled(design, works, found, cycles)


def _fastest(design: Design, works: dict[str, Workload], chip: Device) -> tuple[int, dict[str, Parallel]]:
    """(cycles, what each layer does at once): the fewest cycles a sample that fill the LUTs of a device up to FILLED of
    them, by estimate."""
    weighted = {name: w for name, w in works.items() if w.weighted}
    ends = max(design.input.size, design.output.size)
    low, high = ends, max([ends, *(w.cycles(Parallel()) for w in weighted.values())])
    found = _within(design, works, high)
    if _luts(design, found, chip) > chip.luts:
        raise InputError(f"even one lane a layer takes about {_luts(design, found, chip):,} LUTs, and {chip.name} has "
                         f"{chip.luts:,}; choose a larger device")
    while low < high:
        middle = (low + high) // 2
        found = _within(design, works, middle)
        if _luts(design, found, chip) <= FILLED * chip.luts:
            high = middle
        else:
            low = middle + 1
    # The slowest layer may be slower than that, however much of it there is: then less of the others is enough.
    slowest = max([ends, *(w.cycles(_within(design, works, high)[name]) for name, w in weighted.items())])
    return slowest, _within(design, works, slowest)


def _cheaper_unrolled(design: Design, works: dict[str, Workload], found: dict[str, Parallel],
                      cycles: int) -> dict[str, Parallel]:
    """The convolutions that take fewer LUTs unrolled, by estimate, and are fast enough."""
    widths = Widths(design, works)
    made = {}
    for layer in design.layers:
        if isinstance(layer, Conv) and works[layer.name].places <= cycles:
            one = Parallel(UNROLLED, 1, len(layer.weights.codes))
            if _weights(layer) * WEIGHT_LUTS < found[layer.name].macs * LANE_LUTS[4] and widths.allowed(layer, one):
                made[layer.name] = one
    return made


def _check(design: Design, works: dict[str, Workload], found: dict[str, Parallel], ii: int) -> None:
    """Raise InputError where so many cycles a sample cannot be met."""
    ends = max(design.input.size, design.output.size)
    if ends > ii:
        raise InputError(f"an initiation interval of {ii:,} cycles cannot be met: the network's "
                         f"{'input' if design.input.size == ends else 'output'} has {ends:,} elements, and one goes "
                         f"{'in' if design.input.size == ends else 'out'} a cycle; --ii {ends} can")
    busiest = max(works, key=lambda name: works[name].cycles(found[name]))
    slowest = works[busiest].cycles(found[busiest])
    if slowest > ii:
        one = found[busiest]
        most = (f"on all of the {one.pe} lanes and {one.simd} taps a cycle" if works[busiest].weighted
                else f"with the {one.elements} elements a cycle")
        raise InputError(f"an initiation interval of {ii:,} cycles cannot be met: layer '{busiest}' takes "
                         f"{slowest:,} cycles a sample {most} that it has work for; --ii {slowest} can")


def _luts(design: Design, found: dict[str, Parallel], chip: Device) -> int:
    """About how many LUTs the layers take."""
    lanes = sum(one.macs for one in found.values()) * LANE_LUTS[chip.inputs]
    weights = sum(_weights(layer) for layer in design.layers if isinstance(layer, Conv) and not found[layer.name].pe)
    return lanes + weights * WEIGHT_LUTS


def _weights(layer: Conv) -> int:
    """Weights that are not zero."""
    return int((layer.weights.integers()[0] != 0).sum())


def fewest(work: Workload, cycles: int) -> Parallel:
    """The fewest lanes that finish a sample within `cycles`, of one tap a cycle if they can; all that make sense where
    none do."""
    best = Parallel(work.most_lanes, work.most_simd)
    if not work.weighted:
        return Parallel()
    for simd in range(1, work.most_simd + 1):
        full = Parallel(work.most_lanes, simd)
        if work.cycles(full) <= cycles:
            best = full
            break
    return replace(best, pe=_fewest_lanes(work, best, cycles))


def _fewest_lanes(work: Workload, most: Parallel, cycles: int) -> int:
    """The fewest of the lanes of `most` that still finish within `cycles`, if those do."""
    for folds in range(work.most_lanes, 0, -1):
        pe = work.whole(-(-work.most_lanes // folds))
        if work.cycles(replace(most, pe=pe)) <= cycles:
            return pe
    return most.pe


def _sums(design: Design, works: dict[str, Workload]) -> int:
    """Additions of non-zero weights that one sample takes."""
    return sum(int((layer.weights.integers()[0] != 0).sum()) * works[layer.name].positions
               for layer in design.layers if isinstance(layer, Dense | Conv))

