"""From a QONNX file, whose numbers are integers already, straight to a design that equals it bit for bit."""

from toolkit.importing.importing import Imported, InputRange, design_of

__all__ = ["Imported", "InputRange", "design_of"]
