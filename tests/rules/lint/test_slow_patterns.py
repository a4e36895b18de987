from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotext.rules.lint.slow_patterns import Repeat, repeats_of, slow_line


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a|aa)+$",
        "(x+x+)+y",
        r"(\w+\s?)*$",
        r"(?:\d+|\w+)*;",
        "^(.*?,){11}P",
        r"\d+\d+\d+\d+x",
    ],
)
def test_a_pattern_that_searches_without_end_shows_a_line_that_it_is_slow_for(pattern: str) -> None:
    assert slow_line(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?:\S+: )+x",
        r"foo(?<n>\d+)bar",
        ".*foo.*bar",
        r"^\s*\w+\s*=\s*\S+$",
        r'^"(?:[^"\\]|\\.)*"$',
        r"\S+: (?:line \d+: *)?\d+ Killed",
        "(a++)+$",
        "boom(",
    ],
)
def test_a_pattern_that_ends_in_time_shows_none(pattern: str) -> None:
    assert slow_line(pattern) == ""


def test_a_repeat_comes_with_what_stands_around_it() -> None:
    assert Repeat("ab", "c", "d") in repeats_of("abc+d")
    assert Repeat("a", "bc", "d") in repeats_of("a(?:bc*)+d")


def test_a_letter_is_taken_that_fits_as_many_pieces_as_possible() -> None:
    assert {repeat.text for repeat in repeats_of("(?:x[a-f]*y|x[d-z]*y)*")} & {"xdy", "xfy"}


def test_a_pattern_for_the_regex_module_alone_is_taken_for_its_words() -> None:
    assert Repeat("a", "a", "!") in repeats_of(r"\w(?<name>\p{L}+)!")
    assert repeats_of(r"(?|boom|bang)+") == [Repeat("", "boom", ""), Repeat("", "bang", "")]


def test_a_repeat_with_a_small_bound_is_none() -> None:
    assert repeats_of("a{1,3}b?") == []


@settings(deadline=None, max_examples=100)
@given(st.text(st.sampled_from("ab01^$.|?*+()[]{},-\\\\dwsSP<>=!:# "), max_size=24))
def test_whatever_is_written_as_a_pattern_is_judged(pattern: str) -> None:
    assert isinstance(slow_line(pattern), str)


@pytest.mark.parametrize("pattern", ["(?L)a+", "a{99999999999999999999}", "[[a]+", "(?(1)a|b)+", r"(a)\1+", "(" * 300])
def test_what_pythons_own_parser_does_not_take_is_judged_all_the_same(pattern: str) -> None:
    assert slow_line(pattern) == ""
