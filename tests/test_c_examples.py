"""The examples around a generated network's C: they compile, and compute what the reference does."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.networks import mlp
from toolkit.api import generate
from toolkit.design import Design

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
ARDUINO = """
#include <stdint.h>
#define A0 0
#define F(text) text
struct Port { void begin(long) {} void print(const char *) {} void print(int) {} void println(uint32_t) {} };
static Port Serial;
static int analogRead(uint8_t) { return 512; }
static void delay(int) {}
static uint32_t micros() { return 0; }
"""


@pytest.fixture(scope="module")
def design() -> Design:
    return replace(mlp(), name="gestures")


@pytest.fixture(scope="module")
def project(design: Design, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("examples") / "project"
    generate(design, folder, targets=("c",), vectors=10)
    return folder


@pytest.mark.needs("cmake")
def test_the_cmake_example_turns_real_numbers_into_the_networks(design: Design, project: Path, tmp_path: Path):
    for command in (["cmake", "-S", EXAMPLES / "c_cmake", "-B", tmp_path / "b", f"-DNETWORK={project}"],
                    ["cmake", "--build", tmp_path / "b"]):
        told = subprocess.run(command, capture_output=True, text=True)
        assert not told.returncode, told.stdout[-2000:] + told.stderr[-2000:]
    values = np.random.default_rng(0).uniform(-2.5, 2.5, (20, 16)).astype(np.float32)
    told = subprocess.run([tmp_path / "b" / "example"], input=" ".join(f"{v:.9g}" for v in values.ravel()),
                          capture_output=True, text=True, check=True)
    due = design.output.format.value(design.reference(design.input.format.quantise(values)))
    assert [list(map(float, line.split())) for line in told.stdout.splitlines()] == \
        [[float(f"{v:g}") for v in row] for row in due]


def test_the_arduino_sketch_compiles_with_the_header_that_it_names(project: Path, tmp_path: Path):
    (tmp_path / "Arduino.h").write_text(ARDUINO)
    sketch = EXAMPLES / "c_arduino" / "gestures" / "gestures.ino"
    told = subprocess.run(["g++", "-x", "c++", "-Wall", "-Werror", "-include", tmp_path / "Arduino.h", "-I",
                           project / "c", "-c", sketch, "-o", tmp_path / "sketch.o"], capture_output=True, text=True)
    assert not told.returncode, told.stderr
