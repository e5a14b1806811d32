"""Slices, permutations, constants and computed weights: captured whole, quantised within 1 %, and pruned rightly."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from small_models import in_eval_mode
from torch import fx, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune, weight_norm

from toolkit.capture import capture
from toolkit.compress.lower import lower
from toolkit.compress.pruning.structured import prune as structured
from toolkit.compress.quantisation.layout import channels_last, has_images
from toolkit.compress.quantisation.ptq import Widths, quantise
from toolkit.compress.scheme import parse_step
from toolkit.compress.serialise import described, rebuilt

IMAGE = (2, 4, 4)
VECTOR = (6,)
MEAN, STD = torch.tensor([0.3, 0.5]).reshape(1, 2, 1, 1), torch.tensor([0.2, 0.25]).reshape(1, 2, 1, 1)
PIXELS = torch.linspace(0.5, 1.5, 4)


class Net(nn.Module):
    """`function` of the input, a layer `a` and further ones, and a Linear of three outputs behind it."""

    def __init__(self, shape: tuple[int, ...], function: Callable[..., torch.Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.shape, self.function = shape, function
        self.a: nn.Module = nn.Conv2d(2, 4, 3, padding=1) if len(shape) == 3 else nn.Linear(6, 8)
        self.more = nn.ModuleList(layers)
        with torch.no_grad():
            made = function(torch.rand(2, *shape), self.a, *layers).flatten(1)
        self.head = nn.Linear(made.shape[1], 3)

    def forward(self, x):
        return self.head(self.function(x, self.a, *self.more).flatten(1))


class Weights(nn.Module):
    """Weights, masks and places as plain parameters and buffers."""

    shape = VECTOR

    def __init__(self) -> None:
        super().__init__()
        self.a, self.head = nn.Linear(6, 8), nn.Linear(8, 4)
        self.bias, self.matrix = nn.Parameter(torch.randn(8)), nn.Parameter(torch.randn(4, 8))
        self.register_buffer("mask", torch.tensor([1.0, 0, 1, 1, 0, 1, 1, 1]))

    def forward(self, x):
        h = ((self.a(x) + self.bias) * self.mask).relu()
        return self.head(h) + h @ (self.matrix * self.mask / 2).T


def computed() -> nn.Module:
    made = nn.Sequential(prune.l1_unstructured(nn.Linear(6, 8), "weight", 0.5), nn.ReLU(), weight_norm(nn.Linear(8, 8)),
                         nn.ReLU(), parametrizations.weight_norm(nn.Linear(8, 6)), nn.ReLU(),
                         parametrizations.spectral_norm(nn.Linear(6, 4)))
    made.shape = VECTOR
    made(torch.zeros(2, 6))
    return made


def image(function: Callable[..., torch.Tensor], *layers: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: Net(IMAGE, function, *(make() for make in layers))


def vector(function: Callable[..., torch.Tensor], *layers: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: Net(VECTOR, function, *(make() for make in layers))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "a slice with steps": image(lambda x, a: a(x).relu()[:, 1:4, ::2, 1:]),
    "halves added": image(lambda x, a: (lambda p, q: p + q)(*a(x).chunk(2, 1)).relu()),
    "a part of a split": image(lambda x, a: torch.split(a(x).relu(), [1, 3], 1)[1]),
    "parts of a vector, swapped": vector(lambda x, a: torch.cat(a(x).relu().chunk(2, 1)[::-1], 1)),
    "rows unbound and stacked": image(lambda x, a: torch.stack(a(x).unbind(2)[1:3], 2)),
    "channels by a list": image(lambda x, a: a(x)[:, [3, 0, 1]].relu()),
    "features by a list, one twice": vector(lambda x, a: a(x)[:, [3, 0, 3, 1]].relu()),
    "one row": image(lambda x, a: a(x)[:, :, 0].relu()),
    "narrowed": image(lambda x, a: a(x).narrow(3, 1, 2)),
    "channels last inside": image(lambda x, a: a(x).permute(0, 2, 3, 1).relu()),
    "there and back": image(lambda x, a: a(x).permute(0, 2, 3, 1).relu().permute(0, 3, 1, 2)),
    "transposed before a convolution": image(lambda x, a, c: c(a(x).relu().transpose(2, 3)),
                                             lambda: nn.Conv2d(4, 4, (3, 1))),
    "channels as rows": image(lambda x, a, c: c(a(x).relu().transpose(1, 2)), lambda: nn.Conv2d(4, 3, 3)),
    "flipped": image(lambda x, a: a(x).flip(1, 3)),
    "shuffled into pixels": image(lambda x, a: F.pixel_shuffle(a(x), 2)),
    "shuffled channels": image(lambda x, a: F.channel_shuffle(a(x), 2).relu()),
    "rolled": vector(lambda x, a: a(x).roll(1, 1)),
    "a mean taken off": image(lambda x, a: a(x) - a(x).mean((2, 3), keepdim=True)),
    "an input in -1..1": vector(lambda x, a: a(2 * x - 1).relu()),
    "a normalised input": image(lambda x, a: a((x - MEAN) / STD).relu()),
    "one minus": vector(lambda x, a: 1 - a(x).sigmoid()),
    "negated": vector(lambda x, a: -a(-x).relu()),
    "a difference": image(lambda x, a, c: (a(x).relu() - c(x).relu()).relu(), lambda: nn.Conv2d(2, 4, 1)),
    "halved with alpha": image(lambda x, a, c: torch.add(a(x).relu(), c(x).relu(), alpha=0.5) / 2,
                               lambda: nn.Conv2d(2, 4, 1)),
    "affine between clamps": vector(lambda x, a: (a(x).relu() * 1.5 - 0.5).relu()),
    "a scale a pixel": image(lambda x, a: (a(x).relu() * PIXELS).relu()),
    "a norm of a concatenation": image(lambda x, a, n: n(torch.cat([a(x), x], 1)).relu(), lambda: nn.BatchNorm2d(6)),
    "a norm of a sum": image(lambda x, a, n: n(a(x).relu() + a(x)).relu(), lambda: nn.BatchNorm2d(4)),
    "a norm of a vector": image(lambda x, a, n: n(a(x).relu().flatten(1)).relu(), lambda: nn.BatchNorm1d(64)),
    "a norm first": image(lambda x, a, n: a(n(x).relu()), lambda: nn.BatchNorm2d(2)),
    "a norm before a pool": image(lambda x, a, n: F.max_pool2d(n(a(x).relu()), 2), lambda: nn.BatchNorm2d(4)),
    "a sum over the image": image(lambda x, a: a(x).sum((2, 3)).relu()),
    "a maximum over an axis": image(lambda x, a: a(x).max(3).values),
    "weights of parameters": Weights, "computed weights": computed,
}


@cache
def pair(name: str) -> tuple[nn.Module, fx.GraphModule]:
    torch.manual_seed(0)
    net = in_eval_mode(NETWORKS[name]())
    return net, capture(net, net.shape)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_captured_whole(name):
    net, graph = pair(name)
    x = torch.randn(9, *graph.meta["input_shape"])
    with torch.no_grad():
        assert torch.allclose(graph(x), net(x), atol=1e-5)
        assert torch.equal(rebuilt({"graph": described(graph)[0], "input_shape": list(x.shape[1:])},
                                   described(graph)[1])(x), graph(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_its_design_is_within_a_hundredth_of_the_span(name):
    net, graph = pair(name)
    x = torch.rand(128, *graph.meta["input_shape"])
    step = parse_step("int:8")
    made = quantise(graph, x, step, Widths(16, 16, 16, 12)).double()
    design = lower(made, "tested")
    samples = x.double().numpy()
    codes = design.input.format.quantise(channels_last(samples) if has_images(made) and x.ndim > 2 else samples)
    found = design.output.format.value(design.reference(codes))
    with torch.no_grad():
        wanted = net(x).numpy()
        assert np.array_equal(made(x.double()).numpy(), found)
    assert np.abs(found - wanted).max() <= 0.01 * (wanted.max() - wanted.min())


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"computed weights"}))
def test_dead_channels_go_without_moving_an_output(name):
    """What pruning takes away is 0 in the network beside it, and so are the weights that read it."""
    graph = pair(name)[1]
    found = structured(graph, 0.5, "l2")
    muted = copy.deepcopy(graph)
    x = torch.randn(5, *graph.meta["input_shape"])
    with torch.no_grad():
        for key, parameter in muted.named_parameters():
            kept = torch.zeros(parameter.numel(), dtype=torch.bool)
            kept[found.meta["origin"][key].flatten()] = True
            parameter.mul_(kept.reshape(parameter.shape))
        assert torch.allclose(found(x), muted(x), atol=1e-5)
    counts = [sum(p.numel() for p in g.parameters()) for g in (found, graph)]
    assert counts[0] < counts[1]


def test_a_compiled_model_in_training_mode_is_taken_as_it_is_used():
    inner = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU())
    in_eval_mode(inner).train()
    net = torch.compile(nn.Sequential(torch.compile(inner), nn.Linear(8, 3)))
    graph = capture(net, VECTOR)
    assert any("training mode" in note for note in graph.meta["notes"]) and inner.training
    x = torch.randn(5, *VECTOR)
    with torch.no_grad():
        assert torch.allclose(graph(x), net._orig_mod[1](inner.eval()(x)), atol=1e-5)
