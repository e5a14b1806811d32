"""Capture of convolutional networks: each operation gives the same function as a graph of nn layers."""

from __future__ import annotations

import pytest
import torch
from small_models import Of, in_eval_mode
from torch import nn
from torch.nn import functional as F

from toolkit.capture import capture
from toolkit.utils.errors import InputError


def captured(model: nn.Module, shape: tuple[int, ...], tolerance: float = 1e-9) -> list[str]:
    """The kinds of layers that `model` became, checked to be the same function in float64."""
    graph = capture(in_eval_mode(model), shape)
    x = torch.randn(7, *shape, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(graph.double()(x), model.double()(x), rtol=0, atol=tolerance)
    return [type(m).__name__ for m in graph.children()]


@pytest.mark.parametrize("layer", [
    nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0), bias=False),
    nn.Conv2d(3, 6, 3, padding=2, dilation=2, groups=3), nn.Conv2d(3, 3, 3, groups=3, padding="same"),
    nn.Conv2d(3, 2, (4, 3), padding="same"), nn.Conv2d(3, 2, 2, padding="valid")])
def test_a_conv2d_is_captured(layer):
    assert captured(nn.Sequential(layer), (3, 8, 7))[-1] == "Conv2d"


def test_a_conv1d_is_captured():
    assert captured(nn.Sequential(nn.Conv1d(2, 4, 5, stride=2, padding=2)), (2, 16)) == ["Conv1d"]
    assert captured(nn.Sequential(nn.Conv1d(2, 4, 4, padding="same")), (2, 16)) == ["ZeroPad1d", "Conv1d"]


def test_zeros_around_an_image_stay_a_layer_for_the_conv_behind_it():
    padded = Of(lambda x, conv: conv(F.pad(x, (0, 1, 2, 0))), nn.Conv2d(2, 2, 3))
    assert captured(padded, (2, 5, 5)) == ["ZeroPad2d", "Conv2d"]


@pytest.mark.parametrize("layers, kinds", [
    ([nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)], ["Conv2d"]),
    ([nn.BatchNorm2d(2), nn.Conv2d(2, 4, 3, groups=2)], ["Conv2d"]),
    ([nn.BatchNorm2d(2), nn.Conv2d(2, 4, 3, padding=1)], ["Conv2d", "Conv2d"]),
    ([nn.MaxPool2d(2), nn.BatchNorm2d(2), nn.ReLU()], ["MaxPool2d", "Conv2d", "ReLU"]),
    ([nn.Conv2d(2, 1, 3), nn.Flatten(), nn.BatchNorm1d(36), nn.Linear(36, 2)], ["Conv2d", "Flatten", "Linear"])])
def test_a_batch_norm_is_folded_where_that_is_exact_and_is_a_depthwise_conv_elsewhere(layers, kinds):
    assert captured(nn.Sequential(*layers), (2, 8, 8), 1e-4) == kinds


def test_a_batch_norm_over_a_signal_is_folded():
    assert captured(nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.ReLU()), (2, 9), 1e-4) == ["Conv1d", "ReLU"]
    alone = nn.Sequential(nn.ReLU(), nn.BatchNorm1d(2), nn.ReLU())
    assert captured(alone, (2, 9), 1e-4) == ["ReLU", "Conv1d", "ReLU"]


@pytest.mark.parametrize("layer, kind", [
    (nn.MaxPool2d(3, 2, 1), "MaxPool2d"), (nn.MaxPool2d(2, ceil_mode=True), "MaxPool2d"),
    (nn.AvgPool2d((2, 3), stride=1), "AvgPool2d"), (nn.AvgPool2d(3, 2, 1), "AvgPool2d"),
    (nn.AdaptiveAvgPool2d((3, 1)), "AvgPool2d"), (nn.AdaptiveAvgPool2d((None, 3)), "AvgPool2d"),
    (nn.AdaptiveMaxPool2d(1), "MaxPool2d"), (nn.Upsample(scale_factor=(2, 3)), "Upsample"),
    (Of(lambda x: F.interpolate(x, size=(18, 9))), "Upsample"), (nn.Dropout2d(), None)])
def test_pools_and_upsampling_are_captured(layer, kind):
    assert captured(nn.Sequential(nn.ReLU(), layer), (2, 9, 9)) == ["ReLU", *([kind] if kind else [])]


def test_pools_over_signals_are_captured():
    assert captured(nn.Sequential(nn.MaxPool1d(2), nn.AvgPool1d(2), nn.AdaptiveAvgPool1d(1), nn.Flatten()), (2, 8)) == \
        ["MaxPool1d", "AvgPool1d", "AvgPool1d", "Flatten"]


@pytest.mark.parametrize("function", [
    lambda x: x.mean((2, 3)), lambda x: x.mean([-1, -2], keepdim=True).flatten(1), lambda x: x.amax((2, 3)),
    lambda x: F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1), lambda x: F.avg_pool2d(x, 6).view(x.size(0), -1)])
def test_a_mean_over_the_image_is_a_pool_and_a_flatten(function):
    assert captured(Of(function), (3, 6, 6))[1:] == ["Flatten"]


@pytest.mark.parametrize("layer", [nn.Sigmoid(), nn.Tanh(), nn.Hardsigmoid(), nn.Hardswish(), nn.SiLU(), nn.GELU(),
                                   nn.GELU("tanh"), nn.Softplus(2.0), nn.ELU(0.5), nn.SELU(), nn.Mish(),
                                   nn.LeakyReLU(0.25), nn.ReLU6(), nn.Hardtanh(-2, 1)])
def test_an_activation_keeps_its_options(layer):
    assert captured(nn.Sequential(layer), (2, 4, 4)) == [type(layer).__name__]


def test_x_times_its_sigmoid_is_silu():
    assert captured(Of(lambda x: x * torch.sigmoid(x)), (4,)) == ["SiLU"]
    assert captured(Of(lambda x: F.hardsigmoid(x) * x), (4,)) == ["Hardswish"]


def test_a_slope_goes_to_the_nearest_power_of_two_with_a_note():
    graph = capture(nn.Sequential(nn.LeakyReLU(0.01), nn.LeakyReLU(0.5)), (4,))
    assert [m.negative_slope for m in graph.children()] == [2.0**-7, 0.5]
    assert len(graph.meta["notes"]) == 1 and "0.01" in graph.meta["notes"][0]


class Block(nn.Module):
    """Two branches, added, joined with the input, and reshaped back and forth."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.b, self.head = nn.Conv2d(2, 4, 1), nn.Linear(6 * 16, 2 * 8)

    def forward(self, x):
        x = x.view(-1, 2, 4, 4) if x.ndim == 2 else x
        y = torch.cat([self.a(x) + self.b(x), x], 1)
        return self.head(y.flatten(1)).view(-1, 2, 8)


def test_a_residual_with_a_concatenation_and_reshapes_is_captured():
    assert captured(Block(), (2, 4, 4), 1e-4) == ["Conv2d", "ReLU", "Conv2d", "Flatten", "Linear", "Unflatten"]


@pytest.mark.parametrize("layer, said", [
    (nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), "reflect"), (nn.GroupNorm(1, 2), "BatchNorm"),
    (nn.AdaptiveAvgPool2d(5), "different sizes"), (nn.Upsample(scale_factor=1.5), "whole factors"),
    (nn.Upsample(scale_factor=2, mode="bilinear"), "nearest"), (nn.InstanceNorm2d(2), "BatchNorm"),
    (nn.ZeroPad2d(1), "'0.0'"), (nn.LeakyReLU(-2000.0), "slope"), (nn.ConstantPad2d(1, 3.0), "zeros"),
    (Of(lambda x: x.transpose(0, 1)[:2]), "mixes samples"),
    (Of(lambda x: x.mean((0, 2))), "batch"), (Of(lambda x: x.sum()), "batch"),
    (Of(lambda x: torch.einsum("bchw,bdhw->cd", x, x)), "activations")])
def test_what_has_no_hardware_is_refused_with_its_place_and_a_way_out(layer, said):
    with pytest.raises(InputError) as caught:
        capture(nn.Sequential(nn.Sequential(layer)), (2, 9, 9))
    assert said in str(caught.value) and "'0.0" in str(caught.value)


def test_an_export_taken_to_pieces_is_captured():
    made = in_eval_mode(nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.BatchNorm1d(4), nn.ReLU(), nn.MaxPool1d(2),
                                 nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 2)))
    whole = torch.export.export(made, (torch.zeros(2, 2, 8),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    x = torch.randn(5, 2, 8)
    with torch.no_grad():
        assert torch.allclose(capture(whole.run_decompositions(), (2, 8))(x), made(x), atol=1e-5)
