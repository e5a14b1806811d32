"""`verilator --lint-only -Wall` and slang over generated projects of every kind of layer; a warning is a failure."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.networks import every_folded_layer, every_image_layer, every_layer, mlp
from benchmarks.slang import told as slang_told
from toolkit.commands.generate import generate
from toolkit.hardware import Options

FOLDED = Options(arch="folded")
PROJECTS = (("mlp", mlp(), Options(4)), ("deep", mlp((8, 12, 6), bits=3, levels=2), Options(1)),
            ("every", every_layer(), Options(2)), ("every_folded", every_layer(), FOLDED),
            ("images", every_image_layer(), FOLDED), ("branches", every_folded_layer(), FOLDED))


def main() -> int:
    failed = 0
    with tempfile.TemporaryDirectory() as place:
        for name, design, options in PROJECTS:
            folder = Path(place) / name
            rtl = generate(design, folder, options=options, vectors=100).entries["verilog"]
            told = subprocess.run([sys.executable, "-B", str(folder / "sim" / "run.py"), str(folder), "--lint"],
                                  capture_output=True, text=True)
            print(told.stdout.strip(), told.stderr.strip())
            said = slang_told([folder / file for file in rtl["rtl"]], rtl["top"])
            print(said or f"{name}: slang --std 1364-2005 is clean")
            failed += told.returncode != 0 or said != ""
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
