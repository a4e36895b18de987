"""The look at processes: one that ends between two looks is no error."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.support.processes import children_of, command_of, has_ended, is_alive, processes_below


def test_a_process_that_ends_between_two_looks_has_no_command_and_no_children(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path) as started:
        (process,) = processes_below(tmp_path)
        assert (command_of(process), is_alive(process), has_ended(started.pid)) == (["sleep", "60"], True, False)
        started.kill()
        while is_alive(process):
            time.sleep(0.01)
        assert process.status() == psutil.STATUS_ZOMBIE, "nobody has asked for its status yet"
        assert (command_of(process), children_of(process), has_ended(started.pid)) == ([], [], True)
        assert processes_below(tmp_path) == []
    assert (command_of(process), children_of(process), has_ended(started.pid)) == ([], [], True)


def test_the_children_of_a_living_process_are_found() -> None:
    script = "import subprocess; subprocess.run(['cat'])"
    with subprocess.Popen([sys.executable, "-S", "-c", script], stdin=subprocess.PIPE) as parent:
        while not (children := children_of(psutil.Process(parent.pid))):
            time.sleep(0.01)
        assert not has_ended(children[0].pid)
        parent.communicate()
