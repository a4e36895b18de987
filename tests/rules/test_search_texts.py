from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from pilotext.rules.conditions import Condition
from pilotext.rules.literals import literals_of_pattern
from pilotext.rules.search_texts import MAX_TEXTS, search_texts, search_texts_of_pattern
from tests.rules.test_literals import LINES, PATTERNS


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        (r"^(?:ERROR|ABORT) {2}: (?<what>.*)", {"ERROR  : ", "ABORT  : "}),
        (r"(?:ERROR|WARN) +\[", {"ERROR [", "ERROR  ", "WARN [", "WARN  "}),
        (r"^(?:\w+ |)[=: ] ?(?:126|127)$", {"=126", "=127", " 126", " 127", ":126", ":127"}),
        (r"\bfree\(\): (?=x)|abc[de]+", {"free(): ", "abcd", "abce"}),
        (r"(?i)[Ee]rr?or: ", {"error: ", "eror: "}),
        (r"ab(?:d|ec\w+)?xyz", {"abxyz", "abdxyz", "abec"}),
    ],
)
def test_short_texts_are_searched_with_what_stands_beside_them(pattern: str, texts: set[str]) -> None:
    found = search_texts_of_pattern(pattern)
    assert found is not None
    assert found.texts == texts


def test_texts_that_are_long_are_searched_as_they_are() -> None:
    pattern = r"Cannot Allocate (?:a|b)"
    assert search_texts_of_pattern(pattern) == literals_of_pattern(pattern)
    assert search_texts(Condition(contains="f(x)")) is not None


def test_texts_stay_few() -> None:
    found = search_texts_of_pattern(r"abc[1-8][1-8][1-8]")
    assert found is not None
    assert 1 <= len(found.texts) <= MAX_TEXTS


@pytest.mark.parametrize("pattern", [r"\d+", "Killed|.", "(Killed)?", "ab", "(?x) Killed", r"Kil{e<=1}led", "Killed("])
def test_nothing_is_claimed_where_nothing_is_certain(pattern: str) -> None:
    assert search_texts_of_pattern(pattern) is None


SHORT_PIECES = [
    "ab",
    "c",
    " ",
    "1",
    "x?",
    " *",
    " +",
    "y{2}",
    "(?:1|23)+",
    "(?:ab|c)?",
    "[12 ]",
    "[a-c]",
    "[^a]",
    r"\d",
    ".",
]
SHORT = st.lists(st.sampled_from([*SHORT_PIECES, "|", "(?:", ")", "^", "$", "(?!c)"])).map("".join)
SHORT_LINES = st.lists(st.sampled_from(["ab", "c", " ", "1", "x", "y", "23", "a"]), max_size=12).map("".join)


@given(st.one_of(PATTERNS, SHORT), st.one_of(LINES, SHORT_LINES))
def test_a_line_that_matches_always_has_one_of_the_texts(pattern: str, line: str) -> None:
    found = search_texts_of_pattern(pattern)
    try:
        matches = regex.compile(pattern, regex.VERSION0 | regex.MULTILINE).search(line)
    except regex.error:
        return
    if matches and found:
        assert any(text in (line.lower() if found.folded else line) for text in found.texts)
