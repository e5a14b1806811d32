"""Folded hardware: what line buffers read, what ROMs hold, when FIFOs suffice, and the RTL against all of it."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.networks import SMALL, WIDE, every_folded_layer, network, random_conv, random_dense, random_folded
from toolkit.api import generate, simulate
from toolkit.design import ArgMax, AvgPool, Conv, Dense, Design, MaxPool, Reshape, Tensor, Window
from toolkit.emit.target import Job
from toolkit.emit.verilog.emit import emit as emit_verilog
from toolkit.emit.verilog.folded import verilog_folded
from toolkit.hardware import Options, choose
from toolkit.hardware.folded import FoldedPlan, plan_folded
from toolkit.hardware.workload import Parallel
from toolkit.utils.errors import InputError

seeds = st.integers(0, 100_000)


def planned(design: Design, options: Options) -> FoldedPlan:
    return plan_folded(design, choose(design, options), options)


@settings(max_examples=12, deadline=None)
@given(seeds)
def test_a_reader_reads_what_the_window_covers(seed: int):
    design, options = random_folded(seed)
    for node in planned(design, options).nodes:
        if node.kind in ("mac", "pool") and node.line_buffer and isinstance(node.layer, Conv | MaxPool | AvgPool):
            x = node.inputs[0]
            if node.reads[0].shape != x.shape:
                continue  # of whole windows, which tests/test_windows.py looks at
            pixels = np.unique(node.line_buffer.taps // node.reads[0].row)
            seen = np.unique(node.layer.window.sources(x.shape))
            assert set(pixels[pixels >= 0]) == set(seen[seen >= 0])


@settings(max_examples=12, deadline=None)
@given(seeds)
def test_a_buffer_never_loses_an_element_that_is_still_read(seed: int):
    design, options = random_folded(seed)
    for node in planned(design, options).nodes:
        if node.line_buffer:
            taps, limits = node.line_buffer.taps, node.line_buffer.limits
            least = np.minimum.accumulate(np.where(taps < 0, node.line_buffer.frame, taps)[::-1])[::-1]
            # At a tap, elements up to limit - 1 may have been written: none onto one that is read now or later.
            assert np.all(limits - node.line_buffer.depth <= least)
            assert np.all(taps < limits)


@settings(max_examples=12, deadline=None)
@given(seeds)
def test_the_rom_holds_the_weights(seed: int):
    design, options = random_folded(seed)
    for node in planned(design, options).nodes:
        lanes = node.lanes
        if lanes is None:
            continue
        assert isinstance(node.layer, Dense | Conv)
        weights, _, _ = node.layer.matrix(node.inputs[0])
        fields = lanes.codes.astype(np.int64).swapaxes(2, 3)
        if lanes.shifts:
            shift = fields & ((1 << lanes.bits - 1) - 1)
            found = np.where(shift == (1 << lanes.bits - 1) - 1, 0, 1 << np.minimum(shift, 40))
            found = np.where(fields >> (lanes.bits - 1), -found, found)
        else:
            found = fields - ((fields >> (lanes.bits - 1)) << lanes.bits)
        # (groups, folds, lanes, kernel, taps of all words of a pixel), without the taps that no channel has.
        work = choose(design, options).works[node.name]
        kernel, own = (1, work.taps) if work.windowed(lanes.simd) else (work.kernel, work.own)
        found = found.reshape(*found.shape[:3], kernel, -1)[..., :own]
        groups = found.shape[0]
        found = found.reshape(groups, -1, work.taps)[:, :len(weights) // groups].reshape(len(weights), -1)
        assert np.array_equal(found << (lanes.moves + lanes.drop)[:, None], weights)


@settings(max_examples=12, deadline=None)
@given(seeds)
def test_the_same_design_gives_the_same_files(seed: int):
    design, options = random_folded(seed)
    assert verilog_folded(planned(design, options)).files == verilog_folded(planned(design, options)).files


def test_a_dense_layer_with_a_lane_for_each_output_keeps_no_input():
    design = network(WIDE, 9, random_dense("one", "x", (9, 5)), random_dense("two", "one", (5, 4)))
    first, second = planned(design, Options(arch="folded", lanes=(("one", 5), ("two", 2)))).nodes
    assert first.buffer_bits == 0 and second.buffer_bits == 2 * 5 * 12


def test_lanes_that_do_not_divide_the_outputs_take_one_more_fold():
    design = network(WIDE, 9, random_dense("one", "x", (9, 5)))
    plan = planned(design, Options(arch="folded", lanes=(("one", 2),)))
    assert plan.nodes[0].lanes is not None and plan.nodes[0].lanes.folds == 3
    assert plan.architecture.cycles("one") == 3 * (9 + 1) == plan.initiation_interval


def test_lanes_are_as_few_as_the_interval_allows():
    design = network(WIDE, 16, random_dense("wide", "x", (16, 64)), random_dense("narrow", "wide", (64, 4)))
    for ii in (70, 140, 300, 1200):
        found = choose(design, Options(ii=ii))
        assert all(found.cycles(name) <= ii for name in found.lanes)
        fewer = {name: found.works[name].cycles(replace(one, pe=one.pe - 1)) for name, one in found.parallel.items()
                 if one.pe > 1}
        assert all(cycles > ii for cycles in fewer.values())


def test_without_an_interval_other_layers_keep_up_with_the_widest():
    design = network(WIDE, 64, random_dense("big", "x", (64, 64)), random_dense("small", "big", (64, 8)))
    found = choose(design, Options(arch="folded", max_lanes=16))
    assert found.lanes == {"big": 16, "small": 2} and found.busiest == "big"


def test_auto_folds_what_is_too_much_to_unroll():
    small = network(WIDE, 9, random_dense("one", "x", (9, 5)), name="s")
    large = network(WIDE, 256, random_dense("one", "x", (256, 256)), name="l")
    assert choose(small, Options()).unrolled and not choose(large, Options()).unrolled


@pytest.mark.parametrize("texts, word", [(["a"], "PATTERN=8"), (["=4"], "PATTERN=8"), (["a=x"], "PATTERN=8"),
                                         (["a=-1"], "PATTERN=8"), (["a=9999"], "outside")])
def test_lanes_that_make_no_sense_are_refused(texts: list[str], word: str):
    with pytest.raises(InputError, match=word):
        Options(lanes=Options.parse_rules(texts))


def test_a_pattern_that_matches_no_layer_is_refused():
    design = network(WIDE, 9, random_dense("one", "x", (9, 5)), name="s")
    with pytest.raises(InputError, match="no layer matches 'two'; the layers are one"):
        choose(design, Options(lanes=(("two", 4),)))


def test_more_lanes_than_a_layer_has_work_for_are_refused_with_what_is_possible():
    design = network(WIDE, 9, random_dense("one", "x", (9, 5)), random_dense("two", "one", (5, 3)), name="s")
    with pytest.raises(InputError, match="'one' asks for 6 lanes, and layer 'one' has work for 5 at the most"):
        choose(design, Options(lanes=(("one", 6),)))
    assert choose(design, Options(lanes=(("*", 5),))).lanes == {"one": 5, "two": 3}
    with pytest.raises(InputError, match=r"'\*' asks for 6 lanes, and layer 'one'"):
        choose(design, Options(lanes=(("*", 6),)))


def test_lanes_take_several_taps_a_cycle_where_there_are_no_outputs_for_more_lanes():
    design = network(WIDE, 16, random_dense("wide", "x", (16, 64)), random_dense("narrow", "wide", (64, 4)))
    assert choose(design, Options(ii=65)).parallel["narrow"] == Parallel(4, 1, 1)
    assert choose(design, Options(ii=64)).parallel["narrow"] == Parallel(2, 2, 1)
    assert choose(design, Options(ii=16)).parallel["narrow"] == Parallel(4, 4, 1)


def test_an_interval_shorter_than_the_input_is_refused():
    design = network(WIDE, 16, random_dense("narrow", "x", (16, 4)))
    with pytest.raises(InputError, match=r"the network's input has 16 elements, and one goes in a cycle; --ii 16 can"):
        choose(design, Options(ii=15))


def test_an_interval_that_a_layer_cannot_meet_is_refused_with_the_nearest_that_can():
    design = network(WIDE, (6, 6, 2), random_conv("window", "x", (2, 4), Window.of((3, 3)), groups=2))
    with pytest.raises(InputError, match=r"layer 'window' takes 144 cycles a sample on all of the 4 lanes .*--ii 144"):
        choose(design, Options(ii=143))
    assert choose(design, Options(ii=144)).lanes["window"] == 4


def test_a_rate_becomes_an_interval():
    assert Options.cycles(None, 100_000, 100) == 1000 and Options.cycles(7, None, 100) == 7
    with pytest.raises(InputError, match="more than one a cycle"):
        Options.cycles(None, 1e9, 100)
    with pytest.raises(InputError, match="give one of them"):
        Options.cycles(5, 5.0, 100)


@pytest.fixture(scope="module")
def folded(tmp_path_factory) -> Path:
    """The project of a network of every folded layer, one dense layer of it unrolled."""
    folder = tmp_path_factory.mktemp("folded") / "project"
    generate(every_folded_layer(), folder, options=Options(arch="folded", max_lanes=3, lanes=(("last", 0),)),
             vectors=60)
    return folder


def test_every_bit_and_every_clock_of_every_folded_layer_is_right(folded: Path):
    found = simulate(folded, stalls=True, axi_samples=8)
    assert found.ok, found.failures
    assert found.bit_errors == 0 and found.samples == 60


def assert_lint_clean(folder: Path) -> None:
    done = subprocess.run([sys.executable, folder / "sim" / "run.py", folder, "--lint"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_folded_rtl_is_lint_clean(folded: Path):
    assert_lint_clean(folded)


def test_a_flipped_bit_in_a_rom_names_its_layer(folded: Path):
    path = next(p for p in (folded / "rtl").glob("*_odd.v"))
    text = path.read_text()
    match = re.search(r"rom\[0\] = \d+'h([0-9a-f])", text)
    assert match is not None
    flipped = f"{int(match[1], 16) ^ 1:x}"
    path.write_text(text[:match.start(1)] + flipped + text[match.end(1):])
    found = simulate(folded, bench="player", allow_edited=True)
    path.write_text(text)
    assert not found.ok and found.data["diagnosis"]["layer"] == "odd"


def test_argmax_and_a_line_of_pixels_fold_too(tmp_path: Path):
    line = Window((3,), (2,), ((1, 1),), (2,))
    design = Design("line", Tensor("x", (11, 2), SMALL), (
        random_conv("c", "x", (2, 4), line), MaxPool("m", ("c",), Window.of((2,), (1,))), Reshape("f", ("m",), (16,)),
        ArgMax("a", ("f",))))
    generate(design, tmp_path / "p", options=Options(arch="folded", lanes=(("c", 3),)), vectors=200)
    found = simulate(tmp_path / "p", axi_samples=20)
    assert found.ok, found.failures


def test_padding_does_not_wait_for_elements_that_the_frame_before_did_not_need(tmp_path: Path):
    only = random_conv("first", "x", (8, 2), Window.of((4,), (8,), ((3, 0),)))
    design = network(WIDE, (7, 8), only)
    made = generate(design, tmp_path / "p", options=Options(arch="folded", lanes=(("first", 2),)), vectors=40)
    assert made.entries["verilog"]["initiation_interval"] == 56
    found = simulate(tmp_path / "p", bench="player")
    assert found.ok, found.failures


def test_a_window_that_sees_nothing_but_padding_gives_one_frame_for_each_that_comes(tmp_path: Path):
    all_padding = random_conv("all_padding", "x", (3, 2), Window.of((2,), (1,), ((1, 1),), (2,)))
    design = network(WIDE, (1, 3), all_padding, random_conv("next", "all_padding", (2, 2), Window.of((1,))))
    generate(design, tmp_path / "p", options=Options(arch="folded"), vectors=40)
    found = simulate(tmp_path / "p", stalls=True, axi_samples=20)
    assert found.ok, found.failures
    assert_lint_clean(tmp_path / "p")


def test_a_device_gets_as_many_lanes_as_fit_it_and_says_so():
    design = network(WIDE, 64, random_dense("big", "x", (64, 256)), random_dense("small", "big", (256, 8)))
    large, small = (choose(design, Options(arch="folded", device=name)) for name in ("ecp5-85f", "ice40-up5k"))
    assert sum(large.lanes.values()) > sum(small.lanes.values()) and "ice40-up5k" in small.bound
    with pytest.raises(InputError, match=r"takes about .* LUTs, and ice40-up5k has 5,280; .* cycles would fit"):
        choose(design, Options(ii=80, device="ice40-up5k"))


def test_memories_that_a_device_does_not_have_are_refused_by_name():
    design = network(WIDE, 600, random_dense("big", "x", (600, 300)))
    job = Job(design, Options(arch="folded", device="ice40-up5k"))
    with pytest.raises(InputError, match="holds the weights of 'big'"):
        emit_verilog(job)


@pytest.mark.parametrize("arch", ["auto", "unrolled", "folded"])
def test_a_device_that_is_none_is_refused_whatever_the_architecture(arch: str):
    design = network(WIDE, 4, random_dense("small", "x", (4, 3)))
    with pytest.raises(InputError, match="no device or board 'ecp6'"):
        choose(design, Options(arch=arch, device="ecp6"))
