"""Files that want to run code, or to take all memory or time: each is made here, small, by name."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import TensorProto, helper
from onnx_files import floats, model, node
from torch import nn

from toolkit.commands.exported import save_pt2

Change = Callable[[str, bytes], Iterable[tuple[str, bytes]]]


def plain_pt2(path: Path) -> Path:
    """4-4-2 with a ReLU, a batch of any size."""
    torch.manual_seed(0)
    save_pt2(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), (4,), path)
    return path


def plain_swd(path: Path) -> Path:
    from benchmarks.networks import mlp

    mlp((4, 6, 3)).save(path)
    return path


def plain_npz(path: Path) -> Path:
    rng = np.random.default_rng(0)
    np.savez_compressed(
        path,
        allow_pickle=False,
        x_train=rng.normal(size=(20, 4)).astype(np.float32),
        y_train=np.arange(20) % 3,
        x_test=rng.normal(size=(8, 4)),
        y_test=np.arange(8) % 3,
    )
    return path


def rewritten(path: Path, out: Path, change: Change, method: int = zipfile.ZIP_STORED) -> Path:
    """The same archive with each member as `change` makes it: none, one or several."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", method) as new:
        for name in old.namelist():
            for pair in change(name, old.read(name)):
                new.writestr(*pair)
    return out


def with_json(path: Path, out: Path, end: str, change: Callable[[Any], None], method: int = zipfile.ZIP_STORED) -> Path:
    """The same archive with the document of the member whose name ends in `end` changed in place."""

    def edit(name: str, data: bytes) -> list[tuple[str, bytes]]:
        if name.endswith(end):
            document = json.loads(data)
            change(document)
            data = json.dumps(document).encode()
        return [(name, data)]

    return rewritten(path, out, edit, method)


def operation(target: str, made: str, *inputs: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """A node of a .pt2 graph."""
    return {
        "target": f"torch.ops.aten.{target}",
        "inputs": [{"name": n, "arg": a, "kind": 1} for n, a in inputs],
        "outputs": [{"as_tensor": {"name": made}}],
        "metadata": {},
    }


def of(name: str) -> dict[str, Any]:
    return {"as_tensor": {"name": name}}


def chain(document: Any, count: int, step: Callable[[str, str], dict[str, Any]]) -> None:
    """Let the graph of a model be `count` operations, one after the other."""
    graph = document["graph_module"]["graph"]
    last = graph["inputs"][-1]["as_tensor"]["name"]
    graph["nodes"] = []
    for i in range(count):
        graph["nodes"].append(step(last, f"v{i}"))
        last = f"v{i}"
    graph["outputs"] = [of(last)]


def npy(shape: str, descr: str = "'<f4'", data: bytes = b"", header: str | None = None) -> bytes:
    """An .npy file whose header says what it is told to."""
    text = (header or f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}").encode("latin1") + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + data


def zeros(count: int, descr: str = "'<f4'", size: int = 4) -> bytes:
    return npy(f"({count}, 4)", descr, bytes(count * 4 * size))


def npz(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method, compresslevel=9 if method == zipfile.ZIP_DEFLATED else None) as out:
        for name, data in members.items():
            out.writestr(name, data)
    return path


def overlapping(path: Path, count: int = 1000) -> Path:
    """A zip of `count` members that are all the same 64 KiB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        out.writestr("x.npy", zeros(4096))
    data = buffer.getvalue()
    directory = data.index(b"PK\1\2")
    entry, end = data[directory : data.index(b"PK\5\6")], data[data.index(b"PK\5\6") :]
    entries = b"".join(entry.replace(b"x.npy", f"{i:05d}".encode()) for i in range(count))
    end = end[:8] + struct.pack("<HHII", count, count, len(entries), directory) + end[20:]
    path.write_bytes(data[:directory] + entries + end)
    return path


def design(layers: list[dict[str, Any]], shape: list[int]) -> dict[str, Any]:
    """The document of a .swd file."""
    return {"schema": 1, "name": "d", "input": {"name": "x", "shape": shape, "format": "fixed<8,1>"}, "layers": layers}


def swd(path: Path, document: Any, members: dict[str, bytes] | None = None) -> Path:
    return npz(path, {"design.json": json.dumps(document).encode(), **(members or {})})


def big_swds(folder: Path) -> dict[str, Path]:
    """Designs that are small on disk."""
    doubled = [
        {"kind": "concat", "name": f"l{i}", "inputs": [f"l{i - 1}" if i else "x"] * 2, "axis": 0} for i in range(40)
    ]
    grown = [
        {"kind": "upsample", "name": f"l{i}", "inputs": [f"l{i - 1}" if i else "x"], "scale": [2, 2]} for i in range(40)
    ]
    same = [
        {"kind": "reshape", "name": f"l{i}", "inputs": [f"l{i - 1}" if i else "x"], "shape": [4]} for i in range(9_000)
    ]
    window = {"kernel": [1000, 1000], "stride": [1, 1], "padding": [[0, 0], [0, 0]], "dilation": [1, 1]}
    far = {**window, "kernel": [2, 2], "dilation": [1 << 30, 1 << 30], "padding": [[1 << 29, 1 << 29]] * 2}
    return {
        "json": npz(folder / "json.swd", {"design.json": b"[" + b"[]," * 100_000_000 + b"0]"}),
        "deep": npz(folder / "deep.swd", {"design.json": b"[" * 1_000_000}),
        "concat": swd(folder / "concat.swd", design(doubled, [4])),
        "upsample": swd(folder / "upsample.swd", design(grown, [2, 2, 1])),
        "input": swd(folder / "input.swd", design(same[:1], [1 << 31])),
        "layers": swd(folder / "layers.swd", design(same, [4])),
        "members": swd(
            folder / "members.swd", design(same[:2_000], [4]), {f"arrays/{i}_x.npy": b"" for i in range(9_000)}
        ),
        "zeros": swd(
            folder / "zeros.swd", design(same[:1], [4]), {"arrays/0_codes.npy": zeros(50_000_000, "'|u1'", 1)}
        ),
        "window": swd(
            folder / "window.swd",
            design([{"kind": "maxpool", "name": "p", "inputs": ["x"], "window": window}], [2000, 2000, 1]),
        ),
        "padding": swd(
            folder / "padding.swd",
            design([{"kind": "maxpool", "name": "p", "inputs": ["x"], "window": far}], [4, 4, 1]),
        ),
        "nothing": swd(folder / "nothing.swd", design([{"kind": "concat", "name": "c", "inputs": [], "axis": 0}], [4])),
        "infinite": npz(
            folder / "infinite.swd",
            {
                "design.json": json.dumps(design(same[:1], [4]))
                .replace('"axis"', "")
                .replace("[4]", "[Infinity]")
                .encode()
            },
        ),
        "surrogate": swd(folder / "surrogate.swd", design([{**same[0], "name": "a\ud800b"}], [4])),
    }


def big_pt2s(folder: Path) -> dict[str, Path]:
    plain = plain_pt2(folder / "plain.pt2")

    def weights(name: str, change: Callable[[dict[str, Any]], None]) -> Path:
        return with_json(
            plain,
            folder / f"{name}.pt2",
            "weights_config.json",
            lambda d: [change(e["tensor_meta"]) for e in d["config"].values() if len(e["tensor_meta"]["sizes"]) == 2],
        )

    def graph(name: str, count: int, step: Callable[[str, str], dict[str, Any]]) -> Path:
        return with_json(plain, folder / f"{name}.pt2", "model.json", lambda d: chain(d, count, step))

    def sizes(document: Any) -> None:
        for meta in document["graph_module"]["graph"]["tensor_values"].values():
            meta["sizes"][-1] = {"as_int": 1 << 31}

    return {
        "json": npz(folder / "json.pt2", {"m/models/model.json": b"[" + b"[]," * 100_000_000 + b"0]"}),
        "stride": weights("stride", lambda m: m.update(strides=[{"as_int": 0}] * 2, sizes=[{"as_int": 1 << 15}] * 2)),
        "elements": weights("elements", lambda m: m.update(sizes=[{"as_int": 1 << 15}] * 2)),
        "negative": weights("negative", lambda m: m.update(strides=[{"as_int": -4}, {"as_int": 1}])),
        "offset": weights("offset", lambda m: m.update(storage_offset={"as_int": 1 << 39})),
        "concat": graph(
            "concat",
            60,
            lambda a, b: operation(
                "cat.default", b, ("tensors", {"as_tensors": [{"name": a}] * 2}), ("dim", {"as_int": 1})
            ),
        ),
        "chain": graph("chain", 8_000, lambda a, b: operation("relu.default", b, ("self", of(a)))),
        "pad": graph(
            "pad",
            1,
            lambda a, b: operation("constant_pad_nd.default", b, ("self", of(a)), ("pad", {"as_ints": [1 << 40, 0]})),
        ),
        "input": with_json(plain, folder / "input.pt2", "model.json", sizes),
    }


def big_onnx(folder: Path) -> dict[str, Path]:
    def chained(operator: str, count: int, second: str = "") -> Any:
        return model(
            [
                node(operator, f"{f'v{i}' if i else 'x'}{second or (f' v{i}' if i else ' x')}".strip(), f"v{i + 1}")
                for i in range(count)
            ],
            ("N", 4),
            {"c": floats(4)} if second else {},
        )

    made = {
        "adds": chained("Add", 5_000),
        "shifts": chained("Add", 5_000, " c"),
        "nodes": model(
            [helper.make_node("Identity", [f"v{i}" if i else "x"], [f"v{i + 1}"]) for i in range(60_000)], ("N", 4)
        ),
        "axes": model([node("Relu", "x", "y")], ("N", *(1,) * 1_000)),
        "constant axes": model([node("MatMul", "x w", "y")], ("N", 4), {"w": floats(4, 3)}),
        "external": model([node("MatMul", "x w", "y")], ("N", 4), {"w": floats(4, 3)}),
        "features": model(
            [node("Add", f"{f'v{i}' if i else 'x'} {f'v{i}' if i else 'x'}", f"v{i + 1}") for i in range(900)],
            ("N", 1 << 22),
        ),
        "constants": model(
            [node("Neg", f"w{i}", f"w{i + 1}") for i in range(9_000)] + [node("MatMul", "x w9000", "y")],
            ("N", 256),
            {"w0": floats(256, 256)},
        ),
        "shared": model(
            [node("MatMul", f"{f'v{i}' if i else 'x'} w", f"v{i + 1}") for i in range(900)],
            ("N", 480),
            {"w": floats(480, 480)},
        ),
    }
    made["constant axes"].graph.initializer[0].dims[:] = (4, 3, *(1,) * 1_000)
    weight = made["external"].graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "w" * 5_000
    return {name: _written(folder / f"{name}.onnx", m) for name, m in made.items()}


def _written(path: Path, made: Any) -> Path:
    path.write_bytes(made.SerializeToString())
    return path


def bad_npzs(folder: Path) -> dict[str, Path]:
    good = {"x.npy": npy("(4, 2)", data=np.arange(8, dtype="<f4").tobytes())}
    headers = {
        "token": "{'descr': '<f4', 'shape': (2L,",
        "bool": "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 4), }",
        "huge": "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 4), }",
        "nested": "(" * 900,
        "minus": "-" * 9_000 + "1",
        "text": "{'descr': '<U1000000', 'fortran_order': False, 'shape': (4, 4), }",
        "object": "{'descr': '|O', 'fortran_order': False, 'shape': (4, 4), }",
        "long": "{'descr': '<f16', 'fortran_order': False, 'shape': (4, 2), }",
    }
    made = {
        name: npz(folder / f"{name}.npz", {"x.npy": npy("", header=h, data=bytes(32))}) for name, h in headers.items()
    }
    eight = zeros(1 << 26)  # 1 GiB, which deflate makes 1 MiB; the directory says 8
    made["zeros"] = npz(folder / "zeros.npz", {"x.npy": eight})
    data = bytearray(made["zeros"].read_bytes())
    place = data.index(b"PK\1\2")
    data[place + 24 : place + 28] = struct.pack("<I", 0xFFFFFF00)
    made["declared"] = folder / "declared.npz"
    made["declared"].write_bytes(data)
    for name, offset, value in (("encrypted", 8, 1), ("method", 10, 99)):
        path = npz(folder / f"{name}.npz", good)
        data = bytearray(path.read_bytes())
        data[data.index(b"PK\1\2") + offset] = value
        data[offset - 2] = value
        path.write_bytes(data)
        made[name] = path
    path = npz(folder / "zlib.npz", good)
    data = bytearray(path.read_bytes())
    data[40:60] = b"\xff" * 20
    path.write_bytes(data)
    made["zlib"] = path
    made["overlap"] = overlapping(folder / "overlap.npz")
    made["prefix"] = folder / "prefix.npz"
    made["prefix"].write_bytes(b"\x7fELF" + bytes(60) + npz(folder / "good.npz", good).read_bytes())
    return made
