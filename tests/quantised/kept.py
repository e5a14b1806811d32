"""What the scripts beside it do with a file that a tool has written: weights inside it, no notes of where each node
came from (they name folders of the machine), the versions of the tools in its metadata."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import onnx

FOLDER = Path(__file__).parent


def keep(path: Path | str, name: str, *tools: str) -> None:
    model = onnx.load(str(path))
    for node in (*model.graph.node, *(n for f in model.functions for n in f.node)):
        del node.metadata_props[:]
        node.doc_string = ""
    for held in (*model.graph.input, *model.graph.output, *model.graph.initializer, model.graph):
        del held.metadata_props[:]
    del model.graph.value_info[:]
    del model.metadata_props[:]
    model.metadata_props.add(key="made with", value=", ".join(f"{tool} {version(tool)}" for tool in tools))
    onnx.save(model, str(FOLDER / f"{name}.onnx"))
    print(name, (FOLDER / f"{name}.onnx").stat().st_size, "bytes;", model.metadata_props[0].value)
