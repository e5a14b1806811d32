"""Compiles many networks into one program and compares each with its reference."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from benchmarks.networks import corners
from toolkit.design import Design
from toolkit.emit.c import emit
from toolkit.emit.packing import small_type
from toolkit.emit.target import Emitted, Job
from toolkit.hardware import Options

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-pedantic", "-Werror")
SANITISED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
DRIVER = """
#include <stdio.h>
#include <stdlib.h>
{includes}
#define PLAY(net, NET) do {{ \\
        static net##_input_t in[NET##_INPUTS]; static net##_output_t out[NET##_OUTPUTS]; \\
        while (fread(in, sizeof in, 1, stdin) == 1) {{ net##_run(in, out); fwrite(out, sizeof out, 1, stdout); }} \\
    }} while (0)
int main(int count, char **words)
{{
    switch (count > 1 ? atoi(words[1]) : -1) {{
{cases}
    default: return 2;
    }}
    return 0;
}}
"""


def emitted(design: Design) -> Emitted:
    return emit(Job(design, Options()))


def written(folder: Path, design: Design) -> Emitted:
    """The files of a design, in `folder`/c."""
    made = emitted(design)
    for name, data in made.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return made


def differences(folder: Path, designs: list[Design], samples: int = 64, flags: tuple[str, ...] = SANITISED) -> None:
    """Compile `designs`, of different names, into one program; assert that each equals its reference in every word."""
    bases = [written(folder, design).entry["base"] for design in designs]
    driver = folder / "c" / "driver.c"
    driver.write_text(DRIVER.format(
        includes="\n".join(f'#include "{base}.h"' for base in bases),
        cases="\n".join(f"    case {i}: PLAY({base}, {base.upper()}); break;" for i, base in enumerate(bases))))
    program = folder / "program"
    sources = [folder / "c" / f"{base}.c" for base in bases]
    told = subprocess.run(["gcc", *STRICT, *flags, *map(str, sources), str(driver), "-o", str(program)],
                          capture_output=True, text=True)
    assert not told.returncode, told.stderr[:3000]
    for i, (design, base) in enumerate(zip(designs, bases, strict=True)):
        codes = corners(design, samples, seed=i)
        told = subprocess.run([program, str(i)], input=codes.astype(small_type(design.input.format)).tobytes(),
                              capture_output=True)
        assert not told.returncode, f"{base}: {told.stderr.decode()[:2000]}"
        got = np.frombuffer(told.stdout, small_type(design.output.format)).reshape(samples, *design.output.shape)
        due = design.reference(codes)
        assert np.array_equal(got, due), f"{base}: {(got != due).sum()} words differ\n{design.layers}"


