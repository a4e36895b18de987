from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from pilotext.classify.cleaning import Block
from pilotext.classify.prefilter import flood as flood_module
from pilotext.classify.prefilter.flood import MIN_FLOOD_LINES, flood_counter_of
from pilotext.classify.prefilter.selector import begins
from pilotext.rules.conditions import Condition
from pilotext.rules.patterns import find
from tests.rules.test_literals import PATTERNS

WORDS = ["Abort", "ABORT", "ed", "Kill", "\u212aill", "\u017f", "x", "zz", "a", ".", "(", ")", "12", "é", " ", "\n"]
LOGS = st.lists(st.sampled_from(WORDS)).map("".join)


@given(PATTERNS, LOGS)
def test_a_crowd_counts_what_line_by_line_is_found(pattern: str, log: str) -> None:
    try:
        regex.compile(pattern)
    except regex.error:
        return
    counter = flood_counter_of(Condition(match=pattern))
    if counter is not None:
        block = Block(1, 0, log.encode())
        lines = [line for line in log.split("\n") if find(pattern, line)]
        assert counter.in_lines(block, begins(block.cleaned)) == len(lines)


def test_patterns_over_several_lines_or_without_a_certain_text_are_no_crowd() -> None:
    assert flood_counter_of(Condition(match="Killed", lines=2)) is None
    assert flood_counter_of(Condition(match=r"\d+")) is None


def test_literals_are_counted_once_a_line() -> None:
    counter = flood_counter_of(Condition(contains="f(x)"))
    assert counter is not None
    block = Block(1, 0, b"f(x) f(x)\nfx\n f(x)\n")
    assert counter.in_lines(block, [0, 5, 14]) == 2
    assert counter.in_lines(block, [5]) == 1


def test_a_pattern_that_runs_wild_is_given_up_once_and_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flood_module, "TIMEOUT_S", 0.01)
    counter = flood_counter_of(Condition(match="Killed(a|aa)+$"))
    assert counter is not None
    wild = Block(1, 0, b"Killed" + b"a" * 60 + b"b\n")
    assert counter.in_lines(wild, [0]) is None
    assert counter.in_lines(Block(1, 0, b"Killeda\n"), [0]) is None


def test_only_a_pattern_with_one_repetition_is_tried_without_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flood_module, "has_long_lines", lambda data: False)
    monkeypatch.setattr(flood_module, "TIMEOUT_S", 1e-9)
    many = Block(1, 0, b"xKilled 1\n" * 5000)
    places = [*begins(many.cleaned)]
    one, two = flood_counter_of(Condition(match=r"Killed \d+")), flood_counter_of(Condition(match=r"x.*Killed.*\d"))
    assert one is not None
    assert two is not None
    assert one.in_lines(many, places) == 5000
    assert two.in_lines(many, places) is None


def test_a_dense_flood_is_counted_by_the_block_until_it_ends() -> None:
    flood, calm = Block(1, 0, b"Killed 1\n" * 5000), Block(5001, 45_000, b"Killed 2\n" + b"quiet\n" * 5000)
    counter = flood_counter_of(Condition(contains="Killed"))
    assert counter is not None
    assert counter.in_block(flood) is None, "nothing is known yet"
    assert counter.in_lines(flood, [*begins(flood.cleaned)]) == 5000
    assert counter.in_block(flood) == 5000
    assert counter.in_block(calm) == 1
    assert counter.in_block(calm) is None, f"with less than {MIN_FLOOD_LINES} lines each is looked at"
