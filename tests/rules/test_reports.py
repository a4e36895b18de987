"""Failures and good jobs as public reports quote them: verdict, cause, action and the line that is quoted."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.classify import classify_files
from pilotext.model import Record
from pilotext.model.verdict import ExitStatus
from pilotext.profile import load_experiment
from pilotext.rules.loader import load_rules
from pilotext.serialization.json import from_plain
from pilotext.serialization.yaml import read_yaml

REPORTS = Path(__file__).resolve().parents[2] / "fixtures" / "reports"


class Expected(Record, frozen=True):
    """The verdict, causes and actions that are all right, and a text that the evidence must hold."""

    verdict: str = "failure"
    causes: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    quote: str = ""


class Report(Record, frozen=True):
    """The streams of a job, how it ended, and where the text comes from."""

    source: str
    expect: Expected
    job_type: str = "shell"
    exit: int | None = None
    signal: str | None = None
    stdout: str = ""
    stderr: str = ""


def reports() -> list[Report]:
    plain = [entry for path in sorted(REPORTS.glob("*.yaml")) for entry in read_yaml(path).data]
    return [from_plain(entry, Report) for entry in plain]


@pytest.mark.parametrize("report", reports(), ids=lambda report: report.source)
def test_a_report_is_judged_as_its_readers_would(tmp_path: Path, report: Report) -> None:
    (tmp_path / "stdout").write_text(report.stdout)
    (tmp_path / "stderr").write_text(report.stderr)
    verdict = classify_files(
        load_rules("COMPASS"),
        kind=load_experiment("COMPASS").kind_of(report.job_type),
        job_type=report.job_type,
        streams={name: tmp_path / name for name in ("stdout", "stderr")},
        exit=ExitStatus(code=report.exit, signal=report.signal),
    )
    expected = report.expect
    assert verdict.verdict == expected.verdict, verdict.diag
    assert not expected.causes or verdict.cause in expected.causes, verdict.diag
    assert not expected.actions or verdict.action in expected.actions, verdict.diag
    assert expected.quote in "\n".join(evidence.text for evidence in verdict.evidence)


def test_each_kind_has_at_least_four_texts() -> None:
    assert {path.stem: len(read_yaml(path).data) >= 4 for path in REPORTS.glob("*.yaml")} == {
        "conditions": True,
        "coral": True,
        "frameworks": True,
        "notes": True,
        "python-readers": True,
        "system": True,
    }
