"""Stage-out of a job: publish outputs and logs, wait for a storage that is away, keep what is not published in time."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from msgspec.structs import replace

from pilotext.api.schemas.attempts import OUTPUTS_KEPT
from pilotext.errors import STORAGE_ERRORS, StorageError, TransientError
from pilotext.model.job import Limits
from pilotext.model.report import Report
from pilotext.storage.base import Copied
from pilotext.storage.retry import Policy
from pilotext.storage.stage_out import Upload, stage_out
from pilotext.storage.urls import server_of
from pilotext.worker import validation as outputs
from pilotext.worker.context import JobContext
from pilotext.worker.kept import KeepError, keep_outputs
from pilotext.worker.log_archive import make_archive
from pilotext.worker.permission import NotOursError, server_asker
from pilotext.worker.stop_signals import OutOfTime, ToldToStop

MIN_WAIT_S = 1.0
STOP_LOG_BYTES = 2_000_000
"""Bytes of logs in the archive of a job that is asked to stop: packing them takes a small part of a second."""

AWAY_SINCE = "storage_away_since"
"""Key in the progress of a job; its value is in seconds since 1970."""


def publish_outputs(context: JobContext) -> bool:
    """Publish every output, or none. Outputs that could not be published, through no fault of theirs, are kept."""
    strayed = outputs.find_strayed(
        context.job, context.directory
    )  # once more: something of the payload may hang in the kernel
    context.report.found(*strayed.findings)
    if strayed.findings:
        return False
    uploads = [
        Upload(
            name=output.name,
            path=outputs.real_path(context.directory, output.name),
            destinations=output.destinations,
            published_name=output.published_name,
            known=tuple(Copied(file.size, file.adler32) for file in output.replaces),
        )
        for output in context.job.outputs
        if output.destinations
    ]
    until = _until(context)
    try:
        return _publish(context, uploads, until)
    except NotOursError as error:
        text = f"the server says that the outputs are not wanted any more ({error}); nothing was published"
        context.report.found(context.finding("told-to-stop", text))
        return False
    except ToldToStop as order:
        away = context.report.progress.get(AWAY_SINCE)
        what = _keep(context, uploads)
        if away is None or not isinstance(order, OutOfTime):
            raise
        text = f"the storage did not answer for {time.time() - away:.0f} s, and the time of the job is over; {what}"
        context.report.found(context.finding("stage-out-unreachable", text))
        return False


def policy_of(limits: Limits) -> Policy:
    """Return how patient the transfers of a job are."""
    return Policy(
        tries=limits.transfer_tries,
        first_wait_s=limits.transfer_wait_s,
        retry_within_s=limits.transfer_retry_s,
        poll_s=limits.tape_poll_s,
        online_within_s=limits.tape_wait_s,
    )


def may_pass(error: StorageError) -> bool:
    """Whether a failed stage-out may succeed later: some server was busy, restarting, silent or away."""
    return error.retryable or any(STORAGE_ERRORS[each.fault].retryable for each in error.tries)


def _until(context: JobContext) -> float:
    """Return the moment to give up (monotonic time): within the time of the job, and of its stage-out."""
    deadline = context.budget.deadline("stage-out")
    patience_s = (
        context.job.limits.stage_out_s if context.keeping is None else context.keeping.after_s(context.job.limits)
    )
    return min(time.monotonic() + patience_s, math.inf if deadline is None else deadline)


def _confirm(context: JobContext) -> None:
    """Raise NotOursError if the job is not ours any more; where nobody says anything, eight hours of work go on."""
    permission = None if context.ask is None else context.ask(context.switch.tick)
    if permission is not None and permission.word == "no":
        raise NotOursError(permission.why)


def _publish(context: JobContext, uploads: Sequence[Upload], until: float) -> bool:
    rounds = 0
    while True:
        try:
            context.report.outputs = stage_out(
                uploads,
                tag=context.job.label,
                mover=context.mover,
                policy=context.policy,
                earlier=context.job.earlier_labels,
                known_only=not context.job.replaces_any,
                confirm=partial(_confirm, context) if uploads else None,
            )
        except StorageError as error:
            rounds += 1
            context.report.tries = error.tries
            passing = may_pass(error)
            if passing and _waited(context, rounds, until):
                continue
            context.silent.update(error.silent)
            what = f" ({_keep(context, uploads)})" if passing else ""
            context.report.found(context.finding(f"stage-out-{error.fault}", f"{error}{what}"))
            return False
        context.report.tries = ()
        context.report.progress.pop(AWAY_SINCE, None)
        return True


def _waited(context: JobContext, rounds: int, until: float) -> bool:
    """Wait for the next round, if there is time for one, and say on disk and to the agent what is waited for."""
    left = until - time.monotonic()
    if left <= 0:
        return False
    context.report.progress.setdefault(AWAY_SINCE, round(time.time()))
    context.report.write_provisional()
    context.mover.close()  # a try inherits nothing, and nothing idles meanwhile
    context.mover.pause(min(left, max(MIN_WAIT_S, context.policy.wait_s(context.policy.tries + rounds))))
    return True


def _keep(context: JobContext, uploads: Sequence[Upload]) -> str:
    """Keep the outputs of a job that is a success but for their publication; says what became of them."""
    if context.keeping is None:
        return "the outputs are not kept"
    success = context.report.success_if_published()
    if success is None:
        return "the outputs are not kept: the job is not a success"
    log = _packed(context, success)
    hurried = context.switch.received is not None
    try:
        kept = keep_outputs(
            context.job, uploads, success, context.keeping, hurried=hurried, tick=context.switch.tick, log=log
        )
    except (KeepError, OSError) as error:
        return f"the outputs are not kept: {error}"
    context.report.kept = kept
    if not hurried:
        _announce_kept(context)
    return f"the outputs are kept in {kept.folder} and published later"


def _announce_kept(context: JobContext) -> None:
    """Tell the server of a job that its outputs wait: else the end of its pilot would be the end of its lease.

    Whether they are still wanted is asked again before they are published.
    """
    ask = server_asker(context.job.report, OUTPUTS_KEPT)
    with suppress(ToldToStop):  # nothing is left to do but to report, and what is kept must not be kept again
        if ask is not None:
            ask(context.switch.tick)


def deliver_logs(context: JobContext, final: Report) -> bool:
    """Deliver the log archive of every job, good or bad; a failure here does not change the verdict on the job.

    It is kept where its storage is away and there is a folder for that. With outputs that are kept it is already.
    """
    if context.job.log is None or context.report.kept is not None:
        return True
    upload = _packed(context, final)
    if upload is None:
        return False
    try:
        upload = replace(upload, destinations=_answering(context, upload.destinations))
        (context.report.log,) = stage_out(
            [upload], tag=context.job.label, mover=context.mover, policy=context.policy, known_only=True
        )
    except StorageError as error:
        what = _keep_log(context, upload, final) if may_pass(error) else ""
        context.report.found(context.finding("log-not-delivered", f"{error}{what}"))
    except ToldToStop as order:
        context.report.found(context.finding("log-not-delivered", f"{order}{_keep_log(context, upload, final)}"))
    except Exception as error:  # noqa: BLE001  the job is judged already, and its report is on disk
        context.report.found(context.finding("log-not-delivered", f"{type(error).__name__}: {error}"))
    return context.report.log is not None


def _packed(context: JobContext, report: Report) -> Upload | None:
    """Pack the archive of the logs; None where the job wants none, or it cannot be made."""
    if context.job.log is None:
        return None
    room = (
        context.job.log.max_bytes if context.switch.received is None else min(STOP_LOG_BYTES, context.job.log.max_bytes)
    )
    try:
        path = make_archive(context.job, context.directory, report, context.report.redactor, room)
    except OSError as error:
        context.report.found(context.finding("log-not-delivered", str(error)))
    except Exception as error:  # noqa: BLE001  as above
        context.report.found(context.finding("log-not-delivered", f"{type(error).__name__}: {error}"))
    else:
        return Upload(path.name, path, context.job.log.destinations, path.name)
    return None


def _keep_log(context: JobContext, log: Upload, final: Report) -> str:
    """Keep an archive that could not be delivered; returns a note on what became of it, for people."""
    if context.keeping is None or context.job.log is None:
        return ""
    wanted = replace(log, destinations=context.job.log.destinations)
    hurried = context.switch.received is not None
    try:
        context.report.kept = keep_outputs(context.job, [], final, context.keeping, hurried=hurried, log=wanted)
    except (KeepError, OSError) as error:
        return f" (the archive is not kept: {error})"
    return f" (the archive is kept in {context.report.kept.folder} and delivered later)"


def _answering(context: JobContext, destinations: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out the destinations on servers that a failed step has given up; raises TransientError if none is left."""
    left = tuple(url for url in destinations if server_of(url) not in context.silent)
    if destinations and not left:
        raise TransientError(destinations[0], "not tried again, since the server was given up before.")
    return left
