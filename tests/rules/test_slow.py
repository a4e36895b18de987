from __future__ import annotations

import pytest

from pilotext.rules.repeats import Repeat, repeats_of
from pilotext.rules.slow import slow_line


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
