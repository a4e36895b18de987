"""A payload that stops, traces or kills wrapper, watchdog or subreaper: its limits hold, nothing of it is left.

The jobs are whole commands; the payloads attack by the numbers of the processes above them.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pilotext.model.report import Report
from pilotext.serialization.json import from_json
from pilotext.worker.payload.watchdog import resume_stopped, state_of
from pilotext.worker.stop_signals import FAULTS, STOP_SIGNALS, SUSPENSIONS
from tests.support.jobs import job_document
from tests.support.processes import processes_below

PATIENCE_S = 120.0
SOAK = bool(os.environ.get("PILOTEXT_SOAK"))
LIMITS = {"wall_s": 6, "finish_s": 3, "grace_s": 0.5}
WHO = ("subreaper", "watchdog", "wrapper")

ATTACK = """
import ctypes, os, signal, subprocess, sys, time

def parent(pid):
    return int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])

SUBREAPER = os.getppid()
WATCHDOG = parent(SUBREAPER)
WRAPPER = parent(WATCHDOG)
ALL = {"subreaper": SUBREAPER, "watchdog": WATCHDOG, "wrapper": WRAPPER}
assert all("pilotext" in open(f"/proc/{pid}/cmdline").read() for pid in ALL.values())

def left_behind(ready):
    "A process in a session of its own, in this folder, that ignores what it can."
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open(ready, "w").close()
        time.sleep(600)

def trace(pid):
    "Hold a process by ptrace, from a process of our own that lives on."
    if os.fork() == 0:
        os.setsid()
        libc = ctypes.CDLL(None)
        assert libc.ptrace(16, pid, 0, 0) == 0  # PTRACE_ATTACH
        open("traced", "w").close()
        time.sleep(600)
    while not os.path.exists("traced"):
        time.sleep(0.01)

def stop(pid):
    os.kill(pid, signal.SIGSTOP)

def kill(pid):
    os.kill(pid, signal.SIGKILL)

left_behind("ready")
while not os.path.exists("ready"):
    time.sleep(0.01)
"""


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    work = tmp_path / "work"
    work.mkdir()
    yield work
    for process in processes_below(work):
        process.kill()


def start(work: Path, attack: str, **fields: Any) -> subprocess.Popen[bytes]:
    job = work.parent / "job.json"
    job.write_text(json.dumps(job_document(command=[sys.executable, "-S", "-c", ATTACK + attack], **fields)))
    command = [sys.executable, "-P", "-m", "pilotext", "run", str(job), "--workdir", str(work)]
    return subprocess.Popen(command, cwd=work.parent, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def report_in(work: Path) -> Report:
    return from_json((work / "job.report.json").read_bytes(), Report)


@pytest.mark.fault("payload", "the payload stops or traces the wrapper, the watchdog or the subreaper")
@pytest.mark.parametrize("how", ["stop", "trace"])
@pytest.mark.parametrize("victim", WHO)
def test_the_wall_time_holds_whoever_is_held(work: Path, victim: str, how: str) -> None:
    wrapper = start(work, f"{how}(ALL[{victim!r}]); time.sleep(600)", limits=LIMITS)
    _, stderr = wrapper.communicate(timeout=PATIENCE_S)
    report = report_in(work)
    assert (wrapper.returncode, report.state, report.exit_status) == (69, "failed", 69), stderr.decode()
    assert report.verdict.rule == "limit-wall"
    until(lambda: not processes_below(work))


@pytest.mark.fault("payload", "the payload stops two of wrapper, watchdog and subreaper")
@pytest.mark.parametrize("victims", [*itertools.combinations(WHO, 2)][: 3 if SOAK else 1])
def test_the_wall_time_holds_when_two_are_stopped(work: Path, victims: tuple[str, str]) -> None:
    wrapper = start(work, f"[stop(ALL[each]) for each in {victims!r}]; time.sleep(600)", limits=LIMITS)
    wrapper.communicate(timeout=PATIENCE_S)
    assert (wrapper.returncode, report_in(work).verdict.rule) == (69, "limit-wall")
    until(lambda: not processes_below(work))


CASES = (
    [*itertools.product(("stop", "trace", "kill"), itertools.permutations(WHO, 2))]
    if SOAK
    else [
        ("stop", ("subreaper", "wrapper")),
        ("trace", ("subreaper", "wrapper")),
        ("kill", ("subreaper", "wrapper")),
        ("kill", ("wrapper", "watchdog")),
        ("stop", ("watchdog", "wrapper")),
        ("trace", ("wrapper", "subreaper")),
    ]
)


@pytest.mark.fault(
    "payload", "the payload stops, traces or kills one of wrapper, watchdog and subreaper, and kills another"
)
@pytest.mark.parametrize(("how", "victims"), CASES)
def test_nothing_of_the_payload_outlives_the_others(work: Path, how: str, victims: tuple[str, str]) -> None:
    first, then = victims
    wrapper = start(work, f"{how}(ALL[{first!r}]); kill(ALL[{then!r}]); time.sleep(600)", limits=LIMITS)
    wrapper.communicate(timeout=PATIENCE_S)
    until(lambda: not processes_below(work))
    assert report_in(work).exit_status == 69
    if "wrapper" not in ([first, then] if how == "kill" else [then]):
        assert report_in(work).state == "failed"
        assert wrapper.returncode == 69


@pytest.mark.fault("payload", "the payload kills the subreaper, and the wrapper as soon as the watchdog has ended")
def test_the_watchdog_ends_only_after_what_could_kill_the_wrapper(work: Path) -> None:
    attack = """
if os.fork() == 0:
    os.setsid()
    os.kill(SUBREAPER, signal.SIGKILL)
    while os.path.exists(f"/proc/{WATCHDOG}/cwd"):  # gone as soon as it has ended, reaped or not
        pass
    os.kill(WRAPPER, signal.SIGKILL)
    time.sleep(600)
time.sleep(600)
"""
    wrapper = start(work, attack, limits=LIMITS)
    wrapper.communicate(timeout=PATIENCE_S)
    assert wrapper.returncode != -signal.SIGKILL, "a process of the payload outlived the watchdog"
    until(lambda: not processes_below(work))
    assert report_in(work).exit_status == 69


def test_a_payload_that_attacks_nobody_is_left_alone(work: Path) -> None:
    wrapper = start(work, "sys.exit(0)", limits={"wall_s": 600})
    wrapper.communicate(timeout=PATIENCE_S)
    report = report_in(work)
    assert (wrapper.returncode, report.exit_status, report.usage.left_behind) == (0, 0, 1)
    assert not processes_below(work)


@pytest.mark.fault("payload", "any deadly signal to the wrapper")
@pytest.mark.parametrize("number", [signal.SIGALRM, signal.SIGIO, signal.SIGSEGV, signal.SIGABRT, signal.SIGRTMAX])
def test_every_deadly_signal_leaves_a_final_report(work: Path, number: int) -> None:
    wrapper = start(work, "open('running', 'w').close(); time.sleep(600)")
    until((work / "running").exists)
    wrapper.send_signal(number)
    wrapper.communicate(timeout=PATIENCE_S)
    report = report_in(work)
    assert (wrapper.returncode, report.state, report.verdict.rule) == (69, "failed", "told-to-stop")
    until(lambda: not processes_below(work))


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGSTOP, signal.SIGPIPE])
def test_a_signal_that_is_not_deadly_changes_nothing(work: Path, number: int) -> None:
    wrapper = start(work, "open('running', 'w').close()\nwhile not os.path.exists('go'): time.sleep(0.01)")
    until((work / "running").exists)
    wrapper.send_signal(number)
    time.sleep(0.5)
    (work / "go").touch()
    wrapper.communicate(timeout=PATIENCE_S)
    assert (wrapper.returncode, report_in(work).state) == (0, "done")


def test_no_signal_is_forgotten() -> None:
    known = {*FAULTS, *SUSPENSIONS, *STOP_SIGNALS, signal.SIGKILL, signal.SIGSTOP}
    known |= {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
    assert known == signal.valid_signals()


def test_the_payload_has_the_signals_of_a_login_shell(work: Path) -> None:
    attack = "print(open('/proc/self/status').read())"
    wrapper = start(work, attack)
    wrapper.communicate(timeout=PATIENCE_S)
    lines = dict(line.split(":\t") for line in (work / "payload_stdout.txt").read_text().splitlines() if ":\t" in line)
    ignored_by_python = {signal.SIGPIPE, signal.SIGXFSZ}
    # Others are glibc's own: its posix_spawn, which Python 3.13 uses, has them ignored in the process that it starts.
    programs = {number for number in signal.valid_signals() if int(lines["SigIgn"], 16) >> (number - 1) & 1}
    assert programs <= ignored_by_python
    assert int(lines["SigBlk"], 16) == 0


def test_only_what_is_stopped_is_resumed() -> None:
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        resume_stopped((sleeper.pid, 0))
        assert state_of(sleeper.pid) in (b"S", b"R")
        os.kill(sleeper.pid, signal.SIGSTOP)
        until(lambda: state_of(sleeper.pid) == b"T")
        resume_stopped((sleeper.pid,))
        until(lambda: state_of(sleeper.pid) == b"S")
        sleeper.kill()
    assert state_of(sleeper.pid) == b""
