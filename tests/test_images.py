"""Convolutional networks through quantisation and lowering: torch in float64 equals the reference, code for code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_models import Of
from torch import nn
from torch.nn import functional as F

from toolkit.capture import capture
from toolkit.compress import Data, Settings, compress, matmul
from toolkit.compress.compress import prove
from toolkit.compress.lower import lower
from toolkit.compress.matmul import Matmul
from toolkit.compress.pruning.structured import prune
from toolkit.compress.quantisation import ptq
from toolkit.compress.quantisation.gptq import gptq
from toolkit.compress.quantisation.layers import Quantised, Table
from toolkit.compress.quantisation.layout import hardware_order
from toolkit.compress.quantisation.ptq import Widths, quantise
from toolkit.compress.scheme import Overrides, parse_step
from toolkit.compress.steps import Quantise
from toolkit.compress.training.loop import train
from toolkit.design import Design, Log2Format
from toolkit.utils.errors import InputError


def chain(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers)


IMAGE = (3, 6, 6)
SIGNAL = (2, 12)
NETWORKS = {
    "conv": (IMAGE, lambda: chain(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))),
    "strides, padding, dilation": (IMAGE, lambda: chain(nn.Conv2d(3, 4, (3, 2), (2, 1), (1, 0)), nn.ReLU(),
                                                        nn.Conv2d(4, 2, 2, padding=1, dilation=(1, 2)))),
    "groups": (IMAGE, lambda: chain(nn.Conv2d(3, 6, 3, groups=3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 1, groups=2),
                                    nn.Flatten(), nn.Linear(288, 3))),
    "depthwise": (IMAGE, lambda: chain(nn.Conv2d(3, 3, 3, groups=3), nn.BatchNorm2d(3), nn.ReLU6(), nn.Conv2d(3, 4, 1),
                                       nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 1))),
    "asymmetric padding": (IMAGE, lambda: chain(nn.ZeroPad2d((0, 1, 2, 0)), nn.Conv2d(3, 2, 3, padding=(0, 1)),
                                                nn.Conv2d(2, 2, 4, padding="same"))),
    "max pools": (IMAGE, lambda: chain(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2, ceil_mode=True), nn.ReLU(),
                                       nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 2, 1))),
    "a max pool in ceil_mode with padding": (SIGNAL, lambda: chain(nn.ZeroPad1d((1, 0)), nn.Conv1d(2, 3, 2), nn.ReLU(),
                                                                   nn.ZeroPad1d((0, 1)),
                                                                   nn.MaxPool1d(4, 3, 1, ceil_mode=True))),
    "average pools": (IMAGE, lambda: chain(nn.AvgPool2d(3, 1, 1), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.AvgPool2d((2, 4)))),
    "global pool": (IMAGE, lambda: Of(lambda x, a, b: b(a(x).relu().mean((2, 3))), nn.Conv2d(3, 4, 3),
                                      nn.Linear(4, 3))),
    "residual": (IMAGE, lambda: Of(lambda x, a, b, c: c((F.relu(a(x)) + b(x)).flatten(1)), nn.Conv2d(3, 4, 3),
                                   nn.Conv2d(3, 4, 3), nn.Linear(64, 3))),
    "concatenations": (IMAGE, lambda: Of(lambda x, a, b, c: c(torch.cat([torch.cat([a(x), x], 1).relu().flatten(1),
                                                                         b(x).flatten(1)], 1)),
                                         nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 3), nn.Linear(36 * 5 + 32, 3))),
    "joined branches": (IMAGE, lambda: Of(lambda x, a, b, c, d: d(c(torch.cat([a(x).relu(), b(x)], 1)).flatten(1)),
                                          nn.Conv2d(3, 4, 3), nn.Conv2d(3, 2, 3), nn.Conv2d(6, 6, 3, groups=6),
                                          nn.Linear(24, 3))),
    "a concatenation along the height": (IMAGE, lambda: Of(lambda x, a: torch.cat([a(x), x], 2), nn.Conv2d(3, 3, 1))),
    "upsampling": (IMAGE, lambda: chain(nn.Conv2d(3, 2, 3, stride=2), nn.Upsample(scale_factor=(2, 3)),
                                        nn.Conv2d(2, 2, 2))),
    "transposed": (IMAGE, lambda: chain(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.ConvTranspose2d(4, 3, 3, 2, 1, 1),
                                        nn.BatchNorm2d(3), nn.ReLU(), nn.ConvTranspose2d(3, 2, (2, 4), (2, 1)))),
    "transposed in groups": (IMAGE, lambda: chain(nn.Conv2d(3, 4, 3), nn.ReLU(),
                                                  nn.ConvTranspose2d(4, 6, (4, 3), (2, 3), (1, 2), (1, 0), groups=2,
                                                                     dilation=(1, 2)), nn.Flatten(),
                                                  nn.Linear(540, 3))),
    "a transposed signal": (SIGNAL, lambda: chain(nn.ConvTranspose1d(2, 4, 4, 3, 2, 1, bias=False), nn.Tanh(),
                                                  nn.ConvTranspose1d(4, 4, 3, groups=4), nn.Conv1d(4, 2, 3))),
    "leaky": (IMAGE, lambda: chain(nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.125), nn.Conv2d(4, 2, 3), nn.LeakyReLU(0.5))),
    "tables": (IMAGE, lambda: chain(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Conv2d(4, 2, 3), nn.GELU(), nn.Flatten(),
                                    nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 3), nn.Sigmoid())),
    "tables of what others read too": (IMAGE, lambda: Of(lambda x, a: F.hardswish(x) + F.softplus(a(x)) + x,
                                                         nn.Conv2d(3, 3, 1))),
    "signals": (SIGNAL, lambda: chain(nn.Conv1d(2, 4, 3, padding=1), nn.BatchNorm1d(4), nn.ReLU(), nn.AvgPool1d(2),
                                      nn.Conv1d(4, 6, 2, groups=2), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(12, 3))),
    "a signal without channels": ((12,), lambda: Of(lambda x, a, b: b(a(x.unsqueeze(1)).relu().flatten(1)),
                                                    nn.Conv1d(1, 3, 5, 2), nn.Linear(12, 2))),
    "features to an image": ((6,), lambda: Of(lambda x, a, b: b(a(x).relu().view(-1, 2, 3, 3)), nn.Linear(6, 18),
                                              nn.Conv2d(2, 2, 2))),
    "a flatten at the end": (IMAGE, lambda: chain(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Flatten())),
    "flattened, then added": (IMAGE, lambda: Of(lambda x, a, b, c: c(b(a(x).flatten(1)) + a(x).flatten(1)),
                                                nn.Conv2d(3, 2, 3), nn.Linear(32, 32), nn.Linear(32, 2))),
    "flattened, reshaped": (IMAGE, lambda: Of(lambda x, a, b: b(a(x).view(-1, 4, 8)), nn.Conv2d(3, 2, 3),
                                              nn.Conv1d(4, 2, 3))),
    "a norm on its own": (IMAGE, lambda: chain(nn.MaxPool2d(2), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 2))),
}


def quantised(name: str, step: str = "log2:4", widths: Widths | None = None, **options):
    """A network of the table, random and quantised on random samples, and the samples (40, *shape)."""
    shape, make = NETWORKS[name]
    torch.manual_seed(len(name))
    samples = torch.randn(40, *shape)
    model = make()
    model(samples)  # lets the norms have statistics
    chosen = parse_step(step)
    assert isinstance(chosen, Quantise)
    return quantise(capture(model.eval(), shape), samples, chosen, widths or Widths(), **options), samples.numpy()


def proved(graph, samples: np.ndarray) -> Design:
    design = lower(graph, "network")
    prove(graph, design, Data.of(samples), argmax=False)
    return design


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_in_float64_equals_the_reference(name):
    design = proved(*quantised(name))
    assert np.unique(design.reference(np.random.default_rng(0).integers(
        design.input.format.min_code, design.input.format.max_code + 1, (20, *design.input.shape)))).size > 5


@pytest.mark.parametrize("name", ["groups", "transposed in groups"])
@pytest.mark.parametrize("step", ["log2:3", "log2x2:5", "int:6", "log2:4,scale=tensor"])
def test_every_weight_format_fits_convolutions(step, name):
    proved(*quantised(name, step))
    proved(*quantised("residual", step, rounding="nearest"))


def test_a_trained_network_still_equals_the_reference():
    graph, samples = quantised("tables")
    train(graph, Data.of(samples, np.arange(40) % 3), epochs=2, lr=0.01, seed=0, what="test")
    proved(graph, samples)


def kinds(design: Design) -> list[str]:
    return [layer.kind for layer in design.layers]


def test_images_are_channels_last_and_a_flatten_before_a_linear_costs_nothing():
    graph, samples = quantised("conv")
    design = lower(graph, "network")
    assert design.input.shape == (6, 6, 3) and kinds(design) == ["conv", "reshape", "dense"]
    assert hardware_order(samples, (), True).shape == (40, 6, 6, 3)


def test_a_flatten_that_no_linear_reads_is_brought_into_order():
    assert kinds(proved(*quantised("a flatten at the end"))) == ["conv", "reshape", "reorder"]


def test_a_clamp_behind_a_max_pool_closes_the_convolution():
    assert kinds(proved(*quantised("max pools")))[:2] == ["conv", "maxpool"]


def test_padding_before_a_layer_becomes_its_own():
    design = proved(*quantised("asymmetric padding"))
    assert [layer.window.padding for layer in design.layers] == [((2, 0), (1, 2)), ((1, 2), (1, 2))]


def test_without_images_nothing_is_turned():
    graph = quantise(capture(nn.Sequential(nn.Flatten(), nn.Linear(6, 2)).eval(), (2, 3)), torch.randn(20, 2, 3),
                     Quantise(Log2Format.of(4)), Widths())
    assert lower(graph, "network").input.shape == (2, 3)


def test_a_table_reads_as_many_bits_as_asked_for():
    for bits in (8, 12):
        graph, samples = quantised("tables", widths=Widths(table=bits))
        design = proved(graph, samples)
        tables = [layer.table for layer in design.layers if layer.kind == "lookup"]
        assert {len(table) for table in tables[:3]} == {1 << bits}


def test_a_table_holds_the_nearest_code_of_the_function():
    graph, _ = quantised("tables")
    table = next(m for m in graph.modules() if isinstance(m, Table))
    codes = np.arange(table.source.min_code, table.source.max_code + 1)
    x = table.source.value(codes)
    exact = np.clip(np.floor(x / (1 + np.exp(-x)) * 2.0**table.format.frac + 0.5), table.format.min_code,
                    table.format.max_code)
    assert np.array_equal(table.lookup("t", ("x",)).table, exact)


def joined(product: Matmul, x: torch.Tensor, weight: torch.Tensor) -> list[torch.Tensor]:
    """The rows of each group, all of their parts."""
    return [torch.cat(parts) for parts in zip(*product.rows(x, weight), strict=True)]


def test_gptq_of_a_grouped_convolution_loses_less_than_round_to_nearest():
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2).double()
    mixing = torch.randn(4, 4, dtype=torch.float64)
    x = torch.einsum("oc,nchw->nohw", mixing, torch.randn(60, 4, 9, 9, dtype=torch.float64)).relu()
    product, form = Matmul.of(conv), Log2Format.of(3)
    parts = [gptq(w, rows, form) for w, rows in zip(conv.weight.detach().flatten(1).chunk(2),
                                                           joined(product, x, conv.weight), strict=True)]
    ours, correction = torch.cat([p[0] for p in parts]), torch.cat([p[2] for p in parts])
    from toolkit.compress.quantisation import grids

    rows = conv.weight.detach().flatten(1)
    plain = grids.project(rows, grids.fit(rows, form), form)
    with torch.no_grad():
        wanted = conv(x)
        errors = [float(((product(x, w.reshape(conv.weight.shape), conv.bias + b) - wanted) ** 2).mean())
                  for w, b in ((ours, correction), (plain, torch.zeros(8)))]
    assert errors[0] < 0.9 * errors[1]


@pytest.mark.parametrize("name", ["groups", "residual", "tables"])
def test_a_network_is_quantised_to_the_same_bits_in_whatever_parts(name: str, monkeypatch: pytest.MonkeyPatch):
    whole = quantised(name)[0].state_dict()
    for module in (matmul, ptq):
        monkeypatch.setattr(module, "PART", 1)
    parts = quantised(name)[0].state_dict()
    assert whole.keys() == parts.keys() and all(torch.equal(whole[key], parts[key]) for key in whole)


@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}])
def test_rows_are_what_the_weights_are_multiplied_with(options):
    for conv, x in ((nn.Conv2d(4, 6, 3, **options), torch.randn(3, 4, 9, 9)),
                    (nn.Conv1d(4, 6, 3, **options), torch.randn(3, 4, 9))):
        product = Matmul.of(conv)
        parts = joined(product, x, conv.weight)
        sums = torch.cat([rows @ w.flatten(1).T for rows, w in
                          zip(parts, conv.weight.chunk(product.groups), strict=True)], 1)
        wanted = conv(x).flatten(2).transpose(1, 2).reshape(-1, 6) - conv.bias
        assert torch.allclose(sums, wanted, atol=1e-5)


def test_single_layers_get_formats_of_their_own():
    rules = Overrides.parse(["0=int:6", "0=act:5"])
    graph, samples = quantised("strides, padding, dilation", overrides=rules)
    design = proved(graph, samples)
    assert [str(layer.weights.format) for layer in design.layers] == ["int:6", "log2:4"]
    assert design.layers[0].requantise.format.width == 5


def test_a_layer_s_activation_bits_are_those_behind_its_function():
    graph, samples = quantised("tables", overrides=Overrides.parse(["0=act:5", "3=act:6"]))
    design = proved(graph, samples)
    widths = {layer.name: design.tensors[layer.name].format.width for layer in design.layers}
    assert [widths[name] for name in ("0", "1", "2", "3", "5")] == [10, 5, 10, 6, 10]


PRUNED = ("conv", "groups", "depthwise", "residual", "joined branches", "signals", "global pool", "tables", "max pools",
          "upsampling")


@pytest.mark.parametrize("name", PRUNED)
def test_channels_are_pruned_with_all_that_depends_on_them(name):
    shape, make = NETWORKS[name]
    torch.manual_seed(0)
    graph = capture(make().eval(), shape)
    small = prune(graph, 0.5, "l2")
    x = torch.randn(4, *shape)
    assert small(x).shape == graph(x).shape
    before = dict(graph.named_parameters())
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in before.values())
    for key, kept in small.named_parameters():
        assert torch.equal(before[key].flatten()[small.meta["origin"][key].flatten()], kept.flatten())


def test_a_network_whose_widths_are_all_prescribed_is_refused_with_the_reason():
    graph = capture(chain(nn.Conv2d(3, 3, 3, padding=1, groups=3), nn.ReLU(), nn.Conv2d(3, 2, 3)).eval(), IMAGE)
    with pytest.raises(InputError, match="removes nothing: the network's input or output prescribes"):
        prune(graph, 0.5, "l2")
    with pytest.raises(InputError, match="no hidden layer of enough neurons; the widest, '0', has 1"):
        prune(capture(chain(nn.Conv2d(3, 1, 3), nn.ReLU(), nn.Conv2d(1, 2, 3)).eval(), IMAGE), 0.5, "l2")


def test_pruning_dead_channels_changes_nothing():
    torch.manual_seed(0)
    net = NETWORKS["residual"][1]()
    with torch.no_grad():
        for conv in list(net.layers)[:2]:
            conv.weight[1::2] = 0
            conv.bias[1::2] = 0
    graph = capture(net.eval(), IMAGE)
    x = torch.randn(5, *IMAGE)
    assert torch.allclose(prune(graph, 0.5, "l2")(x), graph(x), atol=1e-5)


def digits() -> Data:
    """Few and small images of four classes: where the bright square is."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 160)
    x = rng.normal(0, 0.2, (160, 1, 6, 6))
    for i, label in enumerate(y):
        x[i, 0, 3 * (label // 2):3 * (label // 2) + 3, 3 * (label % 2):3 * (label % 2) + 3] += 1
    return Data.of(x[:120], y[:120], x[120:], y[120:])


def small() -> nn.Module:
    torch.manual_seed(0)
    return chain(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.LeakyReLU(0.25), nn.MaxPool2d(2),
                 nn.Conv2d(4, 6, 2), nn.SiLU(), nn.Flatten(), nn.Linear(24, 4))


@pytest.fixture(scope="module")
def trained():
    model, data = small(), digits()
    train(model, data, epochs=12, lr=0.02, seed=0, what="test")
    return model, data


@pytest.mark.parametrize("scheme", ["magnitude:0.3+log2:4", "random:0.2+int:6", "nm:2:4+log2x2:4", "nm:1:3",
                                    "structured:0.3+log2:4", "distill:0.8+log2:4", "minifloat:E4M3", "dynamic:int8"])
def test_every_technique_takes_convolutions(trained, scheme, tmp_path):
    from toolkit.compress import artifact

    model, data = trained
    tuning = 25 if scheme.startswith("distill") else 8
    found = compress(model, data, scheme, Settings(qat_epochs=1, finetune_epochs=tuning, lr=0.02))
    assert found.steps[0].accuracy == 1.0 and found.steps[-1].accuracy >= 0.9
    path = artifact.save(tmp_path, "row", scheme, found.steps[-1], found.graph, found.design)
    assert artifact.load(path).accuracy(data) == found.steps[-1].accuracy


def test_quantised_layers_keep_pruned_weights_at_zero(trained):
    model, data = trained
    found = compress(model, data, "magnitude:0.4+log2:4", Settings(qat_epochs=2, finetune_epochs=2))
    layers = [m for m in found.graph.modules() if isinstance(m, Quantised)]
    zeros = sum(int((m.quantised_weight() == 0).sum()) for m in layers)
    assert zeros >= 0.38 * sum(m.weight.numel() for m in layers)


def test_labels_beside_an_output_of_images_are_refused():
    data = Data.of(np.random.default_rng(0).normal(size=(20, *IMAGE)), np.arange(20) % 2)
    with pytest.raises(InputError, match="Flatten"):
        compress(chain(nn.Conv2d(3, 2, 3)), data, "log2:4")


def test_a_network_without_labels_may_give_images():
    samples = np.random.default_rng(0).normal(size=(40, *IMAGE))
    data = Data.of(samples[:20], None, samples[20:])
    found = compress(chain(nn.Conv2d(3, 2, 3), nn.ReLU()), data, "log2:4", Settings(qat_epochs=1))
    assert found.design.output.shape == (4, 4, 2) and found.test_codes.shape == (20, 6, 6, 3)


def test_a_search_prunes_what_a_sum_joins_together_and_leaves_what_the_input_prescribes():
    from optuna.trial import FixedTrial

    from toolkit.compress.pruning.structured import fixed, together
    from toolkit.search.space import choose

    graph = capture(NETWORKS["residual"][1]().eval(), IMAGE)
    assert [len(group) for group in together(graph)] == [2] and len(fixed(graph)) == 1
    asked = {"layers.0: pruning": "0.5"}
    for i in range(3):
        asked |= {f"layers.{i}: activations": 6, f"layers.{i}: weights": "log2:3"}
    choice = choose(FixedTrial(asked | {"hidden bits": 8}), graph)
    assert [rule for rule in choice.layers if "structured" in rule] == ["layers.0=structured:0.5",
                                                                        "layers.1=structured:0.5"]
    assert len(fixed(capture(NETWORKS["concatenations"][1]().eval(), IMAGE))) == 1  # the last


def test_a_convolution_counts_the_adders_of_every_window():
    from toolkit.estimate.adder_bits import adder_bits

    graph, samples = quantised("conv")
    design = proved(graph, samples)
    conv = Design("conv", design.input, design.layers[:1])
    row = design.layers[0].weights.integers()[0]
    assert adder_bits(conv) > 16 * 0.3 * 8 * np.count_nonzero(row)


def test_what_no_hardware_can_be_made_of_is_refused_before_training():
    data = Data.of(np.random.default_rng(0).normal(size=(20, *IMAGE)))
    with pytest.raises(InputError, match="nothing but padding"):
        compress(chain(nn.Conv2d(3, 2, 2, padding=2)), data, "log2:4", Settings(qat_epochs=100_000))
