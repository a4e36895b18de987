from __future__ import annotations

import json
from pathlib import Path

import pytest

from pilotext.cli.main import main


@pytest.mark.parametrize(
    ("words", "begin"),
    [
        (["--codes"], "["),
        (["--codes", "--format", "csv"], "code,number,id"),
        (["--codes", "--format", "markdown"], "# Codes of COMPASS"),
        (["--panda"], "\\set ON_ERROR_STOP on\nBEGIN;\nINSERT INTO RETRYACTIONS ("),
        (
            ["--panda", "--panda-schema", "doma_panda"],
            "\\set ON_ERROR_STOP on\nBEGIN;\nINSERT INTO doma_panda.RETRYACTIONS (",
        ),
        (["--panda", "--format", "sqlplus"], "WHENEVER SQLERROR EXIT FAILURE ROLLBACK"),
        (["--panda", "--format", "json"], "{"),
        (["--schema"], "{"),
    ],
)
def test_every_form_goes_to_stdout(words: list[str], begin: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "export", *words]) == 0
    out = capfd.readouterr().out
    assert out.startswith(begin)
    if begin in "[{":
        json.loads(out)


def test_without_an_experiment_the_command_asks_for_one(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PILOTEXT_EXPERIMENT")
    for words in (["rules", "export", "--codes"], ["rules", "graph"], ["classify"], ["rules", "explain", "killed"]):
        assert main(words) == 64, words
        assert "Add --experiment, or set PILOTEXT_EXPERIMENT, to one of: COMPASS, NA62." in capfd.readouterr().err
    assert main(["rules", "export", "--codes", "--experiment", "NA62", "--format", "markdown"]) == 0
    assert "--experiment NA62" in capfd.readouterr().out


def test_an_output_goes_to_its_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "export", "--codes", "--output", str(tmp_path / "codes.json")]) == 0
    assert capfd.readouterr().out == ""
    assert json.loads((tmp_path / "codes.json").read_text())


def test_an_output_that_cannot_be_written_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "export", "--codes", "--output", str(tmp_path / "nowhere" / "codes.json")]) == 64
    assert "this file cannot be written: No such file or directory" in capfd.readouterr().err


@pytest.mark.parametrize(
    "words", [["--panda", "--format", "csv"], [], ["--codes", "--panda"], ["--schema", "--format", "sql"]]
)
def test_what_there_is_not_is_refused(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(["rules", "export", *words])
    except SystemExit as stop:
        status = int(stop.code or 0)
    assert status == 64
    assert capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--panda", "--panda-schema", "doma panda; DROP"], "'doma panda; DROP' is not the name of a schema"),
        (["--panda", "--panda-schema", "doma_panda", "--format", "json"], "does not apply to --format json"),
        (["--codes", "--panda-schema", "doma_panda"], "--panda-schema applies to --panda only"),
    ],
)
def test_a_schema_that_does_not_fit_is_refused(
    words: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["rules", "export", *words]) == 64
    assert message in capfd.readouterr().err
