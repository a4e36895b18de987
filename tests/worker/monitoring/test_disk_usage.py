"""The disk that a payload takes, with real files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotext import directory_tree
from pilotext.model.job import Limits
from pilotext.model.verdict import Finding
from pilotext.worker.monitoring import disk_usage
from pilotext.worker.monitoring.disk_usage import DiskUsage
from pilotext.worker.monitoring.monitor import Monitor

BIG = 3_000_000

HOLDER = f"""
import os, sys, time
file = open("big", "wb")
os.unlink("big")
file.write(b"x" * {BIG})
file.flush()
print("written", flush=True)
sys.stdin.read()
"""


def measured(usage: DiskUsage, at_s: float = 0.0) -> tuple[int, int]:
    """What a whole walk says, and how many looks it took."""
    looks, size = 1, usage.look(at_s)
    while usage.walking:
        looks, size = looks + 1, usage.look(at_s)
    return size, looks


def usage_of(directory: Path, *processes: int) -> DiskUsage:
    return DiskUsage(directory, 10.0, lambda: processes)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-S", "-c", HOLDER]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"written\n"
        yield holder
        holder.communicate()


def test_one_look_takes_a_bounded_part_of_a_tree_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order to stop waits for one look, never for the walk."""
    monkeypatch.setattr(disk_usage, "MAX_LOOK_S", 60.0)
    for number in range(5 * disk_usage.MAX_ENTRIES_PER_LOOK):
        os.close(os.open(tmp_path / f"{number}", os.O_CREAT))
    (tmp_path / "below").mkdir()
    (tmp_path / "below/big").write_bytes(b"x" * BIG)
    size, looks = measured(usage_of(tmp_path))
    assert size >= BIG
    assert looks == 6


def test_a_slow_file_system_is_left_after_some_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_usage, "MAX_LOOK_S", 0.0)
    for number in range(10):
        (tmp_path / f"{number}").touch()
    assert measured(usage_of(tmp_path)) == (0, 11)


def test_the_walk_is_done_anew_only_after_its_time(tmp_path: Path) -> None:
    usage = usage_of(tmp_path)
    (tmp_path / "big").write_bytes(b"x" * BIG)
    assert measured(usage)[0] >= BIG
    (tmp_path / "big").unlink()
    assert measured(usage, at_s=9.0)[0] >= BIG
    assert measured(usage, at_s=10.0)[0] < BIG


def test_a_removed_file_counts_while_it_is_open(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    assert BIG <= measured(usage_of(tmp_path, holder.pid))[0] < 2 * BIG
    holder.communicate()
    assert measured(usage_of(tmp_path, holder.pid))[0] < BIG


def test_a_file_that_is_there_and_open_counts_once_and_one_elsewhere_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    with (tmp_path / "work/big").open("wb") as here, (tmp_path / "other").open("wb") as elsewhere:
        for file in (here, elsewhere):
            file.write(b"x" * BIG)
            file.flush()
        assert BIG <= measured(usage_of(tmp_path / "work", os.getpid()))[0] < 2 * BIG


def test_a_file_with_several_names_counts_once(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * BIG)
    for number in range(5):
        (tmp_path / f"again-{number}").hardlink_to(tmp_path / "big")
    assert BIG <= measured(usage_of(tmp_path))[0] < 2 * BIG


def test_holes_cost_nothing(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10**12)
    assert measured(usage_of(tmp_path))[0] < BIG


def test_a_directory_that_is_gone_keeps_what_was_known(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "big").write_bytes(b"x" * BIG)
    usage = usage_of(folder)
    before = measured(usage)[0]
    folder.rename(tmp_path / "moved")
    assert measured(usage, at_s=20.0)[0] == before


def test_a_tree_that_is_too_deep_to_be_measured_passes_a_limit_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_tree, "MAX_DEPTH", 3)
    (tmp_path / "1/2/3").mkdir(parents=True)
    assert found_by(Monitor(Limits(disk_mb=1000), tmp_path, os.getpid())) is None
    (tmp_path / "1/2/3/4").mkdir()
    finding = found_by(Monitor(Limits(disk_mb=1000), tmp_path, os.getpid()))
    assert finding is not None
    assert (finding.name, "more than 3 levels" in finding.text) == ("limit-disk", True)
    assert found_by(Monitor(Limits(), tmp_path, os.getpid())) is None


def found_by(monitor: Monitor) -> Finding | None:
    """The first finding of enough looks to walk a small tree, however slow the machine is."""
    return next(filter(None, (monitor.sample(0, {}) for _ in range(50))), None)
