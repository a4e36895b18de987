"""Stage-out of a job: publish outputs and logs, wait for a storage that is away, keep what is not published in time."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from msgspec.structs import replace

from pilotext.errors import STORAGE_ERRORS, StorageError, TransientError
from pilotext.model.job import Limits
from pilotext.model.report import Report
from pilotext.storage.base import Copied
from pilotext.storage.retry import Policy
from pilotext.storage.stage_out import Upload, stage_out
from pilotext.storage.urls import server_of
from pilotext.worker import outputs
from pilotext.worker.archive import make_archive
from pilotext.worker.context import Run
from pilotext.worker.kept import KeepError, keep_outputs
from pilotext.worker.stop import OutOfTime, ToldToStop

MIN_WAIT_S = 1.0
STOP_LOG_BYTES = 2_000_000
"""Bytes of logs in the archive of a job that is told to stop: packing them takes a small part of a second."""

AWAY_SINCE = "storage_away_since"
"""In the progress of a job: seconds since 1970."""


def publish_outputs(run: Run) -> bool:
    """Publish every output, or none. Outputs that could not be published, through no fault of theirs, are kept."""
    strayed = outputs.find_strayed(run.job, run.directory)  # once more: something of the payload may hang in the kernel
    run.ledger.found(*strayed.findings)
    if strayed.findings:
        return False
    uploads = [
        Upload(
            name=output.name,
            path=outputs.real_path(run.directory, output.name),
            destinations=output.destinations,
            published_name=output.published_name,
            known=tuple(Copied(file.size, file.adler32) for file in output.replaces),
        )
        for output in run.job.outputs
        if output.destinations
    ]
    until = _until(run)
    try:
        return _publish(run, uploads, until)
    except ToldToStop as order:
        away = run.ledger.progress.get(AWAY_SINCE)
        what = _keep(run, uploads)
        if away is None or not isinstance(order, OutOfTime):
            raise
        text = f"the storage was away for {time.time() - away:.0f} s, and the time of the job is over; {what}"
        run.ledger.found(run.finding("stage-out-unreachable", text))
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


def _until(run: Run) -> float:
    """When to give up (monotonic time): within the time of the job, and of its stage-out."""
    deadline = run.budget.deadline("stage-out")
    patience_s = run.job.limits.stage_out_s if run.keeping is None else run.keeping.after_s(run.job.limits)
    return min(time.monotonic() + patience_s, math.inf if deadline is None else deadline)


def _publish(run: Run, uploads: Sequence[Upload], until: float) -> bool:
    rounds = 0
    while True:
        try:
            run.ledger.outputs = stage_out(
                uploads,
                tag=run.job.label,
                mover=run.mover,
                policy=run.policy,
                earlier=run.job.earlier_labels,
                known_only=not run.job.replaces_any,
            )
        except StorageError as error:
            rounds += 1
            run.ledger.tries = error.tries
            passing = may_pass(error)
            if passing and _waited(run, rounds, until):
                continue
            run.silent.update(error.silent)
            what = f" ({_keep(run, uploads)})" if passing else ""
            run.ledger.found(run.finding(f"stage-out-{error.fault}", f"{error}{what}"))
            return False
        run.ledger.tries = ()
        run.ledger.progress.pop(AWAY_SINCE, None)
        return True


def _waited(run: Run, rounds: int, until: float) -> bool:
    """Wait for the next round, if there is time for one, and say on disk and to the agent what is waited for."""
    left = until - time.monotonic()
    if left <= 0:
        return False
    run.ledger.progress.setdefault(AWAY_SINCE, round(time.time()))
    run.ledger.write_provisional()
    run.mover.close()  # a try inherits nothing, and nothing idles meanwhile
    run.mover.pause(min(left, max(MIN_WAIT_S, run.policy.wait_s(run.policy.tries + rounds))))
    return True


def _keep(run: Run, uploads: Sequence[Upload]) -> str:
    """Keep the outputs of a job that is a success but for their publication; says what became of them."""
    if run.keeping is None:
        return "the outputs are not kept"
    success = run.ledger.success_if_published()
    if success is None:
        return "the outputs are not kept: the job is no success"
    log = _packed(run, success)
    hurried = run.switch.received is not None
    try:
        kept = keep_outputs(run.job, uploads, success, run.keeping, hurried=hurried, tick=run.switch.tick, log=log)
    except (KeepError, OSError) as error:
        return f"the outputs are not kept: {error}"
    run.ledger.kept = kept
    return f"the outputs are kept in {kept.folder} and published later"


def deliver_logs(run: Run, final: Report) -> bool:
    """Deliver the archive of the logs, of every job, good or bad; a failure here is no verdict on the job itself.

    It is kept where its storage is away and there is a folder for that. With outputs that are kept it is already.
    """
    if run.job.log is None or run.ledger.kept is not None:
        return True
    upload = _packed(run, final)
    if upload is None:
        return False
    try:
        upload = replace(upload, destinations=_answering(run, upload.destinations))
        (run.ledger.log,) = stage_out([upload], tag=run.job.label, mover=run.mover, policy=run.policy, known_only=True)
    except StorageError as error:
        what = _keep_log(run, upload, final) if may_pass(error) else ""
        run.ledger.found(run.finding("log-not-delivered", f"{error}{what}"))
    except ToldToStop as order:
        run.ledger.found(run.finding("log-not-delivered", f"{order}{_keep_log(run, upload, final)}"))
    except Exception as error:  # noqa: BLE001  the job is judged already, and its report is on disk
        run.ledger.found(run.finding("log-not-delivered", f"{type(error).__name__}: {error}"))
    return run.ledger.log is not None


def _packed(run: Run, report: Report) -> Upload | None:
    """Pack the archive of the logs; None where the job wants none, or it cannot be made."""
    if run.job.log is None:
        return None
    room = run.job.log.max_bytes if run.switch.received is None else min(STOP_LOG_BYTES, run.job.log.max_bytes)
    try:
        path = make_archive(run.job, run.directory, report, run.ledger.redactor, room)
    except OSError as error:
        run.ledger.found(run.finding("log-not-delivered", str(error)))
    except Exception as error:  # noqa: BLE001  as above
        run.ledger.found(run.finding("log-not-delivered", f"{type(error).__name__}: {error}"))
    else:
        return Upload(path.name, path, run.job.log.destinations, path.name)
    return None


def _keep_log(run: Run, log: Upload, final: Report) -> str:
    """Keep an archive that could not be delivered; returns a note on what became of it, for people."""
    if run.keeping is None or run.job.log is None:
        return ""
    wanted = replace(log, destinations=run.job.log.destinations)
    hurried = run.switch.received is not None
    try:
        run.ledger.kept = keep_outputs(run.job, [], final, run.keeping, hurried=hurried, log=wanted)
    except (KeepError, OSError) as error:
        return f" (the archive is not kept: {error})"
    return f" (the archive is kept in {run.ledger.kept.folder} and delivered later)"


def _answering(run: Run, destinations: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out the destinations on servers that a failed step has given up; raises TransientError if none is left."""
    left = tuple(url for url in destinations if server_of(url) not in run.silent)
    if destinations and not left:
        raise TransientError(destinations[0], "not tried again, since the server was given up before.")
    return left
