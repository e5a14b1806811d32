"""Files from strangers: each is refused in one sentence, without running code, in 1 GiB and 5 s beyond the base."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import hostile_files as hostile
import numpy as np
import pytest
import torch
from forked import ending, endings

from toolkit.capture import QuantisedModel, capture, load_onnx, load_pt2
from toolkit.capture.strings import check_treespec
from toolkit.compress.data import Data
from toolkit.design import Design
from toolkit.design.layers.lookup import _extremes
from toolkit.report.tables import table
from toolkit.utils.errors import MAX_LENGTH, InputError
from toolkit.utils.printable import printable

TREES = {
    "defaultdict": {
        "type": "collections.defaultdict",
        "children_spec": [],
        "context": {"default_factory_module": "beside_model", "default_factory_name": "x", "dict_context": []},
    },
    "enum": {
        "type": "builtins.dict",
        "children_spec": [],
        "context": json.dumps([{"__enum__": True, "fqn": "ctypes:cdll", "name": "/tmp/x.so"}]),
    },
    "named tuple": {"type": "collections.namedtuple", "children_spec": [], "context": "beside_model.x"},
    "a leaf with children": {
        "type": None,
        "context": None,
        "children_spec": [{"type": None, "context": None, "children_spec": []}],
    },
}


def read_pt2(path: Path) -> None:
    capture(load_pt2(path), (4,))


def read_onnx(path: Path) -> None:
    loaded = load_onnx(path)
    if not isinstance(loaded, QuantisedModel):
        capture(loaded, loaded.sample_shape)


def refused(path: Path, words: str | None = None) -> str:
    with pytest.raises(InputError, match=words) as caught:
        read_pt2(path)
    assert str(path) in str(caught.value) and len(str(caught.value)) <= MAX_LENGTH
    return str(caught.value)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile.plain_pt2(tmp_path_factory.mktemp("hostile") / "plain.pt2")


def changed(plain: Path, out: Path, change: Any) -> Path:
    return hostile.with_json(plain, out / "changed.pt2", "model.json", change)


@pytest.mark.parametrize("side", ["in_spec", "out_spec"])
@pytest.mark.parametrize("tree", TREES)
def test_a_treespec_that_names_more_than_plain_containers_is_refused(plain, tree, side, tmp_path, monkeypatch):
    (tmp_path / "beside_model.py").write_text("open('RAN', 'w').write('x'); x = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def change(document: Any) -> None:
        document["graph_module"]["module_call_graph"][0]["signature"][side] = json.dumps([1, TREES[tree]])

    refused(changed(plain, tmp_path, change), "structure that is not known")
    assert not Path("RAN").exists() and "beside_model" not in sys.modules


def test_the_treespecs_that_torch_writes_for_plain_containers_are_let_through():
    leaf: dict[str, Any] = {"type": None, "context": None, "children_spec": []}
    check_treespec(
        json.dumps(
            [
                1,
                {
                    "type": "builtins.tuple",
                    "context": "null",
                    "children_spec": [
                        {"type": "builtins.list", "context": "null", "children_spec": [leaf]},
                        {"type": "builtins.dict", "context": '["a"]', "children_spec": [leaf]},
                    ],
                },
            ]
        )
    )


def test_a_name_of_a_node_that_is_code_is_refused_and_not_run(plain, tmp_path, monkeypatch):
    """fx would write it into the source of a function, as it stands, and compile that."""
    monkeypatch.chdir(tmp_path)
    evil = "x=open('RAN','w')"

    def change(document: Any) -> None:
        text = json.dumps(document).replace('"name": "input"', f'"name": {json.dumps(evil)}')
        document.clear()
        document.update(json.loads(text))

    refused(changed(plain, tmp_path, change), "not an identifier")
    assert not Path("RAN").exists()


def test_strings_that_torch_would_look_up_or_evaluate_are_never_read(plain, tmp_path):
    """Guards, verifiers, ranges, opsets and the metadata of nodes: what they hold changes nothing."""

    def change(document: Any) -> None:
        document.update(
            guards_code=["__import__('os')._exit(9)"],
            verifiers=["beside_model"],
            range_constraints={"u" + "9" * 8: {"min_val": 0, "max_val": None}},
            opset_version={"aten": "__import__('os')"},
            torch_version="9" * 90,
        )
        for entry in document["graph_module"]["graph"]["nodes"]:
            entry["metadata"].update(source_fn_stack="a,torch.nn.x", torch_fn="a;b", custom="{", from_node="[")

    before, after = (capture(load_pt2(p), (4,)) for p in (plain, changed(plain, tmp_path, change)))
    assert before.code == after.code


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.nothing.default",
        "torch.ops.aten.__class__.mro",
        "torch.ops.aten.relu.__init__",
        "torch.os.system",
        "math.sin",
        "#triton:x",
        "torch.ops.higher_order.cond",
    ],
)
def test_an_operator_that_is_none_of_aten_is_refused(plain, target, tmp_path):
    def change(document: Any) -> None:
        document["graph_module"]["graph"]["nodes"][0]["target"] = target

    refused(changed(plain, tmp_path, change), "not a plain tensor operation")


@pytest.mark.parametrize("kind", ["as_graph", "as_custom_obj", "as_operator", "as_string_to_argument"])
def test_an_argument_that_is_an_object_or_a_graph_is_refused(plain, kind, tmp_path):
    def change(document: Any) -> None:
        document["graph_module"]["graph"]["nodes"][0]["inputs"][0]["arg"] = {kind: {"name": "x", "class_fqn": "os"}}

    refused(changed(plain, tmp_path, change), f"kind '{kind}'")


@pytest.mark.parametrize("kind", ["custom_obj", "token", "constant_input"])
def test_an_input_that_is_an_object_is_refused(plain, kind, tmp_path):
    def change(document: Any) -> None:
        document["graph_module"]["signature"]["input_specs"][0] = {kind: {"arg": {"name": "x", "class_fqn": "os"}}}

    refused(changed(plain, tmp_path, change))


def test_custom_objects_are_refused(plain, tmp_path):
    def change(document: Any) -> None:
        document["graph_module"]["graph"]["custom_obj_values"] = {"o": {"name": "o", "class_fqn": "os.system"}}

    refused(changed(plain, tmp_path, change), "objects beside its tensors")


def test_bytes_before_the_first_entry_are_refused(plain, tmp_path):
    path = tmp_path / "both.pt2"
    path.write_bytes(b"\x7fELF" + bytes(60) + plain.read_bytes())
    refused(path, "before its first entry")
    shifted = io.BytesIO()
    shifted.write(b"PK\3\4" + bytes(60))  # the same with a head that looks like an entry's
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(shifted, "a") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    path.write_bytes(shifted.getvalue())
    refused(path, "before its first entry")


def warm_up(folder: Path) -> None:
    """What torch imports at its first use is no file's fault."""
    read_pt2(hostile.plain_pt2(folder / "warm.pt2"))
    capture(torch.nn.Linear(4, 2), (4,))


def judged(files: dict[str, Path], read: Any, taken: tuple[str, ...] = ()) -> None:
    """Every file is refused within the limits, or, where it is one of `taken`, read within them."""
    for name, path in files.items():
        assert path.stat().st_size <= 1 << 21, name
    found = dict(zip(files, endings(list(files.values()), read, (InputError,)), strict=True))
    bad = {n: e for n, e in found.items() if not e.good or e.how != ("read" if n in taken else "refused")}
    assert not bad


def test_small_pt2_files_that_would_take_all_memory_or_time_are_refused(tmp_path):
    warm_up(tmp_path)
    judged(hostile.big_pt2s(tmp_path), read_pt2)


def test_small_swd_files_that_would_take_all_memory_or_time_are_refused(tmp_path):
    judged(hostile.big_swds(tmp_path), Design.load)


def test_small_onnx_files_that_would_take_all_memory_or_time_are_refused(tmp_path):
    warm_up(tmp_path)
    # Five thousand additions of constants are one bias.
    judged(hostile.big_onnx(tmp_path), read_onnx, taken=("shifts",))


def test_damaged_and_lying_npz_files_are_refused_in_one_sentence(tmp_path):
    judged(hostile.bad_npzs(tmp_path), Data.load)


def test_the_same_arrays_inside_a_design_are_refused(tmp_path):
    plain = hostile.plain_swd(tmp_path / "plain.swd")
    files = {}
    for name, path in hostile.bad_npzs(tmp_path).items():
        if name in ("token", "bool", "huge", "nested", "minus", "text", "object", "long"):
            with zipfile.ZipFile(path) as archive:
                array = archive.read("x.npy")
            files[name] = hostile.rewritten(
                plain,
                tmp_path / f"{name}.swd",
                lambda n, d, array=array: [(n, array if n.endswith("codes.npy") else d)],
            )
    judged(files, Design.load)


def test_the_files_that_the_others_spoil_are_read(tmp_path, plain):
    assert ending(plain, read_pt2, (InputError,)).how == "read"
    assert ending(hostile.plain_swd(tmp_path / "p.swd"), Design.load, (InputError,)).how == "read"
    assert ending(hostile.plain_npz(tmp_path / "p.npz"), Data.load, (InputError,)).how == "read"


def test_a_reader_that_takes_too_much_is_found_out(tmp_path):
    path = tmp_path / "x"
    assert not ending(path, lambda _: np.ones(1 << 28), (InputError,)).good
    assert ending(path, lambda _: np.ones(1 << 33), (InputError,)).how == "raised"
    assert not ending(path, lambda _: sum(range(1 << 62)), (InputError,)).good


@pytest.mark.parametrize("name", ["\x1b[2Jgone", "a\u202eb", "a\u200fb", "a\rb", "a\x9bb", "a\nPASS"])
def test_what_moves_a_cursor_or_turns_the_writing_is_never_printed(name):
    shown = [printable(name), str(InputError(f"layer '{name}'")), *table([("layer", "x"), (name, "1")])]
    assert all(line.isprintable() for line in shown)
    assert len(printable(name)) == len(name)


def test_a_name_in_another_script_stays_as_it_is():
    assert printable("слой 层 é") == "слой 层 é"


def test_an_error_is_never_longer_than_a_screen():
    assert len(str(InputError("x" * 100_000))) == MAX_LENGTH


@pytest.mark.parametrize("size", [1, 2, 7, 256])
def test_extremes_of_stretches_are_those_of_a_search(size):
    rng = np.random.default_rng(size)
    values = rng.integers(-99, 99, size)
    ends = np.sort(rng.integers(0, size, (200, 2)), axis=1)
    for extreme, search in ((np.minimum, np.min), (np.maximum, np.max)):
        found = _extremes(values, ends[:, 0], ends[:, 1], extreme)
        assert found.tolist() == [search(values[a : b + 1]) for a, b in ends]
