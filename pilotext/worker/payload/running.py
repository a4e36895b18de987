"""The phase of the payload: run its programs under watch, end them when a limit is passed, and account for them."""

from __future__ import annotations

import contextlib
import os
import time

from pilotext.environment import for_payload
from pilotext.formatting import counted_words
from pilotext.model.log_index import STDERR_NAME, STDOUT_NAME
from pilotext.model.verdict import Finding
from pilotext.worker.context import JobContext
from pilotext.worker.monitoring.disk_usage import why_full
from pilotext.worker.monitoring.monitor import Monitor
from pilotext.worker.payload.cores import take_cores
from pilotext.worker.payload.log_scan import GuardedScan
from pilotext.worker.payload.process import Payload, PayloadRefusedError
from pilotext.worker.stop_signals import OutOfTime, ToldToStop

SAMPLE_EVERY_S = 0.25
STOP_GRACE_S = 0.8
"""Time between SIGTERM and SIGKILL when the wrapper itself has to stop: the pilot leaves 3 s."""

STOP_SCAN_S = 0.4
"""Time for the end of its logs in that case."""

FULL_BELOW_MB = 0.1
"""With so little free space while the program ran, its failure is one of the disk."""

SOFT_LIMITS = ("limit-wall", "limit-cpu")
"""Limits that leave the time for a soft stop; a payload that fills memory or disk must end at once."""


def run_payload(context: JobContext) -> bool:
    """Run the programs; how they ended is judged by the next step. False if one of them could not be started."""
    streams = {"stdout": context.directory / STDOUT_NAME, "stderr": context.directory / STDERR_NAME}
    scan = GuardedScan(context.ruleset, context.job, streams)
    environment = {**for_payload(os.environ, context.job.credentials), **context.budget.environment()}
    with Payload(context.job, context.directory, environment, context.budget.finish) as payload:
        monitor = Monitor(
            context.job.limits,
            context.directory,
            payload.subreaper_pid,
            wall_s=context.budget.payload_s(),
            outputs=[*streams.values(), *(context.directory / output.name for output in context.job.outputs)],
            group=payload.group,
        )
        try:
            _live(context, payload, scan, monitor)
        except PayloadRefusedError as refusal:
            context.report.found(context.finding(refusal.finding, str(refusal)))
            return False
        except ToldToStop as order:
            _obey(context, order, payload)
            scan.finish(STOP_SCAN_S)
            raise
        finally:
            _account(context, payload, scan, monitor)
    return True


def _live(context: JobContext, payload: Payload, scan: GuardedScan, monitor: Monitor) -> None:
    payload.start(context.switch.tick)
    context.switch.deadline = None  # from here on the monitor watches the time, and says what was used
    stopped = _watch(context, payload, scan, monitor)
    context.switch.deadline = context.budget.deadline("classify")
    scan.catch_up(context.switch.tick)
    if payload.left_behind and not stopped and not payload.stuck:
        left = counted_words(payload.left_behind, "process", "was")
        text = f"{left} still there when the program had ended; the wrapper ended what was left"
        context.report.found(context.finding("processes-left-behind", text, processes=payload.left_behind))
    if not stopped:
        _look_for_full_disk(context, payload)
    keep = context.job.cores == "keep"
    context.report.found(*take_cores(context.directory, keep=keep, trace=True, tick=context.switch.tick))


def _look_for_full_disk(context: JobContext, payload: Payload) -> None:
    """A program that cannot write loses the words with which it would say so, or notices nothing at all."""
    failed = payload.exit is not None and payload.exit.code != 0
    least_free_mb = context.report.usage.least_free_mb
    if why := why_full(context.directory):
        context.report.found(context.finding("disk-full", f"{context.directory}: {why}, when the program had ended"))
    elif failed and least_free_mb is not None and least_free_mb <= FULL_BELOW_MB:
        text = f"{context.directory}: no more than {least_free_mb:g} MB were free for a while, and the program failed"
        context.report.found(context.finding("disk-full", text))


def _watch(context: JobContext, payload: Payload, scan: GuardedScan, monitor: Monitor) -> bool:
    """Until the payload has ended: read its logs, sample its use, and end it when it passes a limit.

    Returns whether it was ended.
    """
    passed: Finding | None = None
    hard_at: float | None = None
    while not payload.wait(SAMPLE_EVERY_S):
        context.switch.tick()
        progress = scan.progress()
        context.report.progress = dict(progress.counters)
        now_passed = monitor.sample(progress.bytes, progress.counters)
        context.report.usage = monitor.usage
        if now_passed is not None and passed is None:
            passed = now_passed
            context.report.found(passed)
            context.report.write_provisional()  # the reason is on disk before the kill
            hard_at = time.monotonic() + _ask_softly(context, payload, passed)
        urgent = now_passed is not None and now_passed.name not in SOFT_LIMITS
        if hard_at is not None and (urgent or time.monotonic() >= hard_at):
            hard_at = None
            payload.stop(context.budget.grace_s)
    killed = payload.exit is not None and payload.exit.signal is not None
    if passed is None and killed and (passed := monitor.late()) is not None:
        context.report.found(passed)  # the subreaper or the watchdog ended it, while we were stopped or traced
    return passed is not None


def _ask_softly(context: JobContext, payload: Payload, passed: Finding) -> float:
    """Ask the program to finish early, where that is known how and makes sense; the seconds that it gets for it."""
    soft = context.job.soft_stop
    if soft is None or passed.name not in SOFT_LIMITS:
        return 0.0
    payload.ask_to_finish(soft)
    return context.budget.soft_s


def _obey(context: JobContext, order: ToldToStop, payload: Payload) -> None:
    """End the payload, quickly: whoever gave the order will not wait long for our report."""
    if isinstance(order, OutOfTime):
        context.report.found(context.budget.exceeded(context.report.phase))
    else:
        context.note_order(order.signal_name)
    context.report.write_provisional()
    payload.stop(STOP_GRACE_S)
    with contextlib.suppress(PayloadRefusedError):  # a step that will not be started: the better
        payload.wait(2 * STOP_GRACE_S)
    context.report.found(
        *take_cores(context.directory, keep=context.job.cores == "keep", trace=False, tick=lambda: None)
    )


def _account(context: JobContext, payload: Payload, scan: GuardedScan, monitor: Monitor) -> None:
    """Add what is known of the payload, however it ended, to the report."""
    report = context.report
    report.exit, report.steps = payload.exit, tuple(payload.steps)
    report.matches = scan.finish()
    if scan.broken:
        report.found(context.finding("classifier-failed", scan.broken))
    if payload.stuck:
        why = "SIGKILL has no effect: hanging in the kernel, or owned by another user now"
        text = f"{counted_words(payload.stuck, 'process', 'is')} still there; {why}"
        report.found(context.finding("processes-left-behind", text, processes=payload.stuck))
    report.usage = monitor.finish(cpu_s=payload.cpu_s, left_behind=payload.left_behind)
    well = payload.exit is not None and payload.exit.code == 0
    if report.usage.oom_kills and not well:
        peak_mb = report.usage.peak_memory_mb
        text = f"the kernel's memory killer ended {report.usage.oom_kills} of its processes; the peak was {peak_mb} MB"
        report.found(context.finding("out-of-memory", text, kills=report.usage.oom_kills, peak_mb=peak_mb))
