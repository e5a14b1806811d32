"""The target `hls`: C++ that equals the reference in every bit, unrolled and folded, and is refused where it cannot."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
from hls_program import Program
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from image_strategies import every_image_layer, image_designs
from strategies import designs

from benchmarks.lint_generated import every_layer
from toolkit.design import Design
from toolkit.hardware import Options

NETWORKS = 24
SANITISERS = ("-fsanitize=signed-integer-overflow,bounds,shift-exponent", "-fno-sanitize-recover=all")


def extremes(design: Design, count: int = 60) -> np.ndarray:
    """Random codes, half of them at the ends of the format."""
    form, shape = design.input.format, (count, *design.input.shape)
    rng = np.random.default_rng(1)
    codes = rng.integers(form.min_code, form.max_code, shape, endpoint=True)
    return np.where(rng.random(shape) < 0.5, rng.choice([form.min_code, form.max_code], shape), codes)


def drawn(strategy: st.SearchStrategy[Design], count: int) -> list[Design]:
    """So many examples of a strategy, the same in every run, with distinct names."""
    found: list[Design] = []

    @given(strategy)
    @settings(max_examples=4 * count, deadline=None, database=None, phases=[Phase.generate], derandomize=True,
              suppress_health_check=list(HealthCheck))
    def draw(design: Design) -> None:
        if len(found) < count:
            found.append(dataclasses.replace(design, name=f"net{len(found)}"))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        draw()
    return found


def check(folder, networks: list[tuple[Design, Options]]) -> Program:
    """Compile all, run all, compare every word."""
    program = Program(folder, networks, SANITISERS)
    for i, (design, options) in enumerate(networks):
        codes = extremes(design)
        assert np.array_equal(program.run(i, codes, design), design.reference(codes)), (design, options)
    assert program.warnings == ""
    return program


@pytest.mark.parametrize("arch", ["unrolled", "folded"])
def test_every_layer_equals_the_reference(tmp_path, arch):
    check(tmp_path, [(every_layer(), Options(arch=arch)), (every_image_layer(), Options(arch=arch))])


def test_random_networks_equal_the_reference(tmp_path):
    vectors = drawn(designs(widest=7, deepest=3), NETWORKS)
    images = drawn(image_designs(deepest=4), NETWORKS)
    arches = ["unrolled", "folded"] * NETWORKS
    networks = [(dataclasses.replace(d, name=f"n{i}"), Options(arch=arch, widest=1 + i % 5))
                for i, (d, arch) in enumerate(zip([*vectors, *images], arches, strict=True))]
    check(tmp_path, networks)
