"""The long run: random networks through the RTL, every bit, with and without stalls."""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from strategies import designs

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
        assert found.wrong_bits == 0
        shutil.rmtree(folder)
        done["networks"] += 1
        done["bits"] += found.bits
        done["vectors"] += sum(c["samples"] for c in found.data["checks"])

    run()
    print(f"\nsoak part {part + 1} of {PARTS}: {done['networks']} random networks, {done['vectors']:,} vectors, "
          f"{done['bits']:,} bits: 0 wrong, 0 hangs")
    assert done["networks"] == NETWORKS // PARTS
