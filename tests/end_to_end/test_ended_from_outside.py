"""Somebody ends the wrapper, politely or not: the report on disk is valid and true, nothing of the payload is left."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from tests.end_to_end.conftest import DUMP, HISTOGRAMS, MDST, Grid, read_report
from tests.support.processes import children_of, command_of, is_alive, processes_below

PHASES = ["prepare", "stage-in", "payload", "classify", "validate", "stage-out"]

# The command as it is, but for one phase that never ends.
ENDLESS_PHASE = """
import sys, time
from pilotext.cli.main import main
from pilotext.worker import lifecycle
endless = sys.argv.pop(1)
lifecycle.STEPS = tuple(
    (phase, (lambda run: time.sleep(600)) if phase == endless else step) for phase, step in lifecycle.STEPS
)
sys.exit(main())
"""


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 150
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def phase_on_disk(grid: Grid) -> str:
    path = grid.workdir / "jobReport.json"  # the last of the three to be written
    return str(json.loads(path.read_bytes())["pilotext"]["phase"]) if path.exists() else ""


@pytest.mark.parametrize("phase", [pytest.param(name, marks=pytest.mark.fault(name, "SIGKILL")) for name in PHASES])
def test_sigkill_in_any_phase_leaves_a_report_that_names_it(grid: Grid, phase: str) -> None:
    command = [sys.executable, "-P", "-c", ENDLESS_PHASE, phase, *grid.command()[4:]]
    wrapper = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: phase_on_disk(grid) == phase)
    wrapper.kill()
    wrapper.wait()
    report = read_report(grid.workdir)
    assert (report.state, report.phase) == ("running", phase)
    assert (report.verdict.code, report.verdict.cause) == ("COMPASS-5001", "killed")
    assert phase in report.verdict.evidence[0].text
    assert report.phases[-1].outcome == "running"
    assert grid.published() == {}


# The command as it is, but for a signal that comes when the job has ended and its report is written.
SIGNAL_AT_THE_END = """
import os, signal, sys
from pilotext.worker.stop_signals import hold
hold()
from pilotext.cli import run
from pilotext.cli.main import main
render = run.render
def late(report):
    os.kill(os.getpid(), signal.SIGTERM)
    return render(report)
run.render = late
sys.exit(main())
"""


def test_sigterm_after_the_end_changes_neither_report_nor_status(grid: Grid) -> None:
    command = [sys.executable, "-P", "-c", SIGNAL_AT_THE_END, *grid.command()[4:]]
    assert subprocess.run(command, capture_output=True, check=False, timeout=150).returncode == 0
    report = read_report(grid.workdir)
    assert (report.state, report.exit_status) == ("done", 0)


ENDLESS_DELIVERY = """
import sys, time
from pilotext.cli.main import main
from pilotext.worker import publishing
assert publishing.make_archive
publishing.make_archive = lambda *_: time.sleep(600)
sys.exit(main())
"""


@pytest.mark.fault("report", "SIGKILL")
def test_sigkill_while_the_logs_are_delivered_leaves_the_final_verdict(grid: Grid) -> None:
    command = [sys.executable, "-P", "-c", ENDLESS_DELIVERY, *grid.command()[4:]]
    wrapper = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: phase_on_disk(grid) == "report")
    wrapper.kill()
    wrapper.wait()
    report = read_report(grid.workdir)
    assert (report.state, report.phase, report.verdict.verdict) == ("done", "report", "success")
    assert set(grid.published()) == {MDST, HISTOGRAMS, DUMP}


def payload_of(grid: Grid) -> list[psutil.Process]:
    """The stand-in CORAL and the shells that run it, once they are there."""
    return [each for each in processes_below(grid.workdir) if "coral.exe" in " ".join(command_of(each))]


@pytest.mark.fault("payload", "SIGKILL with children that ignore SIGTERM")
def test_sigkill_while_the_payload_runs_leaves_no_process(grid: Grid) -> None:
    grid.job["environment"]["PILOTEXT_STANDIN"] = "ignore-term"
    wrapper = subprocess.Popen(grid.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: len(payload_of(grid)) >= 2)
    wrapper.kill()
    wrapper.wait()
    until(lambda: processes_below(grid.workdir) == [])
    assert read_report(grid.workdir).phase == "payload"


def test_a_second_run_after_a_sigkill_succeeds(grid: Grid) -> None:
    grid.job["environment"]["PILOTEXT_STANDIN"] = "hang"
    wrapper = subprocess.Popen(grid.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: payload_of(grid))
    wrapper.kill()
    wrapper.wait()
    grid.job["environment"]["PILOTEXT_STANDIN"] = ""
    assert grid.run().status == 0


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param("hang", marks=pytest.mark.fault("payload", "SIGTERM")),
        pytest.param("ignore-term", marks=pytest.mark.fault("payload", "SIGTERM with a payload that ignores it")),
    ],
)
def test_sigterm_ends_the_payload_and_the_final_report_says_so(grid: Grid, mode: str) -> None:
    grid.job["environment"]["PILOTEXT_STANDIN"] = mode
    wrapper = subprocess.Popen(grid.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: payload_of(grid))
    wrapper.send_signal(signal.SIGTERM)
    stdout, stderr = wrapper.communicate(timeout=60)
    ended = grid.ended(wrapper.returncode, stdout, stderr)
    assert ended.status == 69
    assert (ended.report.state, ended.report.phase) == ("failed", "payload")
    assert (ended.report.verdict.code, ended.report.verdict.cause) == ("COMPASS-5011", "evicted")
    assert "SIGTERM" in ended.report.verdict.evidence[0].text
    assert processes_below(grid.workdir) == []
    assert set(grid.published()) == {"job.log.tgz"}


@pytest.mark.fault("stage-out", "SIGTERM")
def test_sigterm_during_stage_out_takes_back_what_was_uploaded(grid: Grid) -> None:
    grid.job["limits"] |= {"transfer_stall_s": 60}
    grid.job["log"] = None
    grid.eos.kill(signal.SIGSTOP)
    wrapper = subprocess.Popen(grid.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: phase_on_disk(grid) == "stage-out")
    until(lambda: children_of(psutil.Process(wrapper.pid), recursive=True))
    uploads = children_of(psutil.Process(wrapper.pid), recursive=True)
    wrapper.send_signal(signal.SIGTERM)
    until(lambda: not any(map(is_alive, uploads)))
    grid.eos.kill(signal.SIGCONT)
    stdout, stderr = wrapper.communicate(timeout=60)
    ended = grid.ended(wrapper.returncode, stdout, stderr)
    assert ended.status == 69
    assert ended.report.verdict.code == "COMPASS-5011"
    assert [name for name in grid.published() if not name.endswith(".part")] == []
