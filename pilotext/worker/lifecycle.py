"""The life of a job: prepare → stage-in → payload → classify → validate → stage-out → report.

Each step takes the run, writes what it learned into the ledger, and says whether the job may go on. Whatever happens,
the final report is written: after a step that failed, after an order to stop, and after a mistake of our own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from pilotext.errors import StorageError, UsageError
from pilotext.model.codes import Exit
from pilotext.model.job import Job
from pilotext.model.report import Report
from pilotext.model.verdict import Phase
from pilotext.rules.schema import RuleSet
from pilotext.storage.retry import Policy
from pilotext.storage.stage_in import remove_leftovers, stage_in
from pilotext.storage.transfer import Mover
from pilotext.worker import outputs
from pilotext.worker.archive import TRACEBACK_NAME
from pilotext.worker.budget import Budget
from pilotext.worker.context import Run
from pilotext.worker.cores import discard_cores
from pilotext.worker.delivery import Delivery
from pilotext.worker.kept import Keeping
from pilotext.worker.ledger import Ledger
from pilotext.worker.own_files import replace_file
from pilotext.worker.payload import STDERR_NAME, STDOUT_NAME
from pilotext.worker.publishing import deliver_logs, publish_outputs
from pilotext.worker.running import run_payload
from pilotext.worker.stop import OutOfTime, StopSwitch, ToldToStop

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
    tell: Callable[[Report], None] | None = None,
    keeping: Keeping | None = None,
) -> Report:
    """Run one job in its work directory and return its final report, which is also on disk.

    `warn` gets the sentences that belong to no report, for example that a report could not be written; `tell` every
    report, as soon as it was written. Outputs whose storage is away are kept as `keeping` says. Raises UsageError, with
    nothing started, when the work directory cannot be used at all.
    """
    budget = Budget(job)
    ledger = _begin(job, directory, ruleset, warn, tell)
    delivery = Delivery(job.report, os.environ)
    run = Run(job, directory, ruleset, mover, policy, switch, ledger, budget, delivery, keeping)
    try:
        _live(run)
    except OutOfTime:
        _late(run)
    except ToldToStop as order:
        run.note_order(order.signal_name)
        run.ledger.leave(well=False)
    except Exception as error:  # noqa: BLE001  the boundary: our own mistakes end in a report too
        _failed_ourselves(run, error)
    final = _end(run)
    ledger.close()
    return final


def _live(run: Run) -> None:
    for phase, step in STEPS:
        run.ledger.enter(phase)
        run.switch.deadline = run.budget.deadline(phase)
        run.switch.tick()
        well = step(run)
        run.ledger.leave(well=well)
        if not well:
            return


def _late(run: Run) -> None:
    if not any(finding.name == "limit-wall" for finding in run.ledger.findings):
        run.ledger.found(run.budget.exceeded(run.ledger.phase))
    run.ledger.leave(well=False)


def _failed_ourselves(run: Run, error: Exception) -> None:
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
    if not run.directory.is_dir():
        text = f"{run.directory} was removed or renamed in phase {run.ledger.phase}"
        run.ledger.found(run.finding("work-directory-unusable", text))
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        run.ledger.found(run.finding("work-directory-unusable", text))
    else:
        with contextlib.suppress(OSError):  # the finding says enough where this cannot be written
            told = run.ledger.redactor.text("".join(traceback.format_exception(error)))
            replace_file(run.directory / TRACEBACK_NAME, told.encode(errors="backslashreplace"))
        run.ledger.found(run.finding("internal-error", text))
    run.ledger.leave(well=False)


def _end(run: Run) -> Report:
    """The final report first, since there may be little time; then the logs; then what became of them."""
    ledger = run.ledger
    ended_in = ledger.phase if ledger.phases[-1].outcome == "failed" else "report"
    ledger.phase = ended_in
    # Of kept outputs nothing is said yet: whoever publishes them reports what became of the job.
    delivery = run.delivery if ledger.kept is None else Delivery(None, os.environ)
    first = ledger.write_final()
    delivery.keep(first)
    if run.switch.received is not None:
        delivery.send_at_once(first)
    ledger.begin("report")
    run.switch.deadline = run.budget.deadline("report")
    well = deliver_logs(run, first)
    ledger.leave(well=well)
    ledger.phase = ended_in
    final = ledger.write_final()
    if not ledger.written:
        final = _unwritten(run)
    if problem := delivery.send(final, run.switch):
        ledger.found(run.finding("report-not-delivered", problem))
        final = ledger.write_final() if ledger.written else _unwritten(run)
    return final


def _unwritten(run: Run) -> Report:
    """The final report where the one on disk, which the pilot reads, could not be replaced.

    The job is a failure there, so neither its status nor what the server gets may say anything better.
    """
    if run.ledger.verdict().verdict == "success":
        text = f"{run.directory}: the report there could not be replaced by the last one"
        run.ledger.found(run.finding("report-not-written", text))
    final = run.ledger.write_final()
    return final if run.ledger.written else replace(final, exit_status=int(Exit.INTERNAL))


# ---------------------------------------------------------------------------------------------------------- the steps


def _begin(
    job: Job,
    directory: Path,
    ruleset: RuleSet,
    warn: Callable[[str], None],
    tell: Callable[[Report], None] | None,
) -> Ledger:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return Ledger(job, directory, ruleset, warn, tell)
    except OSError as error:
        advice = "Give another one with --workdir, or make room."
        raise UsageError(f"{directory}: this cannot be a work directory: {error.strerror}.", advice=advice) from None


def _prepare(run: Run) -> bool:
    """Is there room for the inputs, and nothing of an earlier attempt in the way of the outputs."""
    try:
        for name in (*(output.name for output in run.job.outputs), STDOUT_NAME, STDERR_NAME):
            (run.directory / name).unlink(missing_ok=True)
        remove_leftovers(run.directory)
        discard_cores(run.directory)
    except OSError as error:
        text = f"{run.directory / name} is in the way and cannot be removed: {error.strerror}"
        run.ledger.found(run.finding("work-directory-unusable", text))
        return False
    needed = sum(file.size or 0 for file in run.job.inputs)
    free = shutil.disk_usage(run.directory).free
    if needed <= free:
        return True
    text = f"{run.directory}: the inputs need {needed} bytes, {free} are free"
    run.ledger.found(run.finding("work-directory-unusable", text, needed=needed, free=free))
    return False


def _stage_in(run: Run) -> bool:
    for file in run.job.inputs:
        try:
            online_within_s = min(run.policy.online_within_s, run.budget.tape_s())
            policy = replace(run.policy, online_within_s=online_within_s)
            transfer = stage_in(file, run.directory, run.mover, policy)
        except StorageError as error:
            run.ledger.tries = error.tries
            run.silent.update(error.silent)
            run.ledger.found(run.finding(f"stage-in-{error.fault}", str(error), file=file.name))
            return False
        run.ledger.inputs = (*run.ledger.inputs, transfer)
    run.mover.close()  # nothing of it shall idle beside a payload of hours
    checked = outputs.check_inputs(run.job, run.directory, run.switch.tick)
    run.ledger.counters.update(checked.counters)
    run.ledger.found(*checked.findings)
    return not run.ledger.failed(checked.findings)


def _classify(run: Run) -> bool:
    return run.ledger.verdict().verdict == "success"


def _validate(run: Run) -> bool:
    known = {**run.ledger.matches.counters, **run.ledger.counters}
    checked = outputs.check_outputs(run.job, run.directory, known, run.switch.tick)
    run.ledger.counters.update(checked.counters)
    run.ledger.found(*checked.findings)
    return not run.ledger.failed(checked.findings)


STEPS: tuple[tuple[Phase, Step], ...] = (
    ("prepare", _prepare),
    ("stage-in", _stage_in),
    ("payload", run_payload),
    ("classify", _classify),
    ("validate", _validate),
    ("stage-out", publish_outputs),
)
