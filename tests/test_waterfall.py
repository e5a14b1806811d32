"""A waterfall as table, sentence, JSON and picture; and the radio demo on a small scale."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from toolkit.commands.demo import demo
from toolkit.commands.radio import BENCHES, compressed, hardware_of
from toolkit.commands.waterfall import FLOAT, REFERENCE, RTL, errors, waterfall
from toolkit.examples import receivers
from toolkit.radio import theory
from toolkit.radio.curves import Curve, Loss, loss
from toolkit.report import Hardware, Report, text
from toolkit.report.waterfall import Waterfall, intervals, told
from toolkit.report.waterfall_plot import waterfall_svg
from toolkit.utils.errors import InputError

GRID = np.arange(6.0, 13.0)


def curve(name: str, shift: float) -> Curve:
    rates = np.repeat(theory.qam16(GRID - shift)[:, None], 10, axis=1)
    return Curve(name, GRID, np.rint(rates * 10**6).astype(np.int64), np.full(rates.shape, 10**6))


def found(different: int = 0) -> Waterfall:
    exact, real, ours, rtl = (curve(name, shift) for name, shift in
                              (("exact", 0.0), (FLOAT, 0.05), (REFERENCE, 0.2), (RTL, 0.2)))
    return Waterfall("link <1>", ("closed form", GRID, theory.qam16(GRID)), (exact, real, ours), rtl,
                     (loss(rtl, exact),), different, 1000, 1.5)


# --- told ------------------------------------------------------------------------------------------------------------

def test_the_table_has_a_row_for_each_point_with_the_rates_of_all_receivers():
    lines = found().text()
    head = next(line for line in lines if line.startswith("Eb/N0"))
    assert head.index("exact") < head.index("float") < head.index("reference") < head.index("RTL")
    row = next(line for line in lines if line.startswith("10 "))
    assert row.split()[1:6] == ["10,000,000", "0.00175", "0.00185", "0.00214", "0.00214"]


def test_the_loss_is_a_number_with_its_interval():
    assert told(Loss("a", "b", 1e-3, 0.1234, 0.1, 0.15)) == \
        "a against b at BER 0.001: +0.123 dB (95 % interval +0.100 .. +0.150)"
    assert any(line.startswith(f"{RTL} against exact at BER 0.001: +0.2") for line in found().text())


def test_a_loss_that_was_not_reached_is_said_and_is_no_number():
    assert "not measured" in told(Loss("a", "b", 1e-3, None, None, None))


def test_intervals_are_those_of_wilson():
    one = Curve("", np.array([1.0]), np.array([[60, 40]]), np.array([[500, 500]]))
    assert intervals(one)[0] == pytest.approx((0.0829, 0.1202), abs=1e-4)


def test_a_bit_in_which_rtl_and_reference_differ_fails_the_report():
    same, other = (Report("t", (), (), 0.0, waterfalls=(found(n),)) for n in (0, 1))
    assert same.ok and not other.ok
    assert "differ in 1 of 70,000,000 decided bits" in text(other)


def test_json_has_every_curve_with_counts_and_intervals():
    made = json.loads(json.dumps(Report("t", (), (), 0.0, waterfalls=(found(),)).to_json()))["waterfalls"][0]
    assert [one["receiver"] for one in made["curves"]] == ["exact", FLOAT, REFERENCE, RTL]
    assert made["curves"][0]["bits"] == [10**7] * 7 and len(made["curves"][0]["intervals"]) == 7
    assert made["losses"][0]["db"] == pytest.approx(0.2, abs=0.02) and made["bits_that_differ"] == 0


def test_each_project_of_a_report_has_the_command_that_simulates_it():
    hardware = tuple(Hardware(name, {}, None, name) for name in ("one", "two"))
    lines = text(Report("t", (), hardware, 0.0), "out").splitlines()
    assert [line for line in lines if "simulate it" in line] == [
        "simulate it: shiftwright simulate out/one", "simulate it: shiftwright simulate out/two"]


# --- drawn -----------------------------------------------------------------------------------------------------------

def test_the_picture_names_its_axes_and_every_curve_and_escapes_names():
    root = ElementTree.fromstring(waterfall_svg(found()))
    words = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Eb/N0 [dB]", "bit error rate", "closed form", "exact", FLOAT, REFERENCE, RTL, "1e-3", "6"} <= set(words)
    assert words[0] == "link <1>: bit error rate over Eb/N0"


def test_every_point_has_a_bar_and_its_figures():
    root = ElementTree.fromstring(waterfall_svg(found()))
    titles = [one.text for one in root.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == 4 * len(GRID)
    assert any(title.startswith("exact, 10 dB: 0.00175 (0.00173 .. 0.00178), 17,") for title in titles)


def test_a_rate_of_zero_is_left_out_of_the_picture():
    none = replace(found().rtl, errors=np.zeros((7, 10), np.int64))
    root = ElementTree.fromstring(waterfall_svg(replace(found(), rtl=none)))
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 3 * len(GRID)


# --- measured --------------------------------------------------------------------------------------------------------

def test_errors_are_counted_in_equal_parts_of_what_was_sent():
    sent = np.zeros((100, 2), np.uint8)
    decided = np.zeros((100, 2), bool)
    decided[0], decided[99, 1] = True, True
    assert errors(decided, sent).tolist() == [2, *[0] * 48, 1]


@pytest.mark.parametrize("name", BENCHES)
def test_a_receiver_takes_what_its_link_receives_and_gives_a_number_for_each_bit(name: str):
    data = getattr(receivers, f"{name}_data")(receivers.Training(8, (6.0, 12.0), 1, 1, 1e-3, 1e-3), 0)
    model = getattr(receivers, name)()
    import torch

    assert model(torch.from_numpy(data.x_train)).shape == data.y_train.shape and data.task == "bits"


@pytest.mark.parametrize("name", BENCHES)
def test_training_validation_and_test_signals_are_three_things(name: str):
    data = getattr(receivers, f"{name}_data")(receivers.Training(40, (6.0, 12.0), 1, 1, 1e-3, 1e-3), 0)
    rows = [{row.tobytes() for row in part} for part in (data.x_train, data.x_val, data.x_test)]
    assert not rows[0] & rows[1] and not rows[0] & rows[2] and not rows[1] & rows[2]


@pytest.mark.parametrize("name", BENCHES)
def test_the_rtl_decides_every_bit_as_the_reference_does(name: str, tmp_path: Path):
    _, real, made = compressed(name, 0, 0.02)
    bench = replace(BENCHES[name], grid=(6.0, 8.0))
    found, _, simulation = waterfall(bench, real, made, tmp_path / "p", targets=("verilog",), options=hardware_of(name),
                                     vectors=20, seed=0, scale=0.01)
    by_name = {one.name: one for one in (*found.curves, found.rtl)}
    assert simulation.ok and found.different == 0
    assert np.array_equal(by_name[RTL].errors, by_name[REFERENCE].errors) and by_name[RTL].errors.sum() > 100
    assert (by_name[RTL].errors != by_name[FLOAT].errors).any(), "the float network is another one"
    assert next(iter(bench.classical)) in by_name and set(bench.wide) <= set(by_name)


def test_the_radio_demo_cannot_leave_out_the_simulation(tmp_path: Path):
    with pytest.raises(InputError, match="simulated hardware"):
        demo("radio", tmp_path / "out", check=False)
