from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotext.classify.matching import StreamCondition, StreamMatcher
from pilotext.classify.prefilter.selector import LineSelector, begins
from pilotext.classify.rule_match import RuleMatch
from pilotext.rules import patterns
from pilotext.rules.conditions import Condition
from pilotext.rules.patterns import Found, search
from pilotext.rules.schema import Rule
from tests.classify.inline import counter, rule, ruleset, scan, verdict

FATAL = rule("fatal", match=r"^FATAL, on .*\n from: (?<file>.*)\n`(?<text>[^']*)", lines=3)
KILLED = rule("killed", match=r"^(?:.*: )?Killed(?: +(?<command>.*))?$")
ANY_CASE = rule("any-case", match=r"(?i)^abort")
WILD = "x(a|aa)+$"
SHORT = rule("short", match=r"^\d+$")
RULES = (FATAL, KILLED, ANY_CASE, SHORT)
TEXTS = ["FATAL, on Mon", " from: a.cc   12", "`no map'", "sh: Killed   x.exe", "Killed", "ABORT", "12", "", "Event: 5"]
LOGS = st.lists(st.sampled_from(TEXTS), max_size=30).map(lambda lines: "\n".join(lines).encode())


def rule_matches(chunks: list[bytes], *rules: Rule) -> list[RuleMatch]:
    watches = [StreamCondition("stderr", one, condition) for one in rules for condition in one.conditions]
    matcher = StreamMatcher("stderr", watches, ())
    for chunk in chunks:
        matcher.feed(chunk)
    matcher.close()
    return [watch.rule_match() for watch in watches if watch.count]


def test_a_match_keeps_its_place_its_fields_and_what_stands_around() -> None:
    (seen,) = rule_matches([b"one\ntwo\nthree\nfour\nsh: Killed   x.exe\n\x07six\nseven"], KILLED)
    (evidence,) = seen.evidence
    assert (evidence.stream, evidence.line, evidence.offset, evidence.text) == ("stderr", 5, 19, "sh: Killed   x.exe")
    assert evidence.before == ("two", "three", "four")
    assert evidence.after == ("six", "seven")
    assert seen.fields == {"command": "x.exe"}


def test_first_matches_the_last_one_and_their_number_are_kept() -> None:
    (seen,) = rule_matches([b"Killed\n" * 1000], KILLED)
    assert seen.count == 1000
    assert [evidence.line for evidence in seen.evidence] == [1, 2, 3, 1000]


@pytest.mark.parametrize("there", [0, 1, 40])
def test_a_flood_of_lines_that_almost_match_is_searched_at_once(there: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line by line, a log of 400 MB took minutes, and an order to stop waited for it."""
    looks = []

    def counted(*told: Any) -> Found | None:
        looks.append(told)
        return search(*told)

    monkeypatch.setattr(patterns, "search", counted)
    lines = ["Killed* x.exe" for _ in range(20_000)]
    for number in range(there):
        lines[number * 401 + 17] = "Killed x.exe"
    found = rule_matches(["\n".join(lines).encode()], KILLED)
    assert [(seen.count, seen.evidence[0].line) for seen in found] == ([(there, 18)] if there else [])
    assert len(looks) < 4000


def test_a_line_without_the_text_does_not_match() -> None:
    assert rule_matches([b"Killed* x.exe\nnot Killed\n"], KILLED) == []


def test_a_pattern_over_several_lines_is_placed_at_its_first_and_quotes_them_all() -> None:
    (seen,) = rule_matches([b"x\nFATAL, on Mon\n from: a.cc\n`no map'\nbehind\n"], FATAL)
    assert seen.evidence[0].line == 2
    assert seen.evidence[0].text == "FATAL, on Mon\n from: a.cc\n`no map'"
    assert seen.evidence[0].after == ("behind",)
    assert seen.fields == {"file": "a.cc", "text": "no map"}


def test_a_pattern_over_three_lines_does_not_reach_over_a_fourth() -> None:
    assert rule_matches([b"FATAL, on Mon\n\n from: a.cc\n`no map'\n"], FATAL) == []


@given(LOGS, st.data())
def test_the_cut_into_chunks_never_changes_a_match(log: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=8)))
    chunks = [log[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(log)], strict=True)]
    assert rule_matches(chunks, *RULES) == rule_matches([log], *RULES)


@given(LOGS)
def test_the_choice_of_lines_never_changes_a_match(log: bytes) -> None:
    chosen = rule_matches([log], *RULES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LineSelector, "candidates", lambda self, block: range(len(RULES)))
        patch.setattr(LineSelector, "places", lambda self, block, index: begins(block.cleaned))
        assert rule_matches([log], *RULES) == chosen


def test_most_lines_are_shown_to_no_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    monkeypatch.setattr(patterns, "search", lambda condition, text, timeout: tried.append(text))
    rule_matches([b"Event: 5\n" * 100 + b"Killed\n"], KILLED, FATAL)
    assert tried == ["Killed"]


def test_a_note_takes_only_its_own_line_from_the_rule_that_it_explains() -> None:
    missing = rule("missing", match="(?<what>.*): command not found")
    benign = rule("prefix", action="note", contains="DDD: command not found", explains=["missing"])
    (seen, note) = rule_matches([b"DDD: command not found\nddd: command not found\n"], missing, benign)
    assert (seen.count, seen.fields["what"], note.count) == (1, "ddd", 1)
    (note,) = rule_matches([b"DDD: command not found\n"], missing, benign)
    assert note.rule.id == "prefix"


def test_a_pattern_that_runs_wild_is_given_up_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "TIMEOUT_S", 0.01)
    wild = rule("wild", match="x(a|aa)+$")
    found = scan(tmp_path, ruleset(wild, KILLED), stderr=("x" + "a" * 60 + "b\n") * 5 + "Killed\n")
    assert [one.rule.id for one in found.rule_matches] == ["killed"]
    (told,) = found.unjudged
    assert told.rule == "wild"
    assert "on a line of stderr and was given up there" in told.reason


def test_a_pattern_that_runs_wild_costs_its_limit_once_in_a_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def look(condition: Condition, text: str, timeout: float) -> Found | None:
        tried.extend([text] if condition.match == WILD else [])
        return search(condition, text, timeout)

    monkeypatch.setattr(patterns, "TIMEOUT_S", 0.01)
    monkeypatch.setattr(patterns, "search", look)
    wild = "x" + "a" * 60 + "b\n"
    log = wild * 40 + "Killed\nxa\n" + wild * 400 + "Killed\n"
    judged = verdict(tmp_path, ruleset(rule("wild", match=WILD), KILLED), stderr=log, stdout="xa\n" + log)
    alone = verdict(tmp_path, ruleset(KILLED), stderr=log, stdout="xa\n" + log)
    assert tried == [wild.strip(), "xa", wild.strip()]
    assert [(one.rule, one.reason.split(" on ")[1]) for one in judged.dropped if "s on a line" in one.reason] == [
        ("wild", "a line of stderr and was given up there"),
        ("wild", "a line of stdout and was given up there"),
    ]
    assert (judged.rule, judged.evidence) == (alone.rule, alone.evidence) == ("killed", judged.evidence)


def test_a_pattern_that_keeps_its_limit_is_not_given_up(tmp_path: Path) -> None:
    judged = verdict(tmp_path, ruleset(rule("tame", match="x[a]+$"), KILLED), stderr="xab\n" * 400 + "Killed\nxa\n")
    assert {judged.rule, *(one.rule for one in judged.also)} == {"tame", "killed"}
    assert all("given up" not in one.reason for one in judged.dropped)


def test_a_long_line_is_quoted_around_the_match(tmp_path: Path) -> None:
    (seen,) = rule_matches([b"a" * 5000 + b"Killed_here" + b"b" * 5000], rule("killed", contains="Killed_here"))
    assert "Killed_here" in seen.evidence[0].text
    assert len(seen.evidence[0].text) < 1100


def test_a_counter_that_runs_wild_is_told_and_counts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "TIMEOUT_S", 0.05)
    rules = ruleset(
        KILLED, counter("wild", r"x(a|aa)+(?<n>\d)$", stream="stderr"), counter("seen", r"^Event: (?<n>\d+)")
    )
    log = "xa1\n" + "x" + "a" * 60 + "b\n" + "Killed\n"
    judged = verdict(tmp_path, rules, stderr=log, stdout="Event: 5\n")
    assert (judged.rule, judged.counters) == ("killed", {"seen": 5})
    [told] = [one for one in judged.dropped if one.rule == "counter wild"]
    assert "on a line of stderr and was given up there" in told.reason


def test_a_counter_that_does_not_is_not_told(tmp_path: Path) -> None:
    judged = verdict(tmp_path, ruleset(counter("seen", r"^Event: (?<n>\d+)")), stdout="Event: 5\n")
    assert (judged.counters, judged.dropped) == ({"seen": 5}, ())
