"""The long run: random networks through the RTL, every bit, with and without stalls."""

from __future__ import annotations

import os
import shutil

import pytest
from c_code import differences
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from icarus import circuit, codes_of, play
from slang_check import said

from benchmarks.networks.strategies import designs, examples, image_designs
from toolkit.api import Options, generate, simulate
from toolkit.hardware import plan

NETWORKS = int(os.environ.get("SOAK_NETWORKS", "200"))
PARTS = 4
"""The run is cut so that two cores can share it."""


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_random_networks_have_no_wrong_bit_and_no_hang(tmp_path_factory, part):
    done = {"networks": 0, "bits": 0, "vectors": 0}

    @given(designs(widest=14, deepest=5), st.integers(1, 6), st.integers(0, 2**31 - 1))
    @settings(max_examples=2 * NETWORKS, deadline=None, phases=[Phase.generate], database=None,
              suppress_health_check=list(HealthCheck))
    def run(design, depth, seed):
        if done["networks"] == NETWORKS // PARTS or plan(design).latency == 0:
            return
        folder = tmp_path_factory.mktemp("soak") / "p"
        generate(design, folder, vectors=2000, options=Options(depth, 2), seed=seed)
        found = simulate(folder, stalls=True, axi_samples=400, seed=seed)
        assert found.ok, found.failures
        assert found.bit_errors == 0
        shutil.rmtree(folder)
        done["networks"] += 1
        done["bits"] += found.bits
        done["vectors"] += sum(c["samples"] for c in found.data["checks"])

    run()
    print(f"\nsoak part {part + 1} of {PARTS}: {done['networks']} random networks, {done['vectors']:,} vectors, "
          f"{done['bits']:,} bits: 0 wrong, 0 hangs")
    assert done["networks"] == NETWORKS // PARTS


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_random_networks_in_c_equal_the_reference_and_do_nothing_undefined(tmp_path_factory, part):
    count = -(-NETWORKS // PARTS)
    for strategy in (designs(widest=14, deepest=5), image_designs(deepest=7)):
        differences(tmp_path_factory.mktemp("c"), examples(strategy, count, 1000 + part), samples=500)
    print(f"\nsoak of c, part {part + 1} of {PARTS}: {2 * count} random networks, 500 vectors each: 0 wrong")


@pytest.mark.needs("iverilog")
@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_random_networks_are_right_in_icarus_and_clean_in_slang(tmp_path_factory, part):
    networks = beats = 0
    for i, design in enumerate(examples(designs(widest=14, deepest=5), -(-2 * NETWORKS // PARTS), 3000 + part)):
        made = circuit(design, Options(1 + i % 6, 2)) if networks < NETWORKS // PARTS else None
        if made is None:
            continue
        place = tmp_path_factory.mktemp("icarus")
        assert said(made, place) == "", (part, i)
        told = play(made, place, codes_of(design, 200, i), seed=i + 1, pause=(0, 40, 150, 220)[i % 4],
                    patient_sink=i % 3 == 0, resets=i % 4)
        assert told.startswith("PASS"), (part, i, told)
        shutil.rmtree(place)
        networks, beats = networks + 1, beats + 200
    print(f"\nsoak under Icarus, part {part + 1} of {PARTS}: {networks} random networks, {beats:,} samples, resets and "
          "X on idle data: 0 wrong; slang: nothing")
    assert networks == NETWORKS // PARTS
