from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.support.processes import is_alive

PARENT = """
import subprocess, time
from pilotext.process_lifetime import tied
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
    while is_alive(process):
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


LOOK = """
import os, sys
from pilotext import process_lifetime as kinship
def as_nobody():
    if os.getuid() == 0:
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        kinship._libc.prctl(4, 1, 0, 0, 0)  # changing the user forbids it, too
told_read, told = os.pipe()
go_read, go = os.pipe()
victim = os.fork()
if victim == 0:
    as_nobody()
    os.write(told, b"1"); os.read(go_read, 1)
    kinship.forbid_inspection()
    os.write(told, b"2"); os.read(go_read, 1)
    os._exit(0)
as_nobody()
def may():
    os.read(told_read, 1)
    seen = []
    for what in ("environ", "mem", "fd/0"):
        try:
            os.close(os.open(f"/proc/{victim}/{what}", os.O_RDONLY))
            seen.append(what)
        except PermissionError:
            pass
    os.write(go, b".")
    return seen
print(may(), may())
os.waitpid(victim, 0)
"""


def test_no_program_of_the_same_user_looks_into_a_process_that_forbids_it() -> None:
    """Root may look into everything, so the two are of another user where the tests are root's."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "['environ', 'mem', 'fd/0'] []\n", done.stderr


def test_the_command_forbids_it_before_it_does_anything() -> None:
    look = """
from pilotext import process_lifetime as kinship
from pilotext.cli.main import main
assert kinship._libc.prctl(3) == 1
main(["rules", "export", "--schema"])
print(kinship._libc.prctl(3))
"""
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines()[-1] == "0", done.stderr
