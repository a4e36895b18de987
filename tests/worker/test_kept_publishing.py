"""Publication of kept outputs by hand: only of those that no agent looks after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pilotext.model.permission import Permission
from pilotext.storage.stage_out import Upload
from pilotext.storage.transfer import InProcessMover, Mover
from pilotext.worker.kept import Keeping, KeptOutputs, keep_outputs
from pilotext.worker.kept_publishing import publish_kept
from tests.support.jobs import make_job
from tests.support.reports import make_report


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Outputs of a job without a server of its own."""
    path = tmp_path / "out.txt"
    path.write_text("eight hours\n")
    upload = Upload("out.txt", path, (f"file://{tmp_path}/out/",), "out.txt")
    return Path(keep_outputs(make_job(), [upload], make_report(), Keeping(tmp_path / "kept"), hurried=False).folder)


def mover(_kept: KeptOutputs, tick: Callable[[], None]) -> Mover:
    return InProcessMover(tick)


@pytest.mark.fault("stage-out", "kept outputs of an agent flushed by hand, their task cancelled")
def test_what_an_agent_looks_after_is_not_published_by_hand(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "kept/jobs").mkdir()
    outcome = publish_kept(folder, mover, lambda: None)
    assert (outcome.state, outcome.report) == ("busy", None)
    assert f"Start the agent again, with --workdir {tmp_path}" in outcome.said
    assert not (tmp_path / "out/out.txt").exists()
    assert (folder / "out.txt").exists()


def test_the_agent_itself_has_it_published(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "kept/jobs").mkdir()
    assert publish_kept(folder, mover, lambda: None, ask_agent=lambda _: Permission("yes")).state == "published"
    assert (tmp_path / "out/out.txt").read_text() == "eight hours\n"


def test_outputs_of_a_job_without_agent_and_server_are_published_by_hand(tmp_path: Path, folder: Path) -> None:
    assert publish_kept(folder, mover, lambda: None).state == "published"
    assert (tmp_path / "out/out.txt").read_text() == "eight hours\n"
