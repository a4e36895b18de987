"""Programs that leave processes behind which are hard to find, or hard to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pilotext.model.verdict import ExitStatus
from pilotext.storage.transfer import no_tick
from pilotext.worker.payload.process import Payload
from pilotext.worker.process_tree import kill_below, own_children
from tests.support.jobs import make_job
from tests.support.processes import has_ended

PATIENCE_S = 60.0
LIVES_S = 120

RABBIT = f"""
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
end = time.monotonic() + {LIVES_S}
if os.fork():
    sys.exit()
while time.monotonic() < end:
    if "alone" in sys.argv:
        os.setsid() if os.getpid() != os.getsid(0) else None
    if os.fork():
        os._exit(0)
"""
"""It is never twice the same process, and with `alone` in no group or session that is known."""

LEADERLESS = f"""
import ctypes, os, sys, threading, time
if os.fork():
    sys.exit()
threading.Thread(target=time.sleep, args=({LIVES_S},)).start()
ctypes.CDLL(None).pthread_exit(None)
"""
"""Its first thread has ended, so the system shows it as a zombie, but it works on."""


def script(*words: str) -> list[str]:
    return [sys.executable, "-S", "-c", *words]


def alive_in(folder: Path) -> bool:
    """Whether any thread of any process works in this folder; asked often, since one look can miss a process."""
    for _ in range(50):
        for process in psutil.process_iter():
            for thread in Path(f"/proc/{process.pid}/task").glob("*"):
                try:
                    if (thread / "cwd").readlink() == folder:
                        return True
                except OSError:
                    continue
    return False


@pytest.mark.fault("payload", "a process that forks all the time is left behind")
@pytest.mark.parametrize("how", [[], ["alone"]])
def test_a_process_that_is_always_another_one_does_not_outlive_the_payload(tmp_path: Path, how: list[str]) -> None:
    with Payload(make_job(command=script(RABBIT, *how)), tmp_path, os.environ) as payload:
        payload.start(no_tick)
        assert payload.wait(PATIENCE_S)
    assert payload.exit == ExitStatus(code=0)
    assert payload.left_behind
    assert not payload.stuck
    assert not alive_in(tmp_path)


@pytest.mark.fault("payload", "a process whose first thread has ended is left behind")
def test_a_process_that_looks_like_a_zombie_does_not_outlive_the_payload(tmp_path: Path) -> None:
    with Payload(make_job(command=script(LEADERLESS)), tmp_path, os.environ) as payload:
        payload.start(no_tick)
        assert payload.wait(PATIENCE_S)
    assert payload.left_behind == 1
    assert not alive_in(tmp_path)


def test_a_killed_subreaper_leaves_no_process_that_is_always_another_one(tmp_path: Path) -> None:
    command = [*script(RABBIT)[:-1], RABBIT.replace("sys.exit()", f"time.sleep({LIVES_S})")]
    with Payload(make_job(command=command), tmp_path, os.environ) as payload:
        payload.start(no_tick)
        while not alive_in(tmp_path):
            assert not payload.wait(0.05)
        os.kill(payload.subreaper_pid, signal.SIGKILL)
        assert payload.wait(PATIENCE_S)
    assert payload.exit == ExitStatus(signal="SIGKILL")
    assert not alive_in(tmp_path)


@pytest.mark.fault("payload", "subreaper killed, again and again")
def test_a_killed_subreaper_hands_its_orphans_over_before_they_are_looked_for(tmp_path: Path) -> None:
    """It closes its pipe a moment before the system gives its children to us."""
    for _ in range(30):
        job = make_job(command=["/bin/bash", "-c", f"setsid sleep {LIVES_S} & echo $! > new; mv new pid; wait"])
        with Payload(job, tmp_path, os.environ) as payload:
            payload.start(no_tick)
            end = time.monotonic() + PATIENCE_S
            while not (tmp_path / "pid").exists():
                assert time.monotonic() < end
                time.sleep(0.005)
            os.kill(payload.subreaper_pid, signal.SIGKILL)
            assert payload.wait(PATIENCE_S)
        left = int((tmp_path / "pid").read_text())
        (tmp_path / "pid").unlink()
        assert has_ended(left)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", str(LIVES_S)]) as child:
        yield child
        child.kill()


def test_a_spared_child_is_not_killed_and_the_others_are(child: subprocess.Popen[bytes]) -> None:
    with subprocess.Popen(["sleep", str(LIVES_S)], start_new_session=True) as other:
        kill_below({pid for pid in own_children() if pid != other.pid})
        assert other.wait(PATIENCE_S) == -signal.SIGKILL
    assert child.poll() is None


@pytest.mark.fault("payload", "a process that SIGKILL does not end")
def test_nobody_waits_for_a_process_that_cannot_be_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hangs in the kernel, as on a dead file system; here it is our signals that do nothing."""
    monkeypatch.setattr("pilotext.worker.payload.subreaper.UNKILLABLE_AFTER_S", 0.3)
    monkeypatch.setattr("pilotext.worker.payload.subreaper.kill_below", lambda: None)
    monkeypatch.setattr("pilotext.worker.payload.subreaper.signal_all", lambda *_: None)
    monkeypatch.setattr("pilotext.worker.payload.watchdog.kill_below", lambda: None)
    job = make_job(command=["/bin/bash", "-c", f"sleep {LIVES_S} & echo $! > left; exit 0"])
    with Payload(job, tmp_path, os.environ) as payload:
        payload.start(no_tick)
        assert payload.wait(PATIENCE_S)
    assert payload.exit == ExitStatus(code=0)
    assert payload.stuck == 1
    os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)
