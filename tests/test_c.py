"""The target c: every layer, format and rounding against the reference, compiled strictly and run under sanitizers."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from c_code import STRICT, differences, emitted, written
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.networks import dense, every_layer, integers, mlp, random_weights
from benchmarks.networks.strategies import designs, examples, image_designs
from toolkit.design import (
    Add,
    ArgMax,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Dense,
    Design,
    FixedPoint,
    IntegerFormat,
    Log2Format,
    Lookup,
    MaxPool,
    Overflow,
    Requantise,
    Reshape,
    Rounding,
    Tensor,
    Weights,
    Window,
)
from toolkit.design.weights import TwoTermFormat, WeightFormat
from toolkit.emit.c.codebook import codebook, packed
from toolkit.emit.c.layers import times
from toolkit.emit.c.memory import Buffer, place
from toolkit.emit.c.types import CType, literal, signed, smallest

BYTE = FixedPoint(True, 8, 4)


def biased(weights: Weights, r: Requantise, name: str = "fc", source: str = "x") -> Dense:
    outputs = len(weights.codes)
    return dense(weights, np.arange(outputs) * 37 - 50, r, name=name, source=source, bias_frac=6)


def drawn(form: WeightFormat, shape: tuple[int, ...], seed: int = 0) -> Weights:
    return random_weights(form, shape, np.random.default_rng(seed), (-4, 1))


@pytest.mark.parametrize("strategy", [designs(widest=10), image_designs()], ids=["vectors", "images"])
def test_random_networks_equal_the_reference_and_do_nothing_undefined(tmp_path: Path, strategy):
    differences(tmp_path, examples(strategy, 40, 1))


@pytest.mark.parametrize("multiplier", [0, 1])
def test_every_weight_format_is_exact_with_and_without_a_multiplier(tmp_path: Path, multiplier):
    forms = [*(Log2Format.of(bits, min(2 ** (bits - 1) - 1, 24)) for bits in range(2, 9)),
             *(IntegerFormat(bits) for bits in range(2, 17)), *(TwoTermFormat.of(bits) for bits in range(3, 9))]
    x = Tensor("x", (6,), BYTE)
    many = [Design(f"{form.kind}{form.bits}", x, (biased(drawn(form, (13, 6), form.bits), Requantise.to(
        FixedPoint(True, 24, 9))),)) for form in forms]
    differences(tmp_path, many, flags=("-O2", f"-DNET_MULTIPLY={multiplier}"))


def test_formats_of_62_bits_are_exact(tmp_path: Path):
    widest = Tensor("x", (3, 2), FixedPoint(True, 62, 10))
    x = Tensor("x", (3,), FixedPoint(True, 61, 10))
    unsigned = Tensor("x", (3,), FixedPoint(False, 60, 0))
    narrow = Tensor("x", (2,), FixedPoint(True, 12, 0))
    reaching = Weights(Log2Format.of(8), np.array([[1, 45]], np.uint8), np.array([0]))
    wide = Requantise.to(FixedPoint(True, 60, 44), Rounding.FLOOR)
    differences(tmp_path, [
        Design("clamped", x, (Clamp("c", ("x",), Requantise(FixedPoint(True, 62, 10), -2**59, 2**58)),)),
        Design("shifted", unsigned, (Clamp("c", ("x",), Requantise.to(FixedPoint(False, 33, -27))),)),
        Design("wrapped", unsigned, (Clamp("c", ("x",), Requantise.to(FixedPoint(True, 41, -3), Rounding.HALF_EVEN,
                                                                       Overflow.WRAP)),)),
        Design("added", unsigned, (Clamp("c", ("x",), Requantise.to(FixedPoint(False, 50, -9))),
                                   Add("a", ("x", "c"), Requantise.to(FixedPoint(False, 61, 0))))),
        Design("picked", unsigned, (ArgMax("m", ("x",)),)),
        Design("largest", widest, (MaxPool("m", ("x",), Window.of((2,))), Reshape("r", ("m",), (4,)),
                                   ArgMax("n", ("r",)))),
        Design("joined", widest, (Concat("c", ("x", "x"), 1),)),
        Design("summed", narrow, (Dense("fc", ("x",), reaching, np.zeros(1, np.int64), 0, wide),))])


def test_a_shift_beyond_the_type_leaves_the_sign(tmp_path: Path):
    x = Tensor("x", (4,), FixedPoint(True, 8, 40))
    differences(tmp_path, [Design(f"deep{i}", x, (Clamp("c", ("x",), Requantise.to(FixedPoint(True, 4, 0), rounding)),))
                           for i, rounding in enumerate(Rounding)])


def test_one_convolution_of_each_kind(tmp_path: Path):
    def conv(name: str, shape: tuple[int, ...], window: Window, out: int, groups: int = 1) -> Design:
        flat = drawn(Log2Format.of(4), (out, *window.kernel, shape[-1] // groups))
        return Design(name, Tensor("x", shape, BYTE), (Conv("conv", ("x",), flat, np.arange(out) * 9 - 20, 5, window,
                                                            groups, Requantise.to(FixedPoint(False, 8, 3))),))

    differences(tmp_path, [
        conv("line", (9, 2), Window.of((3,), (2,)), 4), conv("plain", (5, 6, 3), Window.of((3, 3)), 5),
        conv("padded", (5, 6, 2), Window.of((3, 3), (1, 1), ((1, 1), (2, 1))), 4),
        conv("stepped", (7, 7, 1), Window.of((2, 3), (2, 3)), 3),
        conv("spread_out", (8, 8, 2), Window.of((3, 2), (1, 1), ((2, 2), (0, 1)), (2, 3)), 3),
        conv("depthwise", (5, 5, 4), Window.of((3, 3), None, ((1, 1), (1, 1))), 4, 4),
        conv("grouped", (4, 4, 6), Window.of((2, 2)), 9, 3)])


def test_pools_see_no_padding_but_zero_in_a_mean(tmp_path: Path):
    window = Window.of((2, 3), (1, 2), ((1, 0), (1, 1)))
    x = Tensor("x", (4, 5, 2), BYTE)
    differences(tmp_path, [
        Design("most", x, (MaxPool("m", ("x",), window),)),
        Design("blind", Tensor("x", (1, 1), BYTE), (MaxPool("m", ("x",), Window.of((2,), None, ((1, 1),), (2,))),)),
        Design("mean", x, (AvgPool("m", ("x",), window, *AvgPool.constant(6), Requantise.to(BYTE)),))])


def test_a_network_that_only_renames_its_input_copies_it(tmp_path: Path):
    x = Tensor("x", (2, 3), BYTE)
    differences(tmp_path, [Design("same", x, (Reshape("r", ("x",), (6,)),)),
                           Design("twice", x, (Reshape("r", ("x",), (6,)), Reshape("s", ("r",), (3, 2)))),
                           Design("kept", x, (Reshape("r", ("x",), (6,)), Concat("c", ("r", "r"))))])


def test_names_that_c_has_taken_stay_apart(tmp_path: Path):
    names = ["int", "main", "a", "a_codes", "a codes", "a_start", "memory", "y", "x0", "sums_recipe", "shl_i32", "acc",
             "NET_FLASH", "uint8_t", "w", "a_layer", "layer"]
    x = Tensor("input", (3,), BYTE)
    layers, latest = [], "input"
    for name in names:
        layers.append(biased(drawn(Log2Format.of(4), (3, 3)), Requantise.to(BYTE), name, latest))
        latest = name
    many = [Design(name, x, tuple(layers)) for name in ("stdint", "float", "string.h", "3 nets", "MEMORY", "main")]
    differences(tmp_path, many, samples=16, flags=("-O0",))
    bases = {emitted(design).entry["base"] for design in many}
    assert "stdint" not in bases and "float" not in bases and len(bases) == len(many)


def test_the_code_multiplies_nothing_allocates_nothing_and_knows_no_float():
    text = re.sub(r"/\*.*?\*/", "", emitted(mlp()).files["c/mlp_16_64_32_32_5.c"].decode(), flags=re.S)
    code = text[text.index("static struct"):]
    assert not re.search(r"[\w\])] \* [\w(]", code) and "%" not in code and " / " not in code
    assert not re.search(r"\b(float|double|malloc|free)\b", text)
    assert re.findall(r"#include .*", text) == ['#include "mlp_16_64_32_32_5.h"', "#include <avr/pgmspace.h>"]


def test_the_same_design_gives_the_same_bytes():
    assert emitted(every_layer()).files == emitted(every_layer()).files


def test_the_header_serves_cplusplus_and_its_helpers_round_as_the_formats_do(tmp_path: Path):
    form = FixedPoint(True, 7, 3)
    design = Design("helper", Tensor("x", (1,), form), (Clamp("c", ("x",), Requantise.to(FixedPoint(False, 9, -2))),))
    written(tmp_path, design)
    values = np.concatenate([np.arange(-10, 10, 0.0625), [1e30, -1e30, 0.49999997 / 8]])
    numbers = ", ".join(f"{np.float32(v)!s}f" for v in values)
    (tmp_path / "c" / "use.cpp").write_text(f"""#define HELPER_WITH_FLOAT
        #include "helper.h"
        #include <cmath>
        #include <cstdio>
        static const float values[] = {{ {numbers} }};
        int main() {{
            for (float v : values) printf("%d ", helper_quantise(v));
            printf("%d %g", helper_quantise(NAN), (double)helper_dequantise(7));
        }}""")
    use = tmp_path / "use"
    subprocess.run(["g++", "-Wall", "-Wextra", "-Werror", tmp_path / "c" / "use.cpp", "-o", use], check=True)
    told = subprocess.run([use], capture_output=True, text=True, check=True).stdout.split()
    assert list(map(int, told[:-2])) == form.quantise(np.float32(values)).tolist()
    assert told[-2:] == ["-64", "28"]


@given(st.integers(1, 2**29 - 1), st.integers(-1000, 1000))
@settings(max_examples=100, deadline=None)
def test_a_constant_factor_is_shifts_and_adds(factor, value):
    scope = {"v": value, "shl_i64": lambda v, n: v << n}
    for line in times(factor, CType(True, 64)):
        exec(line.replace("const int64_t ", "").rstrip(";"), scope)  # the statements are Python too
    assert scope["v"] == factor * value


@given(st.integers(-2**62, 2**62))
def test_a_number_gets_the_smallest_type_that_holds_it(value):
    for type in (smallest(min(value, 0), max(value, 0)), signed(abs(value), 8)):
        low = -(1 << (type.bits - 1)) if type.signed else 0
        assert low <= value < low + (1 << type.bits)
        assert type.bits == 8 or abs(value) >= 1 << (type.bits // 2 - 1)
    digits = re.fullmatch(r"-?(?:INT(?:32|64)_C\()?(\d+)\)?", literal(value))
    assert digits and int(digits[1]) == abs(value)


@given(st.integers(1, 7), st.integers(0, 2**32 - 1), st.sampled_from(["powers", "sums", "whole"]))
@settings(max_examples=60, deadline=None)
def test_packed_codes_stand_for_the_weights(width, seed, kind):
    rng = np.random.default_rng(seed)
    values = rng.integers(-(2 ** (width - 1)), 2 ** (width - 1), (5, 7))
    if kind == "powers":
        values = rng.choice([-1, 0, 1], (5, 7)) << rng.integers(0, 4 * width, (5, 7))
    elif kind == "sums":
        terms = (1 << rng.integers(0, width, (5, 7))) + (1 << rng.integers(0, 3, (5, 7)))
        values = rng.choice([-1, 1], (5, 7)) * terms
    made, codes = codebook(values, kind == "whole")
    rows = packed(codes, made.bits)
    assert rows.shape == (5, made.row_bytes(7))
    bits = np.unpackbits(rows, axis=1, bitorder="little")[:, :7 * made.bits].reshape(5, 7, made.bits)
    read = bits @ (1 << np.arange(made.bits))
    sign, k = 1 - 2 * (read >> (made.bits - 1)), read & ((1 << (made.bits - 1)) - 1)
    if made.kind == "whole":
        meaning = np.where(sign < 0, read - (1 << made.bits), read)
    elif made.kind == "powers":
        meaning = np.where(k > 0, sign << np.maximum(made.size - k, 0), 0)
    else:
        magnitudes = [0, 1]
        for a, b in made.recipe:
            magnitudes.append(magnitudes[a] + magnitudes[b])
        meaning = sign * np.array(magnitudes)[k]
    assert np.array_equal(meaning, values)


@given(st.lists(st.tuples(st.sampled_from([8, 16, 32, 64]), st.integers(1, 40), st.integers(0, 9), st.integers(0, 9)),
                min_size=1, max_size=12))
def test_buffers_that_live_at_once_never_overlap(drawn_buffers):
    buffers = [Buffer(bits, count, min(a, b), max(a, b)) for bits, count, a, b in drawn_buffers]
    pools = place(buffers)
    for i, one in enumerate(buffers):
        assert one.offset >= 0 and one.offset + one.count <= pools.words[one.bits]
        for other in buffers[:i]:
            if one.bits == other.bits and one.start <= other.end and other.start <= one.end:
                assert one.offset + one.count <= other.offset or other.offset + other.count <= one.offset
    for bits, words in pools.words.items():
        busiest = max(sum(b.count for b in buffers if b.bits == bits and b.start <= t <= b.end) for t in range(10))
        assert busiest <= words <= sum(b.count for b in buffers if b.bits == bits)


def test_a_chain_of_layers_takes_no_more_memory_than_its_widest_pair():
    assert emitted(mlp((8, 100, 50, 4))).entry["memory"]["8"] == 100  # an output may lie where the input was


def test_weights_that_have_no_code_are_refused_by_name():
    layer = biased(integers([[1]]), Requantise.to(BYTE), "odd one")
    assert emitted(Design("fine", Tensor("x", (1,), BYTE), (layer,)))
    with pytest.raises(Exception, match="weights of 30 bits"):
        codebook(np.array([[1, 0x15555555]]), True)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_start_of_32_bits_shares_its_word_with_the_shift(tmp_path: Path, sign):
    weights = Weights(Log2Format.of(4), np.array([[1, 7], [3, 12], [2, 2]], np.uint8), np.array([0, -3, 2]))
    layer = Dense("fc", ("x",), weights, sign * np.array([70_000, 1_200_000, 3]), 8, Requantise.to(
        FixedPoint(True, 16, 2)))
    design = Design("shared", Tensor("x", (2,), BYTE), (layer,))
    assert {t["name"] for t in emitted(design).entry["tables"]} == {"fc_codes", "fc_start"}
    differences(tmp_path, [design])


def test_a_lookup_of_a_signed_input_reads_the_right_entry(tmp_path: Path):
    form = FixedPoint(True, 8, 5)
    table = Lookup.of("tanh", ("x",), np.tanh, "tanh", BYTE, form)
    again = replace(table, name="again", inputs=("tanh",))
    differences(tmp_path, [Design("curve", Tensor("x", (9,), BYTE), (table, again))])


def test_strict_compilers_find_nothing_in_any_kind_of_layer(tmp_path: Path):
    made = written(tmp_path, every_layer())
    for standard in ("-std=c99", "-std=c11", "-std=gnu17"):
        subprocess.run(["gcc", *STRICT, standard, "-O2", "-c", tmp_path / made.entry["source"], "-o", tmp_path / "o"],
                       check=True)
