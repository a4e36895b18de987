"""A report for people, in a place where a pilot reads along."""

from __future__ import annotations

from pilotext.cli.report_summary import render
from pilotext.model.job import JobIdentity
from pilotext.model.report import PhaseRecord, Report, Transfer
from pilotext.model.verdict import Evidence, Match, Verdict
from tests.support.jobs import make_job


def report_of(verdict: Verdict) -> Report:
    return Report(
        pilotext="0",
        job=JobIdentity.of(make_job()),
        state="failed",
        phase="payload",
        exit_status=66,
        verdict=verdict,
        started=1.0,
        phases=(PhaseRecord(name="prepare", started=1.0, seconds=0.25, outcome="done"),),
        inputs=(Transfer(name="a.raw", url="root://x//a.raw", size=5, adler32="0000000a", seconds=1.0),),
    )


def failure(text: str) -> Verdict:
    return Verdict(
        verdict="failure",
        code="COMPASS-1241",
        number=581241,
        title="no memory",
        cause="memory",
        action="retry-more-memory",
        remedy="Ask for more.",
        evidence=(Evidence(rule="x", stream="stderr", line=812, offset=9, text=text),),
    )


def test_a_failure_shows_code_cause_action_line_and_advice() -> None:
    said = render(report_of(failure("Cannot Allocate 5 Bytes")))
    assert "code:    COMPASS-1241 (581241) no memory" in said
    assert "line:    stderr:812: Cannot Allocate 5 Bytes" in said
    assert "advice:  Ask for more." in said
    assert "a.raw  5      0000000a  from root://x//a.raw" in said


def test_notes_of_a_good_job_are_shown_and_no_code() -> None:
    note = Match(
        rule="dump-empty",
        code="COMPASS-1291",
        action="note",
        count=1,
        evidence=(Evidence(rule="dump-empty", stream="wrapper", line=0, offset=0, text="it is empty"),),
    )
    said = render(report_of(Verdict(verdict="success", also=(note,))))
    assert "note:    dump-empty (1): it is empty" in said
    assert "code:" not in said
