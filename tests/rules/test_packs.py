"""The rule files that we ship: what must hold of them whatever else changes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pilotext.classify.cleaning import MAX_LINE_BYTES
from pilotext.model.verdict import FINDINGS
from pilotext.profile import known_experiments, load_experiment
from pilotext.rules.conditions import Condition
from pilotext.rules.examples import check_examples
from pilotext.rules.literals import required_literals
from pilotext.rules.loader import load_rules
from pilotext.rules.patterns import TIMEOUT_S, compile_pattern
from pilotext.rules.schema import RuleSet

SOAK = bool(os.environ.get("PILOTEXT_SOAK"))
PARTS = 8
"""Trying every pattern takes most of a minute of a core: cut into parts, none comes near the time limit of a test."""


@pytest.fixture(scope="module")
def compass() -> RuleSet:
    return load_rules("COMPASS")


@pytest.mark.parametrize("finding", sorted(FINDINGS))
def test_every_finding_of_the_wrapper_has_a_rule(compass: RuleSet, finding: str) -> None:
    assert compass.for_finding(finding) is not None


def test_a_finding_that_is_none_has_no_rule(compass: RuleSet) -> None:
    assert compass.for_finding("moon-full") is None


@pytest.mark.parametrize(
    ("code", "rule", "action"),
    [
        (1235, "fatal-error", "manual-check"),
        (1236, "core-dumped", "manual-check"),
        (1237, "get-event-no-event", "manual-check"),
        (1238, "abnormal-termination", "retry"),
        (1239, "aborted", "retry"),
        (1240, "no-end-of-job", "retry"),
        (1241, "cannot-allocate", "retry-more-memory"),
        (1243, "calibration-empty", "manual-check"),
        (1244, "cdb-unreachable", "retry"),
        (1245, "calibration-bad-line", "manual-check"),
        (1246, "killed", "retry"),
        (1247, "return-code-3", "manual-check"),
        (1249, "cdb-lost", "retry"),
        (1250, "raw-not-opened", "retry"),
        (1251, "zero-events", "manual-check"),
        (1252, "root-input-truncated", "retry"),
        (1253, "maps-broken", "manual-check"),
        (1255, "not-staged", "restage"),
    ],
)
def test_the_numbers_of_the_first_pilot_keep_their_meaning(compass: RuleSet, code: int, rule: str, action: str) -> None:
    found = compass.rule(rule)
    assert found is not None
    assert (found.text.code, found.text.action) == (code, action)


def test_every_example_in_the_rules_behaves_as_it_says(compass: RuleSet) -> None:
    assert [str(problem) for problem in check_examples(compass)] == []


def test_every_rule_says_whom_to_ask_and_what_to_do(compass: RuleSet) -> None:
    assert [rule.id for rule in compass.rules if not (rule.text.remedy and rule.text.owner and rule.text.since)] == []


@pytest.mark.parametrize("experiment", known_experiments())
def test_every_owner_is_a_team_that_the_profile_explains(experiment: str) -> None:
    teams = load_experiment(experiment).teams
    assert {rule.text.owner for rule in load_rules(experiment).rules} <= {*teams}
    assert all(teams.values())


def test_the_counters_that_laws_name_are_there(compass: RuleSet) -> None:
    names = {counter.name for counter in compass.counters}
    assert {"events_processed", "events_skipped", "events_written", "events_saved"} <= names
    assert [counter.name for counter in compass.counters if counter.progress] == ["merge_sources", "events_seen"]


def given_up_on(text: str, pattern: str) -> Iterator[str]:
    """Yield the lines that need too long: as long as the engine takes them, one character many times in this text."""
    compiled = compile_pattern(pattern)
    half = len(text) // 2
    for fill in ("a", ":", "1", " ", ".", "-", "/", "=", "_", "("):
        many = fill * MAX_LINE_BYTES
        for line in (many + text, many + text[1:], text[:half] + many + text[half:], text + many):
            try:
                compiled.search(line, timeout=TIMEOUT_S)
            except TimeoutError:
                yield f"{line[:20]}...{line[-20:]}"


def may_be_tried(condition: Condition, text: str) -> bool:
    """Whether a line with this text is tried by the pattern at all; the soak run tries every one."""
    known = None if SOAK else required_literals(condition)
    within = text.lower() if known is not None and known.folded else text
    return known is None or any(literal in within for literal in known.texts)


@pytest.mark.parametrize("part", range(PARTS))
def test_no_pattern_is_given_up_on_the_longest_line_with_its_text(compass: RuleSet, part: int) -> None:
    slow = {
        rule.text.id: lines
        for rule in compass.rules[part::PARTS]
        for condition in rule.conditions
        for example in rule.text.examples
        if condition.match and isinstance(example.match, str) and may_be_tried(condition, example.match)
        if (lines := list(given_up_on(example.match, condition.match)))
    }
    assert slow == {}


def test_a_pattern_that_begins_anywhere_in_a_long_name_is_given_up() -> None:
    assert any(given_up_on(": no such table", r"(?:\w+: )?no such database|\w+: no such tables"))
