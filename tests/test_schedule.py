"""The schedule of folded hardware, from the times of elements, against a run of every cycle."""

from __future__ import annotations

from itertools import pairwise

import cycle_by_cycle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.networks import (
    SMALL,
    WIDE,
    every_folded_layer,
    network,
    random_conv,
    random_dense,
    random_elements,
    random_folded,
    random_gated,
)
from toolkit.design import Add, ArgMax, Clamp, Concat, Design, MaxPool, Requantise, Reshape, Tensor, Upsample, Window
from toolkit.hardware import Options, choose
from toolkit.hardware.folded import FoldedPlan, plan_folded, schedule
from toolkit.utils.errors import InputError

HALF, THIRD = Window.of((2, 2), (2, 2)), Window.of((3, 3), padding=((1, 1), (1, 1)))


def planned(design: Design, **options: object) -> FoldedPlan:
    chosen = Options(arch="folded", **options)  # type: ignore[arg-type]
    return plan_folded(design, choose(design, chosen), chosen)


def assert_as_cycle_by_cycle(plan: FoldedPlan) -> None:
    assert plan.schedule == cycle_by_cycle.schedule(plan.design, list(plan.nodes), list(plan.fifos))


def search_for(cycles: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the search for a period end after so many cycles."""
    for module in (schedule, cycle_by_cycle):
        monkeypatch.setattr(module, "CYCLES", cycles)


def as_it_runs(design: Design, options: Options) -> None:
    with pytest.MonkeyPatch.context() as patched:
        search_for(6000, patched)
        assert_as_cycle_by_cycle(plan_folded(design, choose(design, options), options))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 100_000))
def test_a_random_network_is_scheduled_as_it_runs_cycle_by_cycle(seed: int):
    as_it_runs(*random_folded(seed))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 100_000))
def test_a_random_gate_is_scheduled_as_it_runs_cycle_by_cycle(seed: int):
    as_it_runs(*random_gated(seed))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 100_000))
def test_functions_of_elements_are_scheduled_as_they_run_cycle_by_cycle(seed: int):
    as_it_runs(*random_elements(seed))


@pytest.mark.parametrize("lanes", [1, 3, 64])
def test_every_kind_of_layer_is_scheduled_as_it_runs_cycle_by_cycle(lanes: int):
    assert_as_cycle_by_cycle(planned(every_folded_layer(), max_lanes=lanes, lanes=(("last", 0),)))


def test_what_waits_for_a_slow_layer_is_scheduled_as_it_runs_cycle_by_cycle():
    fast = random_conv("fast", "x", (2, 8), Window.of((1, 1)))
    slow = random_conv("slow", "larger", (8, 3), THIRD)
    design = Design("stalls", Tensor("x", (6, 5, 2), SMALL), (
        fast, Clamp("kept", ("fast",), Requantise.to(WIDE)), Upsample("larger", ("kept",), (2, 2)), slow,
        MaxPool("max", ("slow",), HALF), Reshape("flat", ("max",), (90,)), random_dense("hidden", "flat", (90, 5)),
        ArgMax("class", ("hidden",))))
    plan = planned(design, lanes=(("fast", 8), ("slow", 1), ("hidden", 5)))
    assert plan.initiation_interval > 10 * 12 * 73 and plan.schedule.proved
    assert_as_cycle_by_cycle(plan)


def test_branches_of_one_layer_are_scheduled_as_they_run_cycle_by_cycle():
    layers = (random_conv("stem", "x", (2, 4), THIRD), random_conv("left", "stem", (4, 4), THIRD),
              random_conv("right", "stem", (4, 4), Window.of((1, 1))),
              Add("sum", ("left", "stem"), Requantise.to(WIDE)), Concat("join", ("sum", "right", "stem"), 2),
              random_conv("last", "join", (12, 2), Window.of((3, 3), (2, 2))))
    plan = planned(Design("branches", Tensor("x", (8, 7, 2), SMALL), layers), max_lanes=2)
    assert len(plan.fifos) == 5 and max(plan.schedule.held) > 8
    assert_as_cycle_by_cycle(plan)


def test_a_network_that_never_repeats_is_scheduled_as_it_runs_cycle_by_cycle(monkeypatch: pytest.MonkeyPatch):
    search_for(3000, monkeypatch)
    design, options = random_folded(0)
    plan = plan_folded(design, choose(design, options), options)
    assert not plan.schedule.proved and len(plan.schedule.ends) > 3
    assert_as_cycle_by_cycle(plan)


def test_a_network_of_many_layers_is_scheduled_too():
    names = ["x", *(f"l{i}" for i in range(500))]
    layers = tuple(Clamp(after, (before,), Requantise.to(WIDE)) for before, after in pairwise(names))
    assert planned(Design("long", Tensor("x", (2,), WIDE), layers)).latency == 1 + 3 * 500


def test_a_sample_that_takes_too_many_cycles_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(schedule, "MAX_CYCLES", 20)
    with pytest.raises(InputError, match="more than 20 cycles for a sample; give it more lanes"):
        planned(network(WIDE, 20, random_dense("one", "x", (20, 4))))
