from __future__ import annotations

from pathlib import Path

import pytest

from tests.classify.inline import counter, ruleset, scan

LOG = "Event: 5\nskipped 2\nEvent: 10\nskipped 3\nEvent: many\n"


@pytest.mark.parametrize(
    ("take", "value"),
    [("first", 2), ("last", 3), ("sum", 5), ("count", 2)],
)
def test_a_counter_takes_what_it_is_told_to(tmp_path: Path, take: str, value: int) -> None:
    rules = ruleset(counter("skipped", r"^skipped (?<n>\d+)", take=take))
    assert scan(tmp_path, rules, stdout=LOG).counters == {"skipped": value}


def test_a_line_with_two_of_the_texts_of_a_counter_counts_once(tmp_path: Path) -> None:
    rules = ruleset(counter("lost", r"(?:skipped|damaged) (?<n>\d+)", take="sum"))
    assert scan(tmp_path, rules, stdout="skipped or damaged 2\ndamaged 3\n").counters == {"lost": 5}


def test_what_is_no_number_is_not_counted(tmp_path: Path) -> None:
    rules = ruleset(counter("events", r"^Event: (?<n>\w+)"), counter("huge", r"^huge (?<n>\d+)"))
    assert scan(tmp_path, rules, stdout=LOG + f"huge {'9' * 5000}\nhuge {'9' * 30}\n").counters == {"events": 10}


def test_only_finite_numbers_are_counted(tmp_path: Path) -> None:
    rules = ruleset(counter("seconds", r"^took (?<n>\S+)", type="float"))
    assert scan(tmp_path, rules, stdout="took 1.5\ntook inf\ntook nan\n").counters == {"seconds": 1.5}


def test_what_was_never_seen_is_absent_but_a_count_of_it_is_zero(tmp_path: Path) -> None:
    rules = ruleset(counter("last", r"no such (?<n>\d+)"), counter("times", "no such", take="count"))
    assert scan(tmp_path, rules, stdout=LOG).counters == {"times": 0}


def test_a_counter_of_both_streams_adds_them(tmp_path: Path) -> None:
    rules = ruleset(counter("skipped", r"^skipped (?<n>\d+)", take="sum", stream="any"))
    assert scan(tmp_path, rules, stdout=LOG, stderr="skipped 100\n").counters == {"skipped": 105}


def test_a_counter_of_other_jobs_is_not_counted(tmp_path: Path) -> None:
    rules = ruleset(counter("skipped", r"^skipped (?<n>\d+)", jobs=["merging"]))
    assert scan(tmp_path, rules, stdout=LOG).counters == {}
