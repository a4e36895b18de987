"""SIGKILL to the wrapper at random moments of a job that has children, and orders to stop at the worst of moments."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pilotext.model.report import Report
from pilotext.serialization.json import from_json
from tests.end_to_end.conftest import DUMP, HISTOGRAMS, MDST
from tests.end_to_end.local import Local, local
from tests.end_to_end.test_payload_faults import CORAL, until
from tests.support.jobs import CHECKOUT
from tests.support.processes import is_alive, processes_below, slowness

__all__ = ["local"]

MOMENTS = 50 if os.environ.get("PILOTEXT_SOAK") else 8
PROMISED_S = 2.0
"""It takes some hundredths of a second: the kernel ends what is tied to the wrapper, the subreaper ends the payload."""

CHILDREN = "(trap '' TERM; exec setsid sleep 600) & (setsid setsid sleep 600 &); sleep 600 & exec \"$@\""
"""Before the program itself, it leaves a child that ignores SIGTERM, one that has no parent, and an ordinary one."""


@pytest.mark.fault("any", "SIGKILL at a random moment of a job with children")
@pytest.mark.parametrize("moment", range(MOMENTS))
def test_sigkill_at_a_random_moment_leaves_a_report_and_no_process(local: Local, moment: int) -> None:
    local.job["command"] = ["/bin/bash", "-c", CHILDREN, "bash", *CORAL]
    local.job["environment"]["PILOTEXT_STANDIN"] = "slow=0.01"
    began = time.monotonic()
    assert local.run().status == 0
    lasts_s = time.monotonic() - began
    local.job["attempt"] += 1
    for name in ("job.report.json", "jobReport.json", "payload_error_report.json"):
        (local.workdir / name).unlink()

    wrapper = local.start()
    chance = random.Random(moment)
    until((local.workdir / "jobReport.json").exists)
    time.sleep(lasts_s * (moment + chance.random()) / MOMENTS * 0.9)
    below = psutil.Process(wrapper.pid).children(recursive=True) if wrapper.poll() is None else []
    killed = time.monotonic()
    wrapper.kill()
    until(lambda: not any(map(is_alive, below)) and not processes_below(local.folder))
    gone_s = time.monotonic() - killed
    wrapper.communicate()
    print(f"moment {moment}: {len(below)} processes, the last was gone after {gone_s:.2f} s")
    assert gone_s < PROMISED_S * slowness()

    report = from_json((local.workdir / "job.report.json").read_bytes(), Report)
    for name in ("payload_error_report.json", "jobReport.json"):
        assert json.loads((local.workdir / name).read_bytes())
    assert report.phases[-1].name == report.phase or report.state == "done"
    if report.state == "running":
        assert report.verdict.code == "COMPASS-5001"
        assert report.phase in report.verdict.evidence[0].text

    local.job["attempt"] += 1
    again = local.run()
    assert again.status == 0, again.stdout
    assert {name for name in local.published() if not name.startswith(".")} == {MDST, HISTOGRAMS, DUMP, "job.log.tgz"}
    assert not list(local.workdir.glob(".stage-in-*"))


def launched(local: Local, command: Path = CHECKOUT / "bin/pilotext") -> subprocess.Popen[bytes]:
    """The job by bin/pilotext, as a pilot starts it."""
    words = [str(command), *local.command()[4:]]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


def runs_python(pid: int) -> bool:
    return b"pilotext\0run" in Path(f"/proc/{pid}/cmdline").read_bytes() and (
        "python" in Path(f"/proc/{pid}/exe").resolve().name
    )


def with_slow_python(folder: Path) -> Path:
    """Return bin/pilotext of a checkout whose Python makes the file `begun` and starts when there is a file `go`."""
    command, python = folder / "bin/pilotext", folder / ".venv/bin/python"
    for path in (command, python):
        path.parent.mkdir(parents=True)
    shutil.copy(CHECKOUT / "bin/pilotext", command)
    wait = f"touch {folder}/begun; while [ ! -e {folder}/go ]; do sleep 0.01; done"
    python.write_text(f'#!/bin/bash\n{wait}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return command


@pytest.mark.fault("prepare", "SIGTERM while Python starts")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_an_order_to_stop_that_comes_while_python_starts_ends_in_a_report(
    local: Local, tmp_path: Path, number: signal.Signals
) -> None:
    checkout = tmp_path / "slow"
    wrapper = launched(local, with_slow_python(checkout))
    until((checkout / "begun").exists)
    wrapper.send_signal(number)
    (checkout / "go").touch()
    ended = local.end(wrapper)
    rule = "evicted" if number == signal.SIGTERM else "told-to-stop"
    assert (ended.status, ended.report.verdict.rule) == (69, rule)
    assert ended.report.payload is None
    assert ended.report.state == "failed"


@pytest.mark.fault("prepare", "SIGTERM before Python starts")
@pytest.mark.parametrize("whole_group", [False, True])
def test_an_order_to_stop_that_comes_before_python_starts_ends_in_a_report(
    local: Local, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_group: bool
) -> None:
    """On a busy node the shell that starts Python takes a tenth of a second and more. Here its first command waits."""
    slow = tmp_path / "bin/readlink"
    slow.parent.mkdir()
    slow.write_text(
        f"#!/bin/bash\nif mkdir {tmp_path}/begun 2>/dev/null; then sleep 1; fi\nexec /usr/bin/readlink $@\n"
    )
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    wrapper = launched(local)
    until((tmp_path / "begun").exists)
    (os.killpg if whole_group else os.kill)(wrapper.pid, signal.SIGTERM)
    ended = local.end(wrapper)
    assert (ended.status, ended.report.verdict.rule, ended.report.payload) == (69, "evicted", None)


def test_an_order_to_stop_before_the_job_is_known_is_said_and_no_report_is_left(local: Local) -> None:
    with subprocess.Popen(
        [str(CHECKOUT / "bin/pilotext"), "run", "--job-url", "http://192.0.2.1/job", "--workdir", str(local.workdir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as wrapper:
        until(lambda: runs_python(wrapper.pid))
        wrapper.terminate()
        _, stderr = wrapper.communicate(timeout=60)
    assert wrapper.returncode == 69 or b"cannot be fetched" in stderr
    assert not (local.workdir / "job.report.json").exists()


@pytest.mark.fault("classify", "SIGTERM with 64 GB of fresh log")
def test_a_long_fresh_log_does_not_delay_the_final_report(local: Local) -> None:
    """The log has holes, so that it costs no disk; to read it all would take minutes."""
    local.bash("truncate -s 64G payload_stdout.txt; echo done > ready; sleep 600")
    del local.job["log"]
    wrapper = local.start()
    until((local.workdir / "ready").exists)
    began = time.monotonic()
    wrapper.terminate()
    ended = local.end(wrapper)
    print(f"final report and exit {time.monotonic() - began:.2f} s after SIGTERM")
    assert time.monotonic() - began < 30
    assert (ended.status, ended.report.verdict.rule) == (69, "evicted")


@pytest.mark.fault("classify", "SIGTERM after the payload, with 64 GB of log unread")
def test_an_order_to_stop_does_not_wait_until_a_long_log_is_read(local: Local) -> None:
    local.bash("truncate -s 64G payload_stdout.txt; echo done > ready")
    del local.job["log"]
    wrapper = local.start()
    until(lambda: (local.workdir / "ready").exists() and not processes_below(local.workdir))
    time.sleep(0.5)
    began = time.monotonic()
    wrapper.terminate()
    ended = local.end(wrapper)
    assert time.monotonic() - began < 30
    assert (ended.status, ended.report.verdict.rule) == (69, "evicted")
