"""Cases: folders with `stdout`, `stderr`, `workdir/`, and in `case.yaml` the verdict that the rules must give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pilotext.classify import classify_files
from pilotext.errors import FieldError, FileProblem, UsageError
from pilotext.model import Record
from pilotext.model.job import Kind
from pilotext.model.verdict import ExitStatus, Finding, Verdict
from pilotext.profile import default_experiment, find_rules_root, load_experiment
from pilotext.rules.schema import RuleSet
from pilotext.serialization.json import from_plain
from pilotext.serialization.yaml import read_yaml

CASE = "case.yaml"


class Expected(Record, frozen=True):
    """Verdict that is expected; a field that is not given may be anything.

    `quote` must be in the elected rule's evidence, `notes` are rules that must be in `also` with the action `note`.
    """

    verdict: str
    rule: str | None = None
    code: str | None = None
    cause: str | None = None
    action: str | None = None
    quote: str | None = None
    notes: tuple[str, ...] = ()
    counters: dict[str, int | float] = {}


class LogCase(Record, frozen=True):
    """Case: the job, how it ended, the findings and counters of the wrapper, and the expected verdict."""

    job_type: str
    expect: Expected
    experiment: str = ""
    """Experiment whose rules judge it; empty: the one that is meant where none is named."""
    exit: ExitStatus | None = None
    findings: tuple[Finding, ...] = ()
    counters: dict[str, int | float] = {}
    software: str = ""
    verified: bool = False
    note: str = ""


def own_cases() -> list[Path]:
    """Return the folder of cases of a checkout; an installed package has none."""
    folder = find_rules_root().parent / "fixtures" / "logs"
    return [folder] if folder.is_dir() else []


def case_files(paths: Sequence[Path]) -> list[Path]:
    """Return the case files at these paths, sorted."""
    found = {file for path in paths for file in ([path] if path.name == CASE else path.rglob(CASE))}
    return sorted(file.resolve() for file in found)


def run_case(path: Path, rulesets: dict[str, RuleSet]) -> list[FileProblem]:
    """Classify one case; every difference from its expectation is a problem with its place in the case file."""
    document = read_yaml(path)
    if document.problems:
        return list(document.problems)
    try:
        case = from_plain(document.data, LogCase)
    except FieldError as error:
        return [document.field_problem((), error)]
    try:
        ruleset = rules_for(case, rulesets)
    except UsageError as error:
        return [document.problem(("experiment",), error.message, error.advice)]
    try:
        verdict = judge_case(path.parent, case, ruleset)
    except UsageError as error:
        return [document.problem(("job_type",), error.message, error.advice)]
    return [
        document.problem(("expect", field), f"`{field}` is {found!r}, expected {wanted!r}.", rule=path.parent.name)
        for field, found, wanted in differences(case.expect, verdict)
    ]


def rules_for(case: LogCase, rulesets: Mapping[str, RuleSet]) -> RuleSet:
    """Return the rules that judge a case. Raises UsageError where there are none."""
    try:
        name = case.experiment or (next(iter(rulesets)) if len(rulesets) == 1 else default_experiment())
    except UsageError as error:
        raise UsageError(error.message, advice="Add `experiment:` to the case.") from None
    if name not in rulesets:
        raise UsageError(f"there are no rules for {name!r}.")
    return rulesets[name]


def judge_case(folder: Path, case: LogCase, ruleset: RuleSet) -> Verdict:
    """Return the verdict on the logs in a case folder."""
    workdir = folder / "workdir"
    return classify_files(
        ruleset,
        kind=_kind_of(case, ruleset),
        job_type=case.job_type,
        streams={name: folder / name for name in ("stdout", "stderr") if (folder / name).is_file()},
        exit=case.exit,
        workdir=workdir if workdir.is_dir() else None,
        findings=case.findings,
        counters=case.counters,
        software=case.software,
        verified=case.verified,
    )


def _kind_of(case: LogCase, ruleset: RuleSet) -> Kind:
    return ruleset.kinds.get(case.job_type) or load_experiment(ruleset.experiment).kind_of(case.job_type)


def differences(expected: Expected, verdict: Verdict) -> Iterator[tuple[str, object, object]]:
    """Yield each field of `expected` that the verdict does not have: its name, the value found, the value expected."""
    for field in ("verdict", "rule", "code", "cause", "action"):
        wanted, found = getattr(expected, field), getattr(verdict, field)
        if wanted is not None and wanted != found:
            yield field, found, wanted
    quoted = "\n".join(evidence.text for evidence in verdict.evidence)
    if expected.quote is not None and expected.quote not in quoted:
        yield "quote", quoted, expected.quote
    notes = tuple(match.rule for match in verdict.also if match.action == "note")
    if missing := tuple(note for note in expected.notes if note not in notes):
        yield "notes", notes, missing
    for name, wanted in expected.counters.items():
        if verdict.counters.get(name) != wanted:
            yield "counters", {name: verdict.counters.get(name)}, {name: wanted}
