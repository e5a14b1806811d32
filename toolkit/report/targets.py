"""What a report says of each target, from its entry in the manifest. A new target is one function and one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toolkit.report.tables import fitted, shortened, size

NAME = 40
"""Characters of a layer's name."""


def verilog(name: str, entry: dict[str, Any], width: int) -> list[str]:
    """Memory and adders of the RTL, layer by layer."""
    memory = entry["memory"]
    folded = entry["architecture"] != "unrolled"
    head = ["layer", "kind", "weights", "non zeros", "packed [B]"]
    head += ["PE", "SIMD", "elements a cycle", "cycles", "ROM [bit]", "buffer [bit]"] if folded else [
        "registers [bit]", "adders", "adder bits"]
    rows = [head]
    for layer in memory["layers"]:
        stored = layer["weight_bits"] + layer["scale_bits"] + layer["bias_bits"] + layer["table_bits"]
        row = [shortened(layer["name"], NAME), layer["kind"], f"{layer['weights']:,}", f"{layer['non_zeros']:,}",
               f"{-(-stored // 8):,}"]
        row += [f"{layer['lanes']:,}", f"{layer['simd']:,}", f"{layer['elements']:,}", f"{layer['cycles']:,}",
                f"{layer['rom_bits']:,}", f"{layer['buffer_bits']:,}"] if folded else [
            f"{layer['register_bits']:,}", f"{layer['adders']:,}", f"{layer['adder_bits']:,}"]
        rows.append(row)
    if folded:
        busiest = max(memory["layers"], key=lambda layer: layer["cycles"])
        rows.append(["all, with FIFOs", "", "", "", f"{memory['stored_bytes']:,}", "", "", "", "",
                     f"{memory['rom_bits']:,}",
                     f"{memory['buffer_bits']:,}"])
        note = (f"'{busiest['name']}' is the busiest: {busiest['cycles']:,} of the {entry['initiation_interval']:,.7g} "
                f"cycles between two samples; {entry['bound']}; {memory['adders']:,} weights a cycle; "
                f"{memory['register_bits']:,} register bits")
    else:
        rows.append(["all, with stream control", "", "", "", f"{memory['stored_bytes']:,}",
                     f"{memory['register_bits']:,}", f"{memory['adders']:,}", f"{memory['adder_bits']:,}"])
        note = "one sample a cycle"
    return [f"{name}: Verilog '{entry['top']}', {entry['architecture']}; counts are exact, as declared in the RTL", "",
            *fitted(rows, 2, width), "", *_gates(memory["layers"], entry["multipliers"]),
            f"latency {entry['latency']:,} cycles; {note}"]


def _gates(layers: list[dict[str, Any]], multipliers: str) -> list[str]:
    """What the products of two tensors cost, where there are any."""
    found = [layer for layer in layers if layer["kind"] == "multiply"]
    if not found:
        return []
    shifts = [f"'{shortened(layer['name'], NAME)}'" for layer in found if not layer["multipliers"]]
    by = f"; gates rounded to powers of two, which shift, in {', '.join(shifts)}" if shifts else ""
    return [f"products of two tensors: {multipliers}{by}"]


def c(name: str, entry: dict[str, Any], width: int) -> list[str]:
    """Constants and memory of the C, array by array; both are exact."""
    rows = [("constants", "flash [B]")]
    rows += [(shortened(constants["name"], NAME), f"{constants['bytes']:,}") for constants in entry["tables"]]
    rows.append(("all", f"{entry['flash_bytes']:,}"))
    pools = ", ".join(f"{count:,} words of {bits} bits" for bits, count in entry["memory"].items())
    return [f"{name}: C '{entry['base']}'; instructions and stack come on top", "", *fitted(rows, width=width), "",
            f"RAM {size(entry['ram_bytes'])}{f': {pools}' if pools else ''}"]


def hls(name: str, entry: dict[str, Any], width: int) -> list[str]:
    """What was unrolled and what was folded, layer by layer. What a tool makes of it is not known before it ran."""
    rows = [("layer", "lanes", "cycles", "terms added", "code ROM [bit]", "other tables [bit]")]
    rows += [(shortened(row["name"], NAME), f"{row['lanes']:,}" if row["lanes"] else "unrolled", f"{row['cycles']:,}",
              f"{row['terms']:,}" if row["terms"] else "", f"{row['rom_bits']:,}", f"{row['table_bits']:,}")
             for row in entry["layers"]]
    return [f"{name}: HLS C++ '{entry['top']}', {entry['architecture']}; cycles as planned, tables as declared", "",
            *fitted(rows, width=width)]


def hls4ml(name: str, entry: dict[str, Any], width: int) -> list[str]:
    """Every layer that hls4ml gets, with the type that it is assigned to."""
    rows = [("layer", "of", "type", "strategy", "reuse factor")]
    rows += [(shortened(layer["name"], NAME), shortened(layer["of"], NAME), layer["type"], layer["strategy"],
              f"{layer['reuse_factor']}")
             for layer in entry["layers"]]
    title = f"{name}: hls4ml {entry['hls4ml']} '{entry['top']}' for {entry['backend']}, {entry['io']}"
    return [f"{title}, weights {entry['weights']}", "", *fitted(rows, 4, width)]


TABLES: dict[str, Callable[[str, dict[str, Any], int], list[str]]] = {
    "verilog": verilog, "hls": hls, "c": c, "hls4ml": hls4ml,
}
