"""What generated Verilog declares: every memory, and the bits of all registers, read from its text.

Counted from what is emitted, so that no template can hold a register that no figure knows of. It reads the Verilog that
the templates write, and no other.
"""

from __future__ import annotations

import re
from dataclasses import replace

from toolkit.hardware.storage import Declared, Storage

HOLDS = {"rom": "weights", "offsets": "biases", "entries": "table", "order": "order", "buffer": "line buffer",
         "memory": "FIFO", "partial": "accumulators", "line": "line buffer"}
"""What a memory holds, by its name in the templates."""
WRITTEN = ("buffer", "memory", "partial", "line")
"""Those that the hardware writes itself; all others are ROMs."""
REGISTERS = re.compile(r"^ *(\(\*[^\n]*?\*\) *)?(?:output +)?reg(?: +signed)? +(?:\[(\d+):0\] +)?([^;\n]*?)[;,]? *$",
                       re.MULTILINE)
MEMORY = re.compile(r"(\w+) \[0:(\d+)\]")
STYLE = re.compile(r' ram_style = "(\w+)"')
LOOP = re.compile(r"for \((\w+) = 0; \1 < (\w+); \1 = \1 \+ 1\) begin")
BLOCK = re.compile(r"\b(?:begin|end)\b")
INSTANCE = re.compile(r"^ *([A-Za-z]\w*) \w+ \(", re.MULTILINE)
COMMENT = re.compile(r"//[^\n]*")


def declared(files: dict[str, str], top: str, layers: dict[str, str]) -> dict[str, Declared]:
    """What the modules below `top` declare, by layer; '' has what stands between them.

    `files`: the text of each module, under its name and '.v'; `layers`: the module of each layer. A module that is
    instantiated several times counts as often.
    """
    given = {name: layer for layer, name in layers.items() if name != top}
    made = {layer: Declared() for layer in (*layers, "")}
    waiting = [(top, "")]
    while waiting:
        name, layer = waiting.pop()
        layer = given.get(name, layer)
        text = COMMENT.sub("", files[f"{name}.v"])
        found = module(text, name)
        made[layer] += Declared(tuple(replace(one, layer=layer) for one in found.memories), found.register_bits)
        waiting += [(one, layer) for one in INSTANCE.findall(text) if f"{one}.v" in files]
    return made


def module(text: str, name: str) -> Declared:
    """What one module declares, from its `text` without comments; in a generate loop as often as that runs."""
    memories, bits = [], 0
    loops = _loops(text)
    for match in REGISTERS.finditer(text):
        style, high, names = match.groups()
        times = 1
        for start, end, count in loops:
            times *= count if start <= match.start() < end else 1
        width = int(high or 0) + 1
        for one in names.split(","):
            memory = MEMORY.fullmatch(one.strip())
            if memory is None:
                bits += width * times
                continue
            kind = STYLE.search(style or "")
            asked = kind[1].replace("registers", "logic") if kind else ""
            made = Storage(name, memory[1], HOLDS.get(memory[1], memory[1]), int(memory[2]) + 1, width,
                           asked, memory[1] in WRITTEN)
            memories += [made] * times
    return Declared(tuple(memories), bits)


def _loops(text: str) -> list[tuple[int, int, int]]:
    """(start, end, count) of each generate loop of a number of turns; of one over a name, with a count of 0: no
    template declares anything there."""
    found = []
    for match in LOOP.finditer(text):
        depth, end = 1, len(text)
        for word in BLOCK.finditer(text, match.end()):
            depth += 1 if word[0] == "begin" else -1
            if not depth:
                end = word.end()
                break
        found.append((match.start(), end, int(match[2]) if match[2].isdigit() else 0))
    return found
