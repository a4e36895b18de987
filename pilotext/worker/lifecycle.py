"""The life of a job: prepare → stage-in → payload → classify → validate → stage-out → report.

Each step takes the context, adds its results to the report, and returns whether the job may go on. Whatever happens,
the final report is written: after a step that failed, after an order to stop, and after an error of our own.
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
from pilotext.model.log_index import STDERR_NAME, STDOUT_NAME
from pilotext.model.report import Report
from pilotext.model.verdict import Phase
from pilotext.rules.schema import RuleSet
from pilotext.storage.retry import Policy
from pilotext.storage.stage_in import remove_leftovers, stage_in
from pilotext.storage.transfer import Mover
from pilotext.worker import validation as outputs
from pilotext.worker.budget import Budget
from pilotext.worker.context import JobContext
from pilotext.worker.delivery import Delivery
from pilotext.worker.kept import Keeping
from pilotext.worker.log_archive import TRACEBACK_NAME
from pilotext.worker.own_files import replace_file
from pilotext.worker.payload.cores import discard_cores
from pilotext.worker.payload.running import run_payload
from pilotext.worker.permission import Ask, server_asker
from pilotext.worker.publishing import deliver_logs, publish_outputs
from pilotext.worker.report_builder import ReportBuilder
from pilotext.worker.stop_signals import OutOfTime, StopSwitch, ToldToStop

Step = Callable[[JobContext], bool]


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
    ask: Ask | None = None,
) -> Report:
    """Run one job in its work directory and return its final report, which is also on disk.

    `warn` gets the sentences that belong to no report, for example that a report could not be written; `tell` every
    report, as soon as it was written. Outputs whose storage is away are kept as `keeping` says. `ask` asks for the
    permission to publish where the job names no server for that. Raises UsageError, with nothing started, when the work
    directory cannot be used at all.
    """
    budget = Budget(job)
    report = _begin(job, directory, ruleset, warn, tell)
    delivery = Delivery(job.report, os.environ)
    ask = server_asker(job.report, "stage-out") or ask
    context = JobContext(job, directory, ruleset, mover, policy, switch, report, budget, delivery, keeping, ask)
    try:
        _live(context)
    except OutOfTime:
        _late(context)
    except ToldToStop as order:
        context.note_order(order.signal_name)
        context.report.leave(well=False)
    except Exception as error:  # noqa: BLE001  the boundary: our own mistakes end in a report too
        _failed_ourselves(context, error)
    final = _end(context)
    report.close()
    return final


def _live(context: JobContext) -> None:
    for phase, step in STEPS:
        context.report.enter(phase)
        context.switch.deadline = context.budget.deadline(phase)
        context.switch.tick()
        well = step(context)
        context.report.leave(well=well)
        if not well:
            return


def _late(context: JobContext) -> None:
    if not any(finding.name == "limit-wall" for finding in context.report.findings):
        context.report.found(context.budget.exceeded(context.report.phase))
    context.report.leave(well=False)


def _failed_ourselves(context: JobContext, error: Exception) -> None:
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
    if not context.directory.is_dir():
        text = f"{context.directory} was removed or renamed in phase {context.report.phase}"
        context.report.found(context.finding("work-directory-unusable", text))
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        context.report.found(context.finding("work-directory-unusable", text))
    else:
        with contextlib.suppress(OSError):  # the finding says enough where this cannot be written
            told = context.report.redactor.text("".join(traceback.format_exception(error)))
            replace_file(context.directory / TRACEBACK_NAME, told.encode(errors="backslashreplace"))
        context.report.found(context.finding("internal-error", text))
    context.report.leave(well=False)


def _end(context: JobContext) -> Report:
    """The final report first, since there may be little time; then the logs; then what became of them."""
    report = context.report
    ended_in = report.phase if report.phases[-1].outcome == "failed" else "report"
    report.phase = ended_in
    # Of kept outputs nothing is said yet: whoever publishes them reports what became of the job.
    delivery = context.delivery if report.kept is None else Delivery(None, os.environ)
    first = report.write_final()
    delivery.keep(first)
    if context.switch.received is not None:
        delivery.send_at_once(first)
    report.begin("report")
    context.switch.deadline = context.budget.deadline("report")
    well = deliver_logs(context, first)
    report.leave(well=well)
    report.phase = ended_in
    final = report.write_final()
    if not report.written:
        final = _unwritten(context)
    if problem := delivery.send(final, context.switch):
        report.found(context.finding("report-not-delivered", problem))
        final = report.write_final() if report.written else _unwritten(context)
    return final


def _unwritten(context: JobContext) -> Report:
    """The final report where the one on disk, which the pilot reads, could not be replaced.

    The job is a failure there, so neither its status nor what the server gets may say anything better.
    """
    if context.report.verdict().verdict == "success":
        text = f"{context.directory}: the report there could not be replaced by the last one"
        context.report.found(context.finding("report-not-written", text))
    final = context.report.write_final()
    return final if context.report.written else replace(final, exit_status=int(Exit.INTERNAL))


# ---------------------------------------------------------------------------------------------------------- the steps


def _begin(
    job: Job,
    directory: Path,
    ruleset: RuleSet,
    warn: Callable[[str], None],
    tell: Callable[[Report], None] | None,
) -> ReportBuilder:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return ReportBuilder(job, directory, ruleset, warn, tell)
    except OSError as error:
        advice = "Give another one with --workdir, or make room."
        raise UsageError(f"{directory}: this cannot be a work directory: {error.strerror}.", advice=advice) from None


def _prepare(context: JobContext) -> bool:
    """Remove what earlier attempts left in the way of the outputs, and check that there is room for the inputs."""
    try:
        for name in (*(output.name for output in context.job.outputs), STDOUT_NAME, STDERR_NAME):
            (context.directory / name).unlink(missing_ok=True)
        remove_leftovers(context.directory)
        discard_cores(context.directory)
    except OSError as error:
        text = f"{context.directory / name} is in the way and cannot be removed: {error.strerror}"
        context.report.found(context.finding("work-directory-unusable", text))
        return False
    needed = sum(file.size or 0 for file in context.job.inputs)
    free = shutil.disk_usage(context.directory).free
    if needed <= free:
        return True
    text = f"{context.directory}: the inputs need {needed} bytes, {free} are free"
    context.report.found(context.finding("work-directory-unusable", text, needed=needed, free=free))
    return False


def _stage_in(context: JobContext) -> bool:
    for file in context.job.inputs:
        try:
            online_within_s = min(context.policy.online_within_s, context.budget.tape_s())
            policy = replace(context.policy, online_within_s=online_within_s)
            transfer = stage_in(file, context.directory, context.mover, policy)
        except StorageError as error:
            context.report.tries = error.tries
            context.silent.update(error.silent)
            context.report.found(context.finding(f"stage-in-{error.fault}", str(error), file=file.name))
            return False
        context.report.inputs = (*context.report.inputs, transfer)
    context.mover.close()  # nothing of it must idle beside a payload of hours
    checked = outputs.check_inputs(context.job, context.ruleset.checks, context.directory, context.switch.tick)
    context.report.counters.update(checked.counters)
    context.report.found(*checked.findings)
    return not context.report.failed(checked.findings)


def _classify(context: JobContext) -> bool:
    return context.report.verdict().verdict == "success"


def _validate(context: JobContext) -> bool:
    known = {**context.report.matches.counters, **context.report.counters}
    checks = context.ruleset.checks
    checked = outputs.check_outputs(context.job, checks, context.directory, known, context.switch.tick)
    context.report.counters.update(checked.counters)
    context.report.found(*checked.findings)
    return not context.report.failed(checked.findings)


STEPS: tuple[tuple[Phase, Step], ...] = (
    ("prepare", _prepare),
    ("stage-in", _stage_in),
    ("payload", run_payload),
    ("classify", _classify),
    ("validate", _validate),
    ("stage-out", publish_outputs),
)
