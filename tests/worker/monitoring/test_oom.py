"""The count of the memory killer, in file trees like the kernel's; a real kill is in tests/end_to_end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pilotext.worker.monitoring.control_group import ControlGroup, OomWatch

PID = 4711
FILES = {
    2: ("memory.events", "low 0\nhigh 3\nmax 9\noom 2\noom_kill {}\n"),
    1: ("memory.oom_control", "under_oom 0\noom_kill {}\n"),
}


def tree(folder: Path, version: int, *, group: str, root: str, at: str) -> tuple[Path, Path]:
    """A /proc and a group's folder as the kernel shows them; returns both."""
    proc = folder / "proc"
    (proc / str(PID)).mkdir(parents=True)
    (proc / "self").mkdir()
    names = {2: f"0::{group}\n", 1: f"9:name=systemd:/\n4:cpu,memory:{group}\n0::/\n"}
    (proc / str(PID) / "cgroup").write_text(names[version])
    mount = folder / "mount"
    kinds = {2: "cgroup2 cgroup2 rw,nsdelegate", 1: "cgroup cgroup rw,memory"}
    other = f"30 31 0:20 / {folder}/none rw - cgroup cgroup rw,cpuset\n"
    (proc / "self/mountinfo").write_text(f"{other}35 31 0:32 {root} {mount} rw,relatime shared:9 - {kinds[version]}\n")
    place = mount / at
    place.mkdir(parents=True)
    return proc, place


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("group", "root", "at"),
    [("/slurm/job_12", "/", "slurm/job_12"), ("/docker/ab/job", "/docker/ab", "job"), ("/docker/ab", "/docker/ab", "")],
    ids=["of the host", "in a container", "the container's own"],
)
def test_kills_since_the_begin_are_counted(tmp_path: Path, *, version: int, group: str, root: str, at: str) -> None:
    proc, place = tree(tmp_path, version, group=group, root=root, at=at)
    name, text = FILES[version]
    (place / name).write_text(text.format(5))
    watch = OomWatch(PID, proc)
    assert watch.count() == 0
    (place / name).write_text(text.format(7))
    assert watch.count() == 2


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_that_does_not_tell_is_not_taken_for_one_without_kills(tmp_path: Path, version: int) -> None:
    proc, _ = tree(tmp_path, version, group="/job", root="/", at="job")
    assert OomWatch(PID, proc).count() is None


@pytest.mark.parametrize("version", [1, 2])
def test_a_kill_in_the_group_of_the_payload_before_the_watch_began_counts(tmp_path: Path, version: int) -> None:
    """A program can be killed in the time that the wrapper needs to begin its watch."""
    proc, place = tree(tmp_path, version, group="/job", root="/", at="job")
    name, text = FILES[version]
    of_payload = place / "pilotext-1"
    of_payload.mkdir()
    (of_payload / name).write_text(text.format(1))
    (place / name).write_text(text.format(5))
    assert OomWatch(PID, proc, ControlGroup(None, of_payload)).count() == 1
    assert OomWatch(PID, proc).count() == 0


def test_a_group_that_vanishes_is_no_error(tmp_path: Path) -> None:
    proc, place = tree(tmp_path, 2, group="/job", root="/", at="job")
    (place / "memory.events").write_text("oom_kill 1\n")
    watch = OomWatch(PID, proc)
    (place / "memory.events").unlink()
    assert watch.count() is None


def test_our_own_group_can_be_asked() -> None:
    assert OomWatch(os.getpid()).count() in (0, None)
