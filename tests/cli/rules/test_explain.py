from __future__ import annotations

import json
from pathlib import Path

import pytest

from pilotext.cli.main import main


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "stderr"
    path.write_text("** TLattice::TLattice: Cannot Open 12 Bytes in Memory!\nKilled\n")
    return path


def test_why_a_rule_was_elected(log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "explain", "killed", "--stderr", str(log), "--exit", "0"]) == 0
    out = capfd.readouterr().out
    assert out.startswith("COMPASS-1246 killed: elected\n")
    assert "stderr:2\n  > Killed\n" in out
    assert out.endswith("\nowner: coral: CORAL developers, by the software coordinator of COMPASS\n")


@pytest.mark.parametrize("name", ["cannot-allocate", "COMPASS-1241", "581241", "1241"])
def test_why_a_rule_was_not_seen_in_the_log_it_looks_at(
    log: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["rules", "explain", name, str(log)]) == 1
    out = capfd.readouterr().out
    assert out.startswith("COMPASS-1241 cannot-allocate: not seen\nelected: killed\n")
    assert "  fits: TLattice::TLattice: *Cannot \n" in out


def test_the_explanation_as_one_document(log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "explain", "killed", str(log), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["outcome"] == "elected"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["kiled", "LOG"], "there is no rule 'kiled'. Did you mean 'killed'?"),
        (["killed", "nowhere"], "nowhere: there is no such file."),
        (["killed", "LOG", "--stderr", "LOG"], "LOG and --stderr are both given."),
    ],
)
def test_a_wrong_use_is_refused(log: Path, capfd: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert main(["rules", "explain", *(str(log) if word == "LOG" else word for word in words)]) == 64
    assert said in capfd.readouterr().err
