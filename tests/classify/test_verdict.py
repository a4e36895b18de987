from __future__ import annotations

import os
from pathlib import Path

import pytest

from pilotext.classify import Case, Matches, classify_files, decide_verdict, provisional_verdict
from pilotext.model.verdict import ExitStatus, Finding
from tests.classify.inline import WELL, rule, ruleset, scan, verdict

END = rule("no-end", cause="incomplete", absent="End of Job", stream="stdout")
SKIPPED = rule("skipped", action="note", contains="Event skipped")
OOM = rule(
    "oom", code=1241, cause="memory", match=r"Cannot Allocate (?<bytes>\d+)", message="no {bytes} bytes", remedy="Ask."
)
KILLED = rule("killed", common=True, cause="killed", exit={"signals": ["SIGKILL"]})
CRASHED = rule("crashed", common=True, exit={"signals": ["SIGSEGV"], "ranges": ["139-139"]})
LIMIT = rule("limit-memory", common=True, code=5101, cause="memory", limit="memory")
MISSING = rule("output-missing", common=True, code=4001, cause="output-invalid", finding="output-missing")
REPLACED = rule("output-replaced", common=True, code=4003, action="note", finding="output-replaced")
NO_LOG = rule("no-log", common=True, code=5004, cause="unknown", finding="no-log")
FAILED = rule("classifier-failed", common=True, code=5003, cause="internal", finding="classifier-failed")
UNKNOWN = rule("unclassified", common=True, code=5005, cause="unknown", action="manual-check", finding="unclassified")
RULES = ruleset(END, SKIPPED, OOM, KILLED, CRASHED, LIMIT, MISSING, REPLACED, NO_LOG, FAILED, UNKNOWN)
GOOD = "Event: 5\nEnd of Job\n"


def finding(name: str, text: str = "what the wrapper saw") -> Finding:
    return Finding(name=name, text=text, phase="payload")


def test_an_ordinary_good_job_succeeds_and_its_notes_are_listed(tmp_path: Path) -> None:
    judged = verdict(tmp_path, RULES, stdout=GOOD, stderr="Event skipped\n" * 3)
    assert (judged.verdict, judged.rule, judged.code, judged.ruleset) == ("success", None, None, RULES.digest)
    assert [(note.rule, note.action, note.count) for note in judged.also] == [("skipped", "note", 3)]


def test_exit_code_zero_without_the_marker_is_a_failure(tmp_path: Path) -> None:
    judged = verdict(tmp_path, RULES, stdout="Event: 5\n", stderr="")
    assert (judged.verdict, judged.rule, judged.evidence[0].before) == ("failure", "no-end", ("Event: 5",))


def test_the_marker_in_the_wrong_stream_proves_nothing(tmp_path: Path) -> None:
    assert verdict(tmp_path, RULES, stdout="", stderr=GOOD).rule == "no-end"


def test_the_marker_in_the_only_log_proves_what_it_says(tmp_path: Path) -> None:
    assert verdict(tmp_path, RULES, stderr=GOOD).verdict == "success"


BROKEN = rule("broken", contains="cannot go on", stream="stderr", explains=["bad", "no-end"])
SPLIT = ruleset(BROKEN, END)


@pytest.mark.parametrize("end", ["", "End of Job\n"])
def test_a_text_in_the_other_stream_is_the_reason_of_a_failure_and_none_of_a_good_job(tmp_path: Path, end: str) -> None:
    found = verdict(tmp_path, SPLIT, stdout=f"cannot go on\n{end}", stderr="hello\n")
    assert found.rule == (None if end else "broken")


def test_a_status_is_explained_by_a_text_in_the_other_stream(tmp_path: Path) -> None:
    rules = ruleset(BROKEN, rule("bad", exit={"codes": [1]}))
    found = verdict(tmp_path, rules, stdout="cannot go on\n", stderr="hello\n", exit=ExitStatus(code=1))
    assert (found.rule, found.evidence[0].stream) == ("broken", "stdout")


@pytest.mark.parametrize("silent", [{"jobs": ["reconstruction"]}, {"jobs": ["mass production"]}, {"rules": ["oom"]}])
def test_a_missing_marker_is_no_failure_for_what_its_rule_excepts(tmp_path: Path, silent: dict[str, list[str]]) -> None:
    end = rule("no-end", absent="End of Job", unless=silent)
    note = rule("oom", contains="Cannot", action="note")
    assert verdict(tmp_path, ruleset(end, note), stdout="", stderr="Cannot\n").verdict == "success"
    assert (
        verdict(tmp_path, ruleset(rule("no-end", absent="End of Job", unless={"jobs": ["merging"]})), stdout="").rule
        == "no-end"
    )


def test_a_failure_is_quoted_with_its_fields_place_and_words(tmp_path: Path) -> None:
    judged = verdict(tmp_path, RULES, exit=ExitStatus(code=1), stdout=GOOD, stderr="\n**\a Cannot Allocate 42 Bytes\n")
    assert (judged.verdict, judged.code, judged.number, judged.cause) == ("failure", "COMPASS-1241", 581241, "memory")
    assert judged.diag == "COMPASS-1241 oom: no 42 bytes (stderr:2)"
    assert (judged.evidence[0].text, judged.remedy, judged.signature) == ("** Cannot Allocate 42 Bytes", "Ask.", None)


def test_a_crash_gives_way_to_the_text_that_names_its_reason(tmp_path: Path) -> None:
    crash = ExitStatus(signal="SIGSEGV")
    assert verdict(tmp_path, RULES, exit=crash, stdout=GOOD, stderr="Cannot Allocate 42").rule == "oom"
    assert verdict(tmp_path, RULES, exit=crash, stdout=GOOD).rule == "crashed"


def test_a_signal_from_outside_comes_before_any_text(tmp_path: Path) -> None:
    judged = verdict(tmp_path, RULES, exit=ExitStatus(signal="SIGKILL"), stdout="", stderr="Cannot Allocate 42")
    assert judged.rule == "killed"
    assert {dropped.rule for dropped in judged.dropped} == {"oom", "no-end"}


def test_a_limit_comes_before_the_signal_that_enforced_it(tmp_path: Path) -> None:
    judged = verdict(tmp_path, RULES, finding("limit-memory", "3.1 GB of 3 GB"), exit=ExitStatus(signal="SIGKILL"))
    assert (judged.rule, judged.evidence[0].stream) == ("limit-memory", "wrapper")
    assert judged.diag == "COMPASS-5101 limit-memory: 3.1 GB of 3 GB"


def test_a_finding_after_a_good_payload_makes_it_a_failure(tmp_path: Path) -> None:
    matches = scan(tmp_path, RULES, stdout=GOOD)
    case = Case(kind="reconstruction", job_type="mass production", exit=WELL)
    assert decide_verdict(RULES, matches, case).verdict == "success"
    later = Case(kind=case.kind, job_type=case.job_type, exit=WELL, findings=(finding("output-missing"),))
    assert (decide_verdict(RULES, matches, later).verdict, decide_verdict(RULES, matches, later).rule) == (
        "failure",
        "output-missing",
    )


def test_a_check_of_the_output_gives_way_to_every_other_reason(tmp_path: Path) -> None:
    assert verdict(tmp_path, RULES, finding("output-missing"), stdout="Event: 5\n").rule == "no-end"


def test_a_finding_that_is_a_note_fails_nothing(tmp_path: Path) -> None:
    judged = verdict(tmp_path, RULES, finding("output-replaced"), stdout=GOOD)
    assert (judged.verdict, [note.rule for note in judged.also]) == ("success", ["output-replaced"])


def test_for_a_job_that_never_started_the_finding_decides() -> None:
    case = Case(kind="reconstruction", job_type="mass production", exit=None, findings=(finding("output-missing"),))
    judged = decide_verdict(RULES, Matches(), case)
    assert (judged.rule, judged.dropped) == ("output-missing", ())


def test_a_failure_that_no_rule_knows_shows_the_tail_and_has_a_signature(tmp_path: Path) -> None:
    bad = ExitStatus(code=3)
    judged = verdict(tmp_path, RULES, exit=bad, stdout=GOOD, stderr="node lxb1.cern.ch\nbroken pipe 17\n\n")
    assert (judged.verdict, judged.rule, judged.cause) == ("failure", "unclassified", "unknown")
    (said, tail) = judged.evidence
    assert said.text == "exit status 3, and no rule says why"
    assert (tail.stream, tail.line, tail.text, tail.before) == ("stderr", 2, "broken pipe 17", ("node lxb1.cern.ch",))
    again = verdict(tmp_path, RULES, exit=bad, stdout=GOOD, stderr="node lxb2.cern.ch\nbroken pipe 4\n")
    other = verdict(tmp_path, RULES, exit=bad, stdout=GOOD, stderr="node lxb2.cern.ch\nbroken heart 4\n")
    assert judged.signature == again.signature != other.signature


def test_no_log_is_not_a_failure_that_no_rule_knows() -> None:
    judged = decide_verdict(RULES, Matches(), Case(kind="tool", job_type="shell", exit=None))
    assert (judged.verdict, judged.rule) == ("unknown", "no-log")


def test_without_an_exit_status_no_log_proves_success(tmp_path: Path) -> None:
    judged = verdict(tmp_path, RULES, exit=None, stdout=GOOD)
    assert (judged.verdict, judged.rule) == ("unknown", None)
    assert "it is not known how the program ended" in judged.diag
    assert verdict(tmp_path, RULES, exit=None, stdout=GOOD, stderr="Cannot Allocate 42").rule == "oom"


def test_a_classifier_that_failed_is_neither() -> None:
    case = Case(kind="tool", job_type="shell", exit=ExitStatus(code=1), findings=(finding("classifier-failed"),))
    judged = decide_verdict(RULES, Matches(), case)
    assert (judged.verdict, judged.rule) == ("unknown", "classifier-failed")


def test_a_log_that_cannot_be_read_is_no_good_log(tmp_path: Path) -> None:
    (tmp_path / "stdout").write_text(GOOD)
    os.mkfifo(tmp_path / "stderr")
    streams = {name: tmp_path / name for name in ("stdout", "stderr")}
    judged = classify_files(RULES, kind="tool", job_type="shell", streams=streams, exit=WELL)
    assert (judged.verdict, judged.rule) == ("unknown", "classifier-failed")
    assert "stderr: not a regular file" in judged.diag


def test_counters_of_the_wrapper_stand_beside_those_of_the_log() -> None:
    case = Case(kind="tool", job_type="shell", exit=WELL, extra_counters={"raw_events": 7})
    assert decide_verdict(RULES, Matches(counters={"events": 5}), case).counters == {"events": 5, "raw_events": 7}


def test_files_are_judged_where_there_is_a_work_directory(tmp_path: Path) -> None:
    empty = ruleset(rule("empty", file={"name": "*.raw", "is": "empty"}, message="{text}"))
    (tmp_path / "dump.raw").touch()
    assert verdict(tmp_path, empty, workdir=tmp_path, stdout="").diag == "COMPASS-1201 empty: dump.raw is empty"
    assert verdict(tmp_path, empty, stdout="").verdict == "success"


def test_all_forms_of_a_rule_are_one_match_and_the_log_is_quoted_first(tmp_path: Path) -> None:
    forms = [{"exit": {"signals": ["SIGKILL"]}}, {"match": "Killed (?<what>.*)"}, {"contains": "killed by us"}]
    rules = ruleset(rule("killed", any=forms, message="{what}"))
    killed = ExitStatus(signal="SIGKILL")
    judged = verdict(tmp_path, rules, exit=killed, stdout="killed by us\n", stderr="Killed x.exe\n")
    assert [one.stream for one in judged.evidence] == ["stderr", "stdout", "wrapper"]
    assert (judged.diag, judged.also) == ("COMPASS-1201 killed: x.exe (stderr:1)", ())


def test_the_verdict_of_one_finding_alone() -> None:
    judged = provisional_verdict(RULES, finding("limit-memory", "3.1 GB of 3 GB"))
    assert (judged.verdict, judged.rule, judged.number) == ("failure", "limit-memory", 585101)
    assert provisional_verdict(RULES, finding("no-log")).verdict == "unknown"


def test_a_finding_without_a_rule_is_still_a_failure(tmp_path: Path) -> None:
    judged = provisional_verdict(ruleset(), finding("stage-in-failed", "no such file"))
    assert (judged.verdict, judged.cause, judged.diag) == ("failure", "unknown", "stage-in-failed: no such file")
    judged = verdict(tmp_path, ruleset(), finding("output-missing", "no mDST"), stdout="")
    assert (judged.verdict, judged.diag) == ("failure", "output-missing: no mDST")
    assert verdict(tmp_path, ruleset(), exit=ExitStatus(code=1), stdout="").verdict == "failure"
