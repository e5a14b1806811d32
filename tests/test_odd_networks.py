"""Networks that are unlike most: layers named like Python's own words, none with weights, heads of one number."""

from __future__ import annotations

import keyword
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import fx, nn

from toolkit.api import Data, Settings, build, compress, simulate
from toolkit.capture import capture
from toolkit.utils.errors import InputError

ATTRIBUTES = [name for name in dir(fx.GraphModule(nn.Module(), fx.Graph())) if name not in dir(nn.Module())]


class Named(nn.Module):
    """Two layers with names of one's own."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names
        for name in names:
            self.add_module(name, nn.Linear(5, 5))

    def forward(self, x):
        for name in self.names:
            x = torch.relu(getattr(self, name)(x))
        return x


def test_every_word_of_python_and_of_torch_fx_is_a_name():
    names = sorted({*keyword.kwlist, *keyword.softkwlist, *ATTRIBUTES, "meta", "graph", "code", "x", "torch"})
    assert {"in", "class", "graph", "meta", "code", "match"} <= set(names)
    net = Named(*(name for name in names if not hasattr(Named(), name))).eval()
    assert len(net.names) > 40
    graph, x = capture(net, (5,)), torch.randn(9, 5)
    assert torch.equal(graph(x), net(x))
    assert set(net.names) <= set(graph.meta["paths"].values())


def test_a_network_of_such_names_becomes_hardware(tmp_path: Path):
    data = Data.of(np.random.default_rng(0).random((64, 5)))
    build(Named("in", "code", "class", "graph"), data, "structured:0.4+log2:4", tmp_path / "o",
          targets=("verilog", "c"), settings=Settings(qat_epochs=1, finetune_epochs=1), vectors=20, check=False)
    assert simulate(tmp_path / "o" / "hardware").ok


@pytest.fixture
def pooled() -> nn.Module:
    return nn.Sequential(nn.AvgPool1d(4), nn.Flatten(), nn.ReLU())


@pytest.mark.parametrize("labels", [False, True])
def test_a_network_without_weights_is_compressed_to_itself(pooled, labels, tmp_path: Path):
    rng = np.random.default_rng(0)
    x, y = rng.random((64, 2, 4)), rng.integers(0, 2, 64)
    data = Data.of(x, y, x, y) if labels else Data.of(x)
    found = build(pooled, data, "log2:4", tmp_path / "o", settings=Settings(qat_epochs=2, finetune_epochs=1),
                  targets=("c",),
                  vectors=50)
    step = compress(pooled, data, "log2:4", Settings(qat_epochs=2)).steps[-1]
    assert (step.size, step.ratio, step.sparsity, step.weight_ber) == (0, 1.0, 0.0, 0.0)
    assert found is not None and simulate(tmp_path / "o" / "hardware").ok


@pytest.mark.parametrize("scheme", ["structured:0.5", "magnitude:0.5", "random:0.5", "nm:2:4"])
def test_there_is_nothing_to_prune_in_a_network_without_weights(pooled, scheme):
    with pytest.raises(InputError, match="with weights"):
        compress(pooled, Data.of(np.random.default_rng(0).random((64, 2, 4))), scheme, Settings(qat_epochs=0,
                                                                                                finetune_epochs=0))


class Ending(nn.Module):
    """A layer, and a function of what it gives."""

    def __init__(self, layer: nn.Module, function) -> None:
        super().__init__()
        self.layer, self.function = layer, function

    def forward(self, x):
        return self.function(self.layer(x))


@pytest.mark.parametrize("function, shape", [
    (lambda h: torch.softmax(h, 0), (6,)), (lambda h: torch.argmax(torch.softmax(h, 0), 1), (6,)),
    (lambda h: torch.log_softmax(h, -2), (6,)), (lambda h: torch.softmax(h, 0), (1, 5, 5)),
    (lambda h: torch.softmax(h, 2), (1, 5, 5)), (lambda h: torch.softmax(h, -1), (1, 5, 5)),
    (lambda h: torch.log_softmax(h, -2), (1, 5, 5))])
def test_a_softmax_that_moves_the_argmax_is_refused(function, shape):
    layer = nn.Linear(6, 4) if len(shape) == 1 else nn.Conv2d(1, 3, 3)
    with pytest.raises(InputError, match=r"softmax.*moves the argmax"):
        capture(Ending(layer, function), shape)


@pytest.mark.parametrize("function, shape", [
    (lambda h: torch.softmax(h, 1), (6,)), (lambda h: torch.softmax(h, -1), (6,)),
    (lambda h: torch.argmax(torch.softmax(h, 1), 1), (6,)), (lambda h: torch.log_softmax(h, -3), (1, 5, 5))])
def test_a_softmax_that_does_not_is_left_out(function, shape):
    layer = nn.Linear(6, 4) if len(shape) == 1 else nn.Conv2d(1, 3, 3)
    net, x = Ending(layer, function), torch.randn(50, *shape)
    graph = capture(net, shape)
    assert any("left out" in note for note in graph.meta["notes"])
    due, got = net(x), graph(x)
    assert torch.equal(got if due.ndim == 1 else got.argmax(1), due if due.ndim == 1 else due.argmax(1))


@pytest.mark.parametrize("function", [
    lambda h: h.squeeze(-1), lambda h: h.squeeze(1), lambda h: h[..., None].squeeze(-1).squeeze(-1),
    lambda h: torch.sigmoid(h.squeeze(-1)), lambda h: h.squeeze(-1).unsqueeze(1), lambda h: h.reshape(-1),
    lambda h: h.flatten(), lambda h: h.squeeze(-1) + h.relu().squeeze(-1)])
def test_a_head_of_one_number_may_be_squeezed(function):
    net, x = Ending(nn.Linear(6, 1), function).eval(), torch.randn(9, 6)
    found = capture(net, (6,))(x)
    assert found.shape == (9, 1) and torch.allclose(found[:, 0], net(x).reshape(-1))


def test_a_squeezed_head_is_trained_as_one_that_is_not():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)).astype(np.float32)
    y = (x @ rng.normal(size=6)).astype(np.float32)
    errors = []
    for function in (lambda h: h.squeeze(-1), lambda h: h):
        torch.manual_seed(0)
        errors.append([step.error for step in compress(
            Ending(nn.Linear(6, 1), function), Data.of(x[:150], y[:150], x[150:], y[150:]), "int:8",
            Settings(qat_epochs=20, lr=0.05)).steps])
    assert errors[0] == errors[1] and errors[0][-1] < 0.8 * errors[0][0]
