"""Control groups as the kernel shows them, in folders of our own, and the real one where it can be made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pilotext.worker.monitoring.control_group import NO_GROUP, ControlGroup, make_group


def test_the_numbers_of_both_versions_are_read(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (one / "cpuacct.usage").write_text("2500000000\n")
    (one / "memory.stat").write_text("cache 9\nshmem 4096\ntotal_shmem 8192\n")
    (two / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    (two / "memory.stat").write_text("anon 9\nshmem 12288\nshmem_thp 1\n")
    assert (ControlGroup(one, one).cpu_s(), ControlGroup(one, one).shared_bytes()) == (2.5, 4096)
    assert (ControlGroup(two, two).cpu_s(), ControlGroup(two, two).shared_bytes()) == (1.5, 12288)


def test_no_group_counts_nothing_and_disturbs_nothing(tmp_path: Path) -> None:
    for group in (NO_GROUP, ControlGroup(tmp_path / "gone", tmp_path / "gone")):
        group.join()
        assert (group.cpu_s(), group.shared_bytes()) == (0.0, 0)
        group.remove()


@pytest.mark.parametrize("hierarchy", ["0", "1"])
def test_a_group_is_made_only_where_the_limits_above_hold_for_it(tmp_path: Path, hierarchy: str) -> None:
    """In a tree like the kernel's, where a new folder stays empty and so counts nothing."""
    proc, mount = tmp_path / "proc", tmp_path / "mount"
    (proc / str(os.getpid())).mkdir(parents=True)
    (proc / "self").mkdir()
    (mount / "job").mkdir(parents=True)
    (proc / str(os.getpid()) / "cgroup").write_text("4:memory:/job\n")
    (proc / "self/mountinfo").write_text(f"35 31 0:32 / {mount} rw - cgroup cgroup rw,memory\n")
    (mount / "job/memory.use_hierarchy").write_text(hierarchy + "\n")
    assert make_group("new", proc) == NO_GROUP
    assert [path.name for path in (mount / "job").iterdir()] == ["memory.use_hierarchy"], "an empty one is removed"


def test_where_nothing_is_known_of_groups_none_is_made(tmp_path: Path) -> None:
    assert make_group("new", tmp_path) == NO_GROUP


def test_a_real_group_is_gone_when_it_is_removed() -> None:
    group = make_group(f"pilotext-test-{os.getpid()}")
    folders = [folder for folder in (group.cpu, group.memory) if folder is not None]
    assert all(folder.is_dir() for folder in folders)
    group.remove()
    assert not any(folder.exists() for folder in folders)
