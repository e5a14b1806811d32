"""Structured pruning over graphs of every shape: channels that are dead on both sides go, and no output moves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from toolkit.capture import capture
from toolkit.capture.transposed import ConvTranspose
from toolkit.compress.matmul import WEIGHTED
from toolkit.compress.pruning.channels import Channels
from toolkit.compress.pruning.structured import prune
from toolkit.compress.training.distillation import student
from toolkit.utils.errors import InputError

IMAGE = (2, 4, 4)


class Net(nn.Module):
    """Layers by letter, and what is done with them; `head`, where given, is a Linear of so many outputs behind it."""

    def __init__(self, body: Callable[..., torch.Tensor], head: int = 3, **layers: nn.Module) -> None:
        super().__init__()
        self.body, self.names = body, list(layers)
        for name, layer in layers.items():
            self.add_module(name, layer)
        with torch.no_grad():
            made = body(torch.zeros(2, *IMAGE), *layers.values())
        self.head = nn.Linear(made.shape[1], head) if head else nn.Identity()

    def forward(self, x):
        return self.head(self.body(x, *(getattr(self, name) for name in self.names)))


def conv(i: int, o: int, k: int = 3, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, padding=k // 2, groups=groups)


def up(i: int, o: int, groups: int = 1) -> ConvTranspose:
    return ConvTranspose(i, o, (3, 3), (2, 2), ((1, 0), (1, 0)), (1, 1), groups)


def flat(h: torch.Tensor) -> torch.Tensor:
    return h.flatten(1)


def pool(h: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(h, 2).flatten(1)


def gap(h: torch.Tensor) -> torch.Tensor:
    return h.mean((2, 3))


def gmp(h: torch.Tensor) -> torch.Tensor:
    return F.adaptive_max_pool2d(h, 1).flatten(1)


def parts(first: Callable, second: Callable) -> Net:
    """Two convolutions, each made a vector its own way, concatenated."""
    return Net(lambda x, a, b: torch.cat([first(a(x).relu()), second(b(x).relu())], 1), a=conv(2, 4), b=conv(2, 6))


def u_net() -> Net:
    def body(x, a, b, c, d):
        wide = a(x).relu()
        deep = b(F.max_pool2d(wide, 2)).relu()
        return flat(d(torch.cat([F.interpolate(c(deep).relu(), scale_factor=2), wide], 1)).relu())
    return Net(body, a=conv(2, 4), b=conv(4, 8), c=conv(8, 6), d=conv(10, 4))


def dense_net() -> Net:
    def body(x, a, b, c):
        one = torch.cat([x, a(x).relu()], 1)
        two = torch.cat([one, b(one).relu()], 1)
        return gap(c(two).relu())
    return Net(body, a=conv(2, 4), b=conv(6, 4), c=conv(10, 8))


def squeezed() -> Net:
    """A residual of a concatenation: `c` meets both halves."""
    return Net(lambda x, a, b, c: flat(torch.cat([a(x).relu(), b(x).relu()], 1) + c(x).relu()),
               a=conv(2, 4), b=conv(2, 2), c=conv(2, 6))


NETWORKS: dict[str, tuple[Callable[[], Net], dict[str, list[int]]]] = {
    **{f"{f.__name__} beside {s.__name__}": (lambda f=f, s=s: parts(f, s), {"a": [1, 3], "b": [0, 1, 4]})
       for f in (flat, pool, gap, gmp) for s in (flat, pool, gap, gmp)},
    "twice, then flat": (lambda: Net(lambda x, a: torch.cat([h := a(x).relu(), h], 1).flatten(1), a=conv(2, 4)),
                         {"a": [0, 3]}),
    "twice as vectors": (lambda: Net(lambda x, a: torch.cat([h := a(flat(x)).relu(), h], 1), a=nn.Linear(32, 8)),
                         {"a": [0, 2, 5, 7]}),
    "added to itself": (lambda: Net(lambda x, a: flat((h := a(x).relu()) + h), a=conv(2, 4)), {"a": [0, 3]}),
    "rows as a signal": (lambda: Net(lambda x, a, b: flat(b(a(x).relu().flatten(2)).relu()), a=conv(2, 4),
                                     b=nn.Conv1d(4, 6, 3)), {"a": [1, 2], "b": [0, 1, 5]}),
    "a mean as a signal": (lambda: Net(lambda x, a, b: flat(b(a(x).relu().mean(2)).relu()), a=conv(2, 4),
                                       b=nn.Conv1d(4, 6, 3)), {"a": [1, 2], "b": [0, 1, 5]}),
    "rows as channels": (lambda: Net(lambda x, a, b: flat(b(a(x).relu().view(-1, 16, 4)).relu()), a=conv(2, 4),
                                     b=nn.Conv1d(16, 6, 3)), {"a": [1, 2], "b": [0, 1, 5]}),
    "pairs of channels as channels": (lambda: Net(lambda x, a, b: flat(b(a(x).relu().view(-1, 2, 8, 4)).relu()),
                                                  a=conv(2, 4), b=conv(2, 4)), {"a": [2, 3], "b": [0, 1]}),
    "a vector as an image": (lambda: Net(lambda x, a, b: flat(b(a(flat(x)).relu().unflatten(1, (4, 2, 2))).relu()),
                                         a=nn.Linear(32, 16), b=conv(4, 4)), {"a": [*range(4, 12)], "b": [0, 1]}),
    "along the height": (lambda: Net(lambda x, a, b: flat(torch.cat([a(x), b(x)], 2).relu()), a=conv(2, 4),
                                     b=conv(2, 4)), {"a": [0, 2], "b": [0, 2]}),
    "u-net": (u_net, {"a": [0, 3], "b": [1, 2, 6, 7], "c": [0, 4, 5], "d": [1, 2]}),
    "densenet": (dense_net, {"a": [0, 3], "b": [1, 2], "c": [0, 1, 2, 7]}),
    "branches beside the input": (lambda: Net(lambda x, a, b: flat(torch.cat([a(x).relu(), b(x).relu(), x], 1)),
                                              a=conv(2, 4), b=conv(2, 2)), {"a": [0, 3], "b": [1]}),
    "residual of a concatenation": (squeezed, {"a": [0, 3], "b": [1], "c": [0, 3, 5]}),
    "transposed": (lambda: Net(lambda x, a, b, c: flat(c(b(a(x).relu()).relu()).relu()), a=conv(2, 4), b=up(4, 6),
                               c=conv(6, 4)), {"a": [0, 3], "b": [1, 2, 5], "c": [0, 1]}),
    "transposed in groups": (lambda: Net(lambda x, a, b: flat(b(a(x).relu()).relu()), a=conv(2, 8),
                                         b=up(8, 8, groups=2)), {"a": [0, 2, 5, 6], "b": [0, 1, 6, 7]}),
    "transposed depthwise": (lambda: Net(lambda x, a, b: flat(b(a(x).relu()).relu()), a=conv(2, 4),
                                         b=up(4, 8, groups=4)), {"a": [1, 2], "b": [2, 3, 4, 5]}),
    "residual": (lambda: Net(lambda x, a, b: flat((h := a(x).relu()) + b(h).relu()), a=conv(2, 4), b=conv(4, 4)),
                 {"a": [0, 3], "b": [0, 3]}),
    **{f"depthwise, {m} times": (
        lambda m=m: Net(lambda x, a, b: flat(b(a(x).relu()).relu()), a=conv(2, 4), b=conv(4, 4 * m, groups=4)),
        {"a": [1, 2], "b": [*range(m, 3 * m)]}) for m in (1, 2, 3)},
    "depthwise before a pool": (lambda: Net(lambda x, a, b: gap(b(a(x).relu()).relu()), a=conv(2, 4),
                                            b=conv(4, 8, groups=4)), {"a": [1, 2], "b": [2, 3, 4, 5]}),
    "groups": (lambda: Net(lambda x, a, b: flat(b(a(x).relu()).relu()), a=conv(2, 8), b=conv(8, 4, groups=2)),
               {"a": [0, 2, 5, 6], "b": [1, 2]}),
    "groups of groups": (lambda: Net(lambda x, a, b, c: flat(c(b(a(x).relu()).relu()).relu()), a=conv(2, 8),
                                     b=conv(8, 8, groups=2), c=conv(8, 4, groups=2)),
                         {"a": [0, 2, 5, 6], "b": [0, 1, 6, 7], "c": [1, 2]}),
    "groups of two branches": (
        lambda: Net(lambda x, a, b, c: flat(c(torch.cat([a(x).relu(), b(x).relu()], 1)).relu()), a=conv(2, 4),
                    b=conv(2, 4), c=conv(8, 4, groups=2)), {"a": [0, 3], "b": [1, 2], "c": [0, 3]}),
    "groups that share channels": (
        lambda: Net(lambda x, a, b, c: flat(c(torch.cat([h := b(a(x).relu()).relu(), h], 1)).relu()), a=conv(2, 4),
                    b=conv(4, 4, groups=2), c=conv(8, 4, groups=4)), {"a": [0, 2], "b": [0, 2], "c": []}),
}


def worn(name: str) -> tuple[Net, dict[str, list[int]]]:
    """A network whose dead channels have weights and bias of 0 and are read with weights of 0."""
    make, dead = NETWORKS[name]
    torch.manual_seed(0)
    net = make().eval()
    layers = {key: layer for key, layer in net.named_modules() if isinstance(layer, WEIGHTED)}
    x = torch.rand(3, *IMAGE)
    seen: dict[str, torch.Tensor] = {}
    for key, layer in layers.items():
        layer.register_forward_hook(lambda _, args, __, key=key: seen.__setitem__(key, args[0].detach()))
    with torch.no_grad():
        for key, gone in dead.items():
            layers[key].weight[gone] = 0
            layers[key].bias[gone] = 0
        # What moves with a dead channel's bias is what reads it: those weights are 0, layer by layer.
        for key, layer in layers.items():
            net(x)
            still = seen[key]
            for other, gone in dead.items():
                layers[other].bias[gone] = 3.0
            net(x)
            moved = (seen[key] != still).transpose(0, 1).flatten(1).any(1)
            for other, gone in dead.items():
                layers[other].bias[gone] = 0
            groups = getattr(layer, "groups", 1)
            rows = layer.weight.view(groups, -1, *layer.weight.shape[1:])
            for row, columns in zip(rows, moved.view(groups, -1), strict=True):
                row[:, columns] = 0
    return net, dead


@pytest.mark.parametrize("name", NETWORKS)
def test_dead_channels_go_without_moving_an_output(name):
    net, dead = worn(name)
    graph = capture(net, IMAGE)
    found = prune(graph, 0.5, "l2")
    x = torch.randn(5, *IMAGE)
    with torch.no_grad():
        assert torch.allclose(found(x), graph(x), atol=1e-5)
        assert float(graph(x).std()) > 0.01
    for key, gone in dead.items():
        before, after = graph.get_submodule(key), found.get_submodule(key)
        assert len(after.weight) == len(before.weight) - len(gone)
        if gone:
            assert float(after.weight.detach().flatten(1).abs().sum(1).min()) > 0
    before = dict(graph.named_parameters())
    for key, kept in found.named_parameters():
        assert torch.equal(before[key].flatten()[found.meta["origin"][key].flatten()], kept.flatten())


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"groups that share channels"}))  # as small as can be
def test_a_student_of_every_shape_computes(name):
    made = student(capture(NETWORKS[name][0](), IMAGE), 0.6, 0)
    assert made(torch.zeros(2, *IMAGE)).shape == (2, 3)
    assert sum(p.numel() for p in made.parameters()) < sum(p.numel() for p in NETWORKS[name][0]().parameters())


def test_pruning_twice_still_knows_where_each_weight_came_from():
    graph = capture(u_net(), IMAGE)
    found = prune(prune(graph, 0.3, "l2"), 0.4, "l1")
    before = dict(graph.named_parameters())
    for key, kept in found.named_parameters():
        assert torch.equal(before[key].flatten()[found.meta["origin"][key].flatten()], kept.flatten())


def test_a_layer_that_keeps_its_channels_keeps_those_that_go_with_them():
    graph = capture(NETWORKS["residual"][0](), IMAGE)
    assert len(prune(capture(u_net(), IMAGE), 0.5, "l2", keep=("d",)).get_submodule("d").weight) == 4
    kept = prune(graph, 0.5, "l2", keep=("b",), widths={"a": 4})
    assert len(kept.get_submodule("a").weight) == len(kept.get_submodule("b").weight) == 4


def test_a_view_over_all_channels_keeps_them_all():
    net = Net(lambda x, a, b: flat(b(a(x).relu().view(-1, 1, 8, 8)).relu()), a=conv(2, 4), b=conv(1, 4))
    found = prune(capture(net, IMAGE), 0.5, "l2")
    assert len(found.get_submodule("a").weight) == 4 and len(found.get_submodule("b").weight) == 2


def test_classes_of_a_sum_are_pairs():
    channels = Channels(capture(NETWORKS["residual of a concatenation"][0](), IMAGE))
    made = channels.made
    assert made["c"].tolist() == [*made["a"], *made["b"]] and len(set(made["c"])) == 6
    assert not made["head"].any() and not channels.read["a"].any()


class Across(nn.Module):
    """A Linear along the rows of what another one makes: each of its channels is a row of the outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.columns = nn.Linear(6, 4), nn.Linear(5, 3)

    def forward(self, x):
        return self.columns(torch.relu(self.rows(x)).transpose(1, 2)).flatten(1)


def test_channels_that_go_only_together_are_named_as_such():
    with pytest.raises(InputError, match="reads the 4 channels of 'rows' lets them go only together, as 1 group"):
        prune(capture(Across(), (5, 6)), 0.3, "l1")
