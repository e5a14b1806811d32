"""Capture: the same function as a graph of nn layers, from a module or from a stranger's file."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from toolkit.capture import capture, load_model, load_pt2
from toolkit.commands.exported import save_pt2
from toolkit.utils.errors import InputError


class Everything(nn.Module):
    """Flatten, BatchNorm, Dropout, a residual, a clip, a concatenation, an Identity."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5))
        self.same = nn.Identity()
        self.mid = nn.Linear(8, 8)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        h = self.stem(x.flatten(1))
        g = F.relu6(self.mid(self.same(h))) + h
        return self.head(torch.cat([g.clamp(0.1, 0.9), h], 1))


def model(kind=Everything, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    made = kind()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    return made.eval()


def close(graph, original, x) -> bool:
    with torch.no_grad():
        return torch.allclose(graph(x), original(x), rtol=1e-4, atol=1e-5)


def kinds(graph) -> list[str]:
    return [type(m).__name__ for m in graph.children()]


def test_a_module_is_captured_with_batch_norm_folded_and_dropout_gone():
    made = model()
    graph = capture(made, (1, 4, 4))
    assert close(graph, made, torch.randn(20, 1, 4, 4))
    assert sorted(kinds(graph)) == ["Flatten", "Hardtanh", "Linear", "Linear", "Linear", "ReLU", "ReLU6"]


def test_a_pt2_file_gives_the_same_graph(tmp_path: Path):
    made = model()
    save_pt2(made, (1, 4, 4), tmp_path / "m.pt2")
    graph = capture(load_pt2(tmp_path / "m.pt2"), (1, 4, 4))
    assert close(graph, made, torch.randn(20, 1, 4, 4))
    assert kinds(graph) == kinds(capture(made, (1, 4, 4)))


def test_layers_keep_their_paths():
    assert capture(model(), (1, 4, 4)).meta["paths"]["stem_0"] == "stem.0"


def test_the_original_is_left_as_it_is():
    made = model().train()
    before = {k: v.clone() for k, v in made.state_dict().items()}
    capture(made, (1, 4, 4))
    assert made.training and all(torch.equal(v, before[k]) for k, v in made.state_dict().items())


def test_a_batch_norm_before_a_linear_is_folded_into_it():
    made = model(lambda: nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2)))
    graph = capture(made, (4,))
    assert kinds(graph) == ["Linear"] and close(graph, made, torch.randn(9, 4))


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("place", ["after", "before", "alone"])
def test_the_eps_of_a_batch_norm_counts(tmp_path, place, saved):
    """Its definition in numpy, where eps outweighs the variance; a channel of variance 0 among them."""
    norm = nn.BatchNorm1d(3, eps=0.25) if place != "alone" else nn.BatchNorm2d(3, eps=0.25)
    norm.running_var.copy_(torch.tensor([0.0, 0.0625, 2.0]))
    norm.running_mean.copy_(torch.tensor([1.0, -2.0, 0.5]))
    torch.manual_seed(1)
    linear = nn.Linear(3, 3)
    made = nn.Sequential(*{"after": [linear, norm], "before": [norm, linear], "alone": [nn.ReLU(), norm, nn.ReLU()]}[
        place]).eval()
    shape = (3, 2, 2) if place == "alone" else (3,)
    x = np.random.default_rng(0).normal(0, 2, (7, *shape))
    weight, bias = (p.detach().double().numpy() for p in linear.parameters())

    def normed(v: np.ndarray) -> np.ndarray:
        along = (1, 3, *(1,) * (v.ndim - 2))
        mean, root = np.array([1.0, -2.0, 0.5]).reshape(along), np.array([0.5, 0.3125**0.5, 1.5]).reshape(along)
        return (v - mean) / root

    expected = {"after": lambda: normed(x @ weight.T + bias), "before": lambda: normed(x) @ weight.T + bias,
                "alone": lambda: np.maximum(normed(np.maximum(x, 0)), 0)}[place]()
    if saved:
        save_pt2(made, shape, tmp_path / "m.pt2")
    graph = capture(load_pt2(tmp_path / "m.pt2") if saved else made, shape)
    with torch.no_grad():
        assert graph(torch.from_numpy(x).float()).numpy() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_a_batch_norm_that_no_linear_can_take_has_one_weight_a_feature():
    made = model(lambda: nn.Sequential(nn.ReLU(), nn.BatchNorm1d(4), nn.ReLU()))
    graph = capture(made, (4,))
    assert sum(len(m.weight) for m in graph.modules() if isinstance(m, nn.Conv1d)) == 4
    assert close(graph, made, torch.randn(5, 4))


def test_a_final_softmax_is_dropped_with_a_note():
    graph = capture(nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)), (4,))
    assert "softmax" in graph.meta["notes"][0] and kinds(graph) == ["Linear"]


def test_a_linear_without_a_bias_is_captured():
    made = nn.Sequential(nn.Linear(4, 3, bias=False))
    assert close(capture(made, (4,)), made, torch.randn(5, 4))


def test_a_captured_graph_trains():
    graph = capture(model(), (1, 4, 4)).train()
    graph(torch.randn(5, 1, 4, 4)).sum().backward()
    assert all(p.grad is not None for p in graph.parameters())


@pytest.mark.parametrize("layer, way_out", [(nn.LayerNorm(3), "BatchNorm1d"),
                                            (nn.GroupNorm(1, 3), "BatchNorm1d")])
def test_a_layer_that_is_not_supported_is_named_by_class_and_path_with_a_way_out(layer, way_out):
    with pytest.raises(InputError, match=f"^{type(layer).__name__} in '1.0' is not supported: .*{way_out}"):
        capture(nn.Sequential(nn.Linear(4, 3), nn.Sequential(layer)), (4,))


class Product(nn.Module):
    def forward(self, x):
        return x.cumprod(1)


class TwoInputs(nn.Module):
    def forward(self, x, y):
        return x + y


class Mixing(nn.Module):
    def forward(self, x):
        return x.reshape(-1, 2)


@pytest.mark.parametrize("kind", [TwoInputs, Mixing])
def test_what_is_no_network_of_ours_is_refused(kind):
    with pytest.raises(InputError):
        capture(kind(), (4,))


def test_what_is_no_model_is_refused():
    with pytest.raises(InputError, match="not a model"):
        capture("resnet", (4,))  # type: ignore[arg-type]


def test_the_wrong_shape_is_named():
    with pytest.raises(InputError, match=r"\(5,\)"):
        capture(nn.Sequential(nn.Linear(4, 3)), (5,))


def test_a_file_on_the_wrong_shape_is_named(tmp_path: Path):
    save_pt2(nn.Sequential(nn.Linear(4, 3)), (4,), tmp_path / "m.pt2")
    with pytest.raises(InputError, match=r"\(5,\)"):
        capture(load_pt2(tmp_path / "m.pt2"), (5,))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(bad):
    made = nn.Sequential(nn.Linear(4, 3))
    with torch.no_grad():
        made[0].weight[1, 2] = bad
    with pytest.raises(InputError, match=r"0\.weight"):
        capture(made, (4,))


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_pt2(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_pt2(nn.Sequential(nn.Linear(4, 3)), (4,), tmp_path / "m.pt2")
    return tmp_path / "m.pt2"


def test_empty_truncated_and_missing_files_are_refused(file: Path, tmp_path: Path):
    data = file.read_bytes()
    for name, text in (("empty.pt2", b""), ("half.pt2", data[:len(data) // 2]), ("text.pt2", b"hello")):
        (tmp_path / name).write_bytes(text)
        refused(tmp_path / name)
    refused(tmp_path / "none.pt2")


def with_members(path: Path, change) -> Path:
    out = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return out


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("/tmp/shiftwright_pt2_was_here"),))


def bomb() -> bytes:
    data = io.BytesIO()
    torch.save(Bomb(), data)
    return data.getvalue()


def test_pickled_sample_inputs_are_not_loaded(file: Path):
    changed = with_members(file, lambda n, d: bomb() if "sample_inputs" in n else d)
    capture(load_pt2(changed), (4,))
    assert not Path("/tmp/shiftwright_pt2_was_here").exists()


def test_pickled_weights_are_refused(file: Path):
    def change(name, data):
        if name.endswith("weights_config.json"):
            table = json.loads(data)
            for entry in table["config"].values():
                entry["use_pickle"] = True
            return json.dumps(table).encode()
        return bomb() if name.endswith("weight_0") else data

    assert "pickle" in refused(with_members(file, change))
    assert not Path("/tmp/shiftwright_pt2_was_here").exists()


def test_a_shape_that_would_be_evaluated_is_refused(file: Path):
    def change(name, data):
        evil = b'"expr_str": "__import__(\'os\').system(\'true\')"'
        import re
        return re.sub(rb'"expr_str":\s*"[^"]*"', lambda _: evil, data) if name.endswith("model.json") else data

    assert "computes a shape" in refused(with_members(file, change))


def test_a_call_beyond_tensors_is_refused(file: Path):
    def change(name, data):
        return data.replace(b"torch.ops.aten.linear.default", b"torch.ops.load_library.x") \
            if name.endswith("model.json") else data

    assert "load_library" in refused(with_members(file, change))


def test_a_callable_is_loaded_by_name(tmp_path: Path, monkeypatch):
    (tmp_path / "mine_for_test.py").write_text("from torch import nn\ndef net():\n    return nn.Linear(4, 2)\n")
    monkeypatch.chdir(tmp_path)
    assert isinstance(load_model("mine_for_test:net"), nn.Linear)


@pytest.mark.parametrize("source", ["", "nothing", "no_such_module:net", "math:pi", "json:no", "a b:c", "x.onnx"])
def test_a_name_that_gives_no_model_is_refused(source):
    with pytest.raises(InputError):
        load_model(source)


def test_large_inputs_are_not_needed_to_capture():
    graph = capture(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), (3, 4))
    assert np.prod(graph.meta["input_shape"]) == 12
