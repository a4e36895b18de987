from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from pilotext.rules.conditions import Condition
from pilotext.rules.literals import literals_of_pattern, required_literals

LETTERS = [
    "Abort",
    "ed",
    "Kill",
    "k",
    "s",
    "é",
    ".",
    r"\.",
    r"\(",
    r"\d+",
    "x?",
    "y*",
    "z{2}",
    "w{0,2}",
    "[ab]",
    "[^]a]",
]
MARKS = ["(?:", "(?<n>", "(?=", "(?!", "(?<!", "(", ")", ")?", ")*", ")+", "|", "^", "$", r"\b", r"\n", "{", "*", "+?"]
PIECES = st.sampled_from([*LETTERS, *MARKS])
PATTERNS = st.builds("{}{}".format, st.sampled_from(["", "(?i)", "(?x)", "(?s)"]), st.lists(PIECES).map("".join))
WORDS = ["Abort", "ABORT", "ed", "Kill", "\u212aill", "K\u0130ll", "\u017f", "x", "zz", "a", ".", "(", ")", "12", "é"]
LINES = st.lists(st.sampled_from(WORDS)).map("".join)


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        (r"TLattice: *Cannot Allocate (?<bytes>\d+) Bytes in Memory!", {" Bytes in Memory!"}),
        (r"Killed|Aborted +\(core dumped\)", {"Killed", "(core dumped)"}),
        (r"(?:Segmentation fault|Bus error) +", {"Segmentation fault", "Bus error"}),
        (r"(?i)std::Bad_Alloc", {"td::bad_alloc"}),
        (r"FATAL, on .*\n from: (?<file>.*)", {"FATAL, on "}),
        (r"(?<!DDD: )command not found(?!x)", {"command not found"}),
    ],
)
def test_the_longest_certain_text_is_found(pattern: str, texts: set[str]) -> None:
    needed = literals_of_pattern(pattern)
    assert needed is not None
    assert needed.texts == texts


@pytest.mark.parametrize("pattern", [r"\d+", "Killed|.", "(Killed)?", "ab", r"(?x) Killed", r"Kil{e<=1}led", r"\x4b.*"])
def test_nothing_is_claimed_where_nothing_is_certain(pattern: str) -> None:
    assert literals_of_pattern(pattern) is None


def test_a_literal_needs_itself() -> None:
    needed = required_literals(Condition(contains="f(x) [y]"))
    assert needed is not None
    assert needed.texts == {"f(x) [y]"}


@given(PATTERNS, LINES)
def test_a_line_that_matches_always_has_what_is_needed(pattern: str, line: str) -> None:
    needed = literals_of_pattern(pattern)
    try:
        matches = regex.compile(pattern, regex.VERSION0 | regex.MULTILINE).search(line)
    except regex.error:
        return
    if matches and needed:
        assert any(text in (line.lower() if needed.folded else line) for text in needed.texts)
