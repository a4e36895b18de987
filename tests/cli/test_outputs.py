from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from pilotext.cli.main import main
from pilotext.model.codes import Exit
from pilotext.storage.stage_out import Upload
from pilotext.worker.kept import Keeping, keep_outputs
from tests.support.jobs import make_job
from tests.support.reports import make_report

pytestmark = pytest.mark.unit


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    folder = tmp_path / "eos"
    folder.mkdir()
    return folder


@pytest.fixture
def kept(tmp_path: Path, destination: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where one output of a job waits for its storage."""
    path = tmp_path / "a.root"
    path.write_text("eight hours")
    upload = Upload("a.root", path, (f"file://{destination}/",), "a-1.root")
    folder = keep_outputs(make_job(), [upload], make_report(), Keeping(tmp_path / "kept"), hurried=False).folder
    monkeypatch.setenv("PILOTEXT_KEPT", str(tmp_path / "kept"))
    return Path(folder)


def test_what_is_kept_is_published_and_gone(kept: Path, destination: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["outputs", "--flush"]) == Exit.SUCCESS
    assert [path.read_text() for path in destination.iterdir()] == ["eight hours"]
    assert (destination / "a-1.root").exists()
    assert not kept.exists()
    assert capfd.readouterr().out.startswith("published")
    assert main(["outputs", "--flush"]) == Exit.SUCCESS


def test_a_file_that_was_changed_meanwhile_is_not_published(
    kept: Path, destination: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (kept / "a.root").write_text("eight HOURS")
    assert main(["outputs", "--flush", "--json"]) == 1
    (told,) = json.loads(capfd.readouterr().out)
    assert told["state"] == "lost"
    assert "not the file any more" in told["said"]
    assert list(destination.iterdir()) == []


def test_what_cannot_be_published_now_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.root").write_text("eight hours")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen: every connection is refused
        upload = Upload("a.root", tmp_path / "a.root", (f"root://127.0.0.1:{nobody.getsockname()[1]}//a/",), "a.root")
        job = make_job(limits={"transfer_tries": 1, "transfer_stall_s": 5})
        kept = keep_outputs(job, [upload], make_report(), Keeping(tmp_path / "kept"), hurried=False)
        assert main(["outputs", "--flush", "--kept", str(tmp_path / "kept")]) == 1
    assert capfd.readouterr().out.startswith("later")
    assert (Path(kept.folder) / "a.root").read_text() == "eight hours"


def test_without_a_folder_it_says_which_one_is_missing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PILOTEXT_KEPT", raising=False)
    assert main(["outputs", "--flush"]) == Exit.USAGE
    assert "PILOTEXT_KEPT" in capfd.readouterr().err
