"""What killed agents leave is removed; what somebody works in is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pilotext.engines.folders import folder_of, held, remove_abandoned


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
