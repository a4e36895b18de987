from __future__ import annotations

from typing import Any

import pytest

from pilotext.rules.conditions import exit_range
from pilotext.rules.lint.conditions import wrong_counter, wrong_rule
from pilotext.rules.schema import CounterText, RuleText
from pilotext.serialization.json import from_plain


def wrong(**fields: Any) -> list[str]:
    """The problems of a rule with these fields, as `field: message advice`."""
    plain = {"id": "boom", "code": 1299, "title": "t", "cause": "memory", "action": "retry", **fields}
    return [f"{field}: {message} {advice}" for field, message, advice in wrong_rule(from_plain(plain, RuleText))]


@pytest.mark.parametrize(
    "fields",
    [
        {"match": "a", "lines": 3},
        {"contains": "a"},
        {"absent": "a", "unless": {"jobs": ["tool"]}},
        {"exit": {"codes": [1], "ranges": ["129-139"], "signals": ["SIGKILL"], "core": True}},
        {"file": {"name": "*.root", "is": "smaller-than", "bytes": 10}},
        {"limit": "memory"},
        {"finding": "law-broken"},
        {"any": [{"match": "a"}, {"exit": {"core": True}}]},
        {"match": "a", "unless": {"good-end": True}},
        {"events": "a + b == c", "tolerance": "1%"},
        {"rate": {"counter": "a", "more-than": 3}},
        {"rate": {"rule": "b", "percent": 0.5, "of": "c"}},
        {"all": ["x", "y"]},
        {"any": ["x", {"match": "a"}]},
    ],
)
def test_every_kind_of_condition_can_be_well_written(fields: dict[str, Any]) -> None:
    assert wrong(**fields) == []


@pytest.mark.parametrize(
    ("fields", "start"),
    [
        ({}, ": the rule has no condition. Give it one of: match, contains"),
        ({"match": "a", "contains": "b"}, "contains: `match` and `contains` stand together."),
        ({"match": "a", "any": [{"contains": "b"}]}, "match: the rule has `any` and `match`."),
        ({"any": [{"stream": "stderr"}]}, "any[0]: the rule has no condition."),
        ({"any": [{"match": "a", "limit": "wall"}]}, "any[0].limit: `match` and `limit` stand together."),
        ({"match": ""}, "match: `match` is empty."),
        ({"match": "a", "lines": 0}, "lines: `lines` is 0."),
        ({"match": "a", "lines": 101}, "lines: `lines` is 101. Write a number from 1 to 100."),
        ({"contains": "a", "lines": 2}, "lines: `lines` is for `match` only."),
        ({"any": [{"match": "a", "unless": {"jobs": ["tool"]}}]}, "any[0].unless: here `unless` is for `absent` only."),
        ({"any": [{"absent": "a"}], "unless": {"jobs": ["tool"]}}, "unless: `unless` is outside a list with `absent`."),
        ({"match": "a", "tolerance": 3}, "tolerance: `tolerance` is for `events` only."),
        ({"events": "a + b"}, "events: the event balance 'a + b' has its end where one of == <= >= must stand."),
        ({"events": "a == b", "tolerance": "some"}, "tolerance: 'some' is not a tolerance."),
        ({"rate": {"more-than": 3}}, "rate: `rate` needs either `counter` or `rule`."),
        ({"rate": {"counter": "a"}}, "rate: `rate` names no bound."),
        ({"rate": {"counter": "a", "percent": 1}}, "rate.of: `percent` and `of` go together."),
        ({"all": []}, "all: `all` names no rule."),
        ({"limit": "memroy"}, "limit: there is no limit 'memroy'. Did you mean `memory`?"),
        ({"finding": "xyz"}, "finding: there is no finding 'xyz'. Known are: "),
        ({"exit": {}}, "exit: `exit` asks for nothing."),
        ({"exit": {"signals": ["SIGKIL"]}}, "exit.signals: there is no signal 'SIGKIL'. Did you mean `SIGKILL`?"),
        ({"any": [{"exit": {"ranges": ["9-1"]}}]}, "any[0].exit.ranges: '9-1' is not a range of exit codes."),
        ({"file": {"name": "a", "is": "smaller-than"}}, "file.bytes: `bytes` is for `is: smaller-than`"),
        ({"file": {"name": "a", "is": "empty", "bytes": 3}}, "file.bytes: `bytes` is for `is: smaller-than`"),
        ({"match": "a", "id": "No Word"}, "id: the id 'No Word' is not a word."),
    ],
)
def test_a_value_that_means_nothing_is_told(fields: dict[str, Any], start: str) -> None:
    [problem] = wrong(**fields)
    assert problem.startswith(start)


def test_a_range_of_exit_codes_has_both_its_ends() -> None:
    assert list(exit_range("129-131")) == [129, 130, 131]
    assert list(exit_range("7-7")) == [7]


@pytest.mark.parametrize("text", ["7", "7-", "-7", "a-b", "9-1", "1-2-3"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a range"):
        exit_range(text)


@pytest.mark.parametrize(
    ("counter", "fields"),
    [
        (CounterText(name="events", match=r"(?<n>\d+)"), []),
        (CounterText(name="events", match=r"(?P<n>\d+)"), []),
        (CounterText(name="errors", match="Error", take="count"), []),
        (CounterText(name="errors", match="Error"), ["match"]),
        (CounterText(name="events seen", match=r"(?<n>\d+)"), ["name"]),
    ],
)
def test_a_counter_has_a_name_for_laws_and_a_number(counter: CounterText, fields: list[str]) -> None:
    assert [field for field, _, _ in wrong_counter(counter)] == fields
