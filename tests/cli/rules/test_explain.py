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
    assert "\nowner: coral: CORAL developers, by the software coordinator of COMPASS\nsee: " in out


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
        (["kiled", "LOG"], "COMPASS has no rule 'kiled'. Did you mean 'killed'?"),
        (["killed", "nowhere"], "nowhere: there is no such file."),
        (["killed", "LOG", "--stderr", "LOG"], "LOG and --stderr are both given."),
    ],
)
def test_a_wrong_use_is_refused(log: Path, capfd: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert main(["rules", "explain", *(str(log) if word == "LOG" else word for word in words)]) == 64
    assert said in capfd.readouterr().err


def test_a_rule_of_another_experiment_is_found_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "rules" / "shine"
    folder.mkdir(parents=True)
    (folder / "experiment.yaml").write_text("format: 1\nexperiment: SHINE\nnumber: 61\njob_types: {}\n")
    rule = "{id: tag-lost, code: 1200, title: t, cause: crash, action: retry, exit: {codes: [3]}}"
    (folder / "reco.yaml").write_text(f"format: 1\nexperiment: SHINE\nrules:\n- {rule}\n")
    assert main(["rules", "explain", "tag-lost", "--rules", str(folder.parent)]) == 64
    assert "It is a rule of SHINE: add --experiment SHINE." in capfd.readouterr().err
    assert main(["rules", "explain", "tag-lost", "--rules", str(folder.parent), "--experiment", "SHINE"]) == 1
    assert capfd.readouterr().out.startswith("SHINE-1200 tag-lost: not seen\n")
