"""What a rule says nothing about, by its `unless`."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.classify import classify_files
from pilotext.model.verdict import ExitStatus
from pilotext.rules.schema import Rule
from tests.classify.inline import WELL, logs, rule, ruleset, verdict

MARKER = rule("no-end", absent="The end", stream="stdout")
STATUS = rule("status", exit={"codes": [1]})


def elected(
    folder: Path, *rules: Rule, stdout: str = "The end\n", stderr: str = "", exit: ExitStatus = WELL
) -> str | None:
    return verdict(folder, ruleset(*rules), exit=exit, stdout=stdout, stderr=stderr).rule


HURT = rule("hurt", contains="hurt", stream="stderr", unless={"good-end": True})


def test_a_text_of_a_job_that_ended_well_all_the_same_is_dropped_with_the_reason(tmp_path: Path) -> None:
    found = verdict(tmp_path, ruleset(HURT, MARKER), stdout="The end\n", stderr="hurt\n")
    assert found.verdict == "success"
    assert [(one.rule, one.reason) for one in found.dropped] == [("hurt", "silent with good-end")]


@pytest.mark.parametrize(
    ("stdout", "exit"),
    [("cut off", WELL), ("The end\n", ExitStatus(code=1)), ("The end\n", ExitStatus(signal="SIGHUP"))],
)
def test_it_decides_where_marker_or_status_tell_of_a_bad_end(tmp_path: Path, stdout: str, exit: ExitStatus) -> None:
    assert elected(tmp_path, HURT, MARKER, stdout=stdout, stderr="hurt\n", exit=exit) == "hurt"


def test_status_0_alone_is_no_good_end(tmp_path: Path) -> None:
    assert elected(tmp_path, HURT, stderr="hurt\n") == "hurt"


STALE = rule("stale", contains="stale", stream="any", unless={"checked-end": True})


@pytest.mark.parametrize(("verified", "expected"), [(True, "success"), (False, "unknown")])
def test_only_checked_outputs_disprove_an_error_that_can_damage_them(
    tmp_path: Path, verified: bool, expected: str
) -> None:
    streams = logs(tmp_path, stdout="The end\n", stderr="stale\n")
    found = classify_files(
        ruleset(STALE, MARKER),
        kind="reconstruction",
        job_type="mass production",
        streams=streams,
        exit=WELL,
        verified=verified,
    )
    assert (found.verdict, found.rule) == (expected, None if verified else "stale")
    if not verified:
        assert (found.action, found.evidence[0].text, found.also, found.dropped) == ("manual-check", "stale", (), ())
        assert "read them through" in found.remedy


@pytest.mark.parametrize(
    ("stdout", "expected"), [("The end\nstale\n", "success"), ("stale\nThe end\n", "unknown"), ("stale\n", "failure")]
)
def test_behind_the_end_marker_it_can_damage_nothing(tmp_path: Path, stdout: str, expected: str) -> None:
    assert verdict(tmp_path, ruleset(STALE, MARKER), stdout=stdout).verdict == expected


SCRATCH = rule("scratch", contains="scratch", stream="stderr", unless={"alone": True})


def test_a_text_that_only_supports_does_not_decide_alone(tmp_path: Path) -> None:
    assert elected(tmp_path, SCRATCH, stderr="scratch\n") is None


def test_it_is_the_reason_where_something_else_shows_that_the_job_failed(tmp_path: Path) -> None:
    assert elected(tmp_path, SCRATCH, STATUS, stderr="scratch\n", exit=ExitStatus(code=1)) == "scratch"


def test_two_that_only_support_do_not_decide_together(tmp_path: Path) -> None:
    other = rule("graze", contains="graze", stream="stderr", unless={"alone": True})
    assert elected(tmp_path, SCRATCH, other, stderr="scratch\ngraze\n") is None


def test_a_rule_can_be_silent_where_another_was_seen(tmp_path: Path) -> None:
    quiet = rule("alarm", contains="alarm", unless={"rules": ["drill"]})
    drill = rule("drill", contains="drill", action="note")
    assert elected(tmp_path, quiet, drill, stderr="alarm\ndrill\n") is None
    assert elected(tmp_path, quiet, drill, stderr="alarm\n") == "alarm"


def test_a_rule_can_be_silent_for_a_kind_of_jobs(tmp_path: Path) -> None:
    assert (
        elected(tmp_path, rule("alarm", contains="alarm", unless={"jobs": ["reconstruction"]}), stderr="alarm\n")
        is None
    )
    assert elected(tmp_path, rule("alarm", contains="alarm", unless={"jobs": ["merging"]}), stderr="alarm\n") == "alarm"
