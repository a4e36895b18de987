"""The life of a job, with real programs and storage in memory."""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pilotext.classify import LogScan
from pilotext.errors import DeniedError, NoSpaceError, StorageError
from pilotext.model.report import Report
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import RuleSet
from pilotext.storage import registry
from pilotext.storage.memory import MemoryStorage
from pilotext.storage.retry import Policy
from pilotext.storage.transfer import InProcessMover
from pilotext.worker import report_files as reports
from pilotext.worker import validation as outputs
from pilotext.worker.lifecycle import run_job
from pilotext.worker.stop_signals import StopSwitch
from tests.support.jobs import make_job

INPUT = {"name": "in.dat", "sources": ["memory://castor/in.dat"]}
OUTPUT = {"name": "out.dat", "destinations": ["memory://eos/out/"]}
COPY = ["/bin/cp", "in.dat", "out.dat"]

Runner = Callable[..., Report]


@pytest.fixture(scope="module")
def ruleset() -> RuleSet:
    return load_rules("COMPASS")


@pytest.fixture
def memory() -> Iterator[MemoryStorage]:
    storage = MemoryStorage()
    registry.register("memory", storage)
    storage.files["memory://castor/in.dat"] = b"raw bytes"
    yield storage
    registry.unregister("memory")


@pytest.fixture
def run(tmp_path: Path, ruleset: RuleSet, memory: MemoryStorage) -> Runner:
    def run(*, switch: StopSwitch | None = None, warn: Callable[[str], None] = pytest.fail, **fields: Any) -> Report:
        switch = switch or StopSwitch()
        return run_job(
            make_job(**fields),
            tmp_path,
            ruleset,
            mover=InProcessMover(switch.tick),
            policy=Policy(tries=2, first_wait_s=0),
            switch=switch,
            warn=warn,
        )

    return run


def outcomes(report: Report) -> dict[str, str]:
    return {phase.name: phase.outcome for phase in report.phases}


def test_a_good_job_passes_every_phase(run: Runner, memory: MemoryStorage) -> None:
    report = run(command=COPY, inputs=[INPUT], outputs=[OUTPUT])
    assert report.exit_status == 0
    assert set(outcomes(report).values()) == {"done"}
    assert memory.files["memory://eos/out/out.dat"] == b"raw bytes"


def test_a_failed_payload_skips_what_follows_but_not_its_logs(run: Runner, memory: MemoryStorage) -> None:
    log = {"destinations": ["memory://eos/logs/"], "name": "log.tgz"}
    report = run(command=["/bin/false"], inputs=[INPUT], outputs=[OUTPUT], log=log)
    assert report.exit_status == 66
    assert outcomes(report) == {
        "prepare": "done",
        "stage-in": "done",
        "payload": "done",
        "classify": "failed",
        "report": "done",
    }
    assert set(memory.files) == {"memory://castor/in.dat", "memory://eos/logs/log.tgz"}


def test_a_missing_output_is_a_failure_of_the_validation(run: Runner) -> None:
    report = run(outputs=[OUTPUT])
    assert (report.exit_status, report.verdict.rule) == (67, "output-missing")


@pytest.mark.parametrize(
    ("operation", "error", "status", "rule"),
    [
        ("get", DeniedError("memory://castor/in.dat", "no"), 65, "stage-in-denied"),
        ("put", NoSpaceError("memory://eos/out/.out.dat.test-1-1.part", "full"), 68, "stage-out-no-space"),
    ],
)
def test_a_storage_error_names_its_phase_and_class(
    run: Runner, memory: MemoryStorage, *, operation: str, error: StorageError, status: int, rule: str
) -> None:
    memory.fail_next(operation, error)
    report = run(command=COPY, inputs=[INPUT], outputs=[OUTPUT])
    assert (report.exit_status, report.verdict.rule) == (status, rule)
    assert "memory://eos/out/out.dat" not in memory.files


def test_too_little_room_is_seen_before_anything_is_copied(run: Runner) -> None:
    report = run(inputs=[{**INPUT, "size": 10**18}])
    assert (report.exit_status, report.verdict.rule) == (65, "work-directory-unusable")
    assert outcomes(report)["prepare"] == "failed"


def test_a_program_that_is_not_there_is_a_failure_of_the_payload(run: Runner) -> None:
    report = run(command=["/nowhere/coral.exe"])
    assert (report.exit_status, report.verdict.rule) == (66, "payload-not-found")
    assert "/nowhere/coral.exe" in report.verdict.diag


def test_leftovers_of_an_earlier_attempt_are_not_taken_for_outputs(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "out.dat").write_text("of yesterday")
    assert run(outputs=[OUTPUT]).verdict.rule == "output-missing"


def test_something_in_the_way_of_an_output_is_said_before_the_payload_runs(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "out.dat").mkdir()
    report = run(outputs=[OUTPUT])
    assert (report.exit_status, report.verdict.rule, report.payload) == (65, "work-directory-unusable", None)
    assert "out.dat is in the way" in report.verdict.diag


def test_an_order_to_stop_ends_the_job_in_the_next_phase(run: Runner) -> None:
    switch = StopSwitch()
    switch.received = "SIGTERM"
    report = run(switch=switch)
    assert (report.exit_status, report.verdict.rule, report.phase) == (69, "evicted", "prepare")


def test_a_mistake_of_our_own_ends_in_a_report_too(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(outputs, "check_inputs", broken)
    report = run()
    assert (report.exit_status, report.verdict.rule) == (70, "internal-error")
    assert "ZeroDivisionError: a bug" in report.verdict.evidence[0].text
    assert "ZeroDivisionError" in (tmp_path / "pilotext_traceback.txt").read_text()


def test_a_classifier_that_fails_is_not_taken_for_a_verdict_on_the_job(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = LogScan.finish

    def broken(self: LogScan, within_s: float = math.inf) -> None:
        finish(self, within_s)  # it closes the streams
        raise ZeroDivisionError("a bug in the classifier")

    monkeypatch.setattr(LogScan, "finish", broken)
    report = run()
    assert (report.verdict.verdict, report.verdict.rule) == ("unknown", "classifier-failed")
    assert report.payload is not None
    assert report.payload.code == 0, "how the program ended is known all the same"


def test_a_full_disk_still_has_room_for_the_report(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = reports.write

    def full_but_for_the_reserve(report: Report, directory: Path) -> None:
        if report.state != "running" and (directory / ".pilotext.reserve").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        write(report, directory)

    monkeypatch.setattr(reports, "write", full_but_for_the_reserve)
    assert run().exit_status == 0
    assert json.loads((tmp_path / "job.report.json").read_bytes())["state"] == "done"


def test_a_job_whose_final_report_cannot_be_written_is_never_called_good(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    warnings: list[str] = []
    monkeypatch.setattr(reports, "write", full)
    assert run(warn=warnings.append).exit_status == 70, "the pilot reads the files, and they are out of date"
    assert "No space left on device" in warnings[0]


def test_nothing_of_our_own_stays_in_the_work_directory_but_logs_and_reports(run: Runner, tmp_path: Path) -> None:
    (tmp_path / ".stage-in-killed").mkdir()
    run()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {*reports.REPORT_NAMES, "payload_stdout.txt", "payload_stderr.txt"}


def test_a_law_that_does_not_hold_is_a_failure_of_the_validation(run: Runner) -> None:
    report = run(law="raw_events == 0")
    assert report.exit_status == 67
    assert report.verdict.rule == "law-broken"
    assert "raw_events" in report.verdict.evidence[0].text
