"""The life of a job: prepare → stage-in → payload → classify → validate → stage-out → report.

Each step takes the run, writes what it learned into the ledger, and says whether the job may go on. Whatever happens,
the final report is written: after a step that failed, after an order to stop, and after a mistake of our own.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import shutil
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from pilotext.codes import Exit
from pilotext.errors import StorageError, UsageError
from pilotext.model import Finding, Job, Phase, Report
from pilotext.rules.schema import RuleSet
from pilotext.storage.retry import Policy
from pilotext.storage.stage_in import remove_leftovers, stage_in
from pilotext.storage.stage_out import Upload, stage_out
from pilotext.storage.transfer import Mover
from pilotext.worker import outputs
from pilotext.worker.archive import make_archive
from pilotext.worker.delivery import Delivery
from pilotext.worker.ledger import Ledger
from pilotext.worker.monitor import Monitor
from pilotext.worker.payload import STDERR_NAME, STDOUT_NAME, Payload, PayloadRefusedError
from pilotext.worker.scan import GuardedScan
from pilotext.worker.stop import StopSwitch, ToldToStop

TRACEBACK_NAME = "pilotext_traceback.txt"
SAMPLE_EVERY_S = 0.25
STOP_GRACE_S = 0.8
"""What the payload has between SIGTERM and SIGKILL when we are told to stop ourselves: the pilot leaves us 3 s."""

STOP_SCAN_S = 0.4
"""What is left then for the end of its logs."""

STOP_LOG_BYTES = 2_000_000
"""How much of them goes into the archive then: packing it takes a small part of a second."""


@dataclass(frozen=True)
class Run:
    """Everything a step of the job's life works with."""

    job: Job
    directory: Path
    ruleset: RuleSet
    mover: Mover
    policy: Policy
    switch: StopSwitch
    ledger: Ledger


Step = Callable[[Run], bool]


def run_job(
    job: Job,
    directory: Path,
    ruleset: RuleSet,
    *,
    mover: Mover,
    policy: Policy,
    switch: StopSwitch,
    warn: Callable[[str], None],
) -> Report:
    """Run one job in its work directory and return its final report, which is also on disk.

    `warn` gets the sentences that belong to no report, for example that a report could not be written. Raises
    UsageError, with nothing started, when the work directory cannot be used at all.
    """
    ledger = _begin(job, directory, ruleset, warn)
    run = Run(job, directory, ruleset, mover, policy, switch, ledger)
    try:
        _live(run)
    except ToldToStop as order:
        _stopped(run, order)
    except Exception as error:  # noqa: BLE001  the boundary: our own mistakes end in a report too
        _failed_ourselves(run, error)
    final = _end(run)
    ledger.close()
    if not ledger.written:  # the pilot reads the old report, so the status must not say anything better
        return replace(final, exit_status=int(Exit.INTERNAL))
    return final


def _live(run: Run) -> None:
    for phase, step in STEPS:
        run.ledger.enter(phase)
        run.switch.tick()
        well = step(run)
        run.ledger.leave(well=well)
        if not well:
            return


def _stopped(run: Run, order: ToldToStop) -> None:
    _note_order(run, order)
    run.ledger.leave(well=False)


def _note_order(run: Run, order: ToldToStop) -> None:
    if not any(finding.name == "told-to-stop" for finding in run.ledger.findings):
        text = f"{order.signal_name} came in phase {run.ledger.phase}"
        run.ledger.found(_finding(run, "told-to-stop", text, signal=order.signal_name))


def _failed_ourselves(run: Run, error: Exception) -> None:
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        run.ledger.found(_finding(run, "work-directory-unusable", text))
    else:
        with contextlib.suppress(OSError):  # the finding says enough where this cannot be written
            told = run.ledger.redactor.text("".join(traceback.format_exception(error)))
            (run.directory / TRACEBACK_NAME).write_text(told)
        run.ledger.found(_finding(run, "internal-error", text))
    run.ledger.leave(well=False)


def _end(run: Run) -> Report:
    """The final report first, since there may be little time; then the logs; then what became of them."""
    ledger = run.ledger
    ended_in = ledger.phase if ledger.phases[-1].outcome == "failed" else "report"
    ledger.phase = ended_in
    delivery = Delivery(run.job.report, os.environ)
    first = ledger.write_final()
    delivery.keep(first)
    ledger.begin("report")
    well = _deliver_logs(run, first)
    ledger.leave(well=well)
    ledger.phase = ended_in
    final = ledger.write_final()
    if problem := delivery.send(final, run.switch):
        ledger.found(_finding(run, "report-not-delivered", problem))
        final = ledger.write_final()
    return final


# ---------------------------------------------------------------------------------------------------------- the steps


def _begin(job: Job, directory: Path, ruleset: RuleSet, warn: Callable[[str], None]) -> Ledger:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return Ledger(job, directory, ruleset, warn)
    except OSError as error:
        advice = "Give another one with --workdir, or make room."
        raise UsageError(f"{directory}: this cannot be a work directory: {error.strerror}.", advice=advice) from None


def _prepare(run: Run) -> bool:
    """Is there room for the inputs, and nothing of an earlier attempt in the way of the outputs."""
    try:
        for name in (*(output.name for output in run.job.outputs), STDOUT_NAME, STDERR_NAME):
            (run.directory / name).unlink(missing_ok=True)
        remove_leftovers(run.directory)
    except OSError as error:
        text = f"{run.directory / name} is in the way and cannot be removed: {error.strerror}"
        run.ledger.found(_finding(run, "work-directory-unusable", text))
        return False
    needed = sum(file.size or 0 for file in run.job.inputs)
    free = shutil.disk_usage(run.directory).free
    if needed <= free:
        return True
    text = f"{run.directory}: the inputs need {needed} bytes, {free} are free"
    run.ledger.found(_finding(run, "work-directory-unusable", text, needed=needed, free=free))
    return False


def _stage_in(run: Run) -> bool:
    for file in run.job.inputs:
        try:
            transfer = stage_in(file, run.directory, run.mover, run.policy)
        except StorageError as error:
            run.ledger.tries = error.tries
            run.ledger.found(_finding(run, f"stage-in-{error.fault}", str(error), file=file.name))
            return False
        run.ledger.inputs = (*run.ledger.inputs, transfer)
    run.mover.close()  # nothing of it shall idle beside a payload of hours
    checked = outputs.check_inputs(run.job, run.directory, run.switch.tick)
    run.ledger.counters.update(checked.counters)
    run.ledger.found(*checked.findings)
    return not run.ledger.failed(checked.findings)


def _payload(run: Run) -> bool:
    """Run the program under watch; how it ended is judged by the next step."""
    streams = {"stdout": run.directory / STDOUT_NAME, "stderr": run.directory / STDERR_NAME}
    scan = GuardedScan(run.ruleset, run.job, streams)
    with Payload(run.job, run.directory, os.environ) as payload:
        try:
            payload.start(run.switch.tick)
        except PayloadRefusedError as refusal:
            run.ledger.found(_finding(run, refusal.finding, str(refusal)))
            return False
        scan_within_s = math.inf
        try:
            _watch(run, payload, scan)
        except ToldToStop as order:
            scan_within_s = STOP_SCAN_S
            _note_order(run, order)
            run.ledger.write_provisional()
            payload.stop(STOP_GRACE_S)
            payload.wait(2 * STOP_GRACE_S)
            raise
        finally:
            run.ledger.exit = payload.exit
            run.ledger.matches = scan.finish(scan_within_s)
            if scan.broken:
                run.ledger.found(_finding(run, "classifier-failed", scan.broken))
            run.ledger.usage = replace(run.ledger.usage, cpu_s=max(payload.cpu_s, run.ledger.usage.cpu_s))
    return True


def _watch(run: Run, payload: Payload, scan: GuardedScan) -> None:
    """Until the payload has ended: read its logs, sample its use, and end it when it passes a limit."""
    monitor = Monitor(run.job.limits, run.directory, payload.keeper_pid)
    stopping = False
    while not payload.wait(SAMPLE_EVERY_S):
        run.switch.tick()
        progress = scan.progress()
        passed = monitor.sample(progress.bytes, progress.counters)
        run.ledger.usage = monitor.usage
        if passed is not None and not stopping:
            stopping = True
            run.ledger.found(passed)
            run.ledger.write_provisional()  # the reason is on disk before the kill
            payload.stop(run.job.limits.grace_s)


def _classify(run: Run) -> bool:
    return run.ledger.verdict().verdict == "success"


def _validate(run: Run) -> bool:
    known = {**run.ledger.matches.counters, **run.ledger.counters}
    checked = outputs.check_outputs(run.job, run.directory, known, run.switch.tick)
    run.ledger.counters.update(checked.counters)
    run.ledger.found(*checked.findings)
    return not run.ledger.failed(checked.findings)


def _stage_out(run: Run) -> bool:
    uploads = [
        Upload(
            name=output.name,
            path=run.directory / output.name,
            destinations=output.destinations,
            published_name=output.published_name,
        )
        for output in run.job.outputs
        if output.destinations
    ]
    try:
        run.ledger.outputs = stage_out(
            uploads, tag=run.job.label, mover=run.mover, policy=run.policy, earlier=run.job.earlier_labels
        )
    except StorageError as error:
        run.ledger.tries = error.tries
        run.ledger.found(_finding(run, f"stage-out-{error.fault}", str(error)))
        return False
    return True


def _deliver_logs(run: Run, final: Report) -> bool:
    """The archive goes out for every job, good or bad; that it could not is no verdict on the job itself."""
    if run.job.log is None:
        return True
    room = run.job.log.max_bytes if run.switch.received is None else min(STOP_LOG_BYTES, run.job.log.max_bytes)
    try:
        path = make_archive(run.job, run.directory, final, run.ledger.redactor, room)
        upload = Upload(name=path.name, path=path, destinations=run.job.log.destinations, published_name=path.name)
        (run.ledger.log,) = stage_out([upload], tag=run.job.label, mover=run.mover, policy=run.policy)
    except (StorageError, OSError, ToldToStop) as error:
        run.ledger.found(_finding(run, "log-not-delivered", str(error)))
        return False
    return True


def _finding(run: Run, name: str, text: str, **fields: str | int | float) -> Finding:
    return Finding(name=name, text=text, phase=run.ledger.phase, fields=fields)


STEPS: tuple[tuple[Phase, Step], ...] = (
    ("prepare", _prepare),
    ("stage-in", _stage_in),
    ("payload", _payload),
    ("classify", _classify),
    ("validate", _validate),
    ("stage-out", _stage_out),
)
