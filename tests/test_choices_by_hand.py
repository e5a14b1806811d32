"""What is said and chosen of rows and trials, word by word, of rows and trials made up for it."""

from __future__ import annotations

import importlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial
from sweep_rows import row, swept
from torch import nn

from toolkit.capture import capture
from toolkit.compress import Data, Settings
from toolkit.compress.measure.measures import Drop, Measure, output_format
from toolkit.compress.measure.storage import packed, smallest, stored_codes
from toolkit.compress.scheme import Scheme
from toolkit.compress.sweep import category
from toolkit.report import choices, differences
from toolkit.search.search import Found, Limits, hypervolume, pareto, results
from toolkit.utils.errors import InputError

searching = importlib.import_module("toolkit.search.search")  # the package's own `search` is a function
optuna.logging.set_verbosity(optuna.logging.ERROR)


def test_recommendations_say_the_figures_of_their_rows():
    found = swept(row("a", 100, 1.5), row("a+finetuned", 110, 0.25), row("b", 300, 4.0, hardware=True),
                  row("b+finetuned", 200, 0.5, hardware=True), row("c", 50, 1.0, kind="combination"),
                  row("s", 400, 3.0), row("s_no_teacher", 400, 5.0))
    assert "\n".join(choices.recommendations(found)) == """\
Smallest with a validation drop of at most 2 points: c (scheme of c): drop +1.50 points, 50 B, ratio 20.00.
For hardware: b+finetuned: drop +1.00 points, 200 B, ratio 5.00, 1,234 non-zero weights. \
Generate it (in this folder): shiftwright generate rows/b+finetuned.swd -o ../hardware
Best combination: c (scheme of c): drop +1.50 points, 50 B, ratio 20.00. \
Best single technique: a: drop +2.00 points, 100 B, ratio 10.00.
Least drop: a+finetuned: drop +0.75 points, 110 B, ratio 9.09.
Training after a step changed the drop by -2.38 points on average over 2 rows, by -3.50 for b; \
the original was trained for the same number of epochs.
The teacher changed the drop by -2.00 points on average over 1 students, \
each compared with the same student trained without it.
5 of 7 rows are larger and also worse on the validation samples than another row; \
0 more are larger or worse, and equal in the other. The Pareto set above is the rest."""


def test_of_a_single_row_little_can_be_recommended():
    told = choices.recommendations(swept(row("a", 2000, 1.0)))
    rest = "drop +1.50 points, 2,000 B, ratio 0.50."
    assert told == [f"Smallest with a validation drop of at most 2 points: a (scheme of a): {rest}",
                    f"Least drop: a: {rest}"]
    far = choices.recommendations(swept(row("a", 2000, 3.0)))
    assert far[0].startswith("No row has a validation drop of at most 2 points; nearest: a (scheme of a): drop +3.50")
    assert choices.recommendations(swept()) == []


def test_the_analysis_names_the_row_whose_bits_moved_most_and_the_one_that_lost_with_the_fewest():
    found = swept(row("kept", 10, 2.0, weight_ber=0.3), row("moved", 10, 1.0, weight_ber=0.45),
                  row("lost", 10, 2.1, weight_ber=0.2), row("worst", 10, 9.0, weight_ber=0.4),
                  row("student", 10, 0.0, weight_ber=None))
    lines = choices.analysis(found)
    assert lines[-2:] == [
        ("moved changes 45.0 % of the weight bits at an accuracy drop of +1.50 points: weight BER tells how far the "
         "stored weights moved, not how much accuracy was lost"),
        "lost changes only 20.0 % of them at an accuracy drop of +2.60 points"]
    assert choices.analysis(swept(row("student", 10, 0.0, weight_ber=None))) == ["no row has a weight BER"]
    two = choices.analysis(swept(row("a", 1, 0.0), row("b", 1, 1.0)))
    assert len(two) == 1 and two[0].startswith("a changes 10.0 %"), "of two rows no rank is told"


def test_a_rank_correlation_of_equal_figures_is_none():
    assert choices._rank([(1, 1), (2, 4), (3, 9)]) == 1.0 and choices._rank([(1, 9), (2, 4), (3, 1)]) == -1.0
    assert choices._rank([(1, 1), (1, 2), (1, 3)]) == choices._rank([(1, 5), (2, 5), (3, 5)]) == 0.0
    assert choices._rank([(1, 2), (2, 2), (3, 4)]) == pytest.approx(3**0.5 / 2)  # ties at their mean rank


def test_a_quality_is_told_as_what_it_is():
    step = row("a", 10, 0.0).step
    assert differences.quality(replace(step, accuracy=0.9, interval=(0.8, 0.95)), test=True) == "90.00 % (80.0 .. 95.0)"
    assert differences.quality(replace(step, quality=0.875), test=False) == "87.50 %"
    values = replace(step, accuracy=None, error=0.123456, quality=-0.25)
    assert differences.quality(values, test=True) == "0.12346" and differences.quality(values, test=False) == "0.25"
    own = replace(step, metric=3.5, quality=-2.25)
    assert differences.quality(own, test=True) == "3.5" and differences.quality(own, test=False) == "-2.25"
    none = replace(step, accuracy=None, disagreement=0.25, interval=None)
    assert differences.quality(none, test=True) == "75.00 %"


def test_a_drop_is_told_as_it_was_measured():
    assert differences.dropped(None) == "n/a"
    assert differences.dropped(Drop(0, 1.25)) == "+1.25 points on the validation samples"
    assert differences.dropped(Drop(0, 1.25, -0.5)) == "-0.50 points"
    assert differences.dropped(Drop(0, 1.25, -0.001, -0.04, 0.04)) == \
        "+0.00 points, no measurable difference (95 % interval +0.0 .. +0.0)", "there is no minus zero"
    assert differences.between(None, 1.0) == differences.between(1.0, None) == "n/a"
    assert differences.difference(1.0, 0.5, None) == differences.difference(1.0, None, 0.5) == "+1.00 points"


@pytest.mark.parametrize("scheme, kind", [
    ("magnitude:0.5", "pruning"), ("structured:0.5", "pruning"), ("log2:4", "quantization"), ("dynamic:int8",
                                                                                              "quantization"),
    ("minifloat:E4M3", "quantization"), ("distill:0.5", "distillation"), ("magnitude:0.5+log2:4", "combination"),
    ("distill:0.5+log2:4", "combination")])
def test_a_scheme_is_listed_by_what_it_does(scheme, kind):
    assert category(Scheme.parse(scheme)) == kind


# Trials.

def trial(number: int, accuracy: float, size: int, adders: int, fits: bool = True) -> Found:
    return Found(number, None, accuracy, size, adders, False, fits, 0.0, 1)


def test_the_front_of_trials_is_what_none_beats_in_any_figure():
    every = [trial(0, 0.9, 100, 50), trial(1, 0.9, 100, 50), trial(2, 0.8, 100, 50), trial(3, 0.7, 10, 500),
             trial(4, 0.99, 1, 1, fits=False), trial(5, 0.7, 10, 400), trial(6, 0.95, 200, 60)]
    both = ("accuracy", "bytes", "adder_bits")
    assert [f.number for f in pareto(every, both)] == [5, 0, 1, 6]
    assert [f.number for f in pareto(every, ("accuracy",))] == [6]
    assert [f.number for f in pareto(every, ("bytes",))] == [5, 3]
    assert [f.number for f in pareto([trial(0, 0.1, 5, 7), trial(1, 0.2, 5, 7), trial(2, 0.1, 5, 6)],
                                     ("bytes",))] == [2, 1, 0]
    assert trial(0, 0.5, 7, 3).figure("bytes") == 7.0


def test_the_area_is_counted_in_halvings_of_the_bytes():
    assert hypervolume([(256, 0.5)], (1024, 0.25)) == pytest.approx(2 * 0.25)
    # From 1024 to 256 at 0.5, and what 512 adds up to 0.75.
    assert hypervolume([(512, 0.75), (256, 0.5)], (1024, 0.25)) == pytest.approx(2 * 0.25 + 1 * 0.25)
    assert hypervolume([(512, 0.5), (256, 0.5), (1024, 0.9), (2048, 1.0), (16, 0.25)], (1024, 0.25)) == \
        pytest.approx(2 * 0.25)
    assert hypervolume([], (1024, 0.25)) == 0.0


def finished(drop: float, size: int, state: TrialState = TrialState.COMPLETE) -> optuna.trial.FrozenTrial:
    return create_trial(values=[1.0] if state == TrialState.COMPLETE else None, state=state, user_attrs={
        "choice": {"made": drop}, "accuracy": 0.9, "bytes": size, "adder_bits": 7, "trained": False, "drop": drop,
        "epochs": 3})


def test_finished_trials_are_judged_by_the_limits_of_now(monkeypatch):
    monkeypatch.setattr(searching, "Choice", SimpleNamespace(from_json=lambda data: data["made"]))
    study = optuna.create_study()
    for one in (finished(1.0, 1024), finished(2.5, 1024), finished(1.0, 1025), finished(0, 0, TrialState.FAIL)):
        study.add_trial(one)
    found = results(study, Limits(2.0, 1.0))
    assert [f.fits for f in found] == [True, False, False] and all(f.fits for f in results(study, Limits()))
    assert found[1] == Found(1, 2.5, 0.9, 1024, 7, False, False, 2.5, 3)


def test_work_ends_with_enough_trials_and_with_failures_that_go_on(monkeypatch):
    monkeypatch.setattr(searching, "revive", lambda study, under_way: None)
    study = optuna.create_study()
    searching._work(study, 3, lambda t: 1.0)
    searching._work(study, 3, lambda t: 1.0)
    assert len(study.trials) == 3
    calls: list[int] = []

    def failing(t: optuna.Trial) -> float:
        calls.append(t.number)
        if len(calls) % 8:  # seven failures, then one that is well
            raise InputError(f"failure {len(calls)}")
        return 1.0

    searching._work(study, 5, failing)
    assert len(calls) == 16

    def always(t: optuna.Trial) -> float:
        calls.append(t.number)
        raise InputError(f"failure {len(calls)}")

    calls.clear()
    with pytest.raises(InputError, match=r"^failure 8$"):
        searching._work(study, 9, always)


@pytest.mark.parametrize("change, told", [
    ({"objectives": ("bytes", "speed")}, "unknown objective 'speed'; known are accuracy, bytes, adder_bits"),
    ({"objectives": ()}, "unknown objective ''"), ({"trials": 0}, r"0 trials are outside 1..1000000"),
    ({"trials": 1_000_001}, "1000001 trials are outside")])
def test_a_search_that_makes_no_sense_is_refused_before_any_work(change, told):
    with pytest.raises(InputError, match=told):
        searching.search(None, None, "", **{"trials": 1, **change})


def test_a_study_is_of_its_model_its_data_and_its_settings_but_not_of_its_test_samples():
    graph = capture(nn.Sequential(nn.Linear(2, 2)).eval(), (2,))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 2)).astype(np.float32), np.array([0, 1] * 4)
    data = Data.of(x, y, x, y, x_val=x, y_val=y)
    mark = searching._fingerprint(graph, data, Settings(), ("bytes",))
    assert mark == searching._fingerprint(graph, replace(data, x_test=x + 1, y_test=1 - y), Settings(), ("bytes",))
    other = capture(nn.Sequential(nn.Linear(2, 2)).eval(), (2,))
    marks = {mark, searching._fingerprint(graph, data, Settings(), ("accuracy",)),
             searching._fingerprint(other, data, Settings(), ("bytes",))}
    for change in ({"qat_epochs": 1}, {"finetune_epochs": 1}, {"lr": 0.1}, {"rounding": "nearest"}, {"seed": 1},
                   {"metric": np.mean}, {"loss": np.mean}):
        marks.add(searching._fingerprint(graph, data, Settings(**change), ("bytes",)))
    for name in ("x_train", "y_train", "x_val", "y_val"):
        changed = replace(data, **{name: getattr(data, name)[::-1].copy()})
        marks.add(searching._fingerprint(graph, changed, Settings(), ("bytes",)))
    assert len(marks) == 14 and searching._fingerprint(graph, replace(data, y_train=None), Settings(), ("bytes",))


# Measures.

@given(st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=40))
def test_float_parameters_take_the_least_of_three_ways(values):
    array = np.array(values, np.float32)
    non_zeros = int(np.count_nonzero(array))
    name, data = smallest({"w": array})
    index = 1
    ways = {"dense float32": 4 * len(values), "CSR": index + index * non_zeros + 4 * non_zeros,
            "bitmap": -(-len(values) // 8) + 4 * non_zeros}
    assert len(data) == min(ways.values()) == ways[name]


def test_a_float_network_has_no_output_format_and_no_codes():
    graph = capture(nn.Sequential(nn.Linear(3, 2), nn.ReLU()).eval(), (3,))
    assert output_format(graph) is None and packed(graph)[1] == b"" and stored_codes(graph)[1] == b""


def test_a_drop_of_errors_is_in_percent_of_the_targets_deviation():
    x = np.array([[0.0], [1.0], [2.0], [3.0]], np.float32)
    y = np.array([[0.5], [2.5], [4.5], [6.5]], np.float32)  # their deviation is the root of 5
    data = Data.of(x, y, x, y, x_val=x, y_val=y)

    def line(slope: float) -> torch.fx.GraphModule:
        layer = nn.Linear(1, 1)
        with torch.no_grad():
            layer.weight.fill_(slope)
            layer.bias.fill_(0.5)
        return capture(nn.Sequential(layer).eval(), (1,))

    measure = Measure(line(2.0), data)
    one, other = measure.measured("half", line(1.0), 7), measure.measured("right", line(2.0), 5)
    drop = measure.drop(one, other)
    error = (14 / 4) ** 0.5  # 0, 1, 2 and 3 too little
    assert drop == Drop(5, pytest.approx(100 * error / 5**0.5), pytest.approx(100 * error / 5**0.5))
    assert one.step.error == pytest.approx(error) and one.step.reported == pytest.approx(-error)
    assert (one.step.accuracy, one.step.disagreement, one.step.interval, one.step.epochs) == (None, None, None, 7)
    assert Measure(line(2.0), data, test=False).measured("n", line(1.0)).step.output_ber is None
