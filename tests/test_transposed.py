"""Transposed convolutions: phases beside torch, the windows that GPTQ sees, files, hardware, and what is refused."""

from __future__ import annotations

import operator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx_files import floats, model, node, saved
from test_onnx_operations import whole
from torch import nn
from torch.nn import functional as F

from toolkit.api import Options, generate, simulate
from toolkit.capture import capture
from toolkit.capture.onnx import load_onnx
from toolkit.capture.transposed import ConvTranspose, turned
from toolkit.compress import Data
from toolkit.compress.compress import prove
from toolkit.compress.lower import lower
from toolkit.compress.matmul import Matmul
from toolkit.compress.phases import as_convolution, phases, shuffled
from toolkit.compress.quantisation.fake_quant import MinifloatLayer, coded
from toolkit.compress.quantisation.minifloat import Minifloat
from toolkit.compress.quantisation.ptq import Widths, quantise
from toolkit.compress.scheme import parse_step
from toolkit.compress.serialise import described, rebuilt
from toolkit.compress.steps import Quantise
from toolkit.design import Conv, Design, FixedPoint, IntegerFormat, Reorder, Requantise, Tensor, Weights
from toolkit.design.transposes import transpose_of
from toolkit.hardware import choose
from toolkit.hardware.folded import plan_folded
from toolkit.utils.errors import InputError

FUNCTIONS = {1: F.conv_transpose1d, 2: F.conv_transpose2d}
DEEP = (4, 3, 4)


@st.composite
def cases(draw: st.DrawFn) -> dict:
    """Options of a transposed convolution that PyTorch takes, and the size of what it reads."""
    rank, groups = draw(st.integers(1, 2)), draw(st.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    size, kernel, stride, dilation, padding = each(1, 5), each(1, 4), each(1, 4), each(1, 3), each(0, 4)
    extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    outputs = tuple((n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, s, p, d, k, e in zip(
        size, stride, padding, dilation, kernel, extra, strict=True))
    assume(min(outputs) > 0)
    return {"size": size, "kernel": kernel, "stride": stride, "dilation": dilation, "groups": groups,
            "padding": padding, "extra": extra, "outputs": outputs, "seed": draw(st.integers(0, 999)),
            "channels": (groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)))}


def integers(case: dict) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Samples, weights as PyTorch has them, and biases: float64 of small whole numbers."""
    rng, (inputs, outputs) = np.random.default_rng(case["seed"]), case["channels"]
    shapes = (3, inputs, *case["size"]), (inputs, outputs // case["groups"], *case["kernel"]), (outputs,)
    x, weight, bias = (torch.from_numpy(rng.integers(-8, 8, shape)).double() for shape in shapes)
    return x, weight, bias


def torch_says(case: dict, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return FUNCTIONS[len(case["size"])](x, weight, bias, case["stride"], case["padding"], case["extra"],
                                        case["groups"], case["dilation"])


def crop_of(case: dict) -> tuple[tuple[int, int], ...]:
    return tuple((p, p - e) for p, e in zip(case["padding"], case["extra"], strict=True))


@settings(max_examples=150, deadline=None)
@given(cases())
def test_a_convolution_of_phases_and_a_reordering_equal_torch(case: dict):
    x, weight, bias = integers(case)
    groups, channels = case["groups"], case["channels"][1]
    axes = [phases(*one) for one in zip(case["size"], case["kernel"], case["stride"], crop_of(case), case["dilation"],
                                        strict=True)]
    form = IntegerFormat(5)
    rows = Weights(form, form.encode(turned(weight, groups).long().numpy()), np.zeros(channels, np.int64))
    weights, added, window = as_convolution(rows, bias.long().numpy(), axes, groups)
    design = Design("d", Tensor("x", (*case["size"], case["channels"][0]), FixedPoint(True, 4, 0)), (
        Conv("phases", ("x",), weights, added, 0, window, groups, Requantise.to(FixedPoint(True, 24, 0))),
        Reorder("pixels", ("phases",), shuffled(axes, groups, channels), (*case["outputs"], channels))))
    found = design.reference(np.moveaxis(x.long().numpy(), 1, -1))
    assert np.array_equal(np.moveaxis(found, -1, 1), torch_says(case, x, weight, bias).long().numpy())


@settings(max_examples=40, deadline=None)
@given(cases())
def test_the_windows_that_gptq_sees_are_what_the_weights_are_multiplied_with(case: dict):
    x, weight, bias = integers(case)
    rows = turned(weight, case["groups"])
    product = Matmul(case["stride"], (), case["dilation"], case["groups"], crop_of(case))
    parts = [torch.cat([seen @ part.flatten(1).T for seen, part in zip(groups, rows.chunk(case["groups"]),
                                                                       strict=True)], 1)
             for groups in product.rows(x, rows)]
    made = torch.cat(parts) + bias
    assert torch.equal(made, torch_says(case, x, weight, bias).movedim(1, -1).reshape(-1, len(bias)))


def test_a_sample_of_the_windows_sees_every_phase(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("toolkit.compress.matmul.ROWS", 64)
    weight = torch.ones(1, 1, 2, 2)
    product = Matmul((2, 2), (), (1, 1), 1, ((0, 0), (0, 0)))
    (seen,), = product.rows(torch.ones(1, 1, 32, 32), weight)
    shares = seen.mean(0)  # of a kernel of 2 and a stride of 2 each tap has a phase of its own
    assert len(seen) < 200 and float(shares.min()) > 0.15 and float(shares.max()) < 0.35


@pytest.mark.parametrize("size, kernel, stride, crop, taps, positions, reordered", [
    (8, 3, 2, (1, 0), 2, 8, False), (8, 4, 2, (1, 1), 2, 9, True), (8, 2, 2, (0, 0), 1, 8, False),
    (8, 3, 1, (1, 1), 3, 8, False), (1, 4, 4, (0, 0), 1, 1, False)])
def test_of_the_ways_to_begin_the_one_of_the_fewest_products_is_taken(size, kernel, stride, crop, taps, positions,
                                                                       reordered):
    found = phases(size, kernel, stride, crop, 1)
    assert (found.taps.shape, found.positions) == ((stride, taps), positions)
    assert (found.positions * stride != found.outputs) == reordered
    assert sorted(found.taps[found.taps >= 0].tolist()) == list(range(kernel))


def small() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(4, 4, 2), nn.ReLU(), nn.ConvTranspose2d(4, 6, 3, (2, 1), 1, (1, 0), groups=2),
                         nn.ReLU(), nn.ConvTranspose2d(6, 2, (1, 2)))


def quantised(net: nn.Module, shape: tuple[int, ...], step: str, **options):
    samples = torch.randn(30, *shape, generator=torch.Generator().manual_seed(1))
    chosen = parse_step(step)
    assert isinstance(chosen, Quantise)
    return quantise(capture(net.eval(), shape), samples, chosen, Widths(), **options), samples.numpy()


def test_gptq_comes_nearer_than_rounding_to_nearest():
    net = small()
    errors = {}
    for rounding in ("gptq", "nearest"):
        graph, samples = quantised(net, DEEP, "log2:3", rounding=rounding)
        x = torch.from_numpy(samples)
        with torch.no_grad():
            errors[rounding] = float((graph(x) - net(x)).square().mean())
    assert errors["gptq"] < 0.9 * errors["nearest"]


@pytest.fixture(scope="module")
def design() -> Design:
    graph, samples = quantised(small(), DEEP, "log2:4")
    made = lower(graph, "transposed")
    prove(graph, made, Data.of(samples), argmax=False)
    return made


def test_every_target_makes_every_bit(design: Design, tmp_path: Path):
    targets = "verilog", "hls", "c", "hls4ml"
    generate(design, tmp_path / "p", targets=targets, options=Options(arch="folded"), vectors=40)
    found = simulate(tmp_path / "p", bench="player", stalls=True)
    assert found.ok, found.failures
    assert set(found.data["targets"]) == set(targets)


def test_folded_pixels_keep_two_rows_and_no_table(design: Design):
    options = Options(arch="folded")
    one = next(n for n in plan_folded(design, choose(design, options), options).nodes if isinstance(n.layer, Reorder))
    assert isinstance(one.layer, Reorder) and one.line_buffer is not None and one.line_buffer.table is None
    assert one.line_buffer.depth == 2 * one.inputs[0].size // one.inputs[0].shape[0]
    assert np.array_equal(one.line_buffer.taps, one.layer.index)


def test_hls4ml_refuses_pixels_of_which_some_are_cut_off(tmp_path: Path):
    net = nn.Sequential(nn.ConvTranspose2d(4, 2, 4, 2, 1), nn.ReLU(), nn.Conv2d(2, 1, 1))
    graph, _ = quantised(net, DEEP, "log2:4")
    with pytest.raises(InputError, match="hls4ml has no gather"):
        generate(lower(graph, "net"), tmp_path / "p", targets=("hls4ml",))


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(4)), st.lists(st.integers(1, 4), min_size=4, max_size=4))
def test_a_transpose_is_found_in_its_index(axes: list[int], shape: list[int]):
    index = np.arange(np.prod(shape)).reshape(shape).transpose(axes).reshape(-1)
    found = transpose_of(index)
    assert found is not None
    assert np.array_equal(np.arange(len(index)).reshape(found[0]).transpose(found[1]).reshape(-1), index)


@pytest.mark.parametrize("index", [[0, 2, 1], [1, 0], [0, 1, 2, 4], [0, 2, 4, 6], [0, 2, 3, 1], [0, 1, 0, 1]])
def test_what_is_no_transpose_is_told(index: list[int]):
    assert transpose_of(np.array(index)) is None


def test_an_export_taken_to_pieces_is_captured():
    net = small().eval()
    program = torch.export.export(net, (torch.zeros(2, *DEEP),)).run_decompositions()
    x = torch.randn(2, *DEEP)
    with torch.no_grad():
        assert torch.allclose(capture(program, DEEP)(x), net(x), atol=1e-6)


def test_minifloats_and_float_weights_are_stored_and_read_again():
    graph = capture(small(), DEEP)
    form = Minifloat("E4M3")
    for made in (graph, coded(graph, lambda *known: MinifloatLayer(*known, form))):
        made.meta.update(graph.meta)
        nodes, arrays = described(made)
        again = rebuilt({"graph": nodes, "input_shape": list(DEEP)}, arrays)
        x = torch.randn(3, *DEEP)
        with torch.no_grad():
            assert torch.equal(again(x), made(x))


ATTRIBUTES = {
    "plain": {}, "strides and pads": {"strides": [2, 3], "pads": [1, 0, 1, 2], "output_padding": [1, 0]},
    "more at the end": {"strides": [3, 2], "pads": [2, 1, 0, 1]}, "less at the end": {"pads": [0, 0, 2, 1]},
    "dilations": {"dilations": [2, 1], "strides": [1, 2]}, "SAME_UPPER": {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    "SAME_LOWER": {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
    "an output_shape": {"output_shape": [7, 8], "strides": [2, 2]}}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_node_of_a_file_computes_what_onnxruntime_does(name: str, tmp_path: Path):
    nodes = [node("ConvTranspose", "x w b", "y", group=2, **ATTRIBUTES[name])]
    made = model(nodes, ("N", *DEEP), {"w": floats(4, 3, 3, 3, seed=1), "b": floats(6, seed=2)})
    whole(made, DEEP, tmp_path)


@pytest.mark.parametrize("rest, weight, word", [
    ({"pads": [9, 9, 9, 9]}, (4, 2, 3, 3), "leave nothing"), ({"group": 3}, (4, 2, 3, 3), "in 3 groups"),
    ({"strides": [1 << 20, 1 << 20]}, (4, 2, 3, 3), "larger"), ({"strides": [0, 1]}, (4, 2, 3, 3), "do not fit"),
    ({"output_shape": [99, 99]}, (4, 2, 3, 3), "output_shape"), ({}, (4, 2, 3), "1-D and 2-D"),
    ({}, (3, 2, 3, 3), "4 channels"), ({"pads": [3, 3, 0, 0]}, (4, 2, 3, 3), "beyond")])
def test_a_node_that_does_not_fit_is_refused_by_name(rest: dict, weight: tuple[int, ...], word: str, tmp_path: Path):
    path = saved(model([node("ConvTranspose", "x w", "y", **rest)], ("N", *DEEP), {"w": floats(*weight)}), tmp_path)
    with pytest.raises(InputError, match=word) as caught:
        load_onnx(path)
    assert "ConvTranspose" in str(caught.value)


def test_a_transposed_convolution_larger_than_what_is_supported_is_refused():
    with pytest.raises(InputError, match=r"full output of \(9001, 9001\) pixels"):
        capture(nn.Sequential(nn.ConvTranspose2d(1, 1, 2, dilation=9000, padding=4499)), (1, 1, 1))


def test_a_norm_behind_folds_and_one_before_only_where_it_has_no_offset():
    def layers(norm: nn.Module) -> list[str]:
        net = nn.Sequential(nn.MaxPool2d(1), norm, nn.ConvTranspose2d(4, 2, 3), nn.BatchNorm2d(2)).eval()
        graph = capture(net, DEEP)
        x = torch.randn(3, *DEEP)
        with torch.no_grad():
            assert torch.allclose(graph(x), net(x), atol=1e-5)
        return [type(m).__name__ for m in graph.children()]

    scale, offset = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
    with torch.no_grad():
        scale.weight.fill_(3.0)
        offset.bias.fill_(1.0)
    assert layers(scale) == ["MaxPool2d", "ConvTranspose"]
    assert layers(offset) == ["MaxPool2d", "Conv2d", "ConvTranspose"]


def test_weights_turned_twice_are_as_they_were():
    weight = torch.arange(4 * 3 * 2.0).reshape(4, 3, 2)
    assert turned(weight, 2).shape == (6, 2, 2) and torch.equal(turned(turned(weight, 2), 2), weight)
    assert operator.eq(ConvTranspose(4, 6, (2,), (1,), ((0, 0),), (1,), 2).weight.shape, (6, 2, 2))
