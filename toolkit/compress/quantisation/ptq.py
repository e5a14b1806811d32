"""Post-training quantisation of a captured graph: formats from calibration data, weights layer by layer."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import fx

from toolkit.capture.builder import module_of
from toolkit.capture.product import Product
from toolkit.capture.slopes import Slopes
from toolkit.compress.matmul import PART, WEIGHTED, Matmul
from toolkit.compress.quantisation import grids
from toolkit.compress.quantisation.calibration import fitted
from toolkit.compress.quantisation.gates import GatedProduct
from toolkit.compress.quantisation.gptq import Moments, gptq
from toolkit.compress.quantisation.insert_quantisers import STEEP, entry, output_codes, prepared, replace
from toolkit.compress.quantisation.layers import InputScale, Quantised, QuantisedSlopes, Requantiser, Table
from toolkit.compress.steps import Gate, PerLayer, Quantise
from toolkit.design.formats import FixedPoint, union
from toolkit.design.layers.lookup import MAX_INPUT_WIDTH
from toolkit.utils.errors import InputError
from toolkit.utils.progress import bar

Env = dict[fx.Node, torch.Tensor]
FLOAT_FRAC = 100
"""Fractional bits, or bits before the last one, up to which float32 holds the codes of the widest activations, 24 bits,
exactly."""
BYTE = 8
"""Bits of an input that is a byte; fewer where fewer are asked for."""
ROUNDINGS = ("gptq", "nearest")


@dataclass(frozen=True)
class Widths:
    """Bits of the activations: the input's, hidden ones', the output's; `table`: what a table or a LeakyReLU reads."""

    input: int = 8
    hidden: int = 8
    output: int = 16
    table: int = 10

    def __post_init__(self) -> None:
        for name, bits in vars(self).items():
            low, high = (8, 12) if name == "table" else (2, 24)
            if not low <= bits <= high:
                raise InputError(f"{name} activations of {bits} bits are outside {low}..{high}")


def quantise(graph: fx.GraphModule, samples: torch.Tensor, step: Quantise, widths: Widths, *,
             rounding: str = "gptq", overrides: PerLayer | None = None, gate: Gate | None = None) -> fx.GraphModule:
    """A quantised copy of a float graph: Linears and Convs become Quantised, and codes are made where `prepared` says.

    `samples` float32 (n, *shape) calibrate it. `rounding` of weights: by `gptq`, or to `nearest`; `gate`: of products
    of two tensors. The copy's `meta['input']` is the input's format.
    """
    graph = prepared(graph)
    run = _Calibration(graph, samples, step, widths, rounding, output_codes(graph), overrides or PerLayer(),
                       gate or Gate())
    weighted = [n for n in graph.graph.nodes if isinstance(module_of(graph, n), WEIGHTED)]
    with bar(f"quantising to {step}", len(weighted)) as advance, torch.no_grad():
        for node in graph.graph.nodes:
            run.step(node)
            if node in weighted:
                advance(note=str(node.target)[:30])
    graph.meta["input"] = run.formats[next(iter(entry(graph).users))]
    return graph.eval()


class _Calibration:
    """Walks the graph with two values for every node: the float network's, and the quantised network's so far."""

    def __init__(self, graph: fx.GraphModule, samples: torch.Tensor, default: Quantise, widths: Widths,
                 rounding: str, final: set[fx.Node], overrides: PerLayer, gate: Gate) -> None:
        self.graph, self.samples, self.default, self.widths = graph, samples, default, widths
        self.rounding, self.final, self.overrides, self.gate = rounding, final, overrides, gate
        self.entry = entry(graph)
        self.real: Env = {}
        self.quantised: Env = {}
        self.formats: dict[fx.Node, FixedPoint] = {}
        self.uses = Counter(source for node in graph.graph.nodes for source in node.all_input_nodes)

    def step(self, node: fx.Node) -> None:
        module = module_of(self.graph, node)
        if node.op == "placeholder":
            self.real[node] = self.quantised[node] = self.samples.double()
        elif isinstance(module, InputScale):
            source = cast(fx.Node, node.args[0])
            self.real[node] = self.quantised[node] = copy.deepcopy(module).double()(self.real[source])
        elif isinstance(module, WEIGHTED):
            self._weighted(node, module)
            return  # its input is read again when its output's format is known
        elif isinstance(module, Requantiser):
            self._requantiser(node, module)
        elif isinstance(module, Table):
            self._table(node, module)
        elif isinstance(module, Slopes):
            source = cast(fx.Node, node.args[0])
            self.real[node] = module(self.real[source])
            layer = QuantisedSlopes(module, self.overrides.format(self._path(node), self.default).format)
            replace(self.graph, str(node.target), layer)
            self.quantised[node], self.formats[node] = layer(self.quantised[source]), self.formats[source]
        elif isinstance(module, Product):
            gated = GatedProduct(self.overrides.gate(self._path(node), self.gate).kind)
            replace(self.graph, str(node.target), gated)
            for env, function in ((self.real, module), (self.quantised, gated)):
                env[node] = function(*(env[cast(fx.Node, n)] for n in node.args))
        elif node.op != "output":
            for env in (self.real, self.quantised):
                env[node] = self._call(node, env)
                for source in node.all_input_nodes:
                    if self.uses[source] == 1:
                        del env[source]
            sources = [self.formats[n] for n in node.all_input_nodes if n in self.formats]
            self.formats[node] = union(sources) if len(sources) > 1 else sources[0]
        self._release(node)

    def _release(self, node: fx.Node) -> None:
        """Forget the values that nothing reads any more."""
        for source in node.all_input_nodes:
            self.uses[source] -= 1
            if not self.uses[source]:
                if isinstance(module_of(self.graph, source), Quantised):
                    self._release(source)
                for env in (self.real, self.quantised):
                    env.pop(source, None)

    def _call(self, node: fx.Node, env: Env) -> torch.Tensor:
        sources = node.all_input_nodes

        def call(*values: torch.Tensor) -> torch.Tensor:
            args = fx.map_arg(node.args, dict(zip(sources, values, strict=True)).__getitem__)
            if node.op == "call_module":
                return self.graph.get_submodule(str(node.target))(*args)
            return cast(Any, node.target)(*args, **node.kwargs)

        return _in_parts(call, *(env[n] for n in sources), spare=self._spare(env, sources))

    def _spare(self, env: Env, sources: list[fx.Node]) -> torch.Tensor | None:
        """The values of one of the sources that nothing reads after the present node."""
        for source in sources:
            if self.uses[source] == 1 and self.real.get(source) is not self.quantised.get(source):
                return env[source]
        return None

    def _path(self, node: fx.Node) -> str:
        name = str(node.target) if node.op == "call_module" else node.name
        return self.graph.meta["paths"].get(name, name)

    def _weighted(self, node: fx.Node, module: Any) -> None:
        source = cast(fx.Node, node.args[0])
        product = Matmul.of(module)
        weight, bias = module.weight.detach().double(), module.bias.detach().double()
        if not torch.isfinite(weight).all():
            raise InputError(f"the weights of '{node.target}' are not finite")
        step = self.overrides.format(self._path(node), self.default)
        rows = weight.flatten(1)
        # One exponent for all groups is none that each of them could choose alone.
        if self.rounding == "gptq" and not (product.groups > 1 and step.scale == "tensor"):
            parts = [gptq(part, seen, step.format, step.domain, step.scale) for part, seen
                     in zip(rows.chunk(product.groups), self._moments(product, source, weight), strict=True)]
            found, exponents, correction = (torch.cat(part) for part in zip(*parts, strict=True))
            bias_now = bias + correction
        else:
            exponents = grids.fit(rows, step.format, step.domain, step.scale)
            found, bias_now = grids.project(rows, exponents, step.format, step.domain), bias
        layer = Quantised(product, found.reshape(weight.shape), bias_now, exponents, step.format, weight != 0,
                          step.domain)
        replace(self.graph, str(node.target), layer)
        self.real[node] = _in_parts(lambda x: product(x, weight, bias), self.real[source],
                                    spare=self._spare(self.real, [source]))
        if self.uses[source] == 1:
            del self.real[source]

    def _moments(self, product: Matmul, source: fx.Node, weight: torch.Tensor) -> list[Moments]:
        """Of what the rows of each group of the weights are multiplied with."""
        found = [Moments() for _ in range(product.groups)]
        for parts in product.rows(self.quantised[source], weight):
            for one, rows in zip(found, parts, strict=True):
                one.add(rows)
        return found

    def _requantiser(self, node: fx.Node, requantiser: Requantiser) -> None:
        source = cast(fx.Node, node.args[0])
        self.real[node] = real = _in_parts(requantiser, self.real[source], spare=self._spare(self.real, [source]))
        if self.uses[source] == 1:
            del self.real[source]
        if source is self.entry:
            form = self._bytes() if self.graph.meta.get("bytes") and self.widths.input >= BYTE \
                else fitted(real.numpy(), self.widths.input)
        elif node in self.final:
            form = self._output(real)
        else:
            readers = [module_of(self.graph, user) for user in node.users]
            bits = self._width(source)
            if all(isinstance(reader, (Table, *STEEP)) for reader in readers):
                bits = self.widths.table if any(isinstance(reader, Table) for reader in readers) \
                    else max(self.widths.table, bits)
            form = fitted(real.numpy(), bits)
        requantiser.set(form)
        self.formats[node] = form
        layer = module_of(self.graph, source)
        if isinstance(layer, Quantised):
            before = cast(fx.Node, source.args[0])
            acc_frac = self.formats[before].frac + layer.codes().integers()[1]
            # Exact where the products are finer than the output; else two bits beyond the output's last.
            layer.bias_frac = acc_frac if acc_frac > form.frac else form.frac + 2
            exact = copy.deepcopy(layer).double()
            if self.uses[source] > 1:
                self.quantised[source] = _in_parts(exact, self.quantised[before])
            self.quantised[node] = _in_parts(lambda x: requantiser(exact(x)), self.quantised[before], kept=_kept(form))
        else:
            self.quantised[node] = _in_parts(requantiser, self.quantised[source], kept=_kept(form))

    def _bytes(self) -> FixedPoint:
        """Every byte is its own code, in whatever units the network reads it."""
        scale = module_of(self.graph, self.entry)
        return FixedPoint(False, BYTE, scale.exponents[0] if isinstance(scale, InputScale) else 0)

    def _table(self, node: fx.Node, table: Table) -> None:
        source = cast(fx.Node, node.args[0])
        before = self.formats[source]
        if before.width > MAX_INPUT_WIDTH:
            raise InputError(f"the table of '{self._path(node)}' would have an entry for every code of {before.width} "
                             f"bits; ask for at most {MAX_INPUT_WIDTH} bits of what it reads")
        self.real[node] = real = _in_parts(table, self.real[source])
        if not bool(torch.isfinite(real).all()):
            raise InputError(f"'{self._path(node)}' makes numbers of the calibration data that are not finite; keep "
                             "what it reads where it is defined, by a clamp or a small constant")
        form = self._output(real) if node in self.final else \
            fitted(real.numpy(), self._width(node))
        table.set(before, form)
        self.formats[node] = form
        self.quantised[node] = _in_parts(table, self.quantised[source], kept=_kept(form))

    def _width(self, node: fx.Node) -> int:
        """Bits of what `node` outputs: as they are set for itself, or for the layer whose activation it is."""
        default, before = self.widths.hidden, node.args[0]
        if isinstance(module_of(self.graph, node), (Table, *STEEP)) \
                and isinstance(module_of(self.graph, cast(fx.Node, before)), Requantiser):
            default = self.overrides.activation(self._path(cast(Any, before).args[0]), default)
        return self.overrides.activation(self._path(node), default)

    def _output(self, real: torch.Tensor) -> FixedPoint:
        """The format of what leaves the network: no calibration sample saturates it."""
        return fitted(real.numpy(), self.widths.output, never_saturate=True, spare=1)


def _kept(form: FixedPoint) -> torch.dtype:
    """The smallest type that holds every code of a format as a number."""
    return torch.float32 if abs(form.frac) <= FLOAT_FRAC else torch.float64


def _in_parts(function: Callable[..., torch.Tensor], *values: torch.Tensor,
              kept: torch.dtype = torch.float64, spare: torch.Tensor | None = None) -> torch.Tensor:
    """`function` of samples, as float64, a few at a time: what it holds meanwhile is small. `spare` takes the result if
    it has its shape and type; it may be what the result is made of."""
    samples = len(values[0])
    step = max(PART // max(one[0].numel() for one in values), 1)
    found = torch.empty(0)
    for start in range(0, samples, step):
        made = function(*(one[start:start + step].double() for one in values))
        if not start:
            shape = samples, *made.shape[1:]
            fits = spare is not None and spare.shape == shape and spare.dtype is kept
            found = spare if spare is not None and fits else torch.empty(shape, dtype=kept)
        found[start:start + step] = made
    return found
