from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pilotext.worker import process_tree
from pilotext.worker.monitoring.process_use import use_of, uses_below

TREE = """
import subprocess, sys, time
block = bytearray(30_000_000)
below = "import time; block = bytearray(20_000_000); print('fed', flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", below])
time.sleep(600)
"""


@pytest.fixture
def parent() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", TREE], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"fed\n"
    yield process.pid
    for child in psutil.Process(process.pid).children():
        child.kill()
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("kernel_knows_children", [True, False])
def test_every_process_below_is_found_with_what_it_uses(
    parent: int, monkeypatch: pytest.MonkeyPatch, *, kernel_knows_children: bool
) -> None:
    if not kernel_knows_children:
        monkeypatch.setattr(process_tree, "_KNOWS_CHILDREN", False)
    (below,) = uses_below(parent)
    own = use_of(parent)
    assert own is not None
    assert own.resident > 30_000_000
    assert below.resident > 20_000_000
    assert below.pid in {child.pid for child in psutil.Process(parent).children()}


def test_the_numbers_are_those_of_psutil(parent: int) -> None:
    use, theirs = use_of(parent), psutil.Process(parent)
    assert use is not None
    assert use.resident == pytest.approx(theirs.memory_info().rss, rel=0.05)  # the kernel counts in batches
    assert use.cpu_s == pytest.approx(sum(theirs.cpu_times()[:2]), abs=0.5)
    assert (use.read, use.written) == theirs.io_counters()[4:6]


def test_a_program_with_a_strange_name_is_read(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b c"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "600"]) as process:
        while not (Path(f"/proc/{process.pid}/comm").read_text().startswith(program.name)):
            time.sleep(0.01)  # until it is the program, and no more our own copy
        while psutil.Process(process.pid).status() != psutil.STATUS_SLEEPING:
            time.sleep(0.01)  # until it is loaded: the kernel counts its memory in batches
        use = use_of(process.pid)
        process.kill()
    assert use is not None
    assert use.resident > 0


def test_a_zombie_and_one_that_never_was_use_nothing() -> None:
    process = subprocess.Popen(["/bin/true"])
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert use_of(process.pid) is None
    assert process.wait() == 0
    assert use_of(process.pid) is None
    assert uses_below(2**22 + 5) == []


def test_the_cpu_time_of_ended_children_stands_with_their_parent() -> None:
    before = use_of(os.getpid())
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    after = use_of(os.getpid())
    assert before is not None
    assert after is not None
    assert after.ended_cpu_s - before.ended_cpu_s >= 0.25
