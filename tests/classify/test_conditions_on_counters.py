"""Rules on counts, through whole verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pilotext.classify import classify_files
from pilotext.model.verdict import Verdict
from pilotext.rules.schema import Rule
from tests.classify.inline import WELL, counter, logs, rule, ruleset

COUNTERS = (
    counter("done", r"^done (?<n>\d+)"),
    counter("skipped", r"^skipped (?<n>\d+)"),
)


def judged(folder: Path, *rules: Rule, stdout: str, **known: Any) -> Verdict:
    """The verdict of such rules on a log that counts `done` and `skipped`; `known` is counted by the wrapper."""
    found = logs(folder, stdout=stdout)
    rules_and_counters = ruleset(*rules, *COUNTERS)
    return classify_files(
        rules_and_counters, kind="reconstruction", job_type="coral", streams=found, exit=WELL, counters=known
    )


LAW = rule("lost", events="done + skipped == raw", tolerance="1%")


def test_a_broken_law_is_a_failure_that_says_the_numbers(tmp_path: Path) -> None:
    verdict = judged(tmp_path, LAW, stdout="done 90\nskipped 2\n", raw=100)
    assert (verdict.rule, verdict.verdict) == ("lost", "failure")
    assert verdict.evidence[0].text == (
        "done + skipped == raw: broken, done + skipped is 92 and raw is 100 (done 90, skipped 2)"
    )


@pytest.mark.parametrize("stdout", ["done 98\nskipped 2\n", "done 97\nskipped 2\n", "done 100\nskipped 1\n"])
def test_a_law_that_holds_within_its_tolerance_says_nothing(tmp_path: Path, stdout: str) -> None:
    assert judged(tmp_path, LAW, stdout=stdout, raw=100).verdict == "success"


def test_a_law_over_something_that_nobody_counted_says_nothing(tmp_path: Path) -> None:
    assert judged(tmp_path, LAW, stdout="done 9\nskipped 2\n").verdict == "success"


RATE = rule("many", rate={"counter": "skipped", "more-than": 10, "percent": 1, "of": "done"})


@pytest.mark.parametrize("stdout", ["done 1000\nskipped 11\n", "done 0\nskipped 11\n"])
def test_more_than_both_bounds_is_a_failure(tmp_path: Path, stdout: str) -> None:
    assert judged(tmp_path, RATE, stdout=stdout).rule == "many"


@pytest.mark.parametrize("stdout", ["done 100\nskipped 10\n", "done 1100\nskipped 11\n", "skipped 11\n", "done 7\n"])
def test_at_most_one_of_the_bounds_is_none(tmp_path: Path, stdout: str) -> None:
    assert judged(tmp_path, RATE, stdout=stdout).verdict == "success"


def test_the_rate_of_a_rule_brings_its_lines(tmp_path: Path) -> None:
    note = rule("bad-event", contains="bad event", action="note")
    many = rule("many", rate={"rule": "bad-event", "more-than": 2})
    verdict = judged(tmp_path, note, many, stdout="bad event 1\nbad event 2\nbad event 3\n")
    assert verdict.rule == "many"
    assert [one.text for one in verdict.evidence] == ["bad-event is 3", "bad event 1", "bad event 2", "bad event 3"]
    assert judged(tmp_path, note, many, stdout="bad event 1\nbad event 2\n").verdict == "success"


def test_a_text_comes_before_a_count(tmp_path: Path) -> None:
    text = rule("boom", contains="boom", stream="stdout")
    assert judged(tmp_path, text, RATE, stdout="done 7\nskipped 99\nboom\n").rule == "boom"
