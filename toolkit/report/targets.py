"""What a report says of each target, from its entry in the manifest. A new target is one function and one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toolkit.report.tables import size, table


def verilog(name: str, entry: dict[str, Any]) -> list[str]:
    """Memory and adders of the RTL, layer by layer."""
    memory = entry["memory"]
    rows = [("layer", "kind", "weights", "non-zero", "packed", "ROM", "registers", "adders", "adder bits")]
    for layer in memory["layers"]:
        stored = layer["weight_bits"] + layer["scale_bits"] + layer["bias_bits"]
        rows.append((layer["name"][:40], layer["kind"], f"{layer['parameters']:,}", f"{layer['non_zeros']:,}",
                     f"{-(-stored // 8):,} B", f"{layer['rom_bits']:,} bit", f"{layer['register_bits']:,} bit",
                     f"{layer['adders']:,}", f"{layer['adder_bits']:,}"))
    rows.append(("all, with stream control", "", "", "", f"{memory['stored_bytes']:,} B",
                 f"{memory['rom_bits']:,} bit", f"{memory['register_bits']:,} bit", f"{memory['adders']:,}",
                 f"{memory['adder_bits']:,}"))
    return [f"{name}: Verilog '{entry['top']}', unrolled; counts are exact, as declared in the RTL", "",
            *table(rows, 2), "",
            f"latency {entry['latency']} clocks, initiation interval {entry['initiation_interval']:g}"]


def c(name: str, entry: dict[str, Any]) -> list[str]:
    """Constants and memory of the C, array by array; both are exact."""
    rows = [("constants", "flash"), *((table["name"][:60], f"{table['bytes']:,} B") for table in entry["tables"])]
    rows.append(("all", size(entry["flash_bytes"])))
    pools = ", ".join(f"{count:,} words of {bits} bits" for bits, count in entry["memory"].items())
    return [f"{name}: C '{entry['base']}'; instructions and stack come on top", "", *table(rows), "",
            f"RAM {size(entry['ram_bytes'])}{f': {pools}' if pools else ''}"]


TABLES: dict[str, Callable[[str, dict[str, Any]], list[str]]] = {"verilog": verilog, "c": c}
