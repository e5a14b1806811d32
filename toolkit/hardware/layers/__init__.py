"""How each kind of layer becomes a datapath. A new layer is one file here and one line in the table."""

from collections.abc import Callable

from toolkit.hardware.datapath import Datapath
from toolkit.hardware.layers import add, argmax, clamp, dense, permutation

PLANNERS: dict[str, Callable[..., Datapath]] = {
    "dense": dense.plan,
    "add": add.plan,
    "clamp": clamp.plan,
    "concat": permutation.plan,
    "reshape": permutation.plan,
    "argmax": argmax.plan,
}
