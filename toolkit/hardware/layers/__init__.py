"""How each kind of layer becomes a datapath. A new layer is one file here and one line in the table."""

from collections.abc import Callable

from toolkit.design.layers import Conv, Layer
from toolkit.design.tensors import Tensor
from toolkit.hardware.datapath import Datapath
from toolkit.hardware.layers import (
    add,
    argmax,
    clamp,
    conv,
    dense,
    extremum,
    lookup,
    multiply,
    permutation,
    piecewise,
)

PLANNERS: dict[str, Callable[..., Datapath]] = {
    "dense": dense.plan,
    "conv": conv.plan,
    "add": add.plan,
    "multiply": multiply.plan,
    "clamp": clamp.plan,
    "extremum": extremum.plan,
    "leaky": piecewise.plan,
    "slopes": piecewise.plan,
    "lookup": lookup.plan,
    "concat": permutation.plan,
    "reorder": permutation.plan,
    "reshape": permutation.plan,
    "argmax": argmax.plan,
}


def unrollable(layer: Layer, inputs: list[Tensor]) -> bool:
    """Whether a layer has unrolled hardware."""
    return layer.kind in PLANNERS and not (isinstance(layer, Conv) and not conv.pixel(layer, inputs[0]))
