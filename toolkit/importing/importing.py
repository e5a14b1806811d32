"""Steps of a QONNX network become the layers of a design, exactly."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from toolkit.capture.faults import Refused
from toolkit.capture.onnx import QuantisedModel
from toolkit.capture.onnx.file import NodeError
from toolkit.capture.onnx.quantisers import ROUNDINGS
from toolkit.capture.onnx.refusals import Refusals
from toolkit.capture.onnx.steps import Bipolar, Quant, Step
from toolkit.design import ArgMax, Design, FixedPoint, Lookup, Tensor
from toolkit.importing.folding import folded
from toolkit.importing.layers import HANDLERS
from toolkit.importing.lowering import Lowering, channels_last
from toolkit.importing.notes import Notes
from toolkit.importing.rounding import exponent, nearest_power
from toolkit.importing.symbolic import SymbolicValue
from toolkit.importing.unquantised import tensor
from toolkit.utils.errors import InputError


@dataclass(frozen=True)
class InputRange:
    """What an input that the file does not quantise may hold: `bits` wide, from `low` to `high`."""

    bits: int = 8
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 24:
            raise InputError(f"input activations of {self.bits} bits are outside 1..24")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InputError(f"an input range of {self.low:g}..{self.high:g} holds nothing; give LOW,HIGH as -1,1")

    def format(self) -> FixedPoint:
        """The format of `bits` bits with the most fractional bits that spans the range; its very end may saturate."""
        signed = self.low < 0
        most = max(-self.low, self.high)
        integer = math.frexp(most)[1] - (math.frexp(most)[0] == 0.5)
        return FixedPoint(signed, self.bits, self.bits - signed - integer)


@dataclass(frozen=True, eq=False)
class Imported:
    """A design made of a file; `notes` say what was left out, assumed or approximated. `entry` is how the file itself
    quantises its input, where it does. The file's outputs are `unit` times the design's.
    `exact`: every number is the file's; else the notes say which are not."""

    design: Design
    notes: tuple[str, ...]
    entry: Quant | Bipolar | None = None
    unit: float = 1.0
    exact: bool = True

    def codes(self, samples: np.ndarray) -> np.ndarray:
        """int64 codes, channels last, of real samples (n, *shape), channels first."""
        lies = np.moveaxis(samples, 1, -1)
        if isinstance(self.entry, Bipolar):
            return (lies >= 0).astype(np.int64)
        if self.entry is None:
            return self.design.input.format.quantise(lies)
        # In float32, as the dialect computes: half of a step from a code it decides what the code is.
        real = lies.astype(np.float32) / np.float32(self.entry.scale) + np.float32(self.entry.zero)
        rounded = ROUNDINGS[self.entry.rounding](np.clip(real, self.entry.low, self.entry.high))
        return rounded.astype(np.int64) - self.entry.zero

    def accuracy(self, codes: np.ndarray, labels: np.ndarray | None) -> float | None:
        """The share of samples whose class is right; None where labels are no classes (n,)."""
        if labels is None or labels.ndim != 1:
            return None
        found = self.design.reference(codes).reshape(len(codes), -1)
        classes = found[:, 0] if isinstance(self.design.layers[-1], ArgMax) else found.argmax(axis=1)
        return float((classes == labels).mean())


def design_of(model: QuantisedModel, *, input: InputRange | None = None, name: str = "network") -> Imported:
    """The design of a QONNX model. Its reference equals the dialect's reference executor bit for bit, where every
    scale is a power of two. Raises Refused, which has all of them, for nodes that are not quantised or have no
    hardware."""
    where = f"'{model.file.path}': "
    try:
        return _imported(model, input or InputRange(), name)
    except Refused as error:
        raise error.within(where) from error
    except InputError as error:
        raise error if str(error).startswith(where) else InputError(where + str(error)) from error


def _imported(model: QuantisedModel, given: InputRange, name: str) -> Imported:
    network = folded(model.network)
    notes = Notes(network.notes)
    first = network.users(network.input)
    entry: Quant | Bipolar | None = None
    told = declared(model.file.input_type)
    steps = list(network.steps)
    if len(first) == 1 and isinstance(first[0], Quant) and network.output != network.input:
        low = Lowering(network, name, notes, model.requantise)
        steps.remove(first[0])
        entry = taken = nearest_power(first[0], notes) if model.requantise else first[0]
        power = math.frexp(taken.scale)[0] == 0.5
        frac = -exponent(taken.scale) if power else 0
        form = FixedPoint.holding(taken.low - taken.zero, taken.high - taken.zero, frac)
        low.begin(Tensor("x", channels_last(network.input_shape), form), (network.input, first[0].output),
                  1.0 if power else taken.scale)
    elif len(first) == 1 and isinstance(first[0], Bipolar) and network.output != network.input:
        low, entry = Lowering(network, name, notes, model.requantise), first[0]
        steps.remove(first[0])
        _begin_in_signs(low, (network.input, first[0].output), first[0].scale)
    elif told is not None:
        low = Lowering(network, name, notes, model.requantise)
        if model.file.input_type == BIPOLAR:
            _begin_in_signs(low, (network.input,), 1.0)
        else:
            low.begin(Tensor("x", channels_last(network.input_shape), told), (network.input,))
    else:
        form = given.format()
        low = Lowering(network, name, notes, model.requantise)
        low.begin(Tensor("x", channels_last(network.input_shape), form), (network.input,))
        least, most = form.value(np.array([form.min_code, form.max_code]))
        notes.approximated(f"the file does not quantise its input: it is taken as {form}, {least:g}..{most:g} "
                           "(--input-bits, --input-range)")
    _lowered(low, steps, model)
    end = tensor(low, network.output, network.steps[-1].label if network.steps else network.output)
    if end.unit != 1:
        notes.append(f"an output is its code times {end.unit:.9g}")
    return Imported(low.design(), tuple(notes), entry, end.unit, notes.exact)


BIPOLAR = "BIPOLAR"


def declared(text: str) -> FixedPoint | None:
    """The format of an input by FINN's name of its type: INT4, UINT3, BINARY, FIXED<8,4>; BIPOLAR is one bit. None
    where the file tells none that is a number of a fixed point."""
    if text in (BIPOLAR, "BINARY"):
        return FixedPoint(False, 1, 0)
    match = re.fullmatch(r"(U?)INT(\d{1,2})|FIXED<(\d{1,2}),(\d{1,2})>", text)
    if match is None:
        return None
    if match[2]:
        return FixedPoint(not match[1], int(match[2]), 0)
    return FixedPoint(True, int(match[3]), int(match[3]) - int(match[4]))


def _begin_in_signs(low: Lowering, names: tuple[str, ...], scale: float) -> None:
    """Begin with an input of one bit an element: 0 stands for -scale and 1 for scale."""
    shape = channels_last(low.network.input_shape)
    low.begin(Tensor("x", shape, FixedPoint(False, 1, 0)), ())
    power = math.frexp(scale)[0] == 0.5
    form = FixedPoint(True, 2, -exponent(scale) if power else 0)
    signs = low.append(Lookup(low.unique("x signs"), ("x",), np.array([-1, 1]), form, "sign"))
    for name in names:
        low.values[name] = SymbolicValue(signs.name, low.network.input_shape, unit=1.0 if power else scale)
    low.notes.append(f"an element of the input is one bit: 0 is {-scale:g}, 1 is {scale:g}")


def _lowered(low: Lowering, steps: list[Step], model: QuantisedModel) -> None:
    """Take every step. Raises Refused with all that have no hardware; what depends on one is not looked at."""
    refusals = Refusals(model.file)
    for step in steps:
        handler = HANDLERS.get(type(step))
        try:
            if handler is None:
                raise step.fail("has no hardware in a quantised network")
            if all(name in low.values for name in step.inputs):
                handler(low, step)
        except NodeError as error:
            node = low.network.nodes.get(error.origin)
            if node is None:  # of steps that no file holds
                raise
            low.values.pop(step.output, None)
            refusals.add(node, error.why, whole=False)
        except InputError:
            if refusals:  # a limit: what was found before says more
                break
            raise
    if refusals:
        raise Refused(refusals.faults, low.network.layers)
