"""What hls4ml does wrong and this target works around, each with a check of whether it still does.

`tests/test_hls4ml.py` fails as soon as a check finds one mended: then its workaround goes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Defect:
    """`present`: whether the hls4ml that is installed has it."""

    what: str
    workaround: str
    present: Callable[[], bool]


def _exponents(values: list[list[float]]) -> Any:
    from hls4ml.model.types import ExponentPrecisionType, ExponentWeightVariable

    return ExponentWeightVariable("w", "w_t", ExponentPrecisionType(4), np.array(values))


def _cannot_iterate() -> bool:
    try:
        next(iter(_exponents([[0.5, 1.0]])))
    except AttributeError:
        return True
    return False


def _loses_zero() -> bool:
    with np.errstate(all="ignore"):
        return int(_exponents([[0.0]])._format()[..., 1].min()) < -1000


def _loses_axis() -> bool:
    return len(_exponents([[0.5, 1.0]]).shape) != 2


def _header(name: str, backend: str = "vivado") -> str:
    import hls4ml

    return (Path(hls4ml.__file__).parent / "templates" / backend / "nnet_utils" / name).read_text()


DEFECTS = {
    "np.product": Defect("ExponentWeightVariable calls np.product, which NumPy 2 does not have",
                         "its values are iterated here", _cannot_iterate),
    "zero": Defect("a weight of zero becomes the exponent -9223372036854775808",
                   "it becomes the shift that `exponents.Exponents.zero` says, or is refused", _loses_zero),
    "axis": Defect("the shape of exponent weights lacks its last axis, so a conversion to channels-last skips them",
                   "layers are handed over channels-last, and the shape is set right", _loses_axis),
    "shift": Defect("the product by an exponent holds a fixed number of bits and drops what is shifted beyond them",
                    "`exponents.exponents` takes exponents so wide that nothing is",
                    lambda: "using r_T = ap_fixed<2 * (decltype(w_T::weight)::width + x_T::width)"
                    in _header("nnet_mult.h")),
    "padding": Defect("a max pool pads with the code whose top bit alone is set, which is the least only with a sign",
                      "its input gets a sign (`layers.maxpool`)",
                      lambda: "x[x.width - 1] = 1;" in _header("nnet_pooling.h")),
    "reuse": Defect("an io_parallel convolution with a reuse factor above its taps is silently wrong for Vitis, and "
                    "aborts for Vivado", "no factor above the taps is chosen (`__init__.schedule`)",
                    lambda: "multiplier_limit == block_factor" in _header("nnet_conv2d_resource.h", "vitis")),
    "stamp": Defect("every project gets a random stamp", "the stamp is set, and the writer called without that pass",
                    lambda: _stamp() != _stamp()),
}


def _stamp() -> str:
    from types import SimpleNamespace

    from hls4ml.model.optimizer.passes.stamp import MakeStamp

    model = SimpleNamespace(config=SimpleNamespace(config={}))
    MakeStamp().transform(model)
    return model.config.config["Stamp"]


@contextlib.contextmanager
def exponents_mended() -> Iterator[None]:
    """While this is open, hls4ml writes exponent weights right. Everything else is as it was, and is so afterwards."""
    from hls4ml.model.types import ExponentWeightVariable as Variable

    kept = {name: Variable.__dict__[name] for name in ("__init__", "__iter__", "_format")}

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        kept["__init__"](self, *args, **kwargs)
        self.shape = list(self.data.shape)

    def pairs(self: Any) -> np.ndarray:
        zero = getattr(self.quantizer, "zero", None)
        magnitudes = np.abs(self.data)
        shifts = np.log2(np.where(magnitudes > 0, magnitudes, 1)).astype(np.int64)
        if np.any(magnitudes == 0):
            assert zero is not None, "exponents.exponents refuses zeros that have no shift"
            shifts = np.where(magnitudes > 0, shifts, zero)
        return np.stack(((self.data >= 0).astype(np.int64), shifts), axis=-1)

    def iterate(self: Any) -> Any:
        self._iterator = iter(self._format().reshape(-1, 2))
        return self

    try:
        for name, function in (("__init__", init), ("__iter__", iterate), ("_format", pairs)):
            setattr(Variable, name, function)
        yield
    finally:
        for name, function in kept.items():
            setattr(Variable, name, function)
