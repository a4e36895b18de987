from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotext.sanitize import one_line, printable, printable_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("ab\u202edc", "ab\\u202edc"),
        ("\u2066x\u2069\u200b\u2028", "\\u2066x\\u2069\\u200b\\u2028"),
        ("one\r\ntwo\tthree", "one\\r\\ntwo\\tthree"),
        ("\x7f", "\\x7f"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_steers_a_terminal_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert one_line(text) == shown


@pytest.mark.parametrize("text", ["plain", "déjà vu", "Ω → 3 µm", "[red]", ""])
def test_what_prints_stays_as_it_is(text: str) -> None:
    assert (one_line(text), printable(text)) == (text, text)


def test_lines_stay_lines_where_there_may_be_lines() -> None:
    assert printable("one\n\ttwo\r\x1b") == "one\n\ttwo\\r\\x1b"


@given(st.text())
def test_nothing_that_does_not_print_is_left(text: str) -> None:
    assert one_line(text).isprintable()
    assert all(part.isprintable() for part in printable(text).replace("\t", "\n").split("\n"))


@given(st.text())
def test_a_json_document_says_the_same_without_it(text: str) -> None:
    document = json.dumps({"a": text}, ensure_ascii=False).encode("utf-8", "replace")
    shown = printable_json(document)
    assert json.loads(shown) == json.loads(document)
    assert shown.decode().isprintable()
