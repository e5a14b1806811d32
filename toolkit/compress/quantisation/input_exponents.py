"""Features of very different scale: an exponent for each, where one format for all of them would lose what the network
sees.

A feature (of an image: a channel) whose exponent is k enters the network as x * 2**-k, and the layers that read it have
its columns times 2**k. The float network is the same; the columns become comparable, and so do the ranges of the codes.
"""

from __future__ import annotations

import copy
from math import prod
from typing import Any, cast

import numpy as np
import torch
from torch import fx, nn

from toolkit.capture.builder import module_of
from toolkit.capture.pick import Pick
from toolkit.capture.slopes import Slopes
from toolkit.compress.matmul import WEIGHTED
from toolkit.compress.pruning.channels import shapes
from toolkit.compress.quantisation import grids
from toolkit.compress.quantisation.insert_quantisers import MEANS, POOLS, entry
from toolkit.compress.quantisation.layers import InputScale
from toolkit.compress.quantisation.layout import has_images
from toolkit.design.ports import Port
from toolkit.design.tensors import MAX_EXPONENT
from toolkit.design.weights import IntegerFormat

ROWS = 1 << 12
"""Numbers of each feature that its range is judged by, at the most."""
BITS, TRIED = 8, 6
"""Codes and weights by which one exponent is held against many, and how many ranges are tried for a feature."""
SPREAD = 3
"""Features whose largest values lie within 2**SPREAD of each other keep one exponent."""
ERROR, GAIN = 1e-4, 4.0
"""Exponents are taken where one for all features costs more than ERROR of the variance of the first sums, and GAIN
times what many cost."""
ALONE = 1e-2
"""The share of a feature's own variance that must be lost before it is told, where no layer with weights reads it."""
UNITS = -1
"""The feature of what is not of the input alone, in units of the network's own: behind all others there stands a 0."""
KEEPS = (nn.ReLU, Slopes, nn.ZeroPad1d, nn.ZeroPad2d, nn.Upsample, *POOLS, *MEANS)
"""What hands each feature on in its own units."""


def with_input_exponents(graph: fx.GraphModule, samples: np.ndarray) -> fx.GraphModule:
    """A float graph whose input's features have exponents of their own, or the graph itself where one does as well. It
    computes the same of the same inputs. `samples` float32 (n, *shape) are of its training samples.

    A note says what was done, or why it could not be: where anything but a layer with weights reads the features
    themselves, they must have one unit.
    """
    if entry(graph).op != "placeholder" or len(samples) < 2:
        return graph
    images = has_images(graph)
    rows = _rows(samples, images)
    several = graph.meta["ports"].inputs
    exponents = _exponents(rows)
    if several:
        exponents = _alike(exponents, rows, _units(several, rows.shape[1], images))
    if not exponents.any():
        return graph
    readers, hindrance, hindered = _readers(graph)
    if not _helps(rows, exponents, readers):
        return graph
    if several and hindrance and len(hindered) < len(exponents):
        # What is read in one unit shares one exponent, in the network's own units.
        shared = exponents.copy()
        shared[hindered] = exponents[hindered].max()
        shared = np.clip(shared - shared[hindered[0]], -MAX_EXPONENT, MAX_EXPONENT)
        if shared.any() and _helps(rows, shared, readers):
            exponents, hindrance = shared, ""
    spread = int(exponents.max() - exponents.min())
    if hindrance:
        note = (f"the input's features differ in scale by 2**{spread}, but {hindrance} reads them in one unit, so that "
                "they share one exponent: scale them alike before the network, or ask for more --input-bits")
        graph.meta["notes"] = [*graph.meta["notes"], note]
        return graph
    what = "channel" if images and samples.ndim > 2 else "feature"
    if several:
        what = "vectors' element" + (" and images' channel" if images else "")
    note = (f"the input's {what}s differ in scale by 2**{spread}: each has an exponent of its own, and the code of x "
            f"is round(x * 2**(frac - exponent)); exponents {_listed(exponents)}")
    made = _scaled(graph, exponents, readers, (-1, *(1,) * (samples.ndim - 2)) if images else samples.shape[1:])
    made.meta["notes"] = [*made.meta["notes"], note]
    return made


def with_byte_units(graph: fx.GraphModule) -> fx.GraphModule:
    """A float graph whose input is raw bytes, 0..255: the same function, trained in units of 2**BITS, so that the
    weights of its first layers are of the size of all others. `meta['bytes']` lets `quantise` take each byte as its own
    code. Notes say so, and what became of the network's normalisation."""
    readers, hindrance, _ = _readers(graph)
    made = graph
    if not hindrance and readers and entry(graph).op == "placeholder":
        shape = tuple(graph.meta["input_shape"])
        images = has_images(graph)
        exponents = np.full(shape[0] if images else prod(shape), BITS, np.int64)
        made = _scaled(graph, exponents, readers, (-1, *(1,) * (len(shape) - 1)) if images else shape)
    made.meta["bytes"] = True
    made.meta["notes"] = [*made.meta["notes"], *_byte_notes(made.meta.get("normalisation"))]
    return made


def _byte_notes(normalisation: dict[str, Any] | None) -> list[str]:
    note = "the samples are bytes: the hardware takes them as they are, each byte its own code"
    if normalisation is None:
        return [f"{note}; the network has no normalisation of its input (--normalise puts one before it)"]
    told = f"scale {_few(normalisation['scale'])} and offset {_few(normalisation['offset'])}"
    if not normalisation["own"]:
        return [f"{note}; the network's normalisation ({told}) is folded into the layers behind it"]
    own = normalisation["own"]
    note += (f"; the network's normalisation ({told}) is the layer '{own}', because the layer behind it puts zeros "
             "around what is normalised")
    if not normalisation["exact"]:
        note += f": its weights are rounded as others are (--layer-config '{own}=int:8' rounds less)"
    return [note]


def _few(values: list[float]) -> str:
    shown = ", ".join(f"{value:.6g}" for value in values[:4]) + (", ..." if len(values) > 4 else "")
    return shown if len(values) == 1 else f"({shown})"


def _rows(samples: np.ndarray, images: bool) -> np.ndarray:
    """float64 (numbers, features): of images, pixels by channels."""
    flat = samples.reshape(*samples.shape[:2], -1) if images else samples.reshape(len(samples), -1, 1)
    per = max(ROWS // len(flat), 1)
    step = -(-flat.shape[2] // per)
    flat = flat[::max(len(flat) // ROWS, 1), :, ::step]
    return np.moveaxis(flat, 1, 2).reshape(-1, flat.shape[1]).astype(np.float64)


def _exponents(rows: np.ndarray) -> np.ndarray:
    """int64: for each feature how far the range with the least squared error of its codes is from the usual one; 0 for
    features that are always 0, and for all where they are of like scale."""
    peaks = np.abs(rows).max(axis=0)
    live = peaks > 0
    found = np.zeros(rows.shape[1], np.int64)
    if not live.any():
        return found
    tops = np.frexp(peaks)[1].astype(np.int64)
    if tops[live].max() - tops[live].min() < SPREAD:
        return found
    signed = bool(rows.min() < 0)
    errors = np.stack([_error(rows, tops - i, signed) for i in range(TRIED)])
    tops = tops - errors.argmin(axis=0)
    middle = int(np.sort(tops[live])[live.sum() // 2])
    found[live] = np.clip(tops[live] - middle, -MAX_EXPONENT, MAX_EXPONENT)
    return found


def _codes(rows: np.ndarray, tops: np.ndarray, signed: bool) -> np.ndarray:
    """What codes of BITS bits make of values below 2**tops."""
    frac = BITS - signed - tops
    codes = np.clip(np.floor(np.ldexp(rows, frac) + 0.5), -2**(BITS - 1) if signed else 0, 2**(BITS - signed) - 1)
    return np.ldexp(codes, -frac)


def _error(rows: np.ndarray, tops: np.ndarray, signed: bool) -> np.ndarray:
    return ((_codes(rows, tops, signed) - rows) ** 2).sum(axis=0)


Readers = list[tuple[nn.Module, np.ndarray]]
"""Layers with weights that read the input, with the feature behind each column."""


def _readers(graph: fx.GraphModule) -> tuple[Readers, str, np.ndarray]:
    """The layers that read the input, what else reads it ('' where nothing does), and the features that that reads."""
    known = shapes(graph)
    start = entry(graph)
    ids = {start: _along(np.arange(known[start][0]), known[start]) if has_images(graph)
           else np.arange(prod(known[start])).reshape(known[start])}
    if several := graph.meta["ports"].inputs:
        ids[start] = _units(several, prod(known[start]), has_images(graph))
    found: Readers = []
    hindrance = ""
    hindered: set[int] = set()
    for node in graph.graph.nodes:
        sources = [n for n in node.all_input_nodes if n in ids]
        if not sources:
            continue
        module, here = module_of(graph, node), ids[sources[0]]
        if isinstance(module, WEIGHTED):
            uses = sum(n.op == "call_module" and n.target == node.target for n in graph.graph.nodes)
            if uses == 1 and (here.ndim == 1 or not isinstance(module, nn.Linear)):
                found.append((module, here.reshape(len(here), -1)[:, 0]))
                continue
        elif isinstance(module, nn.Flatten) and len(known[node]) == 1:
            ids[node] = here.reshape(-1)
            continue
        elif isinstance(module, Pick) and several:
            ids[node] = here.reshape(-1)[module.index.numpy()].reshape(module.shape)
            rows = ids[node].reshape(module.shape[0], -1)
            if len(module.shape) == 1 or not has_images(graph) or bool((rows == rows[:, :1]).all()):
                continue
        elif node.target is torch.cat and several and len(known[node]) == 1:
            ids[node] = np.concatenate([ids[n] if n in ids else np.full(known[n], UNITS) for n in node.args[0]])
            continue
        elif isinstance(module, KEEPS):
            ids[node] = here if here.shape == known[node] else _along(here.reshape(len(here), -1)[:, 0], known[node])
            continue
        hindrance = hindrance or f"'{graph.meta['paths'].get(str(node.target), node.name)}'"
        hindered.update(n for source in sources for n in np.unique(ids[source]).tolist())
    alike = ids[start].reshape(-1)
    return found, hindrance, np.flatnonzero(np.isin(alike, sorted(hindered - {UNITS})))


def _along(ids: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """One number for each place along the first axis, all over it."""
    return np.broadcast_to(ids.reshape(-1, *(1,) * (len(shape) - 1)), shape)


def _units(several: tuple[Port, ...], size: int, images: bool) -> np.ndarray:
    """int64: for each element of several inputs the first of those that share its exponent: with `images`, of an
    image's channel, else itself."""
    found = np.arange(size)
    for port in several if images else ():
        if len(port.shape) > 1:
            pixels = prod(port.shape[1:])
            found[port.elements] = port.start + np.arange(port.size) // pixels * pixels
    return found


def _alike(exponents: np.ndarray, rows: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Exponents of which those of one unit are alike: the largest of its elements that are not always 0."""
    live = np.abs(rows).max(axis=0) > 0
    largest = np.full(len(units), -MAX_EXPONENT)
    np.maximum.at(largest, units[live], exponents[live])
    return np.where(np.isin(units, units[live]), largest[units], 0)


def _helps(rows: np.ndarray, exponents: np.ndarray, readers: Readers) -> bool:
    """Whether one exponent for all features costs much of what the first layers compute, and many cost less."""
    signed, live = bool(rows.min() < 0), np.abs(rows).max(axis=0) > 0
    none = np.zeros_like(exponents)
    shared, own = _shared(rows, none, signed), _shared(rows, exponents, signed)
    one, many = 0.0, 0.0
    variance, moment = rows.var(axis=0), (rows**2).mean(axis=0)
    if not readers:  # nothing but others read it: what is lost of the features themselves
        return bool((shared[live] > ALONE * variance[live]).any())
    for layer, features in readers:
        one += _loss(layer, features, none, shared, variance, moment)
        many += _loss(layer, features, exponents, own, variance, moment)
    return one > ERROR * len(readers) and one > GAIN * many


def _shared(rows: np.ndarray, exponents: np.ndarray, signed: bool) -> np.ndarray:
    """The mean squared error of each feature's codes with these exponents, in one format of the least error."""
    scaled = np.ldexp(rows, -exponents)
    tops = np.full(rows.shape[1], np.frexp(np.abs(scaled).max())[1], np.int64)
    errors = [_error(scaled, tops - i, signed) for i in range(TRIED)]
    return np.ldexp(min(errors, key=np.sum), 2 * exponents) / len(rows)


def _loss(layer: Any, features: np.ndarray, exponents: np.ndarray, errors: np.ndarray, variance: np.ndarray,
          moment: np.ndarray) -> float:
    """The share of the variance of a layer's sums that rounding costs, of its inputs and of its weights, the mean over
    its outputs: at most 1 for each of them."""
    exponents, errors, variance, moment = (np.append(v, 0) for v in (exponents, errors, variance, moment))
    weight = layer.weight.detach().double()
    groups = getattr(layer, "groups", 1)
    columns = _columns(weight, features, groups)
    stretch = torch.from_numpy(np.ldexp(1.0, exponents[columns])).reshape(*columns.shape, *(1,) * (weight.ndim - 2))
    rows = (weight * stretch).flatten(1)
    form = IntegerFormat(BITS)
    off = (grids.project(rows, grids.fit(rows, form), form) - rows).reshape(weight.shape) / stretch
    squares, wrong = (part.square().flatten(2).sum(2).numpy() if part.ndim > 2 else part.square().numpy()
                      for part in (weight, off))
    lost = (squares * errors[columns] + wrong * moment[columns]).sum(axis=1)
    power = (squares * variance[columns]).sum(axis=1)
    known = power > 0
    return float(np.minimum(lost[known] / power[known], 1.0).mean()) if known.any() else 0.0


def _columns(weight: torch.Tensor, features: np.ndarray, groups: int) -> np.ndarray:
    """int64 (out, in / groups): the feature behind each column of each output."""
    return np.repeat(features.reshape(groups, -1), len(weight) // groups, axis=0)


def _scaled(graph: fx.GraphModule, exponents: np.ndarray, readers: Readers,
            shape: tuple[int, ...]) -> fx.GraphModule:
    """A copy of the graph that begins in an InputScale, with the readers' columns times 2**exponent."""
    names = {module: name for name, module in graph.named_modules()}
    graph = copy.deepcopy(graph)
    for module, features in readers:
        layer = cast(Any, graph.get_submodule(names[module]))
        columns = np.append(exponents, 0)[_columns(layer.weight, features, getattr(layer, "groups", 1))]
        with torch.no_grad():
            layer.weight.copy_(torch.ldexp(layer.weight, torch.from_numpy(columns).reshape(
                *columns.shape, *(1,) * (layer.weight.ndim - 2))))
    name = "input_scale"
    while hasattr(graph, name):
        name += "_"
    graph.add_module(name, InputScale(tuple(exponents.tolist()), shape))
    start = next(n for n in graph.graph.nodes if n.op == "placeholder")
    users = list(start.users)
    with graph.graph.inserting_after(start):
        node = graph.graph.call_module(name, (start,))
    for user in users:
        user.replace_input_with(start, node)
    graph.recompile()
    return graph


def _listed(exponents: np.ndarray) -> str:
    shown = ", ".join(map(str, exponents[:16].tolist()))
    return shown if len(exponents) <= 16 else f"{shown}, ... ({len(exponents)} in all)"
