"""How many dB one receiver loses against another, from counted bit errors."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.radio import theory
from toolkit.radio.curves import Curve, crossing, loss

GRID = np.arange(0.0, 15.0)


def curve(name: str, rates: np.ndarray, bits: int = 10**7, grid: np.ndarray = GRID, seed: int | None = None) -> Curve:
    """Errors at given rates in 50 parts, drawn by `seed` or spread evenly."""
    expected = np.repeat(rates[:, None], 50, axis=1)
    drawn = np.random.default_rng(seed).binomial(bits, expected) if seed is not None \
        else np.rint(expected * bits).astype(np.int64)
    return Curve(name, grid, drawn, np.full(expected.shape, bits))


def test_a_crossing_is_on_the_straight_line_of_log_ber():
    assert crossing(np.array([4.0, 6.0]), np.array([1e-2, 1e-4])) == pytest.approx(5.0)
    assert crossing(np.array([4.0, 6.0]), np.array([1e-2, 1e-4]), 10**-2.5) == pytest.approx(4.5)


@pytest.mark.parametrize("rates", [[0.1, 0.01], [1e-4, 1e-5], [0.1, 0.0]])
def test_a_curve_that_does_not_pass_the_rate_has_no_crossing(rates: list[float]):
    assert crossing(np.array([0.0, 1.0]), np.array(rates)) is None


@pytest.mark.parametrize("shift", [0.0, 0.1, 1.0, 3.0])
def test_the_loss_of_a_shifted_curve_is_the_shift(shift: float):
    found = loss(curve("shifted", theory.qam16(GRID - shift)), curve("original", theory.qam16(GRID)))
    assert found.db == pytest.approx(shift, abs=0.02)


def test_a_better_receiver_has_a_negative_loss():
    found = loss(curve("better", theory.qam16(GRID + 1)), curve("original", theory.qam16(GRID)))
    assert found.db == pytest.approx(-1, abs=0.02)


def test_the_interval_of_a_loss_holds_the_true_shift():
    ours, theirs = (curve("", theory.qam16(GRID - shift), 20_000, seed=i) for i, shift in enumerate((0.2, 0.0)))
    found = loss(ours, theirs)
    assert found.low < 0.2 < found.high and 0.01 < found.high - found.low < 0.3


def test_receivers_with_the_same_errors_have_an_interval_of_no_width():
    ours = curve("", theory.qam16(GRID), 20_000, seed=1)
    found = loss(ours, ours)
    assert (found.db, found.low, found.high) == (0, 0, 0)


def test_curves_on_different_grids_can_be_compared():
    grid = np.arange(0.0, 30.0, 2)
    found = loss(curve("linear", 0.5 * 10 ** (-grid / 10), grid=grid), curve("original", theory.qam16(GRID)))
    assert found.db == pytest.approx(10 * np.log10(500) - 10.52, abs=0.05)


def test_a_loss_that_was_not_reached_is_none():
    found = loss(curve("floor", np.full(len(GRID), 0.01)), curve("original", theory.qam16(GRID)))
    assert (found.db, found.low, found.high) == (None, None, None)
