from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from pilotext.classify.cleaning import Block
from pilotext.rules.conditions import Condition
from pilotext.rules.patterns import compile_pattern, find, plain, search


def test_a_match_gives_its_place_and_its_fields() -> None:
    found = search(Condition(match=r"Allocate (?<bytes>\d+)(?<rest>!)?"), "Cannot Allocate 12 Bytes")
    assert found is not None
    assert (found.start, found.end, found.fields) == (7, 18, {"bytes": "12"})


def test_no_match_gives_nothing() -> None:
    assert search(Condition(match="Killed"), "killed") is None


@pytest.mark.parametrize("condition", [Condition(contains="GetEvent(): no"), Condition(absent="GetEvent(): no")])
def test_contains_and_absent_are_literals(condition: Condition) -> None:
    found = search(condition, "x GetEvent(): no event")
    assert found is not None
    assert (found.start, found.end) == (2, 16)
    assert search(condition, "x GetEvent: no event") is None


def test_other_conditions_are_not_about_texts() -> None:
    assert search(Condition(limit="memory"), "memory") is None


def test_line_ends_divide_a_window_of_several_lines() -> None:
    window = "Exception:\nbad seed\nlater"
    found = find(r"^Exception:\n(?<what>.+)$", window)
    assert found is not None
    assert found.fields == {"what": "bad seed"}
    assert find("^seed", window) is None


def test_a_pattern_that_backtracks_without_end_is_given_up() -> None:
    with pytest.raises(TimeoutError):
        find(r"(a|aa)+$", "a" * 5000 + "b", timeout_s=0.01)


def test_what_is_no_pattern_is_refused() -> None:
    with pytest.raises(regex.error):
        compile_pattern("(")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("TLattice:\a Cannot", "TLattice: Cannot"),
        ("\x1b[1;31mError\x1b[0m here", "Error here"),
        ("\x1b]0;title\x07prompt", "prompt"),
        ("tab\tand\nline feed", "tab and\nline feed"),
        ("10 %\r20 %\r\ndone", "10 %\n20 %\ndone"),
    ],
)
def test_plain_text_is_what_a_terminal_shows(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text("ab[]0;m\\\x1b\x07\x00\r\n\té"))
def test_an_example_is_cleaned_as_a_log_is(text: str) -> None:
    block = Block(number=1, offset=0, raw=text.encode())
    assert plain(text) == block.cleaned.decode()
