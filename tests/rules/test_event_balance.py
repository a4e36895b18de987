from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotext.rules import event_balance

COUNTED: event_balance.Counters = {
    "events_processed": 18640,
    "events_skipped": 3,
    "raw_events": 18643,
    "inputs.events": (100, 200, 50),
}


@pytest.mark.parametrize(
    "text",
    [
        "events_processed + events_skipped == raw_events",
        "raw_events>=events_processed",
        "2 * (events_skipped - 1) <= 4",
        "1 + 2 * 3 == 7",
        "10 - 2 - 3 == 5",
        "sum(inputs.events) == 350",
        "0.5 * 4 == 2",
    ],
)
def test_a_law_that_holds(text: str) -> None:
    assert event_balance.check(text, COUNTED).holds


@pytest.mark.parametrize("text", ["events_processed == raw_events", "10 - (2 - 3) == 5", "sum(inputs.events) <= 349"])
def test_a_law_that_is_broken(text: str) -> None:
    assert not event_balance.check(text, COUNTED).holds


def test_a_broken_law_says_all_numbers() -> None:
    result = event_balance.check("events_processed + events_skipped == raw_events", {**COUNTED, "events_skipped": 1})
    assert result.sentence == (
        "events_processed + events_skipped == raw_events: broken, events_processed + events_skipped is 18641"
        " and raw_events is 18643 (events_processed 18640, events_skipped 1)"
    )


def test_a_counter_that_nobody_counted_breaks_the_law_and_is_named() -> None:
    result = event_balance.check("events_saved == raw_events", {"raw_events": 7, "bytes": 1})
    assert not result.holds
    assert result.sentence == "events_saved == raw_events: not counted: events_saved; counted: bytes, raw_events"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has its end where a counter or a number must stand"),
        ("a + b", "has its end where one of == <= >= must stand"),
        ("a = b", "has '=' at column 3 where one of == <= >= must stand"),
        ("a == b == c", "has '==' at column 8 where nothing more must stand"),
        ("a == (b", "has its end where `)` must stand"),
        ("a == __import__('os')", "has '(' at column 16 where nothing more must stand"),
        ("a == b / 2", "has '/' at column 8 where nothing more must stand"),
        ("sum(1) == 1", "has '1' at column 5 where a counter or a number must stand"),
        ("(" * 30 + "1" + ")" * 30 + " == 1", "more than 20 parentheses"),
        ("1 == 1" + " + 1" * 200, "longer than 500 characters"),
    ],
)
def test_a_law_that_cannot_be_read_says_where(text: str, complaint: str) -> None:
    with pytest.raises(event_balance.EventBalanceError) as caught:
        event_balance.parse(text)
    assert complaint in str(caught.value)


def test_a_counter_of_every_input_must_be_summed() -> None:
    with pytest.raises(event_balance.EventBalanceError, match=r"Write sum\(inputs.events\)"):
        event_balance.check("inputs.events == 1", COUNTED)


@given(st.text(alphabet="ab1. +-*()=<>sum", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read = event_balance.parse(text)
    except event_balance.EventBalanceError:
        return
    assert event_balance.check(text, dict.fromkeys(read.names, 1)).sentence.startswith(text)


@pytest.mark.parametrize(
    ("text", "tolerance", "holds"),
    [
        ("98 == 100", "2%", True),
        ("98 == 100", "1%", False),
        ("102 == 100", 2, True),
        ("103 == 100", 2, False),
        ("98 >= 100", "2%", True),
        ("97 >= 100", 2, False),
        ("102 <= 100", "2", True),
        ("103 <= 100", "2%", False),
        ("7 <= 100", 0, True),
    ],
)
def test_a_tolerance_is_a_number_or_a_percentage_of_the_right_side(
    text: str, tolerance: str | int, holds: bool
) -> None:
    assert event_balance.check(text, {}, tolerance).holds == holds


@pytest.mark.parametrize("tolerance", ["much", "-1", "inf", "%", "nan"])
def test_what_is_no_tolerance_is_told(tolerance: str) -> None:
    with pytest.raises(event_balance.EventBalanceError, match="is not a tolerance"):
        event_balance.slack(tolerance, 100)
