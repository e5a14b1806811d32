"""Networks of several inputs and several outputs: captured, quantised, made for every target, every bit compared."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from several_ports import SHAPES, Ranks, Vectors, arrays, data, model, samples
from torch import nn
from torch.utils.data import DataLoader

from toolkit.api import Data, Options, Settings, check, generate, simulate, verify
from toolkit.capture import capture, load_onnx
from toolkit.capture.source import load_model
from toolkit.compress import Compressed, compress
from toolkit.compress.artifact import Artifact
from toolkit.compress.data.entry_point import arrays_of
from toolkit.compress.data.several import grouped
from toolkit.compress.training.heads import Head
from toolkit.compress.training.loop import head_loss
from toolkit.design import Design, FixedPoint, Port, Ports, Tensor
from toolkit.design.layers import Concat
from toolkit.design.ports import consecutive
from toolkit.utils.errors import InputError

FAST = Settings(qat_epochs=0, finetune_epochs=0)


def rows(shapes: dict[str, tuple[int, ...]], given: dict[str, np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([given[name].reshape(len(given[name]), -1) for name in shapes], 1))


def exported(network: nn.Module, shapes: dict[str, tuple[int, ...]], path: Path) -> Path:
    batch = torch.export.Dim("batch")
    program = torch.export.export(network, tuple(torch.zeros(2, *shape) for shape in shapes.values()),
                                  dynamic_shapes=({0: batch},) * len(shapes))
    torch.export.save(program, path)
    return path


@pytest.fixture(scope="module", params=[Vectors, Ranks])
def made(request) -> Compressed:
    return compress(model(request.param), data(SHAPES[request.param]), "log2:4", FAST)


@pytest.mark.parametrize("kind", [Vectors, Ranks])
def test_a_captured_network_gives_each_output_where_its_ports_say(kind):
    network, shapes = model(kind), SHAPES[kind]
    graph = capture(network, (sum(int(np.prod(s)) for s in shapes.values()),), consecutive(shapes.items()))
    given = samples(shapes, 5)
    with torch.no_grad():
        found = graph(rows(shapes, given))
        due = network(*map(torch.from_numpy, given.values()))
    ports = graph.meta["ports"]
    assert [port.name for port in ports.inputs] == list(shapes)
    due = due if isinstance(due, dict) else {f"output_{i}": part for i, part in enumerate(due)}
    assert [port.name for port in ports.outputs] == list(due)
    for port in ports.outputs:
        part = found[:, port.elements].reshape(-1, *port.shape)
        assert torch.allclose(part.softmax(1) if port.name == "class" else part, due[port.name], atol=1e-5), port.name


@pytest.mark.parametrize("kind", [Vectors, Ranks])
def test_a_pt2_file_has_the_ports_of_its_module(kind, tmp_path: Path):
    network, shapes = model(kind), SHAPES[kind]
    loaded: Any = load_model(str(exported(network, shapes, tmp_path / "network.pt2")))
    size = sum(int(np.prod(s)) for s in shapes.values())
    graph, of_file = capture(network, (size,), consecutive(shapes.items())), capture(loaded, (size,))
    assert of_file.meta["ports"] == graph.meta["ports"] and check(loaded).ok
    x = rows(shapes, samples(shapes, 4))
    assert torch.equal(of_file(x), graph(x))


def test_a_softmax_at_one_output_is_left_out_with_a_note_that_names_it(made: Compressed):
    told = [note for note in made.notes if "softmax" in note]
    assert told == (["the final softmax of the output 'class' is left out: it does not move the argmax"]
                    if made.design.ports.outputs[0].name == "class" else [])


def test_images_among_the_ports_are_channels_last_in_a_design(made: Compressed):
    ports = {port.name: port.shape for port in (*made.design.ports.inputs, *made.design.ports.outputs)}
    if "picture" in ports:
        assert ports == {"picture": (4, 4, 2), "wave": (5, 2), "extra": (2,), "output_0": (3, 3, 3),
                         "output_1": (3, 2), "output_2": (3,)}


def test_outputs_of_different_scale_keep_all_their_bits():
    found = compress(model(Vectors), data(SHAPES[Vectors]), "log2:4", FAST)
    formats = {layer.name: found.design.tensors[layer.name].format for layer in found.design.layers}
    assert {formats["scores"].width, formats["turn"].width} == {16}
    assert formats["turn"].frac < formats["scores"].frac  # an angle of hundreds
    last = found.design.layers[-1]
    assert isinstance(last, Concat) and found.design.output.format.frac >= formats["scores"].frac
    assert found.design.output.format.width >= 16 + formats["scores"].frac - formats["turn"].frac


def test_an_artifact_gives_its_outputs_in_pytorchs_order(made: Compressed):
    artifact = Artifact({"channels_last": True}, made.design, None)
    if made.design.ports.outputs[0].name == "class":
        return
    with torch.no_grad():
        due = made.graph.double()(torch.from_numpy(made.data.x_test).double()).numpy()
    made.graph.float()
    assert np.array_equal(artifact.outputs(made.data.x_test), due)


@pytest.mark.parametrize("target, arch", [("verilog", "unrolled"), ("verilog", "folded"), ("c", "auto"),
                                          ("hls", "auto")])
def test_every_bit_is_equal_in_every_target(made: Compressed, target, arch, tmp_path: Path):
    if (arch == "unrolled") != (made.design.ports.outputs[0].name == "class") and target == "verilog":
        return  # convolutions have no unrolled hardware, and one of the two is enough of the folded
    folder = generate(made.design, tmp_path / "p", targets=(target,), options=Options(arch=arch),
                      test=made.test_codes[:8], vectors=40).folder
    assert simulate(folder).ok
    manifest = json.loads((folder / "manifest.json").read_text())
    for side, ports in (("input", made.design.ports.inputs), ("output", made.design.ports.outputs)):
        assert [(p["name"], p["start"], p["stop"]) for p in manifest[side]["ports"]] \
            == [(p.name, p.start, p.stop) for p in ports]
        for port in ports:
            assert f"| `{port.name}` | {port.start} to {port.stop - 1} |" in (folder / "README.md").read_text()
    if target == "c":
        header = next((folder / "c").glob("*.h")).read_text()
        port = made.design.ports.outputs[1]
        assert f"_OUTPUT_{port.name.upper()}_START {port.start}\n" in header
        assert verify(folder, check=False).ok


def test_the_first_layers_on_slices_cost_nothing_in_unrolled_hardware():
    from toolkit.hardware import plan

    found = compress(model(Vectors), data(SHAPES[Vectors]), "log2:4", FAST)
    costs = [(p.layer.kind, p.datapath.register_bits, p.adders) for p in plan(found.design).layers]
    assert [cost for cost in costs if cost[0] == "reorder"] == [("reorder", 0, 0)] * 2
    assert [cost for cost in costs if cost[0] == "concat"] == [("concat", 0, 0)] * 2


def onnx_file(path: Path) -> Path:
    """A vector and a channels-last image; classes, an image and the vector passed through."""
    rng = np.random.default_rng(0)
    constants = {"k": rng.normal(size=(3, 2, 2, 2)), "w": rng.normal(size=(30, 4))}
    nodes = [helper.make_node(op, inputs, [output], **attributes) for op, inputs, output, attributes in (
        ("Transpose", ["picture"], "t", {"perm": [0, 3, 1, 2]}), ("Conv", ["t", "k"], "c", {}),
        ("Relu", ["c"], "map", {}), ("Flatten", ["map"], "flat", {}), ("Concat", ["flat", "speed"], "all", {"axis": 1}),
        ("Gemm", ["all", "w"], "s", {}), ("Softmax", ["s"], "class", {"axis": 1}))]
    graph = helper.make_graph(
        nodes, "two", [helper.make_tensor_value_info("speed", TensorProto.FLOAT, ("N", 3)),
                       helper.make_tensor_value_info("picture", TensorProto.FLOAT, ("N", 4, 4, 2))],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("class", "map", "speed")],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in constants.items()])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(made.SerializeToString())
    return path


def test_an_onnx_file_of_two_inputs_and_three_outputs_computes_what_onnxruntime_does(tmp_path: Path):
    path = onnx_file(tmp_path / "two.onnx")
    shapes = {"picture": (4, 4, 2), "speed": (3,)}
    loaded: Any = load_onnx(path)
    given = data(shapes).arranged(loaded)
    assert [(p.name, p.shape) for p in given.inputs] == [("speed", (3,)), ("picture", (2, 4, 4))]
    graph = capture(loaded, given.sample_shape)
    found = graph(torch.from_numpy(given.x_test)).detach()
    due = onnxruntime.InferenceSession(str(path)).run(None, samples(shapes, 40, 2))
    assert [port.name for port in graph.meta["ports"].outputs] == ["class", "map", "speed"]
    for port, part in zip(graph.meta["ports"].outputs, due, strict=True):
        own = found[:, port.elements].reshape(-1, *port.shape)
        assert np.allclose(own.softmax(1) if port.name == "class" else own, part, atol=1e-5), port.name
    assert compress(loaded, data(shapes), "log2:4", FAST).design.ports.inputs[1].shape == (4, 4, 2)


class Twice(nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor, unused: torch.Tensor) -> tuple[torch.Tensor, ...]:
        total = a + torch.relu(b)
        return total, total, a


def test_an_input_that_nothing_reads_is_kept_with_a_note():
    shapes = {"a": (2,), "b": (2,), "unused": (3,)}
    found = compress(Twice().eval(), data(shapes), "log2:4", FAST)
    assert "nothing reads the input 'unused'; its elements stay part of a sample" in found.notes
    codes = np.arange(7)[None]
    assert found.design.reference(codes)[0, :4].reshape(2, 2).std(axis=0).max() == 0


def test_labels_by_output_are_what_each_output_is_judged_by():
    rng = np.random.default_rng(0)
    parts = [samples(SHAPES[Vectors], n, seed) for seed, n in ((0, 200), (1, 60), (2, 60))]
    network = model(Vectors)
    labels = []
    for part in parts:
        with torch.no_grad():
            out = network(*map(torch.from_numpy, part.values()))
        labels.append({"class": out["class"].argmax(1).numpy(), "angle": out["angle"].numpy() +
                       rng.normal(size=(len(out["angle"]), 1))})
    given = Data.of(parts[0], labels[0], parts[2], labels[2], x_val=parts[1], y_val=labels[1])
    assert given.task == "outputs" and [t.task for t in given.targets] == ["classes", "values"]
    found = compress(network, given, "int:8", FAST)
    figures = {one.output: one for one in found.steps[0].outputs}
    assert figures["class"].accuracy == 1 == found.steps[0].accuracy and figures["angle"].task == "values"
    assert figures["angle"].error == pytest.approx(1, abs=0.3) and figures["inner"].task == "none"
    assert found.steps[0].metric == pytest.approx(np.mean([one.worth for one in found.steps[0].outputs]))
    trained = compress(network, given, "log2:4", Settings(qat_epochs=4, finetune_epochs=0))
    post, qat = trained.steps[1], trained.steps[2]
    assert qat.metric > post.metric  # the mean over all outputs is what was trained for


def test_labels_of_one_array_are_of_the_first_output():
    parts = samples(SHAPES[Ranks], 60)
    with torch.no_grad():
        image = model(Ranks)(*map(torch.from_numpy, parts.values()))[0].flatten(1).numpy()
    found = compress(model(Ranks), Data.of(parts, image), "int:8", FAST)
    assert [one.task for one in found.steps[0].outputs] == ["values", "none", "none"]


def test_arrays_of_a_file_and_batches_of_a_loader_are_the_inputs_by_name(tmp_path: Path):
    np.savez(tmp_path / "d.npz", **arrays(SHAPES[Vectors]))
    of_file = Data.load(tmp_path / "d.npz")
    assert of_file.arranged(model(Vectors)).inputs == consecutive(SHAPES[Vectors].items())
    first = samples(SHAPES[Vectors], 120)
    pairs = [((torch.from_numpy(a), torch.from_numpy(b)), i % 3) for i, (a, b) in
             enumerate(zip(*first.values(), strict=True))]
    loaded = arrays_of(DataLoader(pairs, batch_size=7), "mine")
    by_place = Data.of(**grouped(loaded.found))
    assert [port.name for port in by_place.inputs] == ["input_0", "input_1"] and by_place.task == "classes"
    sorted_ = by_place.arranged(model(Vectors))
    assert [port.name for port in sorted_.inputs] == ["speed", "place"]
    assert len(sorted_.x_train) + len(sorted_.x_val) == 120


@pytest.mark.parametrize("change, told", [
    (lambda d: d.pop("place_train"), "holds no place_train"),
    (lambda d: d.pop("place_val"), "holds val samples of some inputs and of others none"),
    (lambda d: d.update(place_train=d["place_train"][:5]), "120 samples of speed"),
    (lambda d: d.update(other=d["place_train"]), "'other', which is not understood"),
])
def test_arrays_that_do_not_belong_together_are_told(change, told, tmp_path: Path):
    found = arrays(SHAPES[Vectors])
    change(found)
    np.savez(tmp_path / "d.npz", **found)
    with pytest.raises(InputError) as caught:
        Data.load(tmp_path / "d.npz")
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_inputs_that_a_model_has_not_are_told():
    shapes = {"speed": (2,), "colour": (3,)}
    with pytest.raises(InputError, match="takes the inputs speed, place, and the data hold speed, colour"):
        data(shapes).arranged(model(Vectors))
    plain = Data.of(np.random.default_rng(0).normal(size=(20, 5)))
    with pytest.raises(InputError, match=r"takes 2 inputs \(speed, place\).*give arrays of each: speed_train"):
        plain.arranged(model(Vectors))


class Nested(nn.Module):
    def forward(self, a: torch.Tensor) -> Any:
        return {"one": (a.relu(), a), "two": a}


class Scores(nn.Module):
    def forward(self, a: torch.Tensor) -> Any:
        return torch.argmax(a, 1), a.relu()


@pytest.mark.parametrize("network, told", [(Nested(), "outputs are nested"), (Scores(), "give the scores")])
def test_outputs_that_cannot_be_had_are_told(network, told):
    with pytest.raises(InputError, match=told):
        capture(network.eval(), (4,))


def design() -> Design:
    layers = (Concat("y", ("x", "x")),)
    ports = Ports(consecutive([("a", (1,)), ("b", (2,))]), consecutive([("c", (2,)), ("d", (2, 2))]))
    return Design("ports", Tensor("x", (3,), FixedPoint(True, 4, 0)), layers, ports)


def test_a_design_file_keeps_its_ports(tmp_path: Path):
    design().save(tmp_path / "d.swd")
    assert Design.load(tmp_path / "d.swd").ports == design().ports


@pytest.mark.parametrize("ports", [
    None, [], {}, {"inputs": 3}, {"inputs": [3]}, {"outputs": [{}]}, {"others": []},
    {"inputs": [{"name": "a", "shape": [3], "start": 0, "stop": 2}]},
    {"inputs": [{"name": "a", "shape": [2], "start": 1, "stop": 3}]},
    {"inputs": [{"name": "a", "shape": [2], "start": 0, "stop": 2}]},
    {"inputs": [{"name": "", "shape": [3], "start": 0, "stop": 3}]},
    {"inputs": [{"name": 7, "shape": [3], "start": 0, "stop": 3}]},
    {"inputs": [{"name": "a", "shape": [3.0], "start": 0, "stop": 3}]},
    {"inputs": [{"name": "a", "shape": [-1, -3], "start": 0, "stop": 3}]},
    {"inputs": [{"name": "a", "shape": [1 << 40], "start": 0, "stop": 1 << 40}]},
    {"inputs": [{"name": "a", "shape": [1], "start": 0, "stop": 1},
                {"name": "a", "shape": [2], "start": 1, "stop": 3}]},
    {"inputs": [{"name": "a", "shape": [3], "start": 0, "stop": 3, "more": 1}]},
    {"inputs": [{"name": "\ud800", "shape": [3], "start": 0, "stop": 3}]},
])
def test_damaged_ports_of_a_design_file_are_one_sentence(ports, tmp_path: Path):
    path = tmp_path / "d.swd"
    design().save(path)
    with zipfile.ZipFile(path) as archive:
        document = json.loads(archive.read("design.json"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("design.json", json.dumps({**document, "ports": ports}))
    path.write_bytes(buffer.getvalue())
    with pytest.raises(InputError) as caught:
        Design.load(path)
    assert str(caught.value).startswith("the design '") and "\n" not in str(caught.value)


def test_ports_that_do_not_fill_a_design_are_refused():
    with pytest.raises(InputError, match="have 2 elements together, and it has 3"):
        Design("d", design().input, design().layers, Ports((Port("a", (2,)),)))


def test_damaged_ports_of_a_manifest_are_one_sentence(tmp_path: Path):
    import manifest
    from errors import BadFolder

    folder = generate(design(), tmp_path / "p", targets=("c",), vectors=10).folder
    path = folder / "manifest.json"
    good = json.loads(path.read_text())
    assert [(p.name, p.start, p.stop) for p in manifest.load(folder).output.parts] == [("c", 0, 2), ("d", 2, 6)]
    for ports in (None, [], [3], [{}], [{"name": "c", "shape": [6], "start": 0, "stop": 5}],
                  [{"name": "c", "shape": [2], "start": 0, "stop": 2}],
                  [{"name": "c", "shape": [2], "start": 0, "stop": 2},
                   {"name": "d", "shape": [4], "start": 3, "stop": 7}],
                  [{"name": "c", "shape": [1 << 40], "start": 0, "stop": 6}],
                  [{"name": "c", "shape": [-2, -3], "start": 0, "stop": 6}],
                  [{"name": "c", "shape": [], "start": 0, "stop": 6}],
                  [{"name": "c", "shape": [6.0], "start": 0, "stop": 6}]):
        path.write_text(json.dumps({**good, "output": {**good["output"], "ports": ports}}))
        with pytest.raises(BadFolder) as caught:
            manifest.load(folder)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError) as told:
        simulate(folder)
    assert told.value.exit_code == 2


def test_the_loss_of_an_output_is_in_units_of_its_own_scale():
    outputs, taught = torch.tensor([[1.0, 1000.0]]), torch.zeros(1, 2)
    for head in (Head("small", 0, 1, "none", 1.0), Head("large", 1, 2, "none", 1000.0)):
        assert float(head_loss(head, outputs, None, taught)) == 1


class Apart(nn.Module):
    """Two inputs that only layers with weights read."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(2, 4), nn.Linear(3, 4)

    def forward(self, tall: torch.Tensor, small: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.one(tall).relu(), self.two(small).relu()


def test_inputs_of_different_scale_have_exponents_of_their_own():
    torch.manual_seed(0)
    network = Apart().eval()
    parts = [{"tall": 1000 * p["tall"], "small": p["small"] / 1000}
             for p in (samples({"tall": (2,), "small": (3,)}, n, n) for n in (200, 50, 50))]
    found = compress(network, Data.of(parts[0], x_val=parts[1], x_test=parts[2]), "int:8", FAST)
    exponents = found.design.input.exponents
    assert min(exponents[:2]) - max(exponents[2:]) >= 15
    assert all(one.worth > 0.95 for one in found.steps[-1].outputs)
