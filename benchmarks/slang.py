"""What slang, a compiler that holds Verilog to the letter of its standard, says about generated RTL."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

STRICT = ("--std", "1364-2005", "-Weverything", "--error-limit", "0")
WAIVED = ("-Wno-unused-net", "-Wno-unused-port")
"""As Verilator's UNUSEDSIGNAL: rounding drops bits, and a pruned network has inputs that no neuron reads."""


def told(files: Iterable[Path], top: str, *options: str) -> str:
    """Every error and every warning about the module `top` of `files`, its checks for unused and undriven names
    included; "" where there is none. Raises ValueError for options that slang does not know."""
    from pyslang import TextDiagnosticClient
    from pyslang.driver import Driver

    driver, client = Driver(), TextDiagnosticClient()
    driver.addStandardArgs()
    driver.diagEngine.clearClients()  # it would print on the terminal
    driver.diagEngine.addClient(client)
    client.showColors(False)
    command = shlex.join(["slang", *STRICT, *WAIVED, "--top", top, *options, *map(str, files)])
    if not (driver.parseCommandLine(command) and driver.processOptions()):
        raise ValueError(f"slang refuses to run: {client.getString().strip()}")
    well = driver.parseAllSources() and driver.runFullCompilation(quiet=True)
    said = client.getString().strip()
    return said if said or well else "slang refuses the files and does not say why"
