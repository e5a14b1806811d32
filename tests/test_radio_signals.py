"""The signals of the radio demo: mapping, noise, closed forms, the Proakis-B channel and the classical receivers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from toolkit.compress.measure.intervals import Z99, wilson
from toolkit.radio import links, theory
from toolkit.radio.channel import PROAKIS_B, through
from toolkit.radio.max_log import max_log
from toolkit.radio.mmse import mmse, mmse_taps
from toolkit.radio.modulation import STEP, bpsk, qam16, qam16_points
from toolkit.radio.noise import deviation, noisy
from toolkit.radio.viterbi import viterbi


def within(wrong: int, count: int, due: float) -> bool:
    """Whether a rate lies in the 99 % interval of a count."""
    low, high = wilson(wrong, count, Z99)
    return low <= due <= high


def test_16_qam_has_energy_1_and_sixteen_symbols():
    _, symbols = qam16_points()
    assert np.isclose((symbols**2).sum(axis=1).mean(), 1)
    assert len({tuple(s) for s in symbols.round(6)}) == 16


def test_neighbours_in_16_qam_differ_in_one_bit():
    bits, symbols = qam16_points()
    near = [(a, b) for a, b in itertools.combinations(range(16), 2)
            if np.isclose(np.linalg.norm(symbols[a] - symbols[b]), 2 * STEP)]
    assert len(near) == 24
    assert all((bits[a] != bits[b]).sum() == 1 for a, b in near)


def test_16_qam_is_that_of_3gpp_38_211():
    assert np.allclose(qam16(np.array([[0, 0, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1]])) / STEP,
                       [[1, 1], [3, 3], [-3, 1], [1, -3]])


@pytest.mark.parametrize(("bits", "ebn0"), [(1, 0.0), (4, 7.0), (4, -3.0)])
def test_the_noise_has_the_power_that_eb_n0_says(bits: int, ebn0: float):
    noise = noisy(np.zeros((100_000, 2)), ebn0, bits, np.random.default_rng(0))
    n0 = 1 / bits / 10 ** (ebn0 / 10)
    assert np.isclose(noise.var(), n0 / 2, rtol=0.02)
    assert np.isclose(deviation(ebn0, bits) ** 2, n0 / 2)


def test_each_row_gets_the_noise_of_its_own_eb_n0():
    noise = noisy(np.zeros((2, 50_000)), np.array([0.0, 20.0]), 1, np.random.default_rng(0))
    assert np.isclose(noise[0].std() / noise[1].std(), 10, rtol=0.02)


@pytest.mark.parametrize("ebn0", [0.0, 3.0, 6.0, 9.0])
def test_simulated_16_qam_lies_within_the_99_percent_interval_of_the_closed_form(ebn0: float):
    bits, received = links.qam16_link(100_000, ebn0, np.random.default_rng((1, int(ebn0))))
    wrong = int((links.by_max_log(received, ebn0) != bits).sum())
    assert within(wrong, bits.size, float(theory.qam16(ebn0)))


@pytest.mark.parametrize("ebn0", [0.0, 4.0])
def test_simulated_bpsk_lies_within_the_99_percent_interval_of_the_closed_form(ebn0: float):
    rng = np.random.default_rng((2, int(ebn0)))
    bits = rng.integers(0, 2, 200_000)
    wrong = int(((noisy(bpsk(bits), ebn0, 1, rng) > 0) != bits).sum())
    assert within(wrong, len(bits), float(theory.bpsk(ebn0)))


def test_max_log_is_that_of_all_sixteen_distances():
    _, received = links.qam16_link(500, 4.0, np.random.default_rng(0))
    bits, symbols = qam16_points()
    distances = ((received[:, None] - symbols) ** 2).sum(axis=2)
    due = np.stack([distances[:, bits[:, i] == 0].min(axis=1) - distances[:, bits[:, i] == 1].min(axis=1)
                    for i in range(4)], axis=1) / (2 * 0.3**2)
    assert np.allclose(max_log(received, 0.3), due)


def test_max_log_decides_for_the_nearest_symbol():
    _, received = links.qam16_link(500, 0.0, np.random.default_rng(1))
    bits, symbols = qam16_points()
    nearest = ((received[:, None] - symbols) ** 2).sum(axis=2).argmin(axis=1)
    assert np.array_equal(max_log(received, 1.0) > 0, bits[nearest] == 1)


def test_proakis_b_has_energy_1_and_a_zero_at_half_the_symbol_rate():
    assert np.isclose((PROAKIS_B**2).sum(), 1)
    assert abs(PROAKIS_B @ np.array([1, -1, 1])) < 0.002


def test_the_channel_is_a_convolution():
    symbols = np.random.default_rng(0).normal(size=(3, 20))
    assert np.allclose(through(symbols), [np.convolve(row, PROAKIS_B, "valid") for row in symbols])
    assert np.allclose(through(symbols, np.array([1.0, 2.0])), [np.convolve(row, [1, 2], "valid") for row in symbols])


def test_value_i_of_a_frame_has_bit_i_in_the_middle():
    bits, received = links.proakis_link(50, 60.0, np.random.default_rng(0))
    middle = received[:, links.MARGIN:links.MARGIN + links.FRAME]
    neighbours = (middle - PROAKIS_B[1] * bpsk(bits)) / PROAKIS_B[0]
    assert np.allclose(neighbours, 2 * np.rint(neighbours / 2), atol=0.02)
    assert np.abs(neighbours).max() < 2.1


def test_mmse_taps_solve_the_normal_equations():
    spread, count = 0.2, 11
    taps = mmse_taps(PROAKIS_B, spread, count)
    autocorrelation = np.convolve(PROAKIS_B, PROAKIS_B[::-1])[2:]
    lags = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    matrix = np.where(lags < 3, autocorrelation[np.minimum(lags, 2)], 0.0) + spread**2 * np.eye(count)
    cross = np.zeros(count)
    cross[count // 2 - 1:count // 2 + 2] = PROAKIS_B
    assert np.allclose(matrix @ taps, cross)


def test_no_other_taps_have_a_smaller_error_than_the_mmse_taps():
    rng = np.random.default_rng(0)
    symbols = bpsk(rng.integers(0, 2, 200_000))
    received = noisy(through(symbols), 10.0, 1, rng)
    windows = np.lib.stride_tricks.sliding_window_view(received, 7)
    wanted = symbols[4:4 + len(windows)]
    fitted = np.linalg.lstsq(windows, wanted, rcond=None)[0]
    assert np.allclose(mmse_taps(PROAKIS_B, float(deviation(10.0, 1)), 7), fitted, atol=0.01)


def test_an_equaliser_is_a_sliding_product():
    received = np.random.default_rng(0).normal(size=(2, 12))
    assert np.allclose(mmse(received, np.array([1.0, 2.0, 3.0])),
                       received[:, :-2] + 2 * received[:, 1:-1] + 3 * received[:, 2:])


@pytest.mark.parametrize("channel", [PROAKIS_B, np.array([1.0, 0.5]), np.array([0.2, 0.6, 0.6, 0.2])])
def test_viterbi_finds_the_most_likely_of_all_sequences(channel: np.ndarray):
    rng = np.random.default_rng(0)
    received = noisy(through(bpsk(rng.integers(0, 2, (20, 9))), channel), 2.0, 1, rng)
    every = np.array(list(itertools.product((0, 1), repeat=9)))
    distances = ((received[:, None] - through(bpsk(every), channel)) ** 2).sum(axis=2)
    assert np.array_equal(viterbi(received, channel), every[distances.argmin(axis=1)])


def test_wider_margins_change_no_decision_of_viterbi():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (400, 302))
    received = noisy(through(bpsk(bits)), 8.0, 1, rng)
    short = received[:, 150 - 16 - links.MARGIN:150 + 16 + links.MARGIN]
    whole = viterbi(received, PROAKIS_B)[:, 135:135 + links.FRAME]
    assert np.array_equal(links.by_viterbi(short, 8.0), whole > 0)


def test_without_noise_every_receiver_but_the_linear_one_is_right():
    bits, received = links.proakis_link(20, 60.0, np.random.default_rng(0))
    assert np.array_equal(links.by_viterbi(received, 60.0), bits)
    assert (links.by_mmse(received, 60.0) == bits).mean() > 0.95


def test_viterbi_beats_mmse_and_nothing_beats_the_matched_filter_bound():
    bits, received = links.proakis_link(500, 8.0, np.random.default_rng(0))
    sequence, linear = ((decide(received, 8.0) != bits).mean() for decide in (links.by_viterbi, links.by_mmse))
    assert theory.bpsk(8.0) < sequence < linear / 5
