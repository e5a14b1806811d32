"""Which architecture each layer gets: unrolled, or folded with a number of lanes."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from toolkit.design import Conv, Dense, Design
from toolkit.errors import InputError
from toolkit.hardware.layers import PLANNERS
from toolkit.hardware.options import Options
from toolkit.hardware.work import Work, work

UNROLLED = 0
SMALL = 16_384
"""Sums of non-zero weights a sample up to which `auto` unrolls a network."""


@dataclass(frozen=True)
class Architecture:
    """`lanes`: for each layer by name, how many lanes it is folded to, or UNROLLED."""

    lanes: dict[str, int]
    works: dict[str, Work]

    @property
    def unrolled(self) -> bool:
        """Every layer is."""
        return not any(self.lanes.values())

    def clocks(self, name: str) -> int:
        """Clocks a sample that a layer is busy; 1 where it is unrolled."""
        lanes = self.lanes[name]
        return self.works[name].clocks(lanes) if lanes else 1

    @property
    def busiest(self) -> str:
        """The layer that bounds the interval."""
        return max(self.lanes, key=self.clocks)


def choose(design: Design, options: Options) -> Architecture:
    """The architecture of every layer. Raises InputError for lanes that name no layer."""
    works = {layer.name: work(layer, design.inputs_of(layer), design.tensors[layer.name]) for layer in design.layers}
    able = all(layer.kind in PLANNERS for layer in design.layers)
    unroll = options.arch == "unrolled" or (options.arch == "auto" and able and options.interval in (None, 1)
                                            and not options.lanes and _sums(design, works) <= SMALL)
    if unroll:
        lanes = dict.fromkeys(works, UNROLLED)
    else:
        bound = options.interval or max(w.clocks(min(w.most_lanes, options.widest)) for w in works.values())
        lanes = {name: fewest(w, bound) for name, w in works.items()}
    for pattern, count in options.lanes:
        matching = [name for name in works if fnmatchcase(name, pattern)]
        if not matching:
            raise InputError(f"no layer matches '{pattern}'; the layers are {', '.join(works)}")
        lanes |= {name: count if count == UNROLLED else min(count, works[name].most_lanes) for name in matching}
    if any(lanes.values()):
        # Among folded layers a stream passes one element a clock: what has no weights has nothing to gain.
        lanes = {layer.name: lanes[layer.name] or int(not isinstance(layer, Dense | Conv)) for layer in design.layers}
    return Architecture(lanes, works)


def fewest(work: Work, clocks: int) -> int:
    """The fewest lanes that finish a sample within `clocks`; all that make sense where none do."""
    turns = max(clocks // work.clocks(work.outputs), 1)
    return min(-(-work.outputs // turns), work.most_lanes)


def _sums(design: Design, works: dict[str, Work]) -> int:
    """Additions of non-zero weights that one sample takes."""
    return sum(int((layer.weights.integers()[0] != 0).sum()) * works[layer.name].positions
               for layer in design.layers if isinstance(layer, Dense | Conv))

