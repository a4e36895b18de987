from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pilotext.classify import classify_files
from pilotext.classify.reclassify import reclassify
from pilotext.model.job import JobIdentity
from pilotext.model.report import Report
from pilotext.model.verdict import ExitStatus, Finding, Verdict
from pilotext.rules.schema import RuleSet
from tests.classify.inline import logs, rule, ruleset

END = rule("no-end", cause="incomplete", absent="End of Job", stream="stdout")
OOM = rule("oom", code=1241, cause="memory", match=r"Cannot Allocate (?<bytes>\d+)", message="no {bytes} bytes")
NOTE = rule("skipped", code=1299, action="note", contains="Event skipped")
UNKNOWN = rule("unclassified", common=True, code=5005, cause="unknown", action="manual-check", finding="unclassified")
EMPTY = rule("empty-mdst", code=1260, cause="output-write", file={"name": "*.root", "is": "empty"})
OLD = ruleset(END, NOTE, UNKNOWN)
BAD = ExitStatus(code=1)
LOG = "".join(f"line {number}\n" for number in range(500))


def report_on(
    folder: Path,
    rules: RuleSet,
    *findings: Finding,
    exit: ExitStatus = BAD,
    stdout: str = "End of Job\n",
    stderr: str = "",
) -> Report:
    """What a worker with these rules would have reported."""
    verdict = classify_files(
        rules,
        kind="reconstruction",
        job_type="mass production",
        streams=logs(folder, stdout=stdout, stderr=stderr),
        exit=exit,
        workdir=folder,
        findings=findings,
    )
    identity = JobIdentity("COMPASS", "mass production", "reconstruction", "t", 1, 1, None, 1, 1)
    return Report(
        pilotext="1",
        job=identity,
        state="failed",
        phase="payload",
        exit_status=66,
        verdict=verdict,
        started=1.0,
        payload=exit,
        findings=findings,
    )


def same(one: Verdict, other: Verdict) -> bool:
    fields = ("verdict", "code", "cause", "action", "rule", "signature")
    return all(getattr(one, name) == getattr(other, name) for name in fields)


def test_a_new_rule_names_a_failure_that_none_had_known(tmp_path: Path) -> None:
    report = report_on(tmp_path, OLD, stderr=f"{LOG}TLattice: Cannot Allocate 132 Bytes\n")
    assert report.verdict.rule == "unclassified"
    new = reclassify(ruleset(END, NOTE, UNKNOWN, OOM), report)
    assert (new.rule, new.cause, new.signature) == ("oom", "memory", None)
    assert (new.evidence[0].stream, new.evidence[0].line) == ("stderr", 501)
    assert "no 132 bytes" in new.diag


def test_a_rule_for_something_else_changes_nothing(tmp_path: Path) -> None:
    report = report_on(tmp_path, OLD, stderr=f"{LOG}Something else\n")
    new = reclassify(ruleset(END, NOTE, UNKNOWN, OOM), report)
    assert same(new, report.verdict)


@pytest.mark.parametrize(
    ("exit", "stdout", "stderr"),
    [
        (BAD, "End of Job\n", "Cannot Allocate 5\n"),
        (ExitStatus(code=0), "no marker\n", "Event skipped\n" * 9),
        (ExitStatus(signal="SIGSEGV"), LOG, "Event skipped\nCannot Allocate 5\n"),
        (BAD, "End of Job\n", LOG),
    ],
)
def test_the_same_rules_give_the_same_verdict(tmp_path: Path, exit: ExitStatus, stdout: str, stderr: str) -> None:
    rules = ruleset(END, NOTE, UNKNOWN, OOM)
    report = report_on(tmp_path, rules, exit=exit, stdout=stdout, stderr=stderr)
    assert report.verdict.verdict == "failure"
    new = reclassify(rules, report)
    assert same(new, report.verdict)
    assert {match.rule: match.count for match in new.also} == {match.rule: match.count for match in report.verdict.also}


def test_a_rule_with_another_action_gives_that_action(tmp_path: Path) -> None:
    report = report_on(tmp_path, ruleset(UNKNOWN, OOM), stderr="Cannot Allocate 5\n")
    milder = rule("oom", code=1241, cause="memory", action="retry-more-memory", match=r"Cannot Allocate (?<bytes>\d+)")
    assert report.verdict.action == "retry"
    assert reclassify(ruleset(UNKNOWN, milder), report).action == "retry-more-memory"


def test_a_rule_whose_pattern_no_longer_fits_is_not_seen(tmp_path: Path) -> None:
    report = report_on(tmp_path, ruleset(UNKNOWN, OOM), stderr="Cannot Allocate 5\n")
    stricter = rule("oom", code=1241, cause="memory", match=r"TLattice: Cannot Allocate")
    assert reclassify(ruleset(UNKNOWN, stricter), report).rule == "unclassified"


def test_what_was_seen_of_a_file_is_believed(tmp_path: Path) -> None:
    (tmp_path / "mdst.root").touch()
    rules = ruleset(UNKNOWN, EMPTY)
    report = report_on(tmp_path, rules)
    assert report.verdict.rule == "empty-mdst"
    (tmp_path / "mdst.root").unlink()
    assert reclassify(rules, report).rule == "empty-mdst"


def test_a_pattern_does_not_reach_over_lines_that_are_missing(tmp_path: Path) -> None:
    first = rule("first", code=1261, match="alpha")
    last = rule("last", code=1262, match="omega")
    report = report_on(tmp_path, ruleset(UNKNOWN, first, last), stderr=f"alpha\n{LOG}omega\n")
    near = rule("near", code=1263, match=r"line 2\nline 497", lines=2)
    assert reclassify(ruleset(UNKNOWN, first, last, near), report).rule == "first"


def test_findings_of_the_wrapper_hold(tmp_path: Path) -> None:
    found = Finding("output-missing", "mdst.root is missing", "validate")
    missing = rule("output-missing", common=True, code=4001, cause="output-invalid", finding="output-missing")
    report = report_on(tmp_path, ruleset(UNKNOWN, missing), found, exit=ExitStatus(code=0))
    assert reclassify(ruleset(UNKNOWN, missing), report).rule == "output-missing"


def test_a_report_without_any_log_is_judged_again(tmp_path: Path) -> None:
    found = Finding("stage-in-failed", "no source", "stage-in")
    staging = rule("stage-in-failed", common=True, code=3001, cause="storage", finding="stage-in-failed")
    report = msgspec.structs.replace(report_on(tmp_path, ruleset(UNKNOWN), found), payload=None)
    assert reclassify(ruleset(UNKNOWN, staging), report).rule == "stage-in-failed"
