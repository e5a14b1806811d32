"""The target `c`: its files, and its entry in the manifest."""

from __future__ import annotations

from typing import Any

import toolkit
from toolkit.emit.c.network import Network, network, source
from toolkit.emit.c.types import literal, of_format
from toolkit.emit.ports import lines, told
from toolkit.emit.target import Emitted, Job
from toolkit.emit.templates import render
from toolkit.utils.identifiers import comment

# Files of these names would be taken for the compiler's own.
HEADERS = frozenset("assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign "
                    "stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar "
                    "wchar wctype main net arduino".split())
FLOAT_BITS, DOUBLE_BITS = 24, 53


def emit(job: Job) -> Emitted:
    """Plan the memory and write the C."""
    base = job.top.rstrip("_")
    if base in HEADERS:
        base = f"{base}_net"
    made = network(job.design, base)
    context = _context(made)
    files = {f"c/{base}.c": source(made, context), f"c/{base}.h": render("c/network.h.j2", **context),
             f"c/{base}_main.c": render("c/main.c.j2", **context)}
    tables = [{"name": name, "bytes": table.bytes} for name, table in made.tables]
    entry = {"base": base, "source": f"c/{base}.c", "header": f"c/{base}.h", "main": f"c/{base}_main.c",
             "tables": tables, "flash_bytes": made.flash_bytes,
             "memory": {str(bits): count for bits, count in made.pools.words.items()}, "ram_bytes": made.pools.bytes}
    rows = {layer.name: _row(made, layer.name) for layer in job.design.layers}
    return Emitted({name: text.encode() for name, text in files.items()}, entry, rows)


def _row(net: Network, name: str) -> dict[str, Any]:
    part, value = net.parts[name], net.values[name]
    return {"function": f"{net.names[name]}_layer", "type": str(value.type),
            "acc": str(part.context["acc"]) if "acc" in part.context else "-",
            "flash": sum(table.bytes for table in part.tables)}


def _context(net: Network) -> dict[str, Any]:
    design = net.design
    x, y = design.input.format, design.output.format
    widest = max(x.width, y.width)
    real = "float" if widest <= FLOAT_BITS and \
        max(abs(y.frac), *(abs(x.frac - k) for k in design.input.exponents or (0,))) <= 100 else "double"
    return {"title": comment(design.name), "generator": f"shiftwright {toolkit.__version__}", "base": net.base,
            "macro": net.base.upper(), "ports": told(design), "port_lines": lines(design),
            "input": design.input, "output": design.output,
            "flash_bytes": net.flash_bytes, "ram_bytes": net.pools.bytes, "notes": [],
            "in_type": of_format(x), "out_type": of_format(y), "in_low": literal(x.min_code),
            "in_high": literal(x.max_code), "real": real,
            "scales": [_power(x.frac - k, real) for k in design.input.exponents],
            "in_scale": _power(x.frac, real), "in_step": _power(-x.frac, real),
            "out_scale": _power(y.frac, real), "out_step": _power(-y.frac, real)}


def _power(exponent: int, real: str) -> str | None:
    """2**exponent as a constant that is exact; None where no such number is."""
    if abs(exponent) > (100 if real == "float" else 1000):
        return None
    return f"{float(2.0**exponent)!r}{'f' if real == 'float' else ''}"
