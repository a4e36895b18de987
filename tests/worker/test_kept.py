"""Outputs that are kept on the node: whatever a payload has made of the folder, and whoever waits for the end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pilotext.storage.stage_out import Upload
from pilotext.worker.kept import DOCUMENT, KEEP_FOR_S, MAX_JOBS, KeepError, Keeping, alone, keep_outputs, remove
from pilotext.worker.stop_signals import ToldToStop
from tests.support.jobs import make_job
from tests.support.reports import make_report

JOB = make_job()
DEEP = "import os\nfor _ in range(1100):\n    os.mkdir('d')\n    os.chdir('d')\n"


@pytest.fixture
def uploads(tmp_path: Path) -> list[Upload]:
    path = tmp_path / "a.txt"
    path.write_text("eight hours")
    return [Upload("a.txt", path, ("root://eos//a/",), "a.txt")]


@pytest.fixture
def other_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilotext.worker.kept._same_disk", lambda *_: False)


def told() -> None:
    raise ToldToStop("SIGTERM")


@pytest.mark.fault("stage-out", "a payload fills the folder of kept outputs")
def test_folders_that_nobody_looks_after_take_no_room(uploads: list[Upload], tmp_path: Path) -> None:
    root = tmp_path / "kept"
    for number in range(MAX_JOBS + 1):
        (root / f"{number:032x}").mkdir(parents=True)
    left = root / f"{5:032x}"
    (left / DOCUMENT).touch()
    with (left / "big").open("wb") as file:
        file.truncate(10**13)  # nothing of it is on the disk
    old = time.time() - KEEP_FOR_S - 7200
    for number in (5, 6):
        os.utime(root / f"{number:032x}", (old, old))
    kept = keep_outputs(JOB, uploads, make_report(), Keeping(root), hurried=False)
    assert (Path(kept.folder) / "a.txt").read_text() == "eight hours"
    assert not left.exists()
    assert not (root / f"{6:032x}").exists()
    assert (root / f"{7:032x}").exists(), "somebody may just be filling it"


@pytest.mark.fault("stage-out", "a payload fills the folder of kept outputs with false documents")
@pytest.mark.parametrize("document", [b"", b"{}", b"0" * 64 + b"\n{}"])
def test_false_documents_take_no_room(
    uploads: list[Upload], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: bytes
) -> None:
    monkeypatch.setattr("pilotext.worker.kept._WRITTEN_WITHIN_S", -1.0)
    for number in range(MAX_JOBS):
        folder = tmp_path / "kept" / f"{number:032x}"
        folder.mkdir(parents=True)
        (folder / DOCUMENT).write_bytes(document)
    kept = keep_outputs(JOB, uploads, make_report(), Keeping(tmp_path / "kept"), hurried=False)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [Path(kept.folder).name]


def test_documents_of_jobs_and_those_just_written_stay(
    uploads: list[Upload], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilotext.worker.kept.MAX_JOBS", 2)
    root = tmp_path / "kept"
    first = keep_outputs(JOB, uploads, make_report(), Keeping(root), hurried=False)
    being_written = root / f"{1:032x}"
    being_written.mkdir()
    (being_written / DOCUMENT).touch()
    uploads[0].path.write_text("of another job")
    with pytest.raises(KeepError, match="outputs of 2 jobs"):
        keep_outputs(make_job(job=2), uploads, make_report(), Keeping(root), hurried=False)
    assert uploads[0].path.read_text() == "of another job"
    assert {path.name for path in root.iterdir()} == {Path(first.folder).name, being_written.name}


@pytest.mark.parametrize("hurried", [True, False])
def test_who_is_told_to_stop_copies_nothing_to_another_disk(
    uploads: list[Upload], tmp_path: Path, other_disk: None, hurried: bool
) -> None:
    with pytest.raises(KeepError if hurried else ToldToStop):
        keep_outputs(JOB, uploads, make_report(), Keeping(tmp_path / "kept"), hurried=hurried, tick=told)
    assert uploads[0].path.read_text() == "eight hours"
    assert list((tmp_path / "kept").iterdir()) == []


def test_outputs_are_moved_to_another_disk(uploads: list[Upload], tmp_path: Path, other_disk: None) -> None:
    kept = keep_outputs(JOB, uploads, make_report(), Keeping(tmp_path / "kept"), hurried=False)
    assert (Path(kept.folder) / "a.txt").read_text() == "eight hours"
    assert not uploads[0].path.exists()


def test_whatever_lies_in_the_place_of_what_is_kept_is_removed(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    subprocess.run([sys.executable, "-c", DEEP], cwd=tmp_path / "deep", check=True)
    (tmp_path / "folder" / DOCUMENT / "x").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / DOCUMENT).touch()
    (tmp_path / "link").symlink_to(tmp_path / "other")
    (tmp_path / "file").touch()
    for name in ("deep", "folder", "link", "file", "nothing"):
        if name in ("link", "file"):
            with alone(tmp_path / name) as ours:
                assert not ours
        remove(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    assert (tmp_path / "other" / DOCUMENT).exists()
