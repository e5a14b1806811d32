"""The network around the layers: which arrays carry which tensors, what a beat of a stream holds, the top function."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.design import Design
from toolkit.design.layers import Layer, Reshape
from toolkit.design.tensors import Tensor
from toolkit.emit.target import TOP, Job
from toolkit.hardware import Architecture
from toolkit.utils.identifiers import identifier, identifiers

MOST_BITS = 1024
"""Of one beat: the widest ap_uint that the tools take as they come."""
TAKEN = tuple("""
read_sample write_sample in out hls std half uint ushort ulong ap_int ap_uint ap_fixed ap_ufixed
ap_axiu ap_shift_reg ap_private unix linux i386 stdin stdout stderr errno size_t ssize_t ptrdiff_t time_t clock_t div_t
ldiv_t lldiv_t int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t intptr_t uintptr_t max_align_t
nullptr_t
""".split())
"""Names that the sources use, and lower-case types and macros of the headers, the C library and compilers."""


@dataclass(frozen=True)
class Stream:
    """An AXI4-Stream: a sample is `beats` beats of `bits` bits, `elements` words in each, the last one filled up."""

    elements: int
    beats: int
    bits: int


@dataclass(frozen=True)
class Call:
    """One statement of the top function: a layer, or a split of a tensor that several layers read."""

    function: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Array:
    """A tensor between functions. `pragmas` partition it or deepen it."""

    name: str
    type: str
    size: int
    pragmas: tuple[str, ...]


@dataclass(frozen=True)
class Network:
    """`top`: the identifier of the top function; `layers`: those that have a function, in order; `names`: identifiers
    of all tensors; `roots`: the tensor whose array each tensor is, another one's where it is only reshaped; `source`
    and `result`: the arrays of input and output; `splits`: to how many readers some tensor is split."""

    top: str
    layers: tuple[Layer, ...]
    names: dict[str, str]
    roots: dict[str, str]
    arrays: tuple[Array, ...]
    calls: tuple[Call, ...]
    source: str
    result: str
    splits: tuple[int, ...]
    input: Stream
    output: Stream

    @property
    def initiation_interval(self) -> int:
        """Beats of a sample on the slower stream: what a pipeline cannot go below."""
        return max(self.input.beats, self.output.beats)


def network(job: Job) -> Network:
    """The arrays and calls of a job's design. Layers that the output does not depend on are left out."""
    design, architecture = job.design, job.architecture.one_by_one
    live = _live(design)
    names = _names([design.input.name, *(layer.name for layer in live)])
    roots = {design.input.name: design.input.name}
    for layer in live:
        roots[layer.name] = roots[layer.inputs[0]] if isinstance(layer, Reshape) else layer.name
    layers = tuple(layer for layer in live if not isinstance(layer, Reshape))
    cycles = 1 if architecture.unrolled else architecture.cycles(architecture.busiest)
    built = _Builder(design, architecture, names, roots, layers)
    top = identifiers([design.name], taken=TAKEN, fallback=TOP)[design.name]
    return Network(top, layers, names, roots, tuple(built.arrays), tuple(built.calls), built.first[design.input.name],
                   built.reads[roots[design.output.name]][-1], tuple(sorted(built.splits)),
                   stream(design.input, cycles), stream(design.output, cycles))


def stream(tensor: Tensor, cycles: int) -> Stream:
    """As few words a beat as bring a sample in `cycles` beats, and no more than fit one."""
    width = tensor.format.width
    elements = min(-(-tensor.size // cycles), max(MOST_BITS // width, 1))
    return Stream(elements, -(-tensor.size // elements), -(-elements * width // 8) * 8)


def _names(names: list[str]) -> dict[str, str]:
    """An identifier for each tensor to which `_Code` and the like can be added: none ends in an underscore, because two
    in a row are the compiler's. Such suffixes begin with a capital, so they make no identifier of another tensor."""
    keywords = [name for name in names if identifier(name).endswith("_")]
    plain = identifiers([name for name in names if name not in keywords], taken=TAKEN)
    longer = identifiers([f"{name} layer" for name in keywords], taken=[*TAKEN, *plain.values()])
    return plain | {name: longer[f"{name} layer"] for name in keywords}


def _live(design: Design) -> list[Layer]:
    needed, found = {design.output.name}, []
    for layer in reversed(design.layers):
        if layer.name in needed:
            needed.update(layer.inputs)
            found.append(layer)
    return found[::-1]


class _Builder:
    """Arrays and calls, tensor by tensor: in a dataflow network each array has one reader, so a tensor that several
    layers read is split first."""

    def __init__(self, design: Design, architecture: Architecture, names: dict[str, str], roots: dict[str, str],
                 layers: tuple[Layer, ...]) -> None:
        self.design, self.architecture, self.names, self.roots = design, architecture, names, roots
        self.places = {layer.name: i for i, layer in enumerate(layers)}
        self.readers: dict[str, list[int]] = {name: [] for name in [design.input.name, *self.places]}
        for i, layer in enumerate(layers):
            for name in layer.inputs:
                self.readers[roots[name]].append(i)
        self.readers[roots[design.output.name]].append(len(layers))
        self.lanes = [architecture.lanes[layer.name] for layer in layers] + [1]
        self.arrays: list[Array] = []
        self.calls: list[Call] = []
        self.first: dict[str, str] = {}
        self.reads: dict[str, list[str]] = {}
        self.splits: set[int] = set()
        self._tensor(design.input.name, -1)
        used = dict.fromkeys(self.readers, 0)
        for i, layer in enumerate(layers):
            arguments = []
            for name in layer.inputs:
                root = roots[name]
                arguments.append(self.reads[root][used[root]])
                used[root] += 1
            call = Call(names[layer.name], tuple(arguments))
            at = len(self.calls)
            self._tensor(layer.name, i)
            self.calls.insert(at, Call(call.function, (*call.arguments, self.first[layer.name])))

    def _tensor(self, name: str, maker: int) -> None:
        readers, base = self.readers[name], self.names[name]
        self.first[name] = f"{base}_Data"
        if self.architecture.unrolled or len(readers) == 1:
            self._array(f"{base}_Data", name, maker, readers)
            self.reads[name] = [f"{base}_Data"] * len(readers)
            return
        self._array(f"{base}_Data", name, maker, [maker + 1])
        self.reads[name] = [f"{base}_Data{i}" for i in range(len(readers))]
        for text, reader in zip(self.reads[name], readers, strict=True):
            self._array(text, name, maker, [reader])
        self.splits.add(len(readers))
        self.calls.append(Call(f"Split{len(readers)}", (f"{base}_Data", *self.reads[name])))

    def _array(self, text: str, name: str, maker: int, readers: list[int]) -> None:
        tensor = self.design.tensors[name]
        lanes = self.lanes[maker] if maker >= 0 else 1
        pragmas = []
        if lanes == 0 or any(self.lanes[min(r, len(self.lanes) - 1)] == 0 for r in readers):
            pragmas.append(f"array_partition variable={text} complete")
        elif lanes > 1:
            pragmas.append(f"array_partition variable={text} cyclic factor={lanes}")
        if not self.architecture.unrolled and readers[0] - maker > 1:
            pragmas.append(f"stream variable={text} type=pipo depth={readers[0] - maker + 1}")
        self.arrays.append(Array(text, f"{self.names[self.roots[name]]}_Code", tensor.size, tuple(pragmas)))
