"""A network between ONNX and what is made of it: few kinds of steps, channels first, no batch, no transposes left."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from toolkit.capture.curve import Op
from toolkit.capture.faults import Layer
from toolkit.capture.onnx.file import Node, NodeError
from toolkit.capture.onnx.tensors import shown


@dataclass(frozen=True, eq=False, kw_only=True)
class Step:
    """One operation. `output` and `inputs` name values; `shape` is the output's, (features,) or (channels, *spatial);
    `label` is what the network calls it, `origin` the node that errors name."""

    output: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    label: str
    origin: str

    def fail(self, why: str) -> NodeError:
        return NodeError(self.origin, why)


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(Step):
    """`weight (out, in) @ x + bias (out,)`, float64."""

    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolve(Step):
    """weight (out, in / groups, *kernel), bias (out,), float64; `padding` is (before, after) on each axis, zeros."""

    weight: np.ndarray
    bias: np.ndarray
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvolveTransposed(Step):
    """weight (out, in / groups, *kernel), bias (out,), float64; of the full output go so many pixels from the ends of
    each axis, or at its end come so many more (fewer than none)."""

    weight: np.ndarray
    bias: np.ndarray
    stride: tuple[int, ...]
    crop: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Affine(Step):
    """`scale * x + offset`, float64, one of each for every channel (or feature), or for every element: of the shape
    (channels,) or of `shape`."""

    scale: np.ndarray
    offset: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Clip(Step):
    """`min(max(x, low), high)`; a ReLU is 0 and infinity."""

    low: float
    high: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Function(Step):
    """An element-wise function: leaky (alpha), sigmoid, tanh, hardsigmoid, hardswish, silu, gelu (exact or tanh),
    elu, softplus, ..."""

    function: str
    alpha: float = 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Slope(Step):
    """What is negative times `slopes`, float64: one for each channel (or feature), or of the output's shape."""

    slopes: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Elementwise(Step):
    """What the last of some functions of one element makes: see `toolkit.capture.curve`."""

    ops: tuple[Op, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Extreme(Step):
    """The larger of two values of one shape, element by element, or with `least` the smaller."""

    least: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(Step):
    """`max`, `mean` or `sum` under a window; `padding` counts as zeros in a mean and never as the largest. Where it is
    not `counted` a mean is over what it sees of the image alone; `ceil`: a last window may reach beyond the padding."""

    kind: str
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    counted: bool = True
    ceil: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Plus(Step):
    """The sum of two values of one shape."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Times(Step):
    """The product of two values of equally many axes; one of one element along an axis is repeated."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Join(Step):
    """Values joined along `axis` of their shape."""

    axis: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Flat(Step):
    """All elements in their order, channels first, as a vector."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Reshaped(Step):
    """The elements in their order, channels first, under another shape."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Permuted(Step):
    """Axis i of the output is axis `axes[i]` of the input."""

    axes: tuple[int, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Picked(Step):
    """Element j of the output, in its order, is element `index[j]` of the input."""

    index: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Repeated(Step):
    """Nearest upsampling by whole factors, one a spatial axis."""

    scale: tuple[int, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Largest(Step):
    """The index of the largest element, at the end."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Quant(Step):
    """QONNX: `clamp(round(x / scale + zero), low, high)`, then `(code - zero) * scale`."""

    scale: float
    zero: int
    low: int
    high: int
    rounding: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Threshold(Step):
    """FINN: `scale * (how many of the channel's thresholds x reaches) + offset`; thresholds float64 (channels, n)."""

    thresholds: np.ndarray
    scale: float
    offset: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Bipolar(Step):
    """QONNX: `scale` where x >= 0, else `-scale`."""

    scale: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Truncate(Step):
    """QONNX: codes of x at `scale` lose `bits` low bits by `rounding`; the result is at `output_scale`, clamped to
    low..high."""

    scale: float
    bits: int
    output_scale: float
    low: int | None
    high: int | None
    rounding: str


@dataclass(frozen=True)
class Input:
    """One of a network's inputs: `shape` and `axes` as the `input_shape` and `input_axes` of a network of one."""

    name: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Network:
    """Steps in order; the last makes the output. `inputs` and `outputs` (what makes each, in the file's order) are all
    of them, `input` and `output` the first. `input_shape` is channels first; `input_axes` says how the file's
    sample axes become it: axis i of a sample here is axis `input_axes[i]` of a sample of the file. `layers` are what
    the file says the network is made of; `nodes` are the file's, by what steps call their origin."""

    input: str
    input_shape: tuple[int, ...]
    input_axes: tuple[int, ...]
    steps: tuple[Step, ...]
    output: str
    notes: tuple[str, ...] = field(default=())
    layers: tuple[Layer, ...] = field(default=())
    nodes: dict[str, Node] = field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
    outputs: tuple[str, ...] = ()

    @cached_property
    def _readers(self) -> dict[str, list[Step]]:
        found: dict[str, list[Step]] = {}
        for step in self.steps:
            for name in dict.fromkeys(step.inputs):
                found.setdefault(name, []).append(step)
        return found

    def users(self, value: str) -> list[Step]:
        """The steps that read a value."""
        return self._readers.get(value, [])


def name_of(text: str) -> str:
    """A name for people out of one from a file."""
    return shown(text)[1:-1]
