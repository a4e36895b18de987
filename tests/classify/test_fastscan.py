from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotext.classify import fastscan
from pilotext.classify.fastscan import LARGE, TOGETHER_AT, Suspects, Texts, has_controls, may_match

BYTES = st.lists(
    st.sampled_from([b"Killed", b"KILLED", b"abort", b"Abort", b"\n", b"\t", b"\x07", b"\x7f", b"\xe9", b" "])
)
LOGS = BYTES.map(b"".join)


@given(LOGS)
def test_a_large_block_is_seen_as_a_small_one_is(log: bytes) -> None:
    texts = [(b"Killed", False), (b"abort", True), (b"\xe9", False)]
    large = log + b" " * LARGE
    assert sorted(Texts(texts).present(large)) == sorted(Texts(texts).present(log))
    assert has_controls(large) == has_controls(log) == bool(re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", log))


def test_without_hyperscan_the_same_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"Killed\x07" + b" " * LARGE
    texts = [(b"Killed", False), (b"Aborted", False)]
    with_it = (list(Texts(texts).present(data)), has_controls(data), may_match(b"^Kil+ed", data))
    monkeypatch.setattr(fastscan, "hyperscan", lambda: None)
    assert (list(Texts(texts).present(data)), has_controls(data), may_match(b"^Kil+ed", data)) == with_it


def test_a_pattern_that_no_line_has_is_known_not_to_match() -> None:
    assert not may_match(rb"^Killed(?! twice)", b"not Killed\n" * LARGE)


def test_a_pattern_that_is_not_understood_may_match() -> None:
    assert may_match(b"Killed(", b"nothing" * LARGE)
    assert may_match(b"Killed", b"too small to ask")


def test_no_texts_are_nowhere() -> None:
    assert list(Texts([]).present(b"x" * LARGE)) == []


def test_patterns_that_come_regularly_are_judged_together_as_each_was_alone() -> None:
    suspects = Suspects()
    patterns = [rb"End of (?:Job|run)", rb"^Event: \d+$", rb"nothing like it"]
    with_both = b"Event: 5\nEnd of Job\n" + b"a line of the log\n" * LARGE
    with_one = b"Event: five\nEnd of run\n" + b"a line of the log\n" * LARGE
    for _ in range(2 * max(TOGETHER_AT)):
        assert suspects.nowhere(patterns, with_both) == {patterns[2]}
        assert suspects.nowhere(patterns, with_one) == {patterns[1], patterns[2]}


def test_nothing_is_certain_of_a_small_block() -> None:
    assert Suspects().nowhere([rb"nothing like it"], b"a line\n") == set()
