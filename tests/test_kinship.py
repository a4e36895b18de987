from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

PARENT = """
import subprocess, time
from pilotext.kinship import tied
options = {} if OPTIONS == "loose" else {"preexec_fn": tied()}
print(subprocess.Popen(["sleep", "600"], **options).pid, flush=True)
time.sleep(600)
"""
PATIENCE_S = 30.0


def killed_parent_of(how: str) -> psutil.Process:
    """The child of a process that was killed just after it had started it."""
    script = PARENT.replace("OPTIONS", repr(how))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    return child


def ends(process: psutil.Process, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.fault("any", "SIGKILL to the parent of a tied process")
def test_a_tied_process_ends_with_its_parent_without_a_word_of_its_own() -> None:
    assert ends(killed_parent_of("tied"), PATIENCE_S)


def test_a_process_that_is_not_tied_lives_on() -> None:
    child = killed_parent_of("loose")
    try:
        assert not ends(child, 0.5)
    finally:
        os.kill(child.pid, signal.SIGKILL)
