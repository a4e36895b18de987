"""The payload and its subreaper, with real programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from pilotext.model.job import SoftStop
from pilotext.model.log_index import STDERR_NAME, STDOUT_NAME
from pilotext.model.verdict import ExitStatus
from pilotext.storage.transfer import no_tick
from pilotext.worker.monitoring.control_group import ControlGroup
from pilotext.worker.payload.process import Payload, PayloadRefusedError, command_line
from pilotext.worker.process_tree import descendants
from tests.support.jobs import make_job
from tests.support.processes import has_ended, is_alive

PATIENCE_S = 20.0


def run_to_end(directory: Path, *command: str, **fields: object) -> Payload:
    with Payload(make_job(command=list(command), **fields), directory, os.environ) as payload:
        payload.start(no_tick)
        assert payload.wait(PATIENCE_S)
    return payload


def run_steps(directory: Path, steps: list[Any], **fields: object) -> Payload:
    with Payload(make_job(command=[], steps=steps, **fields), directory, os.environ) as payload:
        payload.start(no_tick)
        assert payload.wait(PATIENCE_S)
    return payload


def sleepers(marker: str) -> list[psutil.Process]:
    """Living processes that were started as `sleep <marker>`."""
    alive = (p for p in psutil.process_iter(["cmdline", "status"]) if p.info["status"] != psutil.STATUS_ZOMBIE)
    return [process for process in alive if process.info["cmdline"] == ["sleep", marker]]


def until(condition: Callable[[], object]) -> None:
    """Wait until it is true; fail the test if it never is."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


class _NeverJoined(ControlGroup):
    """A plain folder in the place of a control group."""

    def join(self) -> None:
        pass


def test_what_the_control_group_has_counted_can_be_read_after_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "group"
    folder.mkdir()
    monkeypatch.setattr("pilotext.worker.payload.process.make_group", lambda _name: _NeverJoined(None, folder))
    with Payload(make_job(command=["/bin/true"]), tmp_path, os.environ) as payload:
        payload.start(no_tick)
        assert payload.wait(PATIENCE_S)
        until(lambda: has_ended(payload.watchdog_pid))
        assert folder.is_dir()
    assert not folder.exists()


def test_the_exit_code_is_the_programs_own(tmp_path: Path) -> None:
    """Known problem 1 of the legacy system: the status of a job was that of the last `rm` of its chain."""
    assert run_to_end(tmp_path, "/bin/bash", "-c", "exit 37").exit == ExitStatus(code=37)


def test_a_death_by_signal_is_told_with_its_name(tmp_path: Path) -> None:
    payload = run_to_end(tmp_path, "/bin/bash", "-c", "ulimit -c 0; kill -SEGV $$")
    assert payload.exit == ExitStatus(signal="SIGSEGV", core=False)


def test_streams_go_to_files_of_their_own_and_stdin_is_empty(tmp_path: Path) -> None:
    run_to_end(tmp_path, "/bin/bash", "-c", "cat; echo out; echo err >&2")
    assert (tmp_path / STDOUT_NAME).read_bytes() == b"out\n"
    assert (tmp_path / STDERR_NAME).read_bytes() == b"err\n"


def test_the_program_runs_in_the_work_directory_with_the_jobs_environment(tmp_path: Path) -> None:
    run_to_end(tmp_path, "/bin/sh", "-c", 'echo "$PWD $TMPRAWFILE"', environment={"TMPRAWFILE": "cdr1-2.raw"})
    assert (tmp_path / STDOUT_NAME).read_text() == f"{tmp_path} cdr1-2.raw\n"


def test_a_setup_script_is_sourced_and_the_program_replaces_the_shell(tmp_path: Path) -> None:
    setup = tmp_path / "set up; ls.sh"
    setup.write_text("echo noise of the setup\nexport CORAL=/cvmfs/coral\n")
    payload = run_to_end(tmp_path, "/bin/sh", "-c", 'echo "$CORAL $1"; kill -KILL $$', "sh", "a b;c", setup=str(setup))
    assert payload.exit == ExitStatus(signal="SIGKILL")
    assert (tmp_path / STDOUT_NAME).read_text() == "/cvmfs/coral a b;c\n"
    assert (tmp_path / STDERR_NAME).read_text() == "noise of the setup\n"


@pytest.mark.parametrize("script", ["exit 0", "exit 3", "return 3", "false", "source /nowhere/else.sh", "if"])
def test_a_setup_script_that_fails_is_said_and_the_program_does_not_run(tmp_path: Path, script: str) -> None:
    setup = tmp_path / "setup.sh"
    setup.write_text(f"{script}\n")
    payload = run_to_end(tmp_path, "/usr/bin/touch", "proof", setup=str(setup))
    assert payload.exit == ExitStatus(code=97)
    assert f"pilotext: the setup script {setup} ended with status " in (tmp_path / STDERR_NAME).read_text()
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("script", ["set -- x y", "shift 2", "set -eu", "trap - EXIT"])
def test_a_setup_script_cannot_change_the_programs_arguments(tmp_path: Path, script: str) -> None:
    setup = tmp_path / "setup.sh"
    setup.write_text(f'{script} || true\necho "sees $#"\n')
    payload = run_to_end(tmp_path, "/bin/echo", "a", "b c", setup=str(setup))
    assert payload.exit == ExitStatus(code=0)
    assert (tmp_path / STDOUT_NAME).read_text() == "a b c\n"


def test_a_setup_script_that_is_not_there_is_a_finding(tmp_path: Path) -> None:
    payload = Payload(make_job(setup=str(tmp_path / "setup.sh")), tmp_path, os.environ)
    with payload, pytest.raises(PayloadRefusedError, match="the setup script is not there") as caught:
        payload.start(no_tick)
    assert caught.value.finding == "payload-not-found"


def test_without_a_setup_script_no_shell_is_involved() -> None:
    (step,) = make_job(command=["/x/coral.exe", "$HOME; true"]).programs
    assert command_line(step) == ("/x/coral.exe", "$HOME; true")


@pytest.mark.parametrize(
    ("mode", "text", "finding"),
    [(None, "", "payload-not-found"), (0o644, "#!/bin/sh\n", "payload-not-executable")],
    ids=["a program that is not there", "a program that may not be executed"],
)
def test_a_program_that_cannot_start_is_a_finding(tmp_path: Path, mode: int | None, text: str, finding: str) -> None:
    program = tmp_path / "coral.exe"
    if mode is not None:
        program.write_text(text)
        program.chmod(mode)
    payload = Payload(make_job(command=[str(program)]), tmp_path, os.environ)
    with payload, pytest.raises(PayloadRefusedError, match=r"coral\.exe") as caught:
        payload.start(no_tick)
    assert caught.value.finding == finding


def test_a_daemonised_grandchild_does_not_outlive_the_program(tmp_path: Path) -> None:
    payload = run_to_end(tmp_path, "/bin/bash", "-c", "setsid sleep 4711.01 & exit 0")
    assert payload.exit == ExitStatus(code=0)
    assert payload.left_behind == 1
    assert not sleepers("4711.01")


def test_stop_ends_a_tree_that_ignores_sigterm_and_one_that_is_stopped(tmp_path: Path) -> None:
    script = (
        "trap '' TERM; (trap '' TERM; sleep 4711.02) & setsid sleep 4711.02 &"
        "sleep 0.5; kill -STOP $!; while :; do sleep 1; done"
    )
    with Payload(make_job(command=["/bin/bash", "-c", script]), tmp_path, os.environ) as payload:
        payload.start(no_tick)
        until(lambda: len(sleepers("4711.02")) == 2)
        payload.stop(grace_s=0.2)
        assert payload.wait(PATIENCE_S)
    assert payload.exit == ExitStatus(signal="SIGKILL")
    assert not sleepers("4711.02")


def test_a_program_that_obeys_sigterm_ends_in_its_own_way(tmp_path: Path) -> None:
    script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    with Payload(make_job(command=["/bin/bash", "-c", script]), tmp_path, os.environ) as payload:
        payload.start(no_tick)
        until(lambda: (tmp_path / STDOUT_NAME).read_text() == "ready\n")
        payload.stop(grace_s=PATIENCE_S)
        assert payload.wait(PATIENCE_S)
    assert payload.exit == ExitStatus(code=3)
    assert (tmp_path / STDOUT_NAME).read_text() == "ready\nbye\n"


def test_leaving_the_block_ends_the_payload(tmp_path: Path) -> None:
    command = ["/bin/bash", "-c", "sleep 4711.03"]
    with pytest.raises(KeyError), Payload(make_job(command=command), tmp_path, os.environ) as payload:
        payload.start(no_tick)
        until(lambda: sleepers("4711.03"))
        raise KeyError
    assert not sleepers("4711.03")


def test_a_killed_subreaper_takes_the_payload_with_it(tmp_path: Path) -> None:
    with Payload(make_job(command=["/bin/bash", "-c", "setsid sleep 4711.04 & wait"]), tmp_path, os.environ) as payload:
        payload.start(no_tick)
        until(lambda: sleepers("4711.04"))
        os.kill(payload.subreaper_pid, signal.SIGKILL)
        assert payload.wait(PATIENCE_S)
    assert payload.exit == ExitStatus(signal="SIGKILL")
    assert not sleepers("4711.04")


def test_a_payload_cannot_stop_the_watch_over_it(tmp_path: Path) -> None:
    script = "trap '' TERM; while :; do kill -STOP $PPID; sleep 0.01; done"
    with Payload(make_job(command=["/bin/bash", "-c", script]), tmp_path, os.environ) as payload:
        payload.start(no_tick)
        payload.stop(grace_s=0)
        until(lambda: payload.wait(0.1))
    assert payload.exit == ExitStatus(signal="SIGKILL")


def test_what_a_program_writes_to_dev_stdout_is_appended(tmp_path: Path) -> None:
    run_to_end(tmp_path, "/bin/bash", "-c", "echo first; echo second > /dev/stdout; echo third")
    assert (tmp_path / STDOUT_NAME).read_bytes().replace(b"first\n", b"") == b"second\nthird\n"


def test_a_real_time_signal_has_a_name_too(tmp_path: Path) -> None:
    assert run_to_end(tmp_path, "/bin/bash", "-c", "kill -40 $$").exit == ExitStatus(signal="SIGRTMIN+6")


WRAPPER = """
import os, sys, time
from pathlib import Path
from pilotext.storage.transfer import no_tick
from pilotext.worker.payload.process import Payload
from tests.support.jobs import make_job
script = "trap '' TERM; setsid sleep 4711.05 & sleep 4711.05; true"
with Payload(make_job(command=["/bin/bash", "-c", script]), Path(sys.argv[1]), os.environ) as payload:
    payload.start(no_tick)
    print("started", flush=True)
    time.sleep(600)
"""


def test_a_wrapper_killed_by_sigkill_leaves_nothing(tmp_path: Path) -> None:
    wrapper = subprocess.Popen([sys.executable, "-c", WRAPPER, str(tmp_path)], stdout=subprocess.PIPE)
    assert wrapper.stdout is not None
    assert wrapper.stdout.readline() == b"started\n"
    until(lambda: len(sleepers("4711.05")) == 2)
    below = descendants(wrapper.pid)
    assert len(below) >= 4, "subreaper, bash and two sleepers"
    wrapper.kill()
    wrapper.wait()
    wrapper.stdout.close()
    until(lambda: not sleepers("4711.05"))
    until(lambda: not any(map(is_alive, below)))


def test_the_cpu_time_of_ended_children_is_counted(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    payload = run_to_end(tmp_path, "/bin/bash", "-c", f"{sys.executable} -c '{burn}'; true")
    assert payload.cpu_s >= 0.3


def test_steps_run_one_after_the_other_into_the_same_streams(tmp_path: Path) -> None:
    steps = [
        {
            "name": "filter",
            "command": ["/bin/bash", "-c", "echo $WHO; echo of $WHO >&2"],
            "environment": {"WHO": "ddd"},
        },
        {"name": "reconstruct", "command": ["/bin/bash", "-c", "echo $WHO"]},
    ]
    payload = run_steps(tmp_path, steps, environment={"WHO": "coral"})
    assert [(step.name, step.exit) for step in payload.steps] == [
        ("filter", ExitStatus(code=0)),
        ("reconstruct", ExitStatus(code=0)),
    ]
    assert (tmp_path / STDOUT_NAME).read_text() == "ddd\ncoral\n"
    assert (payload.steps[1].stdout_from, payload.steps[1].stderr_from) == (4, 7)
    assert payload.exit == ExitStatus(code=0)


def test_the_first_step_that_fails_ends_the_payload(tmp_path: Path) -> None:
    steps = [
        {"name": "one", "command": ["/bin/bash", "-c", "setsid sleep 4711.06 & exit 3"]},
        {"name": "two", "command": ["/usr/bin/touch", "proof"]},
    ]
    payload = run_steps(tmp_path, steps)
    assert payload.exit == ExitStatus(code=3)
    assert payload.steps[1].exit is None
    assert payload.steps[1].seconds is None
    assert not (tmp_path / "proof").exists()
    assert not sleepers("4711.06")


def test_what_a_step_leaves_behind_is_ended_before_the_next_begins(tmp_path: Path) -> None:
    steps = [
        {"name": "one", "command": ["/bin/bash", "-c", "setsid sleep 4711.07 &"]},
        {"name": "two", "command": ["/bin/bash", "-c", "! pgrep -f '^sleep 4711.07$'"]},
    ]
    payload = run_steps(tmp_path, steps)
    assert payload.exit == ExitStatus(code=0)
    assert payload.left_behind == 1


def test_a_later_step_that_cannot_be_started_is_a_finding_and_no_success(tmp_path: Path) -> None:
    steps = [{"name": "one", "command": ["/bin/true"]}, {"name": "two", "command": ["/nowhere/coral.exe"]}]
    payload = Payload(make_job(command=[], steps=steps), tmp_path, os.environ)
    with payload, pytest.raises(PayloadRefusedError, match=r"/nowhere/coral\.exe"):
        payload.start(no_tick)
        payload.wait(PATIENCE_S)
    assert payload.exit is None


def test_a_subreaper_killed_between_two_steps_is_no_success(tmp_path: Path) -> None:
    steps = [{"name": "one", "command": ["/bin/true"]}, {"name": "two", "command": ["sleep", "4711.08"]}]
    with Payload(make_job(command=[], steps=steps), tmp_path, os.environ) as payload:
        payload.start(no_tick)
        until(lambda: sleepers("4711.08"))
        os.kill(payload.subreaper_pid, signal.SIGKILL)
        assert payload.wait(PATIENCE_S)
    assert payload.exit == ExitStatus(signal="SIGKILL")


def test_a_program_is_asked_to_finish_by_a_signal_that_only_it_gets(tmp_path: Path) -> None:
    script = (
        "trap 'echo finished; exit 0' USR1; (trap 'echo not me' USR1; echo ready; while :; do sleep 0.05; done) & wait"
    )
    with Payload(make_job(command=["/bin/bash", "-c", script]), tmp_path, os.environ) as payload:
        payload.start(no_tick)
        until(lambda: (tmp_path / STDOUT_NAME).read_text() == "ready\n")
        payload.ask_to_finish(SoftStop(signal="SIGUSR1"))
        assert payload.wait(PATIENCE_S)
    assert payload.exit == ExitStatus(code=0)
    assert (tmp_path / STDOUT_NAME).read_text() == "ready\nfinished\n"


def test_a_program_is_asked_to_finish_by_a_file(tmp_path: Path) -> None:
    script = "until [ -e please-stop ]; do sleep 0.02; done; exit 7"
    with Payload(make_job(command=["/bin/bash", "-c", script]), tmp_path, os.environ) as payload:
        payload.start(no_tick)
        payload.ask_to_finish(SoftStop(file="please-stop"))
        assert payload.wait(PATIENCE_S)
    assert payload.exit == ExitStatus(code=7)


def test_a_stopped_program_takes_the_request_to_finish(tmp_path: Path) -> None:
    script = "trap 'exit 0' USR1; echo ready; kill -STOP $$; while :; do sleep 0.05; done"
    with Payload(make_job(command=["/bin/bash", "-c", script]), tmp_path, os.environ) as payload:
        payload.start(no_tick)
        until(lambda: (tmp_path / STDOUT_NAME).read_text() == "ready\n")
        payload.ask_to_finish(SoftStop(signal="SIGUSR1"))
        assert payload.wait(PATIENCE_S)
    assert payload.exit == ExitStatus(code=0)
