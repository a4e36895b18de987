from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from pilotext.classify import crowd as crowd_module
from pilotext.classify.clean import Block
from pilotext.classify.crowd import crowd_of, within_a_line
from pilotext.classify.finder import begins
from pilotext.rules.patterns import find
from pilotext.rules.schema import Condition
from tests.classify.test_literals import PATTERNS

WORDS = ["Abort", "ABORT", "ed", "Kill", "\u212aill", "\u017f", "x", "zz", "a", ".", "(", ")", "12", "é", " ", "\n"]
LOGS = st.lists(st.sampled_from(WORDS)).map("".join)


@given(PATTERNS, LOGS)
def test_a_crowd_counts_what_line_by_line_is_found(pattern: str, log: str) -> None:
    try:
        regex.compile(pattern)
    except regex.error:
        return
    crowd = crowd_of(Condition(match=pattern))
    if crowd is not None:
        block = Block(1, 0, log.encode())
        lines = [line for line in log.split("\n") if find(pattern, line)]
        assert crowd.matches(block, begins(block.cleaned)) == len(lines)


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


def test_patterns_over_several_lines_or_without_a_certain_text_are_no_crowd() -> None:
    assert crowd_of(Condition(match="Killed", lines=2)) is None
    assert crowd_of(Condition(match=r"\d+")) is None


def test_literals_are_counted_once_a_line() -> None:
    crowd = crowd_of(Condition(contains="f(x)"))
    assert crowd is not None
    block = Block(1, 0, b"f(x) f(x)\nfx\n f(x)\n")
    assert crowd.matches(block, [0, 5, 14]) == 2
    assert crowd.matches(block, [5]) == 1


def test_a_pattern_that_runs_wild_is_given_up_once_and_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd_module, "TIMEOUT_S", 0.01)
    crowd = crowd_of(Condition(match="Killed(a|aa)+$"))
    assert crowd is not None
    wild = Block(1, 0, b"Killed" + b"a" * 60 + b"b\n")
    assert crowd.matches(wild, [0]) is None
    assert crowd.matches(Block(1, 0, b"Killeda\n"), [0]) is None


def test_only_a_pattern_with_one_repetition_is_tried_without_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd_module, "may_match", lambda pattern, data: False)
    monkeypatch.setattr(crowd_module, "TIMEOUT_S", 1e-9)
    many = Block(1, 0, b"xKilled 1\n" * 5000)
    places = [*begins(many.cleaned)]
    one, two = crowd_of(Condition(match=r"Killed \d+")), crowd_of(Condition(match=r"x.*Killed.*\d"))
    assert one is not None
    assert two is not None
    assert one.matches(many, places) == 5000
    assert two.matches(many, places) is None
