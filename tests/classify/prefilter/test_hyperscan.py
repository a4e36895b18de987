from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotext.classify.prefilter import hyperscan as hyperscan_module
from pilotext.classify.prefilter.hyperscan import (
    MIN_HYPERSCAN_BYTES,
    BlockDatabase,
    SearchTerm,
    has_long_lines,
    is_plain,
)

BYTES = st.lists(
    st.sampled_from([b"Killed", b"KILLED", b"abort", b"Abort", b"\n", b"\t", b"\x07", b"\x7f", b"\xe9", b" "])
)
LOGS = BYTES.map(b"".join)
LARGE_BLOCK = b"a line of the log\n" * MIN_HYPERSCAN_BYTES


@given(LOGS)
def test_a_large_block_is_seen_as_a_small_one_is(log: bytes) -> None:
    assert is_plain(log + b" " * MIN_HYPERSCAN_BYTES) == is_plain(log) == (not re.search(rb"[^\t\n\x20-\x7e]", log))


def test_without_hyperscan_the_same_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [LARGE_BLOCK, LARGE_BLOCK + b"\x07", LARGE_BLOCK + b"\xe9"]
    with_it = [is_plain(block) for block in blocks]
    monkeypatch.setattr(hyperscan_module, "hyperscan", lambda: None)
    assert [is_plain(block) for block in blocks] == with_it == [True, False, False]


def test_patterns_and_texts_are_found_in_one_pass() -> None:
    """Known problem 26 of the legacy system: each pattern read the whole log once more."""
    looks = [
        SearchTerm(3, rb"^Killed(?! twice)"),
        SearchTerm(5, None, (b"f(x)", b"g(x)")),
        SearchTerm(7, None, (b"abort",), folded=True),
        SearchTerm(9, rb"^Event: \d+$"),
    ]
    found = BlockDatabase(looks).candidates
    assert sorted(found(LARGE_BLOCK + b"Killed\nno f(x), g(x)\nABORTED\nEvent: 5\n")) == [3, 5, 7, 9]
    assert sorted(found(LARGE_BLOCK + b"not Killed\nfx\nAbo\nEvent: five\n")) == []


def test_where_a_pattern_is_not_understood_its_texts_are_looked_for() -> None:
    looks = [SearchTerm(0, b"Killed(", (b"Killed",)), SearchTerm(1, rb"^Event: \d+", (b"Event: ",))]
    found = BlockDatabase(looks).candidates
    assert sorted(found(b"Killed by nobody\nno Event: x\n")) == [0]


def test_nothing_is_found_where_nothing_is_looked_for() -> None:
    assert list(BlockDatabase([]).candidates(LARGE_BLOCK)) == []


@pytest.mark.parametrize(("line", "long"), [(b"x" * 999, False), (b"x" * 1000, True)])
def test_long_lines_are_seen(line: bytes, long: bool) -> None:
    assert has_long_lines(LARGE_BLOCK + line) == long


def test_of_a_small_block_it_is_not_known_whether_its_lines_are_long() -> None:
    assert has_long_lines(b"short\n")
