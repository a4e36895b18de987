"""What killed agents leave is removed; what somebody works in is not."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from pilotext.agent.folders import folder_of, held, make_new, remove_abandoned
from pilotext.agent.wrapper_process import WrapperProcess


def test_a_folder_that_nobody_holds_is_removed(tmp_path: Path) -> None:
    with held(folder_of(7, tmp_path)):
        (tmp_path / "attempt-7/core").touch()
    (tmp_path / "spool").mkdir()
    assert remove_abandoned(tmp_path) == ["attempt-7"]
    assert [path.name for path in tmp_path.iterdir()] == ["spool"]


def test_a_folder_that_is_held_stays(tmp_path: Path) -> None:
    with held(folder_of(7, tmp_path)):
        assert remove_abandoned(tmp_path) == []
    assert (tmp_path / "attempt-7").is_dir()


def test_a_folder_stays_while_a_process_that_inherited_it_runs(tmp_path: Path) -> None:
    with held(folder_of(7, tmp_path)) as holding:
        words = [sys.executable, "-c", "input()"]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, pass_fds=(holding,))
    assert remove_abandoned(tmp_path) == []
    process.communicate(b"\n", timeout=60)
    assert remove_abandoned(tmp_path) == ["attempt-7"]


DEEP = "import os\nfor _ in range(1100):\n    os.mkdir('d')\n    os.chdir('d')\n"


def test_a_folder_that_no_recursion_can_follow_is_removed(tmp_path: Path) -> None:
    with held(folder_of(7, tmp_path)) as _:
        subprocess.run([sys.executable, "-c", DEEP], cwd=tmp_path / "attempt-7", check=True)
    assert remove_abandoned(tmp_path) == ["attempt-7"]
    assert list(tmp_path.iterdir()) == []


def test_what_a_payload_puts_in_the_way_of_the_next_attempt_is_removed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "agent").mkdir()
    folder_of(7, tmp_path / "agent").symlink_to(tmp_path / "outside")
    folder_of(8, tmp_path / "agent").touch()
    for attempt in (7, 8):
        folder = folder_of(attempt, tmp_path / "agent")
        with held(folder):
            (folder / "file").touch()
    assert list((tmp_path / "outside").iterdir()) == []
    folder_of(9, tmp_path / "agent").symlink_to(tmp_path / "outside")
    assert remove_abandoned(tmp_path / "agent") == ["attempt-7", "attempt-8", "attempt-9"]
    assert (tmp_path / "outside").is_dir()


@pytest.mark.fault("payload", "it makes the work directories of the attempts after it")
@pytest.mark.parametrize("hold", [False, True])
def test_an_attempt_begins_in_an_empty_folder(tmp_path: Path, hold: bool) -> None:
    folder = folder_of(7, tmp_path)
    (folder / "pilotext.out").mkdir(parents=True)
    (folder / ".rootrc").touch()
    with held(folder) if hold else contextlib.nullcontext():
        new = make_new(folder)
        with held(new):
            assert list(new.iterdir()) == []
        assert (folder / ".rootrc").exists() == hold, "nothing is taken away from somebody who works there"
    assert len(remove_abandoned(tmp_path)) == 1 + hold


def test_the_output_of_a_process_has_a_file_whatever_is_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "pilotext.out/x").mkdir(parents=True)
    with held(tmp_path) as holding:
        one, two = (WrapperProcess(["--version"], b"", tmp_path, holding) for _ in range(2))
        for each in (one, two):
            each.close()
    assert [path.name for path in tmp_path.iterdir()] == ["pilotext.out"]
    assert (tmp_path / "pilotext.out").is_file()
