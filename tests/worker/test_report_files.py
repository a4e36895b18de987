"""The report files: whole at every moment, and what the pilot reads."""

from __future__ import annotations

import json
import math
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotext.model.report import Report, Transfer
from pilotext.model.verdict import Evidence, Finding, Verdict
from pilotext.redaction import Redactor
from pilotext.serialization.json import from_json
from pilotext.worker import own_files
from pilotext.worker import report_files as reports
from pilotext.worker.report_files import MAX_ENTRIES, fit_to_travel
from tests.support.reports import make_report


def test_a_report_reads_back_as_it_was_written(tmp_path: Path) -> None:
    report = make_report()
    reports.write(report, tmp_path)
    assert from_json((tmp_path / "job.report.json").read_bytes(), Report) == report


def test_the_pilot_gets_code_and_diag_of_a_failure(tmp_path: Path) -> None:
    reports.write(make_report(), tmp_path)
    told = json.loads((tmp_path / "payload_error_report.json").read_bytes())
    assert told == {"error_code": 581241, "error_diag": "COMPASS-1241 cannot-allocate: x"}


def test_the_pilot_gets_code_0_for_a_good_job(tmp_path: Path) -> None:
    reports.write(make_report(verdict=Verdict(verdict="success"), exit_status=0), tmp_path)
    assert json.loads((tmp_path / "payload_error_report.json").read_bytes())["error_code"] == 0


def test_a_report_that_cannot_be_written_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports.write(make_report(phase="stage-in"), tmp_path)

    def full(file: FileIO, data: bytes) -> None:
        file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(own_files, "_write_all", full)
    with pytest.raises(OSError, match="No space left"):
        reports.write(make_report(phase="payload"), tmp_path)
    assert from_json((tmp_path / "job.report.json").read_bytes(), Report).phase == "stage-in"
    assert {path.name for path in tmp_path.iterdir()} == set(reports.REPORT_NAMES)


NUMBERS = st.integers() | st.floats()
TEXTS = st.text(st.characters()) | st.sampled_from(["x" * 100_000, "\udcff", "a\0\x1b[31m\u2028b", "é" * 300, "{", '"'])


@given(TEXTS, st.integers(), st.dictionaries(TEXTS, NUMBERS), st.lists(TEXTS, max_size=3))
def test_whatever_a_log_says_the_pilot_gets_what_it_can_take(
    text: str, number: int, counters: dict[str, int | float], names: list[str]
) -> None:
    outputs = tuple(Transfer(name=name, url=None, size=1, adler32="", seconds=0) for name in names)
    verdict = Verdict(verdict="failure", number=number, diag=text, counters=counters)
    report = make_report(verdict=verdict, outputs=outputs)
    error = reports.pilot_error(report)
    assert error.keys() == {"error_code", "error_diag"}
    assert 0 <= int(error["error_code"]) <= 9_999_999
    diag = str(error["error_diag"])
    assert diag.isascii()
    assert diag.isprintable()
    assert len(diag) <= 256
    metadata = reports.pilot_metadata(report)
    written = json.dumps(metadata, allow_nan=False)
    assert written.isascii()


def test_the_pilots_metadata_is_small_whatever_was_counted() -> None:
    counters: dict[str, int | float] = {f"{'n' * 1000}{number}": number for number in range(1000)}
    report = make_report(verdict=Verdict(verdict="success", counters={**counters, "a": math.inf, "b": 2}))
    told = reports.pilot_metadata(report)["pilotext"]
    assert isinstance(told, dict)
    assert len(told["counters"]) <= MAX_ENTRIES
    assert (told["counters"]["b"], "a" in told["counters"]) == (2, False)


@given(TEXTS)
def test_whatever_a_log_says_the_report_can_be_written_and_read(text: str) -> None:
    evidence = Evidence(rule="r", stream="stderr", line=1, offset=0, text=text, before=(text,), after=(text, text))
    verdict = Verdict(verdict="failure", diag=text, evidence=(evidence,))
    finding = Finding(name="internal-error", text=text, phase="payload", fields={"file": text})
    report = fit_to_travel(make_report(verdict=verdict, findings=(finding,), files={"x": text}), Redactor())
    assert len(report.verdict.evidence[0].after) == 2
    assert from_json(reports.encoded(report), Report) == report


def test_secrets_go_from_every_text_of_a_report_but_not_from_its_names() -> None:
    secret = "correct-horse"
    evidence = Evidence(rule=secret, stream="stderr", line=1, offset=0, text=f"said {secret}")
    verdict = Verdict(verdict="failure", rule=secret, diag=f"x: {secret}", evidence=(evidence,))
    transfer = Transfer(name="a", url=f"root://eos//a?authz={secret}", size=1, adler32="", seconds=0)
    report = fit_to_travel(make_report(verdict=verdict, inputs=(transfer,)), Redactor([secret]))
    assert report.verdict.rule == secret
    assert report.inputs[0].url == "root://eos//a?authz=" + "*" * len(secret)
    assert (report.verdict.diag, report.verdict.evidence[0].text) == (f"x: {'*' * 13}", f"said {'*' * 13}")
