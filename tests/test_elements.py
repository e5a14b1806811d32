"""Functions of elements, extremes, products with constants and reductions, as modules write them: captured whole, and
quantised as the reference computes them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from toolkit.capture import capture, load_pt2
from toolkit.capture.curve import Curve, Op, finite
from toolkit.capture.slopes import Slopes
from toolkit.compress import Data, Settings, compress
from toolkit.compress.lower import lower
from toolkit.compress.pruning.structured import prune
from toolkit.compress.quantisation.layers import QuantisedSlopes
from toolkit.compress.quantisation.ptq import Widths, quantise
from toolkit.compress.scheme import parse_step
from toolkit.compress.serialise import described, rebuilt
from toolkit.design import Extremum
from toolkit.design.weights import Log2Format, weight_format
from toolkit.utils.errors import InputError

VECTOR, ROWS, SIGNAL, IMAGE = (6,), (5, 6), (3, 8), (3, 6, 6)


class Of(nn.Module):
    """`function` of the input, of `w` (6, 5) and of modules."""

    def __init__(self, function: Callable[..., torch.Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self.function, self.inner = function, nn.ModuleList(modules)
        self.w = nn.Parameter(torch.randn(6, 5))

    def forward(self, x):
        return self.function(x, self.w, *self.inner)


def behind(function: Callable[[torch.Tensor], torch.Tensor]) -> nn.Module:
    """A function between two Linears."""
    return Of(lambda x, w, a, b: b(function(a(x))), nn.Linear(6, 5), nn.Linear(5, 2))


def sloped(channels: int) -> nn.PReLU:
    layer = nn.PReLU(channels)
    layer.weight.data = torch.linspace(-0.4, 1.3, channels) if channels > 1 else torch.tensor([0.3])
    return layer


FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "celu": nn.CELU(1.3), "softsign": nn.Softsign(), "log sigmoid": nn.LogSigmoid(), "tanhshrink": nn.Tanhshrink(),
    "softshrink": nn.Softshrink(0.3), "hardshrink": nn.Hardshrink(0.3), "threshold": nn.Threshold(0.1, -0.2),
    "rrelu": nn.RReLU().eval(), "exp": torch.exp, "log": lambda x: torch.log(x.abs() + 0.5),
    "rsqrt": lambda x: torch.rsqrt(F.relu(x) + 0.1), "cube": lambda x: x**3, "two to it": lambda x: 2**x,
    "sine": torch.sin,
    "square": lambda x: x * x,
    "reciprocal": lambda x: 2 / (1 + torch.exp(-x)), "quick gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "gauss": lambda x: torch.exp(-x * x), "gelu by hand": lambda x: 0.5 * x * (1 + torch.tanh(
        0.79788 * (x + 0.044715 * x**3))), "a choice": lambda x: torch.where(x > 0, x, torch.exp(x) - 1),
    "a step": lambda x: (x > 0.1).float(), "steep": nn.LeakyReLU(-1.5), "absolute": torch.abs,
    "mish by hand": lambda x: x * torch.tanh(F.softplus(x)), "rounded": lambda x: torch.round(4 * x),
}
PRODUCTS: dict[str, tuple[tuple[int, ...], Callable[[], nn.Module]]] = {
    "rows": (ROWS, lambda: nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))),
    "rows of rows": ((2, 3, 4, 6), lambda: nn.Linear(6, 4)), "a mixer": (ROWS, lambda: Of(
        lambda x, w, a, b: b(a(x).transpose(1, 2)).transpose(1, 2), nn.Linear(6, 4), nn.Linear(5, 5))),
    "from the left": ((5, 3), lambda: Of(lambda x, w: w @ x)), "by the transpose": ((7, 5), lambda: Of(
        lambda x, w: x @ w.T)), "a vector": (ROWS, lambda: Of(lambda x, w: x @ w[:, 0])),
    "einsum": ((5, 4, 6), lambda: Of(lambda x, w: torch.einsum("btsi,io->btos", x, w))),
    "einsum without an arrow": (VECTOR, lambda: Of(lambda x, w: torch.einsum("bi,io", x, w))),
    "groups": ((6, 5, 4), lambda: Of(lambda x, w: torch.einsum("bhkt,hk->bht", x, w))),
    "tensordot": (ROWS, lambda: Of(lambda x, w: torch.tensordot(x, w, 1))), "addmm": (VECTOR, lambda: Of(
        lambda x, w: torch.addmm(w[0], x, w, beta=0.5, alpha=2))), "inner": (VECTOR, lambda: Of(
            lambda x, w: torch.inner(x, w.T))),
    "norms of rows": (ROWS, lambda: nn.Sequential(nn.BatchNorm1d(5), nn.Linear(6, 4), nn.BatchNorm1d(5), nn.ReLU())),
    "an orthogonal weight": (VECTOR, lambda: parametrizations.orthogonal(nn.Linear(6, 6), orthogonal_map="cayley")),
    "an orthogonal weight, as PyTorch makes it": (VECTOR, lambda: parametrizations.orthogonal(nn.Linear(6, 6))),
    "a standardised weight": (IMAGE, lambda: Of(lambda x, w, c: F.conv2d(x, (c.weight - c.weight.mean(
        (1, 2, 3), True)) / (c.weight.std((1, 2, 3), keepdim=True) + 1e-5)), nn.Conv2d(3, 4, 3))),
    "a masked weight": (VECTOR, lambda: Of(lambda x, w: F.linear(x, torch.where(w.abs() > 0.5, w, 0).T))),
}
REDUCED: dict[str, tuple[tuple[int, ...], Callable[[torch.Tensor], torch.Tensor]]] = {
    "the largest channel": (IMAGE, lambda x: x.amax(1)), "the least pixel": (IMAGE, lambda x: x.amin((2, 3))),
    "the least of a row": (IMAGE, lambda x: x.min(2).values), "all": (IMAGE, lambda x: x.mean((1, 2, 3))),
    "a vector's sum": (VECTOR, lambda x: x.sum(1, keepdim=True)), "channels and rows": (IMAGE, lambda x: x.sum((1, 2))),
    "time": (ROWS, lambda x: x.mean(1)), "averages without padding": (
        IMAGE, lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)),
    "averages beyond the end": (IMAGE, lambda x: F.avg_pool2d(x, 4, 3, 1, ceil_mode=True)),
    "averages over 3": (IMAGE, lambda x: F.avg_pool2d(x, 2, divisor_override=3)),
    "averages of a signal": (SIGNAL, lambda x: F.avg_pool1d(x, 3, 2, 1, True, False)),
    "overlapping windows": (IMAGE, lambda x: F.adaptive_avg_pool2d(x, 4)), "overlapping largest": (
        IMAGE, lambda x: F.adaptive_max_pool2d(x, 4)), "the larger": (IMAGE, lambda x: torch.maximum(x, 0.5 - x)),
    "the smaller": (IMAGE, lambda x: torch.minimum(x, x.mean((2, 3), True))), "the larger of constants": (
        VECTOR, lambda x: torch.max(x, torch.linspace(-1, 1, 6))), "a clamp by tensors": (
        VECTOR, lambda x: torch.clamp(x, min=torch.linspace(-1, 0, 6), max=torch.tensor(0.5))),
}
PRELUS: dict[str, tuple[tuple[int, ...], Callable[[], nn.Module]]] = {
    "features": (VECTOR, lambda: nn.Sequential(nn.Linear(6, 5), sloped(5), nn.Linear(5, 2))),
    "one slope": (VECTOR, lambda: nn.Sequential(nn.Linear(6, 5), sloped(1))),
    "channels": (IMAGE, lambda: nn.Sequential(nn.Conv2d(3, 4, 3), sloped(4), nn.Flatten(), nn.Linear(64, 2))),
    "a flattened image": (IMAGE, lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), sloped(64), nn.Linear(64, 2))),
    "a signal": (SIGNAL, lambda: nn.Sequential(nn.Conv1d(3, 4, 3), sloped(4))),
}
EVERY: dict[str, tuple[tuple[int, ...], Callable[[], nn.Module]]] = {
    **{name: (VECTOR, lambda f=f: behind(f)) for name, f in FUNCTIONS.items()}, **PRODUCTS, **PRELUS,
    **{name: (shape, lambda f=f: Of(lambda x, w: f(x))) for name, (shape, f) in REDUCED.items()}}


def network(name: str) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    shape, make = EVERY[name]
    net = make().train()
    x = torch.randn(40, *shape)
    net(x)  # lets the norms have statistics
    return net.eval(), x


def alike(graph: nn.Module, net: nn.Module, x: torch.Tensor) -> bool:
    with torch.no_grad():
        wanted = net(x)
        return bool(torch.allclose(graph(x).reshape(wanted.shape), wanted, atol=1e-5, rtol=1e-4))


@pytest.mark.parametrize("name", EVERY)
def test_what_a_module_computes_is_captured_whole(name: str):
    net, x = network(name)
    assert alike(capture(net, tuple(x.shape[1:])), net, x)


@pytest.mark.parametrize("name", ["softsign", "a choice", "einsum", "groups", "tensordot", "a masked weight",
                                  "channels", "averages without padding", "the smaller"])
def test_what_a_pt2_file_holds_is_captured_whole(name: str, tmp_path):
    net, x = network(name)
    torch.export.save(torch.export.export(net, (x[:2],), dynamic_shapes=({0: torch.export.Dim("batch")},)),
                      tmp_path / "net.pt2")
    assert alike(capture(load_pt2(tmp_path / "net.pt2"), tuple(x.shape[1:])), net, x)


@pytest.mark.parametrize("step", ["log2:4", "int:8"])
@pytest.mark.parametrize("name", ["softsign", "a choice", "rows", "groups", "the largest channel",
                                  "averages without padding", "averages over 3",
                                  "a vector's sum", "the smaller", "absolute", *PRELUS])
def test_the_network_in_float64_equals_the_reference_and_an_artifact_keeps_it(name: str, step: str):
    net, x = network(name)
    graph = capture(net, tuple(x.shape[1:]))
    nodes, arrays = described(graph)
    again = rebuilt({"graph": nodes, "input_shape": list(x.shape[1:])}, arrays)
    assert alike(again, net, x)
    made = quantise(again, x, parse_step(step), Widths()).double()
    design = lower(made, "network")
    codes = design.input.quantise(np.moveaxis(x.numpy(), 1, -1).reshape(len(x), *design.input.shape))
    with torch.no_grad():
        wanted = made(x.double()).numpy()
    wanted = np.moveaxis(wanted, 1, -1) if wanted.ndim > 2 and len(design.output.shape) > 1 else wanted
    found = design.output.format.value(design.reference(codes))
    assert np.array_equal(found.reshape(wanted.shape), wanted)


def test_two_tensors_have_their_larger_in_one_layer():
    net, x = network("the larger")
    design = compress(net, Data.of(x.numpy()), "int:8", Settings(qat_epochs=0)).design
    assert [layer.least for layer in design.layers if isinstance(layer, Extremum)] == [False]


def test_a_function_of_one_tensor_is_one_table():
    net, _ = network("gelu by hand")
    assert [type(m).__name__ for m in capture(net, VECTOR).children()] == ["Linear", "Curve", "Linear"]


def test_pruned_channels_take_their_slopes_with_them():
    net, x = network("channels")
    graph = capture(net, IMAGE)
    made = prune(graph, 0.5, "l1")
    slopes, before = (next(m for m in g.modules() if isinstance(m, Slopes)) for g in (made, graph))
    kept = made.meta["origin"]["layer_1.negative"]
    assert len(kept) == 2 and torch.equal(slopes.negative, before.negative[kept])
    assert made(x).shape == (40, 2)


def test_slopes_lie_on_few_digits_or_as_many_bits_as_weights_have():
    slopes = Slopes(torch.tensor([0.3, -0.01, 1.0, 2.0**-30, 5.3]))
    two, eight = QuantisedSlopes(slopes, Log2Format.of(4)), QuantisedSlopes(slopes, weight_format("int", 8))
    for one, most in ((two, 0.1), (eight, 2.0**-7)):
        negative, positive, frac = one.codes()
        assert (positive == 1 << frac).all() and negative[3] == 0
        wanted = slopes.negative.detach().numpy()
        assert (np.abs(np.ldexp(negative, -frac) - wanted) <= most * np.abs(wanted) + 2.0**-17).all()
    assert max(bin(abs(int(v)) ^ (3 * abs(int(v)))).count("1") for v in two.codes()[0]) <= 2  # signed digits


def test_where_a_function_is_no_number_the_nearest_code_that_has_one_stands_in():
    x = torch.tensor([-2.0, -1.0, 1.0, 4.0])
    assert finite(Curve((Op("sqrt", (0,)),))(x)).tolist() == [1, 1, 1, 2]
    assert finite(torch.full((2,), torch.nan)).tolist() == [0, 0]


def test_a_function_that_is_no_number_of_the_calibration_data_is_refused():
    with pytest.raises(InputError, match="not finite; keep what it reads"):
        quantise(capture(behind(torch.log).eval(), VECTOR), torch.randn(40, 6), parse_step("log2:4"), Widths())


def test_an_artifact_holds_no_unknown_function():
    graph = capture(behind(torch.exp).eval(), VECTOR)
    nodes, arrays = described(graph)
    next(n for n in nodes if n["op"] == "curve")["options"]["ops"][0][0] = "system"
    with pytest.raises(InputError, match="'system', which is not known"):
        rebuilt({"graph": nodes, "input_shape": [6]}, arrays)


@pytest.mark.parametrize("product", [torch.matmul, lambda a, b: torch.linalg.matrix_exp(a)])
def test_a_product_of_constants_that_would_take_long_is_refused_before_any_work(product):
    net = Of(lambda x, w: x @ product(torch.full((1500, 1500), 1e-4), torch.full((1500, 1500), 1e-4)))
    with pytest.raises(InputError, match="multiplications of constants alone"):
        capture(net, (1500,))
