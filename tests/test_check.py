"""Every layer that is not supported is named at once, by class and path, with a way out; `check` and `build` agree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from command_line import model_and_data, refused, run
from onnx_files import floats, model, node, quant, saved
from torch import nn

from toolkit.api import Data, build, check, compress_all, run_search
from toolkit.capture import capture, load_onnx, load_pt2
from toolkit.capture.faults import MOST, Fault, Layer, Refused
from toolkit.capture.ways_out import BY_CLASS
from toolkit.commands.check import text
from toolkit.importing import design_of
from toolkit.utils.errors import InputError

SHAPE = (4, 6)


class Encoder(nn.Module):
    """A supported layer, and three that are not, each behind the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 3, padding=1)
        self.rnn = nn.GRU(8, 8, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        x, _ = self.rnn(self.conv(x).transpose(1, 2))
        x, _ = self.attention(x, x, x, need_weights=False)
        return self.norm(x)


class Five(nn.Module):
    """Five layers that are not supported."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.norm, self.act, self.head = nn.GroupNorm(1, 6), nn.InstanceNorm1d(6), nn.Linear(48, 3)

    def forward(self, x):
        return self.head(torch.flatten(self.act(self.norm(self.encoder(x))), 1))


FIVE = [("GRU", "encoder.rnn"), ("MultiheadAttention", "encoder.attention"), ("LayerNorm", "encoder.norm"),
        ("GroupNorm", "norm"), ("InstanceNorm1d", "act")]


def exported(module: nn.Module, path: Path, shape: tuple[int, ...] = SHAPE) -> Path:
    batch = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(module.eval(), (torch.zeros(2, *shape),), dynamic_shapes=batch), path)
    return path


@pytest.fixture(scope="module")
def five_pt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(Five(), tmp_path_factory.mktemp("five") / "five.pt2")


def five_onnx(folder: Path) -> Path:
    """Five operators that are not supported, in a row, between two that are."""
    names = ["LSTM", "LayerNormalization", "Einsum", "LRN", "Det"]
    values = ["h", *(f"v{i}" for i in range(5))]
    nodes = [node(name, before, after) for name, before, after in zip(names, values, values[1:], strict=False)]
    return saved(model([node("MatMul", "x w", "h"), *nodes, node("Relu", "v4", "y")], ("N", 4), {"w": floats(4, 3)}),
                 folder)


def samples(*shape: int, count: int = 40) -> Data:
    return Data.of(np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32))


def refusal(module: nn.Module, shape: tuple[int, ...]) -> Refused:
    with pytest.raises(Refused) as caught:
        capture(module, shape)
    return caught.value


def places(faults: tuple[Fault, ...]) -> list[tuple[str, str]]:
    return [(fault.kind, fault.path) for fault in faults]


def is_clean(told: str) -> bool:
    """Nothing of torch's own graphs, operators and objects."""
    return not any(word in told for word in ("aten", "torch.ops", "fx.", "%", "Sym(", "0x", "placeholder", "Traceback"))


# -- all at once -------------------------------------------------------------------------------------------------------

def test_five_layers_of_a_module_are_five_faults_by_class_and_path():
    assert places(refusal(Five(), SHAPE).faults) == FIVE


def test_five_layers_of_a_pt2_file_are_five_faults_by_class_and_path(five_pt2: Path):
    assert places(check(str(five_pt2)).faults) == FIVE


def test_five_operators_of_an_onnx_file_are_five_faults_by_operator_and_node(tmp_path: Path):
    found = check(str(five_onnx(tmp_path)))
    assert places(found.faults) == [("LSTM", "LSTM_v0"), ("LayerNormalization", "LayerNormalization_v1"),
                                    ("Einsum", "Einsum_v2"), ("LRN", "LRN_v3"), ("Det", "Det_v4")]
    assert found.layers == (Layer("MatMul", "MatMul_h"),)


def test_five_steps_of_a_qonnx_file_without_hardware_are_five_faults(tmp_path: Path):
    c: dict = {f"v{i}": floats(5, 2, seed=i) for i in range(5)}
    nodes = [quant("q", "x", c), *(node("MatMul", f"q v{i}", f"m{i}") for i in range(5)),
             node("Concat", "m0 m1 m2 m3 m4", "y", axis=1)]
    loaded = load_onnx(saved(model(nodes, (1, 5), c, 11), tmp_path))
    with pytest.raises(Refused) as caught:
        design_of(loaded)
    assert places(caught.value.faults) == [("MatMul", f"MatMul_m{i}") for i in range(5)]
    assert str(caught.value).startswith(f"'{tmp_path / 'model.onnx'}': 5 layers are not supported:\n")


def test_the_error_is_a_line_for_each_layer_under_a_head():
    head, *lines = str(refusal(Five(), SHAPE)).split("\n")
    assert head == "5 layers are not supported:"
    assert [line.split(" is not supported: ")[0] for line in lines] == [f"  {kind} in '{path}'" for kind, path in FIVE]


def test_a_single_layer_is_one_sentence():
    told = str(refusal(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), (4,)))
    assert told.startswith("LayerNorm in '1' is not supported: ") and "\n" not in told


def test_more_layers_than_an_error_has_lines_for_are_counted():
    told = str(Refused([Fault("GRU", f"rnn{i}", "why", "way") for i in range(MOST + 7)])).split("\n")
    assert told[0] == "107 layers are not supported:" and told[-1] == "  and 7 more" and len(told) == MOST + 2


@pytest.mark.parametrize("kind", sorted(BY_CLASS))
def test_every_class_of_the_table_is_one_of_torch(kind: str):
    assert kind in vars(nn)


def test_a_transformer_layer_is_named_once_and_not_what_it_is_made_of():
    net = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Flatten(), nn.Linear(48, 2))
    assert places(refusal(net, (6, 8)).faults) == [("TransformerEncoderLayer", "0")]


def test_what_reads_an_unsupported_layer_is_no_fault_of_its_own():
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.head = nn.LayerNorm(4), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(x * torch.sigmoid(self.norm(x)) + x)

    assert places(refusal(Gated(), (4,)).faults) == [("LayerNorm", "norm")]


def test_the_first_state_that_a_network_gives_its_recurrent_layer_is_no_fault_of_its_own():
    class Stateful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.LSTM(4, 6, batch_first=True), nn.Linear(6, 2)

        def forward(self, x):
            state = torch.zeros(1, x.shape[0], 6)
            return self.head(self.rnn(x, (state, state))[0][:, -1])

    assert places(refusal(Stateful(), (5, 4)).faults) == [("LSTM", "rnn")]


def test_behind_an_unsupported_layer_the_options_of_others_are_still_looked_at():
    net = nn.Sequential(nn.GroupNorm(1, 2), nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), nn.ReLU())
    assert places(refusal(net, (2, 8, 8)).faults) == [("GroupNorm", "0"), ("Conv2d", "1")]


def test_an_operation_in_a_forward_is_named_with_the_class_and_path_around_it():
    class Spectrum(nn.Module):
        def forward(self, x):
            return torch.cumsum(torch.sort(x, 1)[0], 1)

    found = refusal(nn.Sequential(nn.Linear(4, 4), Spectrum()), (4,))
    assert [str(f).split(" is not ")[0] for f in found.faults] == [
        "the operation 'sort' in Spectrum '1'", "the operation 'cumsum' in Spectrum '1'"]


def test_attention_by_hand_is_one_fault():
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = (nn.Conv1d(4, 4, 1) for _ in range(3))

        def forward(self, x):
            return self.v(x) @ torch.softmax(self.q(x).transpose(1, 2) @ self.k(x) / 2, -1)

    found = refusal(nn.Sequential(Attention(), nn.Flatten(), nn.Linear(24, 2)), (4, 6)).faults
    assert [(f.kind, f.path, f.operation) for f in found] == [("Attention", "0", "matmul")]
    assert "multiplies activations with each other" in found[0].why


# -- modules that torch.export does not take ---------------------------------------------------------------------------

class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_a_branch_on_data_is_named_with_its_place_beside_the_layers(capfd):
    found = refusal(nn.Sequential(nn.LayerNorm(4), Branching()), (4,))
    assert places(found.faults) == [("LayerNorm", "0"), ("Branching", "1")] and "by what the data hold" in str(found)
    shown = capfd.readouterr()
    assert shown.err == shown.out == "" and is_clean(str(found))


def test_a_batch_size_that_is_fixed_is_named():
    class Fixed(nn.Module):
        def forward(self, x):
            return x.reshape(2, 2, 2).reshape(2, 4)

    assert "one batch size alone; use x.shape[0]" in str(refusal(Fixed(), (4,)))


def test_an_embedding_is_named_though_its_input_is_no_index():
    net = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 2))
    assert places(refusal(net, (3,)).faults) == [("Embedding", "0")]


# -- .onnx: what exporters write ---------------------------------------------------------------------------------------

def within(made: onnx.NodeProto, paths: list[str], classes: list[str]) -> onnx.NodeProto:
    """A node with the modules around it, as PyTorch's exporter writes them."""
    for key, value in (("name_scopes", [*paths, "op"]), ("class_hierarchy", [*classes, "aten.op"])):
        entry = made.metadata_props.add()
        entry.key, entry.value = f"pkg.torch.onnx.{key}", str(value)
    return made


def test_a_module_that_the_exporter_names_is_named_by_class_and_path(tmp_path: Path):
    around = ["", "encoder.rnn"], ["__main__.Net", "torch.nn.modules.rnn.GRU"]
    nodes = [within(node("Transpose", "x", "t", perm=[1, 0, 2]), *around), within(node("GRU", "t w", "y"), *around)]
    path = saved(model(nodes, ("N", 5, 4), {"w": floats(1, 3, 4)}), tmp_path)
    assert places(check(str(path)).faults) == [("GRU", "encoder.rnn")]


def test_the_nodes_of_one_module_are_one_fault_of_the_operator_that_says_most(tmp_path: Path):
    nodes = [node("Transpose", "x", "t", perm=[1, 0, 2]), node("GRU", "t w", "y")]
    for made in nodes:
        made.name = f"/encoder/rnn/{made.op_type}"
    path = saved(model(nodes, ("N", 5, 4), {"w": floats(1, 3, 4)}), tmp_path)
    assert places(check(str(path)).faults) == [("GRU", "/encoder/rnn/GRU")]


def test_an_attention_of_matrix_products_is_named_as_such(tmp_path: Path):
    nodes = [node("MatMul", "x w", "q"), node("MatMul", "q x", "s"), node("Softmax", "s", "a"),
             node("MatMul", "a x", "y")]
    for made in nodes:
        made.name = f"/attention/{made.op_type}_{made.output[0]}"
    found = check(str(saved(model(nodes, ("N", 4), {"w": floats(4, 4)}), tmp_path))).faults
    assert places(found) == [("Softmax", "/attention/Softmax_a")] and "part of an attention" in found[0].why


def test_control_flow_is_a_fault_beside_others(tmp_path: Path):
    inner = model([node("Relu", "x", "z")], ("N", 4)).graph
    loop = node("If", "c", "y", then_branch=inner, else_branch=inner)
    made = model([node("Det", "x", "c"), loop], ("N", 4))
    assert places(check(str(saved(made, tmp_path))).faults) == [("Det", "Det_c"), ("If", "If_y")]


def test_what_cannot_be_computed_of_constants_is_told_once(tmp_path: Path):
    nodes = [node("Reshape", "w s", "v"), node("MatMul", "x v", "y")]
    made = model(nodes, ("N", 4), {"w": floats(4, 3), "s": np.array([5, 5], np.int64)})
    assert places(check(str(saved(made, tmp_path))).faults) == [("Reshape", "Reshape_v")]


# -- what is said of each ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("module, shape, words", [
    (nn.GRU(4, 4), SHAPE, "Conv1d layers over a window of steps"), (nn.LayerNorm(6), SHAPE, "use BatchNorm1d"),
    (nn.Embedding(4, 2), (3,), "one-hot vectors to a Linear"), (nn.Conv3d(1, 1, 1), (1, 2, 2, 2), "Conv2d"),
    (nn.ConvTranspose3d(1, 1, 1), (1, 2, 2, 2), "Conv2d")])
def test_the_way_out_is_named(module, shape, words):
    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = module

        def forward(self, x):
            y = self.layer(x)
            return y[0] if isinstance(y, tuple) else y

    fault, = refusal(First(), shape).faults
    assert words in fault.way_out and words in str(fault)


@pytest.mark.parametrize("instead, shape", [
    (nn.Sequential(nn.Conv1d(4, 4, 1), nn.BatchNorm1d(4), nn.ReLU(), nn.Conv1d(4, 8, 3, dilation=2)), SHAPE),
    (nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv1d(4, 4, 3)), SHAPE),
    (nn.Sequential(nn.Linear(10, 4, bias=False), nn.ReLU()), (10,)), (nn.LeakyReLU(0.125), (4,))])
def test_what_is_recommended_is_supported(instead, shape):
    assert check(nn.Sequential(instead, nn.Flatten()), samples(*shape)).ok


def test_positions_are_mixed_by_a_convolution_behind_a_permute():
    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Conv1d(6, 6, 1)

        def forward(self, x):
            return self.tokens(x.permute(0, 2, 1)).permute(0, 2, 1)

    assert check(nn.Sequential(Mixer(), nn.Flatten()), samples(*SHAPE)).ok


def test_a_one_hot_linear_computes_an_embedding():
    table, linear = nn.Embedding(10, 4), nn.Linear(10, 4, bias=False)
    with torch.no_grad():
        linear.weight.copy_(table.weight.t())
    index = torch.arange(10)
    assert torch.equal(linear(nn.functional.one_hot(index, 10).float()), table(index))


def test_no_message_holds_anything_of_torchs_graphs(five_pt2: Path, tmp_path: Path):
    for found in (check(str(five_pt2)), check(Five(), samples(*SHAPE)), check(str(five_onnx(tmp_path)))):
        assert is_clean("\n".join(text(found))) and is_clean(json.dumps(found.to_json()))


# -- check -------------------------------------------------------------------------------------------------------------

def test_a_supported_network_is_its_layers_by_class_and_path(tmp_path: Path):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(72, 3))
    kinds = ["Conv2d", "BatchNorm2d", "ReLU", "Dropout", "Flatten", "Linear"]
    found = check(str(exported(net, tmp_path / "m.pt2", (1, 8, 8))))
    assert found.ok and found.layers == tuple(Layer(kind, str(i)) for i, kind in enumerate(kinds))


def test_the_layers_that_are_supported_stand_beside_those_that_are_not(five_pt2: Path):
    for found in (check(Five(), samples(*SHAPE)), check(str(five_pt2))):
        assert {Layer("Conv1d", "encoder.conv"), Layer("Linear", "head")} <= set(found.layers)
        assert not {path for _, path in FIVE} & {layer.path for layer in found.layers}


def test_without_data_a_module_is_looked_at_by_its_classes():
    found = check(Five())
    assert places(found.faults) == FIVE and "only the classes" in found.notes[0]


def test_without_data_a_module_of_supported_classes_needs_them():
    with pytest.raises(InputError, match="data are needed to check this model"):
        check(nn.Sequential(nn.Linear(4, 3)))


def test_a_qonnx_file_is_checked_as_it_is_built(tmp_path: Path):
    c: dict = {}
    nodes = [quant("q", "x", c), quant("v", "w", c), node("MatMul", "q v", "y")]
    path = saved(model(nodes, (1, 5), {**c, "w": floats(5, 2)}, 11), tmp_path)
    assert [layer.kind for layer in check(str(path)).layers] == ["Quant", "MatMul"]


def test_the_text_ends_in_a_line_for_each_fault(five_pt2: Path):
    lines = text(check(str(five_pt2)))
    head = lines.index("not supported: 5 layers")
    assert [line.split(" in ")[0].strip() for line in lines[head + 1:]] == [kind for kind, _ in FIVE]


def test_the_command_ends_with_0_where_all_is_supported(tmp_path: Path):
    done = run("check", model_and_data(tmp_path) / "model.pt2")
    assert done.returncode == 0 and done.stdout.endswith("every layer is supported\n") and done.stderr == ""


def test_the_command_ends_with_2_and_says_the_same_as_json(five_pt2: Path):
    done = run("check", five_pt2, "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 2 and not told["ok"]
    assert [(u["layer"], u["path"]) for u in told["unsupported"]] == FIVE
    assert all(u["why"] and u["way_out"] for u in told["unsupported"])
    assert told == check(str(five_pt2)).to_json()


# -- the other commands ------------------------------------------------------------------------------------------------

def test_build_compress_and_search_print_the_list_of_check_before_any_work(five_pt2: Path, tmp_path: Path):
    due = [str(fault) for fault in check(str(five_pt2)).faults]
    rng, out = np.random.default_rng(0), tmp_path / "out"
    data = Data.of(rng.normal(size=(60, *SHAPE)).astype(np.float32), rng.integers(0, 3, 60))
    for command in (lambda m: build(m, data, "log2:4", out), lambda m: compress_all(m, data, out),
                    lambda m: run_search(m, data, out, trials=1)):
        with pytest.raises(Refused) as caught:
            command(Five())
        assert [str(fault) for fault in caught.value.faults] == due
        assert str(caught.value).split("\n  ")[1:] == due
        assert not out.exists()


def test_the_command_build_prints_one_line_for_each_layer_and_ends_with_2(five_pt2: Path, tmp_path: Path):
    np.savez(tmp_path / "d.npz", x=samples(*SHAPE).x_train)
    done = run("build", five_pt2, "--data", tmp_path / "d.npz", "-o", tmp_path / "o")
    head, *lines = done.stderr.splitlines()
    assert done.returncode == 2 and done.stdout == "" and head.startswith("error: ") and "5 layers" in head
    assert [line.strip() for line in lines] == [str(fault) for fault in check(str(five_pt2)).faults]
    assert not (tmp_path / "o").exists()


# -- files of others ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, option", [("net.keras", "--keras net.keras"), ("net.h5", "--keras net.h5"),
                                          ("NET.H5", "--keras NET.H5"), ("net.tflite", "--tflite net.tflite"),
                                          ("my net.tflite", "--tflite 'my net.tflite'")])
def test_of_a_tensorflow_file_the_two_commands_are_named_that_make_an_onnx_of_it(name, option):
    with pytest.raises(InputError) as caught:
        check(name)
    assert f"`pip install tf2onnx` and `python -m tf2onnx.convert {option} --output " in str(caught.value)
    assert "where TensorFlow is installed" in str(caught.value)


def test_of_a_folder_that_tensorflow_saved_too(tmp_path: Path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(InputError, match=f"--saved-model {tmp_path / 'net'} --output net.onnx"):
        check(str(tmp_path / "net"))


@pytest.mark.parametrize("ending", ["pt", "pth", "ckpt", "safetensors"])
def test_of_weights_without_a_network_it_says_how_to_save_one(ending):
    with pytest.raises(InputError, match=r"holds weights or a pickle, which is never loaded.*torch\.export\.save"):
        check(f"net.{ending}")


def test_the_way_to_save_a_network_makes_a_file_that_is_read(tmp_path: Path):
    net, sample = nn.Sequential(nn.Linear(4, 3)), torch.zeros(2, 4)
    torch.export.save(torch.export.export(net.eval(), (sample,), dynamic_shapes=({0: torch.export.Dim("batch")},)),
                      tmp_path / "name.pt2")
    assert check(str(tmp_path / "name.pt2")).ok and capture(load_pt2(tmp_path / "name.pt2"), (4,))


def test_the_command_refuses_a_tensorflow_file_in_one_sentence():
    assert "tf2onnx.convert --keras" in refused(run("build", "net.keras", "-o", "never"))
