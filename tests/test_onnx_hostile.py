""".onnx files that are damaged, foreign or malicious: one sentence each, before any memory is taken."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_files import floats, model, node, saved

from toolkit.capture.onnx import load_onnx
from toolkit.utils.errors import InputError

WEIGHT = {"w": floats(4, 3)}


def plain() -> onnx.ModelProto:
    return model([node("MatMul", "x w", "h"), node("Relu", "h", "y")], ("N", 4), WEIGHT)


def refused(made: onnx.ModelProto, folder: Path, *words: str) -> None:
    """Loading raises one sentence that holds `words`, and takes no more than 64 MiB on the way."""
    path = saved(made, folder)
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as caught:
            load_onnx(path)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    told = str(caught.value)
    assert all(word in told for word in words), told
    assert "\n" not in told and len(told) < 1200


def test_the_file_that_the_others_spoil_loads(tmp_path: Path):
    assert load_onnx(saved(plain(), tmp_path)).sample_shape == (4,)


def test_an_unsupported_operator_is_named_with_its_node(tmp_path: Path):
    made = model([node("MatMul", "x w", "h"), node("Einsum", "h", "y", equation="bi->bi")], ("N", 4), WEIGHT)
    refused(made, tmp_path, "'Einsum_y' (Einsum)", "not supported", "known are", "Conv")


def test_an_operator_of_a_foreign_domain_is_named(tmp_path: Path):
    made = plain()
    made.graph.node[1].domain = "com.microsoft"
    refused(made, tmp_path, "(Relu)", "com.microsoft")


@pytest.mark.parametrize("operator", ["GRU", "LayerNormalization", "LSTM", "QLinearConv"])
def test_for_known_operators_it_says_what_would_work(operator: str, tmp_path: Path):
    refused(model([node(operator, "x w", "y")], ("N", 4), WEIGHT), tmp_path, operator, "not supported")


@pytest.mark.parametrize("name", [b"MatMul_h", b"MatMul"])
def test_a_name_that_is_no_text(name: bytes, tmp_path: Path):
    data = plain().SerializeToString()
    assert name in data
    path = tmp_path / "model.onnx"
    path.write_bytes(data.replace(name, b"\xff" * len(name)))
    with pytest.raises(InputError, match=r"no text in UTF-8|not an \.onnx file"):
        load_onnx(path)


def test_a_cyclic_graph(tmp_path: Path):
    made = model([node("Add", "x b", "a"), node("Relu", "a", "b")], ("N", 4), output="b")
    refused(made, tmp_path, "cyclic")


def test_a_graph_that_lost_a_node(tmp_path: Path):
    made = plain()
    del made.graph.node[0]
    refused(made, tmp_path, "'h'", "nothing makes")


def test_a_graph_that_lost_its_end(tmp_path: Path):
    made = plain()
    del made.graph.node[1]
    refused(made, tmp_path, "output 'y'", "truncated")


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.99])
def test_a_truncated_file(kept: float, tmp_path: Path):
    data = plain().SerializeToString()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[:int(kept * len(data))])
    with pytest.raises(InputError, match=r"truncated|opset|holds"):
        load_onnx(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no model", b"\xff" * 1000, b"\x0a" * 500])
def test_a_file_that_is_no_model(content: bytes, tmp_path: Path):
    path = tmp_path / "no.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"empty|not an \.onnx file"):
        load_onnx(path)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(InputError, match="does not exist"):
        load_onnx(tmp_path / "none.onnx")


def external(location: str, **entries: int) -> onnx.ModelProto:
    made = plain()
    weight = made.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        entry = weight.external_data.add()
        entry.key, entry.value = key, str(value)
    return made


@pytest.mark.parametrize("location", ["/etc/passwd", "../outside.bin", "a/../../outside.bin", "", ".", "link.bin"])
def test_external_data_outside_the_folder(location: str, tmp_path: Path):
    (tmp_path / "outside.bin").write_bytes(bytes(48))
    inner = tmp_path / "model"
    inner.mkdir()
    (inner / "link.bin").symlink_to(tmp_path / "outside.bin")
    refused(external(location), inner, "'w'", "outside the model's folder")


def test_external_data_that_is_missing_or_short(tmp_path: Path):
    refused(external("weights.bin"), tmp_path, "not beside the model")
    (tmp_path / "weights.bin").write_bytes(bytes(40))
    refused(external("weights.bin"), tmp_path, "needs 48 bytes", "holds 40")
    refused(external("weights.bin", offset=-8), tmp_path, "needs 48 bytes")
    refused(external("weights.bin", length=1 << 50), tmp_path, "needs 48 bytes")


def test_external_data_beside_the_model_is_read(tmp_path: Path):
    (tmp_path / "weights.bin").write_bytes(b"1234" + WEIGHT["w"].tobytes())
    loaded = load_onnx(saved(external("weights.bin", offset=4), tmp_path))
    assert np.array_equal(loaded.get_submodule("MatMul_h").weight.detach().numpy(), WEIGHT["w"].T)


@pytest.mark.parametrize("dims", [(1 << 40,), (1 << 20, 1 << 20), (1 << 62, 4), (-1, 4)])
def test_a_huge_tensor_in_a_small_file(dims: tuple[int, ...], tmp_path: Path):
    made = plain()
    made.graph.initializer[0].dims[:] = dims
    assert made.ByteSize() < 1024
    refused(made, tmp_path, "'w'")


def test_a_tensor_whose_bytes_do_not_fit_its_shape(tmp_path: Path):
    made = plain()
    made.graph.initializer[0].dims[:] = (400, 300)
    refused(made, tmp_path, "'w'", "damaged")


def test_a_huge_input_and_huge_constants_that_are_computed(tmp_path: Path):
    refused(model([node("Relu", "x", "y")], ("N", 1 << 20, 1 << 20)), tmp_path, "'x'", "elements a sample")
    shape = {"s": np.array([1 << 20, 1 << 20], np.int64)}
    refused(model([node("ConstantOfShape", "s", "w"), node("MatMul", "x w", "y")], ("N", 4), shape), tmp_path, "(Const",
            "larger")
    grown = {"w": floats(1, 1), "s": np.array([1 << 20, 1 << 20], np.int64)}
    refused(model([node("Expand", "w s", "v"), node("MatMul", "x v", "y")], ("N", 4), grown), tmp_path, "(Expand)",
            "larger")
    doubled = [node("Concat", f"w{i} w{i}", f"w{i + 1}", axis=0) for i in range(40)]
    refused(model([*doubled, node("MatMul", "x w40", "y")], ("N", 4), {"w0": floats(4, 3)}), tmp_path, "(Concat)",
            "larger")
    filled = [node("ConstantOfShape", "s", f"f{i}") for i in range(40)]
    sums = [node("Add", f"{'f0' if i == 1 else f'a{i - 1}'} f{i}", f"a{i}") for i in range(1, 40)]
    refused(model([*filled, *sums, node("MatMul", "x a39", "y")], ("N", 4), {"s": np.array([4, 100_000], np.int64)}),
            tmp_path, "(ConstantOfShape)", "larger")
    repeat = {"r": np.zeros(0, np.float32), "s": np.array([1, 1, 4096, 4096], np.float32)}
    refused(model([node("Resize", "x r s", "y", mode="nearest", coordinate_transformation_mode="asymmetric",
                        nearest_mode="floor")], ("N", 8, 8, 8), repeat), tmp_path, "(Resize)", "elements")


@pytest.mark.parametrize("opset, word", [(24, "opset 24"), (99, "opset 99"), (5, "opset 5")])
def test_an_opset_that_is_too_new_or_too_old(opset: int, word: str, tmp_path: Path):
    made = plain()
    made.opset_import[0].version = opset
    refused(made, tmp_path, word, "6 to 23")


@pytest.mark.parametrize("kind", ["FLOAT16", "BFLOAT16", "INT64", "INT8", "STRING", "BOOL"])
def test_an_input_that_is_no_float(kind: str, tmp_path: Path):
    refused(model([node("Relu", "x", "y")], ("N", 4), kind=TensorProto.DataType.Value(kind)), tmp_path, "'x'", kind,
            "float32")


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.STRING, 77])
def test_a_weight_of_another_type(kind: int, tmp_path: Path):
    made = plain()
    made.graph.initializer[0].data_type = kind
    refused(made, tmp_path, "'w'", "float32")


def test_dynamic_dimensions_other_than_the_batch(tmp_path: Path):
    refused(model([node("Relu", "x", "y")], ("N", 3, "H", 8)), tmp_path, "dynamic axis 2", "'H'", "batch")
    refused(model([node("Relu", "x", "y")], ("N", 3, None, 8)), tmp_path, "dynamic axis 2")
    refused(model([node("Relu", "x", "y")], None), tmp_path, "no shape")
    refused(model([node("Relu", "x", "y")], (4,)), tmp_path, "(batch, features)")


@pytest.mark.parametrize("nodes, constants, word", [
    ([node("MatMul", "x w", "y")], {"w": floats(5, 3)}, "does not fit"),
    ([node("Gemm", "x w b", "y")], {"w": floats(4, 3), "b": floats(7)}, "does not fit"),
    ([node("Add", "x w", "y")], {"w": floats(3)}, "does not fit"),
    ([node("Reshape", "x s", "y")], {"s": np.array([-1, 7], np.int64)}, "number of elements"),
    ([node("Reshape", "x s", "y")], {"s": np.array([2, 2, -1], np.int64)}, "batch in front"),
    ([node("Conv", "x w", "y")], {"w": floats(2, 3, 3)}, "does not fit"),
    ([node("Transpose", "x", "y", perm=[1, 0])], {}, "moves the batch"),
    ([node("Flatten", "x", "y", axis=0)], {}, "mixes samples"),
    ([node("Concat", "x x", "y", axis=0)], {}, "batch"),
    ([node("MatMul", "x x", "y")], {}, "computed from data"),
    ([node("Softmax", "x", "h"), node("Relu", "h", "y")], {}, "at the end"),
    ([node("Cast", "x", "y", to=TensorProto.FLOAT16)], {}, "float32"),
])
def test_a_shape_or_an_operand_that_does_not_fit(nodes, constants, word: str, tmp_path: Path):
    refused(model(nodes, ("N", 4), constants), tmp_path, f"({nodes[0].op_type})", word)


def test_windows_that_do_not_fit(tmp_path: Path):
    weight = {"w": floats(2, 3, 3, 3)}
    for attributes in ({"pads": [1 << 40] * 4}, {"strides": [0, 1]}, {"dilations": [9, 9]}, {"kernel_shape": [5, 5]},
                       {"pads": [-1, 0, 0, 0]}, {"auto_pad": "SOMETIMES"}, {"group": 2},
                       {"pads": [1 << 18] * 4, "dilations": [1 << 18] * 2}):
        refused(model([node("Conv", "x w", "y", **attributes)], ("N", 3, 8, 8), weight), tmp_path, "(Conv)")
    refused(model([node("MaxPool", "x", "y", kernel_shape=[9, 9])], ("N", 3, 8, 8)), tmp_path, "(MaxPool)")
    refused(model([node("Conv", "x w", "y")], ("N", 3, 8, 8, 8), {"w": floats(2, 3, 3, 3, 3)}), tmp_path, "1-D and 2-D")


def test_control_flow_several_inputs_and_weights_that_are_not_finite(tmp_path: Path):
    inner = helper.make_graph([node("Relu", "x", "z")], "inner", [], [helper.make_tensor_value_info("z", 1, None)])
    made = model([helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)], ("N", 4),
                 {"c": np.array(True)})
    refused(made, tmp_path, "(If)", "control flow")
    made = plain()
    made.graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 4)))
    refused(made, tmp_path, "one name")
    made = plain()
    made.graph.input.append(helper.make_tensor_value_info("x2", TensorProto.FLOAT, (7, 4)))
    made.graph.input.append(helper.make_tensor_value_info("x3", TensorProto.FLOAT, (8, 4)))
    refused(made, tmp_path, "different batch sizes, 7 and 8")
    made = plain()
    made.graph.output.append(helper.make_tensor_value_info("y2", TensorProto.FLOAT, None))
    refused(made, tmp_path, "nothing makes the output 'y2'")
    refused(model([node("MatMul", "x w", "y")], ("N", 4), {"w": np.full((4, 3), np.nan, np.float32)}), tmp_path,
            "finite")


def test_a_value_that_is_made_twice(tmp_path: Path):
    refused(model([node("Relu", "x", "y"), node("Sigmoid", "x", "y")], ("N", 4)), tmp_path, "made already")
