from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.cli.rules.log_cases import Expected, case_files, differences, run_case
from pilotext.model.verdict import Evidence, Match, Verdict
from pilotext.rules.loader import load_rules

QUOTED = Evidence(rule="killed", stream="stderr", line=1, offset=0, text="24833 Killed")
VERDICT = Verdict(
    verdict="failure",
    code="COMPASS-1246",
    cause="killed",
    action="retry",
    rule="killed",
    evidence=(QUOTED,),
    also=(
        Match(rule="event-skipped", code="COMPASS-1242", action="note", count=1, evidence=()),
        Match(rule="no-end-of-job", code="COMPASS-1240", action="retry", count=1, evidence=()),
    ),
    counters={"events_seen": 20},
)


def run(folder: Path, text: str) -> list[str]:
    path = folder / "case.yaml"
    path.write_text(text)
    return [str(problem).removeprefix(f"{path}:") for problem in run_case(path, {"COMPASS": load_rules("COMPASS")})]


@pytest.mark.parametrize(
    "expected",
    [
        Expected(verdict="failure"),
        Expected(verdict="failure", rule="killed", code="COMPASS-1246", cause="killed", action="retry"),
        Expected(verdict="failure", quote="Killed", notes=("event-skipped",), counters={"events_seen": 20}),
    ],
)
def test_a_verdict_that_says_what_is_expected_has_no_differences(expected: Expected) -> None:
    assert list(differences(expected, VERDICT)) == []


@pytest.mark.parametrize(
    ("expected", "field"),
    [
        (Expected(verdict="success"), "verdict"),
        (Expected(verdict="failure", rule="aborted"), "rule"),
        (Expected(verdict="failure", code="COMPASS-1239"), "code"),
        (Expected(verdict="failure", cause="crash"), "cause"),
        (Expected(verdict="failure", action="fail"), "action"),
        (Expected(verdict="failure", quote="Aborted"), "quote"),
        (Expected(verdict="failure", notes=("no-end-of-job",)), "notes"),
        (Expected(verdict="failure", counters={"events_seen": 21}), "counters"),
        (Expected(verdict="failure", counters={"events_lost": 0}), "counters"),
    ],
)
def test_every_field_of_a_verdict_is_compared(expected: Expected, field: str) -> None:
    assert [name for name, _, _ in differences(expected, VERDICT)] == [field]


def test_a_case_sees_its_streams_its_exit_and_its_work_directory(tmp_path: Path) -> None:
    (tmp_path / "stdout").write_text("7 events had been written to miniDST.\nEnd of Job\n")
    (tmp_path / "stderr").write_text("")
    (tmp_path / "workdir").mkdir()
    (tmp_path / "workdir" / "testevtdump.raw").write_text("")
    good = "job_type: mass production\nexit: {code: 0}\nexpect: {verdict: success, notes: [dump-empty]}\n"
    assert run(tmp_path, good) == []
    killed = run(tmp_path, good.replace("code: 0", "signal: SIGKILL"))
    assert killed[0].startswith(f"3:10: {tmp_path.name}: `verdict` is 'failure', expected 'success'.")


def test_a_case_may_have_findings_of_the_wrapper(tmp_path: Path) -> None:
    text = (
        "job_type: shell\nexit: {signal: SIGKILL}\nexpect: {verdict: failure, rule: limit-wall}\n"
        "findings: [{name: limit-wall, text: 9 s of 8 s, phase: payload}]\n"
    )
    assert run(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("job_type: shell\nexpect: {verdict: failure, rulle: x}\n", "2:28: `expect.rulle`: there is no such field."),
        ("job_type: shell\n", "1:1: `expect`: this field is missing."),
        ("experiment: NA62\njob_type: x\nexpect: {verdict: failure}\n", "1:1: there are no rules for 'NA62'."),
        ("a: [\n", "2:1: this is not YAML"),
    ],
)
def test_a_case_file_that_cannot_be_used_is_told(tmp_path: Path, text: str, problem: str) -> None:
    [found] = run(tmp_path, text)
    assert found.startswith(problem)


def test_a_case_without_an_experiment_is_judged_by_the_one_that_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "job_type: shell\nexit: {signal: SIGKILL}\nexpect: {verdict: failure, code: NA62-2010}\n"
    both = {name: load_rules(name) for name in ("COMPASS", "NA62")}
    (tmp_path / "case.yaml").write_text(text)
    monkeypatch.setenv("PILOTEXT_EXPERIMENT", "NA62")
    assert [problem.message for problem in run_case(tmp_path / "case.yaml", both)] == []
    monkeypatch.delenv("PILOTEXT_EXPERIMENT")
    [problem] = run_case(tmp_path / "case.yaml", both)
    assert problem.advice == "Add `experiment:` to the case."


def test_cases_are_found_by_their_file_or_by_any_folder_above(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    case = tmp_path / "a" / "b" / "case.yaml"
    case.write_text("")
    assert case_files([tmp_path]) == case_files([case]) == case_files([tmp_path, case]) == [case.resolve()]
    assert case_files([tmp_path / "a" / "b" / "none"]) == []


def test_a_type_of_jobs_that_there_is_not_is_a_problem_of_its_case_alone(tmp_path: Path) -> None:
    [said] = run(tmp_path, "job_type: mass productoin\nexpect: {verdict: failure}\n")
    assert said.startswith("1:1: COMPASS has no job type 'mass productoin'. Did you mean 'mass production'?")


@pytest.mark.parametrize("text", ["[1, 2", "expect: 3\njob_type: coral\n", "- a\n", "", "job_type: coral\n"])
def test_a_case_file_that_cannot_be_used_is_a_sentence(tmp_path: Path, text: str) -> None:
    assert len(run(tmp_path, text)) == 1
