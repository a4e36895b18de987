from __future__ import annotations

import pytest

from pilotext.classify.prefilter.line_patterns import pattern_for_ascii, within_a_line
from pilotext.rules.conditions import Condition


@pytest.mark.parametrize(
    ("pattern", "narrowed"),
    [
        (r"^Killed\s+(?<what>[^:]*): \d", r"^Killed[^\S\n]+(?<what>[^\n:]*): \d"),
        (r"Killed [\w.]+\W", r"Killed [\w.]+[^\w\n]"),
    ],
)
def test_a_pattern_is_kept_within_a_line(pattern: str, narrowed: str) -> None:
    assert within_a_line(pattern) == narrowed


@pytest.mark.parametrize(
    "pattern", [r"Killed\n", r"Killed[\s,]", r"Killed[^]x]", "(?s)Killed.*", r"Killed\Z", "Killed[\t-~]"]
)
def test_what_may_cross_a_line_end_is_not_claimed(pattern: str) -> None:
    assert within_a_line(pattern) is None


def test_names_of_groups_are_left_out_for_bytes() -> None:
    assert pattern_for_ascii(Condition(match=r"Cannot Allocate (?<bytes>\d+)")) == rb"Cannot Allocate (\d+)"
    assert pattern_for_ascii(Condition(contains="f(x)")) == rb"f\(x\)"


def test_what_needs_other_characters_has_no_pattern_for_ascii() -> None:
    assert pattern_for_ascii(Condition(match="café closed")) is None
    assert pattern_for_ascii(Condition(match="Killed", lines=2)) is None


@pytest.mark.parametrize(
    ("pattern", "searched"),
    [
        (r"^(?:.* exited with )?(?:rc|status) 127", rb"(?:rc|status) 127"),
        (r"(?i)^(?:[\w()]+ )?killed by", rb"(?i)killed by"),
        (r"^(?:.* exited with ) 127", rb"^(?:.* exited with ) 127"),
        (r"(?!^(?:a )?Killed)Kill", rb"(?!^(?:a )?Killed)Kill"),
    ],
)
def test_what_may_be_absent_at_the_begin_of_a_line_is_not_searched(pattern: str, searched: bytes) -> None:
    assert pattern_for_ascii(Condition(match=pattern)) == searched
