"""Names: whatever a model calls its layers becomes legal, unique and recognisable identifiers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.utils.identifiers import MAX_LENGTH, RESERVED, comment, identifier, identifiers

NASTY = ["", " ", "'", '"', "`", "\\", "/", "../../etc/passwd", "a/b", "*/", "/*", "//", "\n", "\0", "$finish", "9",
         "_", "é", "层", "🚀", "1" * 40, "x" * 10_000, "layer.0.weight", "a b", "a__b", "-1",
         ";endmodule"]


def legal(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text) is not None and text not in RESERVED


@pytest.mark.parametrize("word", ["module", "reg", "wire", "always", "logic", "int", "class", "while", "template"])
def test_a_keyword_of_verilog_or_c_is_reserved_and_keeps_its_letters(word):
    assert word in RESERVED
    assert identifier(word) == f"{word}_"


def test_no_keyword_at_all_is_an_identifier():
    assert all(legal(found) for found in identifiers(sorted(RESERVED)).values())


@pytest.mark.parametrize("word", ["MODULE", "Reg", "wIRE"])
def test_a_keyword_in_capitals_is_one_too(word):
    assert legal(identifier(word))


@pytest.mark.parametrize("name", NASTY)
def test_a_nasty_name_becomes_a_legal_one(name):
    assert legal(identifier(name))


@given(st.lists(st.text(max_size=60) | st.sampled_from(NASTY) | st.sampled_from(sorted(RESERVED)), unique=True))
@settings(max_examples=200, deadline=None)
def test_any_names_become_legal_and_different_ones(names):
    found = identifiers(names)
    assert list(found) == names
    assert all(legal(text) for text in found.values())
    assert len(set(found.values())) == len(names)


@given(st.lists(st.sampled_from(["a", "A", "a_2", "a.2", "A_2", "a_3", "2", "", "_"]), unique=True))
@settings(max_examples=100, deadline=None)
def test_names_that_already_look_numbered_do_not_meet(names):
    assert len(set(identifiers(names).values())) == len(names)


def test_a_taken_identifier_is_not_given_again():
    assert identifiers(["fc", "x"], taken=["fc", "fc_2"]) == {"fc": "fc_3", "x": "x"}


def test_a_plain_name_stays_as_it_is():
    assert identifier("fc1") == "fc1"


def test_the_parts_of_a_path_stay_readable():
    assert identifier("model.layers[3]/conv") == "model_layers_3_conv"


def test_a_digit_in_front_gets_a_letter():
    assert identifier("3x3") == "l3x3"


@pytest.mark.parametrize("name", ["", "层", "___", "🚀🚀"])
def test_a_name_of_nothing_usable_gets_the_fallback(name):
    assert identifier(name, "net") == "net"


def test_ten_thousand_characters_are_cut():
    assert identifier("x" * 10_000) == "x" * MAX_LENGTH


def test_long_names_that_differ_only_at_the_end_are_told_apart():
    names = ["x" * 9_999 + end for end in "abc"]
    assert len(set(identifiers(names).values())) == 3


def test_the_same_names_give_the_same_identifiers():
    assert identifiers(NASTY) == identifiers(NASTY)


@given(st.text() | st.sampled_from(NASTY))
@settings(max_examples=200, deadline=None)
def test_a_comment_cannot_be_left_or_broken(name):
    text = comment(name)
    assert re.fullmatch(r"[ -~]*", text) and len(text) <= 60
    assert not re.search(r"\*/|/\*|`|\\", text)


def test_a_long_comment_says_that_it_was_cut():
    assert comment("x" * 100) == "x" * 57 + "..."
