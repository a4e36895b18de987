"""Folders among an agent's kept outputs that no record of the agent names."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pilotext.agent.kept_outputs import MAX_UNNAMED, KeptJobs
from pilotext.agent.sealing import Seal
from pilotext.agent.spool import AgentSpool

pytestmark = pytest.mark.unit


@pytest.fixture
def jobs(tmp_path: Path) -> KeptJobs:
    seal = Seal("token")
    return KeptJobs(tmp_path, seal, AgentSpool(tmp_path / "spool", seal), threading.Event())


def fill(folder: Path, number: int) -> list[str]:
    for each in range(number):
        (folder / f"{each:032x}").mkdir()
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.fault("payload", "it fills the folder of the agent's kept outputs")
def test_many_folders_that_no_record_names_are_removed(
    jobs: KeptJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilotext.agent.kept_outputs.UNNAMED_AFTER_S", -1.0)
    (tmp_path / "pilotext.out").touch()
    fill(tmp_path, MAX_UNNAMED + 1)
    jobs.tidy()
    assert [path.name for path in tmp_path.iterdir()] == ["pilotext.out"]


def test_a_few_such_folders_stay(jobs: KeptJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilotext.agent.kept_outputs.UNNAMED_AFTER_S", -1.0)
    before = fill(tmp_path, MAX_UNNAMED)
    jobs.tidy()
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_what_a_wrapper_has_just_made_stays(jobs: KeptJobs, tmp_path: Path) -> None:
    before = fill(tmp_path, MAX_UNNAMED + 1)
    jobs.tidy()
    assert sorted(path.name for path in tmp_path.iterdir()) == before
