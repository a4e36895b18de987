from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pilotext.cli.main import main
from pilotext.model.job import JobIdentity
from pilotext.model.report import Report
from pilotext.model.verdict import Evidence, Verdict
from tests.rules.packs import Pack

LINE = 'CsGeom: can\'t read 0x7f3a of /sw/geometry/2016.dat (17 of 21 planes): a "hole"'


@pytest.fixture
def stderr(tmp_path: Path) -> Path:
    path = tmp_path / "stderr"
    path.write_text(f"reading the geometry\n{LINE}\n")
    return path


def drafted(pack: Pack, capfd: pytest.CaptureFixture[str], *words: str) -> str:
    """The draft, which lint and test accept when its placeholders are replaced."""
    assert main(["rules", "draft", *words]) == 0
    text = capfd.readouterr().out
    name = "common/a.yaml" if "--common" in words else "compass/a.yaml"
    path = pack.add(text.replace("TODO", "Done"), name, header="")
    assert main(["rules", "lint", str(path)]) == 0, capfd.readouterr().out
    assert main(["rules", "test", str(path)]) == 0, capfd.readouterr().out
    return text


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return Pack(tmp_path / "pack")


def test_a_log_gives_a_rule_that_lint_and_test_accept(
    pack: Pack, stderr: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = drafted(pack, capfd, "--stderr", str(stderr), "--exit", "9")
    assert r"CsGeom: can''t read (?<hex>0[xX][0-9a-fA-F]+) of (?<file>\S+) \((?<number>[\d.]+) of [\d.]+ pl" in text
    assert 'a "(?<field>[\\w.]+)"' in text
    assert "- no-match: 'reading the geometry'" in text
    assert "stream: stderr" in text
    assert "references: ['signature " in text


def test_a_draft_that_nobody_edited_does_not_pass_lint(
    pack: Pack, stderr: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["rules", "draft", "--stderr", str(stderr), "--exit", "9"]) == 0
    path = pack.add(capfd.readouterr().out, header="")
    assert main(["rules", "lint", str(path)]) == 1
    said = capfd.readouterr().out
    for field in ("title", "remedy", "owner"):
        line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if f" {field}:" in text)
        assert f"a.yaml:{line}:5: csgeom-can-t-read-of-of-planes-a: this is still as `rules draft` wrote it." in said


def test_the_rule_knows_the_failure_with_other_numbers_and_paths(
    pack: Pack, stderr: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    drafted(pack, capfd, "--stderr", str(stderr), "--exit", "9")
    stderr.write_text(LINE.replace("0x7f3a", "0x1").replace("/sw/geometry", "/opt").replace("17", "3") + "\n")
    assert main(["classify", "--stderr", str(stderr), "--exit", "9", "--rules", str(pack.root)]) == 0
    assert "csgeom-can-t-read-of-of-planes-a" in capfd.readouterr().out


def test_a_line_can_be_chosen(pack: Pack, stderr: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = drafted(pack, capfd, "--stderr", str(stderr), "--line", "stderr:1")
    assert "match: 'reading the geometry'" in text


def test_a_report_gives_the_rule_for_its_signature(
    pack: Pack, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    evidence = Evidence(rule="unclassified", stream="stdout", line=7, offset=0, text=LINE, before=("fine",))
    verdict = Verdict(verdict="failure", rule="unclassified", evidence=(evidence,), signature="0123456789abcdef")
    report = Report(
        pilotext="1",
        job=JobIdentity("COMPASS", "shell", "tool", "t", 1, 1, None, None, None),
        state="failed",
        phase="report",
        exit_status=66,
        verdict=verdict,
        started=0.0,
    )
    path = tmp_path / "job.report.json"
    path.write_bytes(msgspec.json.encode(report))
    text = drafted(pack, capfd, str(path))
    assert "signature 0123456789abcdef" in text
    assert "- no-match: 'fine'" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--stderr", "LOG", "--exit", "0"], "the verdict is success."),
        (["--stderr", "LOG", "--signal", "KILL"], "this failure is known: COMPASS-1246 killed."),
        (["--stderr", "LOG", "--line", "stderr:99"], "has no line 99."),
        (["--stderr", "LOG", "--line", "stdout:1"], "this does not name a line."),
        (["nowhere.json"], "this report cannot be read"),
        (["LOG"], "this is not a JSON document"),
        (["--exit", "9"], "there is no line to draft a rule from."),
    ],
)
def test_what_gives_no_rule_is_refused(
    stderr: Path, capfd: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["rules", "draft", *(str(stderr) if word == "LOG" else word for word in words)]) == 64
    assert said in capfd.readouterr().err


def reported(folder: Path, signature: str) -> Path:
    evidence = (Evidence("", "stderr", 2, 20, LINE, ("reading the geometry",)),)
    verdict = Verdict(verdict="failure", evidence=evidence, signature=signature)
    path = folder / "spool" / "job.report.json"
    path.parent.mkdir(exist_ok=True)
    job = JobIdentity("COMPASS", "coral", "reconstruction", "t", 1, 1, None, None, None)
    report = Report(pilotext="1", job=job, state="failed", phase="report", exit_status=66, verdict=verdict, started=0)
    path.write_bytes(msgspec.json.encode(report))
    (path.parent / "other.json").write_text(f'{{"signature": "{signature}"}}')
    return path.parent


def test_a_signature_is_looked_up_in_the_reports(pack: Pack, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    spool = reported(tmp_path, "0123456789abcdef")
    text = drafted(pack, capfd, "0123456789abcdef", "--reports", str(spool))
    assert "references: ['signature 0123456789abcdef']" in text
    assert "CsGeom" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "is a signature; it names a failure, and holds no line of it. Name a folder"),
        (["--reports", "spool"], "no report below spool has the signature fedcba9876543210"),
        (["--reports", "nowhere"], "nowhere: there is no such folder."),
    ],
)
def test_a_signature_that_no_report_has_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    reported(tmp_path, "0123456789abcdef")
    monkeypatch.chdir(tmp_path)
    assert main(["rules", "draft", "fedcba9876543210", *words]) == 64
    assert said in capfd.readouterr().err


def test_a_common_rule_has_a_common_code_and_no_experiment(
    pack: Pack, stderr: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = drafted(pack, capfd, "--stderr", str(stderr), "--line", "stderr:2", "--common")
    assert "experiment:" not in text
    assert "    code: 2" in text


def test_days_months_and_quoted_names_are_no_part_of_the_failure(
    pack: Pack, stderr: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stderr.write_text("Mon, 11/Sep/2017 11:30:05 Monitor: no field named 'hit_time' in \"SIRecon\"\n")
    drafted(pack, capfd, "--stderr", str(stderr), "--line", "stderr:1")
    stderr.write_text("Thu, 02/May/2019 07:01:59 Monitor: no field named 'energy' in \"ECAL\"\n")
    assert main(["classify", "--stderr", str(stderr), "--exit", "9", "--rules", str(pack.root)]) == 0
    assert "monitor-no-field-named" in capfd.readouterr().out


def test_a_draft_goes_into_a_new_file(tmp_path: Path, stderr: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "new.yaml"
    words = ["rules", "draft", "--stderr", str(stderr), "--output", str(output)]
    assert main([*words, "--line", "stderr:99"]) == 64
    assert not output.exists()
    assert main([*words, "--line", "stderr:2"]) == 0
    assert "replace every text that begins with TODO" in capfd.readouterr().out
    written = output.read_text()
    assert "CsGeom" in written
    assert main([*words, "--line", "stderr:1"]) == 64
    assert "there is such a file. Name a new file" in capfd.readouterr().err
    assert output.read_text() == written
    assert main([*words[:-1], str(tmp_path / "none" / "a.yaml"), "--line", "stderr:1"]) == 64
    assert "cannot be written: No such file or directory." in capfd.readouterr().err
