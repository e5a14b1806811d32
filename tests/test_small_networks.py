"""Small networks of many kinds, pruned, of int8 weights and 16-bit activations, are near the pruned float networks. The
whole list, and Verilog and C of it, is `python -m benchmarks --only networks`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.networks.torch_networks import NETWORKS, made
from benchmarks.small_networks import GOAL, RATIO, compared
from toolkit.capture import capture
from toolkit.compress.pruning.structured import prune

pytestmark = pytest.mark.filterwarnings("ignore")
SOME = ("squeeze(-1)", "strided slice", "split and cat", "normalised by buffers", "1 - h", "NHWC input",
        "permute before flatten", "BatchNorm after cat", "BatchNorm after flatten", "pre-activation block",
        "weight_norm", "h @ W.T, tied", "Mish", "average pool with its padding", "cat([h, h]).flatten",
        "cat of global pools", "mean(2) into Conv1d", "U-Net", "depthwise, multiplier 3", "DenseNet",
        "names of Python's and torch.fx's own", "no weights", "in training mode")
"""One of each kind."""


def test_there_are_sixty_networks():
    assert len(NETWORKS) >= 60 and set(SOME) <= set(NETWORKS)


@pytest.mark.parametrize("name", SOME)
def test_a_small_network_is_near_its_pruned_float_self(name: str):
    assert compared(name)[1] <= GOAL


def test_channels_are_really_pruned():
    net = made("DenseNet")
    graph = capture(net, net.shape)
    pruned = prune(graph, RATIO, "l1")
    before, after = (sum(p.numel() for p in g.parameters()) for g in (graph, pruned))
    assert after < 0.8 * before
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(4, *net.shape))).float()
    assert pruned(x).shape == graph(x).shape
