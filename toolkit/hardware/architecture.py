"""Which architecture each layer gets: unrolled, or folded with a number of lanes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from toolkit.design import Conv, Dense, Design
from toolkit.hardware.boards import device
from toolkit.hardware.devices import Device
from toolkit.hardware.layers import unrollable
from toolkit.hardware.options import MAX_LANES, Options
from toolkit.hardware.workload import Workload, work
from toolkit.utils.errors import InputError

UNROLLED = 0
SMALL = 16_384
"""Sums of non-zero weights a sample up to which `auto` unrolls a network."""
LANE_LUTS = {4: 80, 6: 60}
"""LUTs of a lane and its share of control, by the inputs of a LUT; an estimate (measured in benchmarks/folded.py)."""


@dataclass(frozen=True)
class Architecture:
    """`lanes`: for each layer by name, how many lanes it is folded to, or UNROLLED. `bound`: what kept them from being
    more, or fewer, in words."""

    lanes: dict[str, int]
    works: dict[str, Workload]
    bound: str

    @property
    def unrolled(self) -> bool:
        """Every layer is."""
        return not any(self.lanes.values())

    def cycles(self, name: str) -> int:
        """Clocks a sample that a layer is busy; 1 where it is unrolled."""
        lanes = self.lanes[name]
        return self.works[name].cycles(lanes) if lanes else 1

    @property
    def busiest(self) -> str:
        """The layer that bounds the initiation interval."""
        return max(self.lanes, key=self.cycles)


def choose(design: Design, options: Options) -> Architecture:
    """The architecture of every layer. Raises InputError for lanes that name no layer, and for a device that is none,
    whether the architecture depends on it or not."""
    if options.device:
        device(options.device)
    works = {layer.name: work(layer, design.inputs_of(layer), design.tensors[layer.name]) for layer in design.layers}
    able = all(unrollable(layer, design.inputs_of(layer)) for layer in design.layers)
    unroll = options.arch == "unrolled" or (options.arch == "auto" and able and options.ii in (None, 1)
                                            and not options.lanes and _sums(design, works) <= SMALL)
    if unroll:
        lanes, bound = dict.fromkeys(works, UNROLLED), "every layer is unrolled"
    else:
        lanes, bound = _fitting(works, options)
    for pattern, count in options.lanes:
        matching = [name for name in works if fnmatchcase(name, pattern)]
        if not matching:
            raise InputError(f"no layer matches '{pattern}'; the layers are {', '.join(works)}")
        largest = max(matching, key=lambda name: works[name].most_lanes)
        if count > works[largest].most_lanes:
            raise InputError(f"'{pattern}' asks for {count} lanes, and layer '{largest}' has work for "
                             f"{works[largest].most_lanes} at the most; give it as many or fewer")
        lanes |= {name: count if count == UNROLLED else min(count, works[name].most_lanes) for name in matching}
    if any(lanes.values()):
        # Among folded layers a stream passes one element a cycle: what has no weights has nothing to gain.
        lanes = {layer.name: lanes[layer.name] or int(not isinstance(layer, Dense | Conv)) for layer in design.layers}
    return Architecture(lanes, works, bound)


def _fitting(works: dict[str, Workload], options: Options) -> tuple[dict[str, int], str]:
    """(lanes of each layer, what bounds them) for an initiation interval, for a device, or for the widest layer."""
    chip = device(options.device) if options.device else None
    if options.ii is not None:
        lanes = {name: fewest(w, options.ii) for name, w in works.items()}
        slowest = max(w.cycles(lanes[name]) for name, w in works.items())
        if chip and _luts(lanes, chip) > chip.luts:
            found = _fitting(works, replace(options, ii=None))[0]
            least = max(w.cycles(found[name]) for name, w in works.items())
            raise InputError(f"an initiation interval of {options.ii:,} cycles takes about "
                             f"{_luts(lanes, chip):,} LUTs, and "
                             f"{chip.name} has {chip.luts:,}; {least:,} cycles would fit")
        if slowest > options.ii:
            busiest = max(works, key=lambda name: works[name].cycles(lanes[name]))
            raise InputError(f"an initiation interval of {options.ii:,} cycles cannot be met: layer '{busiest}' takes "
                             f"{slowest:,} cycles a sample on all of the {lanes[busiest]} lanes that it has work for; "
                             f"--ii {slowest} can")
        return lanes, f"as few lanes as keep a sample within {options.ii:,} cycles"
    most = MAX_LANES if chip else options.max_lanes
    while True:
        cycles = max(w.cycles(min(w.most_lanes, most)) for w in works.values())
        lanes = {name: fewest(w, cycles) for name, w in works.items()}
        if chip is None:
            return lanes, f"at most {most} lanes a layer"
        if _luts(lanes, chip) <= chip.luts:
            return lanes, f"as many lanes as fit the {chip.luts:,} LUTs of {chip.name}, about {_luts(lanes, chip):,}"
        if most == 1:
            raise InputError(f"even one lane a layer takes about {_luts(lanes, chip):,} LUTs, and {chip.name} has "
                             f"{chip.luts:,}; choose a larger device")
        most //= 2


def _luts(lanes: dict[str, int], chip: Device) -> int:
    """About how many LUTs so many lanes take."""
    return sum(lanes.values()) * LANE_LUTS[chip.inputs]


def fewest(work: Workload, cycles: int) -> int:
    """The fewest lanes that finish a sample within `cycles`; all that make sense where none do."""
    folds = max(cycles // work.cycles(work.outputs), 1)
    return min(-(-work.outputs // folds), work.most_lanes)


def _sums(design: Design, works: dict[str, Workload]) -> int:
    """Additions of non-zero weights that one sample takes."""
    return sum(int((layer.weights.integers()[0] != 0).sum()) * works[layer.name].positions
               for layer in design.layers if isinstance(layer, Dense | Conv))

