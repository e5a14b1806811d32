"""hls4ml itself: a layer list and settings in, the files of its project out."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.emit.hls4ml.defects import exponents_mended
from toolkit.emit.hls4ml.network import Network
from toolkit.utils.errors import InputError, ToolMissing

BACKENDS = {"vitis": "Vitis", "vivado": "Vivado", "vivadoaccelerator": "VivadoAccelerator", "quartus": "Quartus"}
"""hls4ml's own names."""
MOVERS = ("Reshape", "Resize", "Transpose", "Repack", "Clone")
"""Its layers that take the type of their input: they round nothing, so how they would does not matter."""


def require() -> str:
    """The version of hls4ml. Raises ToolMissing where there is none."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            import hls4ml
    except ImportError as error:
        raise ToolMissing(f"the target hls4ml needs hls4ml ({error}); pip install 'shiftwright[hls4ml]'") from error
    return str(hls4ml.__version__)


def accepted(reuse: int, inputs: int, outputs: int, most: int) -> int:
    """The reuse factor nearest to `reuse`, and not above `most`, that hls4ml takes for a matrix of that size."""
    require()
    from hls4ml.backends import get_backend

    found = get_backend("Vivado")  # the same rule for every backend
    known = [factor for factor in found.get_valid_reuse_factors(inputs, outputs) if factor <= most]
    return int(found.get_closest_reuse_factor(known, reuse))


def files(net: Network, top: str, output: str) -> dict[str, bytes]:
    """The project that hls4ml writes for a network with the output layer `output`; the same for the same input.

    Raises InputError with hls4ml's own words where it refuses.
    """
    require()
    from hls4ml.model.graph import ModelGraph
    from hls4ml.utils.config import create_config

    with tempfile.TemporaryDirectory() as place, exponents_mended(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                config = create_config(output_dir=place, project_name=top, backend=BACKENDS[net.backend], version="1.0",
                                       io_type=net.io)
                config["HLSConfig"] = {"Model": {"Precision": {"default": "fixed<16,6>"}, "ReuseFactor": 1,
                                                 "Strategy": "Latency"}, "LayerName": net.settings}
                graph = ModelGraph.from_layer_list(config, [dict(layer) for layer in net.layers],
                                                   [net.layers[0]["name"]], [output])
                _check(graph, net)
                graph.config.config["Stamp"] = _stamp(net)
                graph.config.backend.writer.write_hls(graph)
        except InputError:
            raise
        except Exception as error:  # hls4ml raises bare Exceptions
            told = (str(error) or type(error).__name__).strip()
            raise InputError(f"hls4ml ({BACKENDS[net.backend]}, {net.io}) refuses the network: {told}") from error
        root = Path(place)
        found = {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    return {name: data.replace(place.encode(), b".") if name.endswith((".yml", ".tcl", ".sh")) else data
            for name, data in found.items()}


def _check(graph: Any, net: Network) -> None:
    """Nothing that hls4ml's own passes did may have changed a type or a reuse factor that was asked for."""
    from hls4ml.model.types import UnspecifiedPrecisionType

    for layer in graph.get_layers():
        asked = net.settings.get(layer.name)
        owner = net.owners.get(layer.name, layer.name)
        precision = layer.get_output_variable().type.precision
        if isinstance(precision, UnspecifiedPrecisionType):
            raise InputError(f"layer '{owner}': hls4ml left the type of {layer.name} open")
        if asked is None:
            continue
        wanted = graph.config.backend.convert_precision_string(asked["Precision"]["result"])
        fields = ("width", "integer", "signed", *(() if layer.class_name in MOVERS else ("rounding_mode",
                                                                                       "saturation_mode")))
        have, want = ([str(getattr(p, f, None)) for f in fields] for p in (precision, wanted))
        if have != want:
            raise InputError(f"layer '{owner}': hls4ml made {layer.name} {precision} instead of {wanted}")
        if asked["Strategy"] == "Resource" and layer.get_attr("reuse_factor") != asked["ReuseFactor"]:
            raise InputError(f"layer '{owner}': hls4ml took the reuse factor {layer.get_attr('reuse_factor')} instead "
                             f"of {asked['ReuseFactor']}")


def _stamp(net: Network) -> str:
    """Eight digits that are the same for the same network, where hls4ml's are random."""
    digest = hashlib.sha256(json.dumps([net.backend, net.io, net.settings], sort_keys=True).encode())
    for layer in net.layers:
        for key in sorted(layer):
            value = layer[key]
            digest.update(key.encode() + (value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()))
    return digest.hexdigest()[:8]
