"""What is said reaches whoever listens, in a form that a pilot does not misjudge; that nobody listens is no failure."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from pilotext.cli import output
from pilotext.cli.output import say, tell_pilot, write, write_json


def test_what_the_pilot_would_take_for_its_own_error_is_disguised(capfd: pytest.CaptureFixture[str]) -> None:
    say("CRITICAL: d\xe9j\xe0 vu \x07\x1b[31m\nsecond line")
    assert capfd.readouterr().out == "C-R-I-T-I-C-A-L: d\\xe9j\\xe0 vu \\x07\\x1b[31m\nsecond line\n"


def test_a_line_is_cut_before_it_floods_the_pilots_log(capfd: pytest.CaptureFixture[str]) -> None:
    say("x" * 10_000_000, stream=2)
    assert len(capfd.readouterr().err) < 3000


def test_a_reader_that_has_gone_is_no_failure() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    write(b"to nobody", stream=writer)
    os.close(writer)


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_closed_standard_stream_does_not_change_the_status(closed: int) -> None:
    command = f"exec {sys.executable} -P -m pilotext --version {closed}>&-"
    assert subprocess.run(["/bin/bash", "-c", command], capture_output=True, check=False).returncode == 0


def test_a_secret_of_the_environment_is_never_said(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDB_PASSWORD", "correct-horse")
    output._redactor.cache_clear()
    output.say("cannot log in with correct-horse, but correct horses can; ask root://u:pw@eos//x")
    assert capfd.readouterr().out == (
        "cannot log in with *************, but correct horses can; ask root://u:**@eos//x\n"
    )
    monkeypatch.undo()
    output._redactor.cache_clear()


@pytest.mark.parametrize("phrase", ["Operation not permitted", "cannot create directory", "command not found"])
def test_what_fails_even_a_good_job_is_disguised_too(phrase: str, capfd: pytest.CaptureFixture[str]) -> None:
    say(f"job.report.json: {phrase}", stream=2)
    assert capfd.readouterr().err == f"job.report.json: {phrase.replace(' ', '-')}\n"


def test_the_pilot_finds_the_one_sentence_that_is_meant_for_it(capfd: pytest.CaptureFixture[str]) -> None:
    say("a line of a log, ERROR : no such thing", stream=2)
    tell_pilot("COMPASS-1241 cannot-allocate: ERROR: said the program\n(stderr:14)")
    said = capfd.readouterr().err
    assert re.findall(r"ERROR\s*:\s*(.*)", said) == ["COMPASS-1241 cannot-allocate: Error: said the program"]


def test_a_json_document_stays_what_it_is_without_the_word(capfd: pytest.CaptureFixture[str]) -> None:
    document = json.dumps({"text": "CRITICAL\\CRITICAL", "list": [1, "x"]})
    write_json(document.encode())
    said = capfd.readouterr().out
    assert "CRITICAL" not in said
    assert json.loads(said) == json.loads(document)
