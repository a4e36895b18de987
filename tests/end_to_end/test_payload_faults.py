"""What a payload can do to itself, its wrapper and its node: the right verdict, and nothing of it left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.end_to_end.conftest import EVENTS, HISTOGRAMS, MDST, read_report
from tests.end_to_end.local import Local, assert_failed, local
from tests.support.jobs import PAYLOADS
from tests.support.processes import command_of, processes_below

__all__ = ["local"]

CORAL = [str(PAYLOADS / "coral.exe"), str(PAYLOADS / "template.opt")]
DDD = str(PAYLOADS / "ddd")
THEN = ["/bin/bash", "-c", 'ulimit -c 0; script=$1; shift; "$@" && eval "$script"', "bash"]
"""Runs a program, and a script when it has ended well."""


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


@pytest.mark.fault("payload", "crash after the end marker")
def test_a_crash_after_the_end_marker_is_a_crash(local: Local) -> None:
    local.job["command"] = [*THEN, "kill -SEGV $$", *CORAL]
    ended = local.run()
    assert_failed(local, ended, "segmentation-fault", "crash", 66)
    assert "End of Job" in (ended.workdir / "payload_stdout.txt").read_text()


@pytest.mark.fault("payload", "crash after the end marker that ROOT catches")
def test_a_crash_that_root_makes_an_exit_code_of_is_a_crash(local: Local) -> None:
    script = "echo ' *** Break *** segmentation violation' >&2; exit 139"
    local.job["command"] = [*THEN, script, *CORAL]
    assert_failed(local, local.run(), "root-crash", "crash", 66)


@pytest.mark.parametrize("code", [132, 134, 135, 136, 139])
def test_the_exit_codes_that_root_makes_of_signals_are_crashes(local: Local, code: int) -> None:
    local.bash(f"exit {code}")
    verdict = local.run().report.verdict
    assert (verdict.verdict, verdict.cause) == ("failure", "crash")


@pytest.mark.fault("payload", "SIGTERM to a decoder that exits 0")
def test_a_decoder_that_was_told_to_end_and_exits_0_is_no_success(local: Local) -> None:
    local.ddd(DDD, "--filter-CAL", "--out=out.raw", local.job["inputs"][0]["name"])
    local.job["environment"]["PILOTEXT_STANDIN"] = "slow=0.2"
    wrapper = local.start()
    until((local.workdir / "out.raw").exists)
    (decoder,) = (process for process in processes_below(local.workdir) if "--filter-CAL" in command_of(process))
    decoder.terminate()
    ended = local.end(wrapper)
    assert ended.report.payload is not None
    assert ended.report.payload.code == 0
    assert "End of the decoding!" in (ended.workdir / "payload_stdout.txt").read_text()
    assert_failed(local, ended, "signal-noticed", "killed", 69)


@pytest.mark.fault("payload", "one of several steps fails")
def test_the_first_step_that_fails_gives_the_verdict(local: Local) -> None:
    local.bash(
        "",
        command=[],
        steps=[
            {"name": "filter", "command": ["/bin/true"]},
            {"name": "reconstruct", "command": ["/bin/bash", "-c", "ulimit -c 0; kill -ABRT $$"]},
            {"name": "merge", "command": ["/usr/bin/touch", "proof"]},
        ],
    )
    ended = local.run()
    assert ended.report.verdict.cause == "crash"
    assert [step.exit is None for step in ended.report.steps] == [False, False, True]
    assert not (ended.workdir / "proof").exists()


@pytest.mark.fault("payload", "a later step is not there")
def test_a_step_that_is_not_there_is_no_success(local: Local) -> None:
    steps = [{"name": "one", "command": ["/bin/true"]}, {"name": "two", "command": ["/nowhere/phast.exe"]}]
    local.bash("", command=[], steps=steps)
    assert_failed(local, local.run(), "payload-not-found", "software-setup", 66)


LIMITED: list[tuple[str, str, dict[str, Any], str, str, int]] = [
    ("stops itself", "kill -STOP $$", {"stall_s": 1}, "limit-stall", "limit", 69),
    (
        "stops itself and ignores SIGTERM",
        "trap '' TERM; kill -STOP $$; sleep 600",
        {"silence_s": 1},
        "limit-silence",
        "limit",
        69,
    ),
    ("a log without end", "yes", {"output_mb": 50}, "limit-output", "limit", 69),
    ("a file without end", "yes > big; sleep 600", {"disk_mb": 20}, "limit-disk", "limit", 69),
    (
        "too many processes",
        "for i in {1..40}; do sleep 600 & done; wait",
        {"processes": 20},
        "limit-processes",
        "limit",
        69,
    ),
    ("disk of the node nearly full", "sleep 600", {"min_free_mb": 1e8}, "limit-free-disk", "output-write", 69),
    (
        "CPU in a child that ended",
        "while :; do (for i in {1..20000}; do :; done); done",
        {"cpu_s": 1},
        "limit-cpu",
        "limit",
        69,
    ),
    ("daemons that hang", "(setsid setsid sleep 600 &); sleep 600", {"wall_s": 3}, "limit-wall", "limit", 69),
]


@pytest.mark.parametrize(
    ("script", "limits", "rule", "cause", "status"),
    [pytest.param(*case[1:], id=case[0], marks=pytest.mark.fault("payload", case[0])) for case in LIMITED],
)
def test_a_limit_is_enforced_and_becomes_the_verdict(
    local: Local,
    *,
    script: str,
    limits: dict[str, Any],
    rule: str,
    cause: str,
    status: int,
) -> None:
    local.bash(script)
    local.job["limits"] = {"grace_s": 0.5, **limits}
    ended = local.run()
    assert_failed(local, ended, rule, cause, status)
    assert re.search("the limit is|the least is|that its job has", ended.report.verdict.evidence[0].text)


def test_the_reason_of_a_kill_is_on_disk_before_the_kill(local: Local) -> None:
    local.bash("trap '' TERM; while :; do sleep 0.1; done")
    local.job["limits"] = {"silence_s": 0.5, "grace_s": 60}
    wrapper = local.start()
    report = local.workdir / "payload_error_report.json"
    until(lambda: report.exists() and "limit-silence" in report.read_text())
    assert processes_below(local.workdir), "the payload is in its grace"
    wrapper.kill()
    local.end(wrapper)
    until(lambda: not processes_below(local.folder))


@pytest.mark.fault("payload", "setup script fails")
def test_a_setup_script_that_fails_is_the_verdict(local: Local) -> None:
    setup = local.folder / "setup.sh"
    setup.write_text("source /cvmfs/nowhere/setup.sh\n")
    local.job["setup"] = str(setup)
    ended = local.run()
    assert ended.report.verdict.cause == "software-setup"
    assert ended.status == 66
    assert local.published() == {"job.log.tgz"}


@pytest.mark.fault("payload", "subreaper killed")
def test_a_subreaper_that_is_killed_takes_the_payload_with_it(local: Local) -> None:
    local.bash("setsid sleep 600 & sleep 600")
    wrapper = local.start()
    until(lambda: len(processes_below(local.workdir)) >= 3)
    (watchdog,) = psutil.Process(wrapper.pid).children()
    (subreaper,) = watchdog.children()
    subreaper.kill()
    assert_failed(local, local.end(wrapper), "killed", "killed", 69)


@pytest.mark.fault("payload", "daemons left behind by a good payload")
def test_what_a_good_payload_leaves_behind_is_told(local: Local) -> None:
    local.bash("for i in 1 2 3; do setsid sleep 600 & done; exit 0")
    ended = local.run()
    assert (ended.status, ended.report.usage.left_behind) == (0, 3)
    assert "processes-left-behind" in {match.rule for match in ended.report.verdict.also}


@pytest.mark.fault("payload", "core file")
def test_a_core_file_becomes_a_stack_trace(local: Local) -> None:
    local.bash("ulimit -c unlimited; gcore -o core $$ >/dev/null 2>&1; sleep 0.1; kill -ABRT $$")
    ended = local.run()
    assert ended.report.verdict.cause == "crash"
    assert [path for path in ended.workdir.iterdir() if path.name.startswith("core")] == []
    assert "#0 " in (ended.workdir / "payload_stack_trace.txt").read_text()
    assert "core-taken" in {match.rule for match in ended.report.verdict.also}


def test_a_payload_reads_its_deadline_and_ends_in_time_by_itself(local: Local) -> None:
    local.bash("while [ $(date +%s) -lt $(($PILOTEXT_DEADLINE - 3)) ]; do sleep 0.1; done; echo enough")
    local.job["limits"] = {"wall_s": 8, "grace_s": 0.5}
    assert local.run().status == 0


@pytest.mark.fault("payload", "wall time over, with a soft stop")
def test_a_soft_stop_lets_the_program_finish_its_event_and_the_verdict_stays(local: Local) -> None:
    script = "trap 'echo events written: 7; exit 0' USR1; while :; do sleep 0.05; done"
    local.bash(script, soft_stop={"signal": "SIGUSR1", "wait_s": 30})
    local.job["limits"] = {"wall_s": 10, "finish_s": 5}
    ended = local.run()
    assert_failed(local, ended, "limit-wall", "limit", 69)
    assert (ended.workdir / "payload_stdout.txt").read_text() == "events written: 7\n"
    assert ended.report.payload is not None
    assert ended.report.payload.code == 0


@pytest.mark.fault("payload", "wall time over, with a soft stop that nobody hears")
def test_a_soft_stop_that_nobody_hears_is_followed_by_a_hard_one(local: Local) -> None:
    local.bash("trap '' USR1 TERM; while :; do sleep 0.05; done", soft_stop={"signal": "SIGUSR1", "wait_s": 0.5})
    local.job["limits"] = {"wall_s": 5, "grace_s": 0.5}
    ended = local.run()
    assert_failed(local, ended, "limit-wall", "limit", 69)
    assert ended.report.payload is not None
    assert ended.report.payload.signal == "SIGKILL"


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group of 100 MB: memory is limited by the kernel, as a batch system does it."""
    point = next(path for path in (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")) if path.is_dir())
    group = point / f"pilotext-test-{os.getpid()}"
    group.mkdir()
    limit = group / ("memory.limit_in_bytes" if point.name == "memory" else "memory.max")
    limit.write_text(str(100_000_000))
    yield group
    group.rmdir()


def may_make_groups() -> bool:
    return os.access("/sys/fs/cgroup/memory", os.W_OK) or (
        os.access("/sys/fs/cgroup", os.W_OK) and "memory" in Path("/sys/fs/cgroup/cgroup.subtree_control").read_text()
    )


if may_make_groups():

    @pytest.mark.fault("payload", "the kernel's memory killer")
    def test_the_memory_killer_is_named_as_the_reason(local: Local, small_group: Path) -> None:
        local.bash(f"exec {sys.executable} -c 'import time; block = b\"x\" * 10**9; time.sleep(600)'")
        join = f'echo $$ > {small_group}/cgroup.procs; exec "$@"'
        ended = subprocess.run(["/bin/bash", "-c", join, "bash", *local.command()], capture_output=True, check=False)
        assert ended.returncode == 69
        report = read_report(local.workdir)
        assert (report.verdict.rule, report.verdict.cause) == ("out-of-memory", "memory")
        assert report.verdict.action == "retry-more-memory"
        assert report.usage.oom_kills >= 1
        assert report.payload is not None
        assert report.payload.signal == "SIGKILL"


def test_a_good_job_tells_what_it_used(local: Local) -> None:
    local.job["environment"]["PILOTEXT_STANDIN"] = "slow=0.02"
    ended = local.run()
    assert ended.status == 0, ended.stdout
    assert local.published() >= {MDST, HISTOGRAMS, "job.log.tgz"}
    usage = ended.report.usage
    assert usage.peak_memory_mb > 20
    assert usage.average_memory_mb > 5
    assert usage.peak_pss_mb > 0
    assert usage.read_mb > 0.4
    assert usage.peak_disk_mb > 0.4
    assert usage.least_free_mb is not None
    assert usage.samples >= len(usage.series.at_s) >= 3
    assert list(usage.series.cpu_s) == sorted(usage.series.cpu_s)
    assert ended.report.verdict.counters["events_written"] == EVENTS


def test_sigterm_is_the_default_again_for_a_program_of_the_payload(local: Local) -> None:
    local.bash("kill -TERM $$; echo still here")
    ended = local.run()
    assert ended.report.payload is not None
    assert ended.report.payload.signal == signal.Signals.SIGTERM.name


@pytest.mark.fault("payload", "work directory removed or renamed")
@pytest.mark.parametrize("script", ['rm -r "$PWD"', 'mv "$PWD" "$PWD.elsewhere"'])
def test_a_work_directory_that_is_taken_away_is_said_in_a_report_that_is_there(local: Local, script: str) -> None:
    local.bash(f"{script}; sleep 600")
    assert_failed(local, local.run(), "work-directory-unusable", "output-write", 66)
