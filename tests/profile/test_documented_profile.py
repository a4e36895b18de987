"""The profile and the task file of the document can be used as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pilotext.cli.main import main
from tests.support.jobs import CHECKOUT

TEXT = (CHECKOUT / "docs" / "profiles.md").read_text()
PROFILE, TASK = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)[:2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "rules" / "shine" / "experiment.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(PROFILE)
    (tmp_path / "task.yaml").write_text(TASK)
    monkeypatch.setenv("PILOTEXT_RULES", str(tmp_path / "rules"))
    return tmp_path


def test_the_profile_has_no_problem(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "lint", str(folder / "rules")]) == 0, capfd.readouterr().out


def test_the_profile_is_the_one_that_the_command_writes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "new", "SHINE", "--number", "61", "--folder", str(tmp_path / "rules")]) == 0
    path = tmp_path / "rules" / "shine" / "experiment.yaml"
    assert capfd.readouterr().out.startswith(f"{path}\n")
    assert path.read_text() == PROFILE


def test_a_dry_run_of_the_task_prints_a_whole_job(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "--dry-run", str(folder / "task.yaml")]) == 0, capfd.readouterr().err
    out = capfd.readouterr().out
    for part in (
        "shine-reco shine-033100-001.raw reco-033100-001.root",
        "/cvmfs/shine.example.org/v1/setup.sh",
        "root://eos.example.org//eos/shine/v1/chunks/",
        "root://eos.example.org//eos/shine/v1/reco-033100.root",
    ):
        assert part in out
