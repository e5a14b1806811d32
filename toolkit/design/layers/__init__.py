"""The layers a design can hold: one file each, and this table. A new layer is a new file and one line here."""

from toolkit.design.layers.add import Add
from toolkit.design.layers.argmax import ArgMax
from toolkit.design.layers.base import Layer, LayerRange
from toolkit.design.layers.clamp import Clamp
from toolkit.design.layers.concat import Concat
from toolkit.design.layers.dense import Dense
from toolkit.design.layers.reshape import Reshape

LAYERS: dict[str, type[Layer]] = {layer.kind: layer for layer in (Dense, Add, Concat, Reshape, Clamp, ArgMax)}

__all__ = ["LAYERS", "Add", "ArgMax", "Clamp", "Concat", "Dense", "Layer", "LayerRange", "Reshape"]
