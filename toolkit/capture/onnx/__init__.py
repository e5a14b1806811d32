"""`.onnx` files: vetted (file, tensors), translated by a table of operators to few kinds of steps (translate, steps),
and those either to an nn.Module (module) or, of the QONNX dialect, to a design (`toolkit.importing`).

Why not onnx2torch and `capture`: it knows no Quant, keeps a batch size that is baked in, its channels-last graphs keep
their Transposes, and it makes arrays before anything is checked. A table over our own steps is as short, says which
node is at fault, and serves the exact import of QONNX as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolkit.capture.onnx.file import File, read
from toolkit.capture.onnx.module import OnnxModule
from toolkit.capture.onnx.steps import Network
from toolkit.capture.onnx.translate import translate
from toolkit.utils.errors import InputError


@dataclass(frozen=True, eq=False)
class QuantisedModel:
    """A QONNX file: the network is integers already. `toolkit.importing.design_of` makes a design of it.

    `sample_shape` is one sample's, channels first; its axis i is axis `sample_axes[i]` of a sample of the file.
    `requantise`: what is not a power of two may be approximated.
    """

    file: File
    network: Network
    requantise: bool = False

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return self.network.input_shape

    @property
    def sample_axes(self) -> tuple[int, ...]:
        return self.network.input_axes


def load_onnx(path: Path | str, *, requantise: bool = False) -> OnnxModule | QuantisedModel:
    """The model of an .onnx file, which need not be trusted. With `requantise`, scales of a QONNX file that are no
    powers of two are taken, to be approximated. Whatever is wrong with the file is an InputError that says so."""
    file = read(path)
    network = translate(file, requantise)
    if not file.quantised:
        return OnnxModule(network, file.outputs)
    if len(file.inputs) > 1 or len(file.outputs) > 1:
        raise InputError(f"'{path}': has {len(file.inputs)} inputs and {len(file.outputs)} outputs, and is quantised "
                         "already; of such a file one of each is supported, so export it unquantised, or one network "
                         "for each output")
    return QuantisedModel(file, network, requantise)


__all__ = ["File", "Network", "OnnxModule", "QuantisedModel", "load_onnx", "read", "translate"]
