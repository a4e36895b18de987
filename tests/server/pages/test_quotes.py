"""Quoted lines: their numbers, and what a rule caught in them."""

from __future__ import annotations

import pytest

from pilotext.model.verdict import Evidence
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import Rule
from pilotext.server.pages import quotes
from pilotext.server.pages.quotes import quote_of

pytestmark = pytest.mark.unit


def rule(**condition: str) -> Rule:
    """A rule with this condition."""
    from dataclasses import replace

    from msgspec.structs import replace as changed

    known = next(rule for rule in load_rules("COMPASS").rules if len(rule.conditions) == 1)
    empty = {"match": None, "contains": None, "absent": None}
    return replace(known, conditions=(changed(known.conditions[0], **{**empty, **condition}),))


def caught(text: str, of: Rule | None) -> list[str]:
    quote = quote_of(Evidence("r", "stderr", 812, 100, text), of)
    return [part.text for line in quote.lines for part in line.segments if part.caught]


def test_quoted_lines_have_the_numbers_of_the_log() -> None:
    lines = quote_of(Evidence("r", "stderr", 812, 100, "FATAL\nfrom: x", ("before",), ("after",)), None).lines
    assert [(line.number, line.text, line.decisive) for line in lines] == [
        (811, "before", False),
        (812, "FATAL", True),
        (813, "from: x", True),
        (814, "after", False),
    ]


def test_a_finding_of_the_wrapper_has_no_line_numbers() -> None:
    (line,) = quote_of(Evidence("r", "wrapper", 0, 0, "memory: 3000 MB of 2000 MB"), None).lines
    assert (line.number, line.decisive) == (None, True)


def test_the_named_groups_of_a_pattern_are_marked() -> None:
    found = caught("run 275772 of W14 failed", rule(match=r"run (?<run>\d+) of (?<period>\w+)"))
    assert found == ["275772", "W14"]


def test_the_match_is_marked_where_a_pattern_names_no_groups() -> None:
    assert caught("from: A FATAL ERROR: no table", rule(match="FATAL ERROR")) == ["FATAL ERROR"]
    assert caught("from: A FATAL ERROR: no table", rule(contains="no table")) == ["no table"]


def test_a_match_over_lines_is_marked_in_each_of_them() -> None:
    assert caught("one FATAL\nfrom x", rule(match=r"FATAL\nfrom")) == ["FATAL", "from"]


@pytest.mark.parametrize("of", [None, "other"])
def test_all_of_a_text_is_marked_where_nobody_knows_what_was_caught(of: str | None) -> None:
    assert caught("FATAL", None if of is None else rule(match=of)) == ["FATAL"]


def test_a_pattern_that_needs_too_long_marks_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotes, "MARK_WITHIN_S", 0.01)
    text = "a" * 4000 + "!"
    assert caught(text, rule(match=r"(?:a|aa)+(?:a|aa)+$")) == [text]


def test_no_letter_of_a_text_is_lost() -> None:
    text = "run 275772\n\n of W14 "
    quote = quote_of(Evidence("r", "stderr", 1, 0, text), rule(match=r"(?<run>\d+)\n\n of (?<period>\w+)"))
    assert "\n".join(line.text for line in quote.lines) == text
