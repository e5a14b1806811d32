"""The long run of folded networks: random layers, shapes, formats, lanes and stalls; and the same network in every
language."""

from __future__ import annotations

import os
import shutil

import pytest
from ecp5 import cell_models
from icarus import circuit, codes_of, play
from slang_check import said

from benchmarks.networks import random_elements, random_folded, random_gated
from toolkit.api import Options, generate, simulate
from toolkit.design import Design

NETWORKS = int(os.environ.get("SOAK_NETWORKS", "200"))
PARTS = 4


def drawn(seed: int, start: int) -> tuple[Design, Options]:
    """Of each five networks of a part one with gates, one of functions of elements, the others of every kind."""
    draw = {0: random_gated, 1: random_elements}.get(seed // PARTS % 5, random_folded)
    return draw(start + seed)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_random_folded_networks_have_no_wrong_bit_no_deadlock_and_no_clock_too_many(tmp_path_factory, part):
    bits = cycles = 0
    for seed in range(part, NETWORKS, PARTS):
        design, options = drawn(seed, 1000)
        folder = tmp_path_factory.mktemp("folded") / "p"
        generate(design, folder, vectors=200, options=options, seed=seed)
        found = simulate(folder, stalls=True, axi_samples=20, seed=seed)
        assert found.ok, (seed, found.failures)
        shutil.rmtree(folder)
        bits += found.bits
        cycles += found.latency or 0
    print(f"\nsoak of folded networks, part {part + 1} of {PARTS}: {len(range(part, NETWORKS, PARTS))} networks, "
          f"{bits:,} bits: 0 wrong, 0 deadlocks, every clock as predicted")
    assert cycles


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_random_networks_are_the_same_in_verilog_c_and_hls(tmp_path_factory, part):
    bits = 0
    seeds = range(part, NETWORKS // 2, PARTS)
    for seed in seeds:
        design, options = drawn(seed, 5000)
        folder = tmp_path_factory.mktemp("three") / "p"
        generate(design, folder, targets=("verilog", "hls", "c"), vectors=200, options=options, seed=seed)
        found = simulate(folder, bench="player", seed=seed)
        assert found.ok, (seed, found.failures)
        assert set(found.data["targets"]) == {"verilog", "hls", "c"}
        shutil.rmtree(folder)
        bits += found.bits
    print(f"\nsoak of three targets, part {part + 1} of {PARTS}: {len(seeds)} networks, {bits:,} bits: 0 wrong")


@pytest.mark.needs("iverilog")
@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_random_folded_networks_are_right_in_icarus_and_clean_in_slang(tmp_path_factory, part):
    samples, seeds = 0, range(part, NETWORKS, PARTS)
    for seed in seeds:
        design, options = drawn(seed, 9000)
        made = circuit(design, options)
        assert made is not None
        place = tmp_path_factory.mktemp("icarus")
        assert said(made, place) == "", seed
        ecp5 = seed // PARTS % 2 == 0
        told = play(made, place, codes_of(design, 12, seed), seed=seed + 1, pause=(0, 40, 150, 220)[seed // 2 % 4],
                    patient_sink=seed % 3 == 0, resets=seed % 3, defines=("ECP5",) if ecp5 else (),
                    more=cell_models() if ecp5 else "")
        assert told.startswith("PASS"), (seed, told)
        shutil.rmtree(place)
        samples += 12
    print(f"\nsoak of folded networks under Icarus, part {part + 1} of {PARTS}: {len(seeds)} networks, half of them on "
          f"ECP5 cells, {samples:,} samples, resets and X on idle data: 0 wrong; slang: nothing")


def test_the_random_networks_hold_every_kind_of_layer():
    kinds = {layer.kind for seed in range(3 * NETWORKS // 4) for layer in drawn(seed, 1000)[0].layers}
    assert kinds == {"dense", "conv", "maxpool", "avgpool", "upsample", "add", "concat", "reshape", "reorder", "clamp",
                     "leaky", "lookup", "argmax", "multiply", "slopes", "extremum"}
    assert all(isinstance(random_folded(seed)[1], Options) for seed in range(3))
