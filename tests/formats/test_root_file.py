from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import uproot

from pilotext.formats.root_file import RootSummary, check, check_all_in_child, check_in_child


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A ROOT file with a tree of 300 entries in three baskets a branch, a folder and histograms."""
    path = tmp_path / "mDST-275772-12019-0-7.root"
    chance = np.random.default_rng(1)
    with uproot.recreate(path) as file:
        tree = file.mktree("phast", {"event": np.int32, "vertex": np.dtype((np.float32, (3,)))})
        for _ in range(3):
            tree.extend({"event": np.arange(100, dtype=np.int32), "vertex": np.ones((100, 3), np.float32)})
        file["CsEvent/spills"] = np.histogram(chance.random(100))
        file["vertex_xy"] = np.histogram2d(chance.random(100), chance.random(100))
    return path


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_a_whole_file_is_read_through_with_its_entries_counted(root: Path) -> None:
    summary = check(root)

    histograms = {"CsEvent/spills": 100.0, "vertex_xy": 100.0}
    assert summary == RootSummary(root.stat().st_size, "every branch read", {"phast": 300}, 3, histograms=histograms)


@pytest.mark.parametrize("branch", ["event", "vertex"])
@pytest.mark.parametrize("basket", [0, 2])
def test_damage_in_any_basket_is_found_though_the_tree_still_tells_its_entries(
    root: Path, branch: str, basket: int
) -> None:
    with uproot.open(root) as file:
        start = int(file["phast"][branch].member("fBasketSeek")[basket])
        size = int(file["phast"][branch].member("fBasketBytes")[basket])
    overwrite(root, start + size - 40, bytes(30))
    with uproot.open(root) as file:
        assert file["phast"].num_entries == 300

    summary = check(root)

    assert summary.problem is not None
    assert summary.problem.startswith("reading phast failed: ")


def test_a_file_is_read_without_awkward_which_comes_when_something_of_it_is_asked_for(root: Path) -> None:
    steps = (
        "import sys; from pilotext.formats.root_file import main; main(sys.argv[1:])",
        "print('awkward.contents' in sys.modules)",
        "import awkward; print(awkward.Array([1, 2]).tolist(), 'awkward.contents' in sys.modules)",
        "import awkward.contents; print(sys.modules['awkward'] is not awkward)",
    )

    done = subprocess.run([sys.executable, "-c", "\n".join(steps), root], capture_output=True, text=True, check=True)

    assert '"method":"every branch read"' in done.stdout
    assert done.stdout.splitlines()[1:] == ["False", "[1, 2] True", "False"]


def test_damage_in_a_histogram_is_found(root: Path) -> None:
    with uproot.open(root) as file:
        key = file.key("vertex_xy")
    overwrite(root, key.fSeekKey + key.fKeylen, b"\xff" * 200)

    summary = check(root)

    assert summary.problem is not None
    assert "vertex_xy" in summary.problem


def test_names_that_look_like_paths_of_uproot_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "hist.root"
    with uproot.recreate(path) as file:
        file["a::b"] = np.histogram([1.0, 2.0])
        file["one/two/three"] = np.histogram([1.0, 2.0])

    assert check(path).objects == 2
    assert check(path).problem is None


def test_only_the_newest_cycle_of_a_tree_counts(tmp_path: Path) -> None:
    path = tmp_path / "mDST.root"
    with uproot.recreate(path) as file:
        for size in (10, 20):
            file.mktree("phast", {"event": np.int32}).extend({"event": np.arange(size, dtype=np.int32)})

    summary = check(path)

    assert (summary.trees, summary.objects, summary.problem) == ({"phast": 20}, 2, None)


def test_without_uproot_the_header_alone_is_judged_and_said_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uproot", None)

    assert check(root) == RootSummary(root.stat().st_size, "header, size and trailer")
    os.truncate(root, 1000)
    assert check(root).problem is not None


def test_a_child_gives_the_same_answer(root: Path) -> None:
    ticks: list[float] = []

    summary = check_in_child(root, 60, lambda: ticks.append(time.monotonic()))

    assert summary == check(root)
    assert len(ticks) > 1


def test_a_child_finds_its_package_and_not_modules_of_the_work_directory(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root.parent / "msgspec.py").write_text("raise RuntimeError('taken from the work directory')\n")
    monkeypatch.chdir(root.parent)

    assert check_in_child(Path(root.name), 60, lambda: None).method == "every branch read"


def test_a_check_that_takes_too_long_is_ended_and_does_not_blame_the_file(root: Path) -> None:
    summary = check_in_child(root, 0.05, lambda: None)

    assert summary == RootSummary(
        root.stat().st_size, "not checked", problem="the check was not finished after 0.05 s."
    )


def test_a_tick_that_raises_ends_the_child_and_goes_on(root: Path) -> None:
    before = psutil.Process().children()  # of tests that ran before in this process
    children: list[psutil.Process] = []

    def stop() -> None:
        children.extend(child for child in psutil.Process().children() if child not in before)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_in_child(root, 60, stop)
    assert children
    assert not any(child.is_running() for child in children)


@pytest.mark.parametrize(
    ("child", "sentence"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            "the check ended with signal SIGSEGV: it said nothing",
        ),
        ("raise SystemExit('no room\\nfor the reader')", "the check ended with exit status 1: for the reader"),
    ],
)
def test_a_child_that_dies_does_not_blame_the_file(
    root: Path, monkeypatch: pytest.MonkeyPatch, child: str, sentence: str
) -> None:
    program = root.parent / "python"
    program.write_text(f"#!{sys.executable}\n{child}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))

    summary = check_in_child(root, 60, lambda: None)

    assert (summary.method, summary.problem) == ("not checked", sentence)


def started(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every child that is started from now on."""
    children: list[object] = []
    start = subprocess.Popen

    def told(*words: Any, **options: Any) -> subprocess.Popen[bytes]:
        children.append(words)
        return start(*words, **options)

    monkeypatch.setattr(subprocess, "Popen", told)
    return children


def test_one_child_reads_many_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = Path(shutil.copy(root, root.with_name("cut.root")))
    os.truncate(cut, 2000)
    children = started(monkeypatch)

    found = check_all_in_child([root, cut, root], 60, lambda: None)

    assert found == [check(root), check(cut), check(root)]
    assert found[1].problem is not None
    assert len(children) == 1


def test_a_file_that_ends_the_child_costs_the_others_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = root.with_name("folder.root")
    folder.mkdir()
    children = started(monkeypatch)

    found = check_all_in_child([root, folder, root], 60, lambda: None)

    assert [each.method for each in found] == ["every branch read", "not checked", "every branch read"]
    assert len(children) == 2


@pytest.mark.parametrize("read", [check, lambda path: check_in_child(path, 60, lambda: None)])
def test_a_missing_file_is_the_systems_error(tmp_path: Path, read: Callable[[Path], RootSummary]) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "mDST.root")


def test_a_basket_that_claims_gigabytes_is_damage_and_takes_no_memory(root: Path) -> None:
    with uproot.open(root) as file:
        start = int(file["phast"]["vertex"].member("fBasketSeek")[1])
    overwrite(root, start + 6, struct.pack(">i", 2**31 - 1))

    summary = check_in_child(root, 60, lambda: None)

    assert summary.method == "every branch read"
    assert summary.problem is not None


def test_of_an_rntuple_the_entries_are_told_and_that_its_pages_were_not_read(tmp_path: Path) -> None:
    path = tmp_path / "new.root"
    with uproot.recreate(path) as file:
        file.mkrntuple("events", {"number": np.int32}).extend({"number": np.arange(7, dtype=np.int32)})
        file["spills"] = np.histogram([1.0, 2.0])

    summary = check(path)

    assert (summary.trees, summary.partly, summary.problem) == ({"events": 7}, ("events",), None)
