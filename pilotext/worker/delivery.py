"""Delivery of a job's report to its server: kept in the spool first, then sent, so that no end of ours can lose it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from pilotext.api import http
from pilotext.api.flush import Answer, Sender, settle
from pilotext.api.spool import Held, Spool, Spooled, SpoolError, default_folder
from pilotext.errors import UsageError
from pilotext.model import Record
from pilotext.model.job import ReportTarget, label_of
from pilotext.model.report import Report
from pilotext.storage.retry import Policy
from pilotext.storage.transfer import no_tick, pause
from pilotext.worker.bounded import NotInTimeError, bounded
from pilotext.worker.stop_signals import StopSwitch, ToldToStop

if TYPE_CHECKING:
    import requests

Tick = Callable[[], None]


class Patience(Record, frozen=True):
    """Patience of a delivery: seconds for one answer and for everything, and the waits between the tries."""

    answer_s: float = 20.0
    within_s: float = 60.0
    policy: Policy = Policy(tries=3, first_wait_s=1.0)


def prepare() -> None:
    """Load what sending needs, while there is time for it."""
    import requests  # noqa: F401, PLC0415  only jobs with a server pay for it


def send(body: bytes, target: ReportTarget, patience: Patience, tick: Tick) -> Answer:
    """Post a report until it is taken or refused, or the patience is at its end.

    `tick` is called several times a second and may raise.
    """
    deadline = time.monotonic() + patience.within_s
    failed = 0
    while True:
        left = deadline - time.monotonic()
        answer = _try(body, target, max(0.1, min(patience.answer_s, left)), tick)
        failed += 1
        if not answer.soon or failed >= patience.policy.tries:
            return answer
        wait_s = max(patience.policy.wait_s(failed), answer.wait_s or 0.0)
        if time.monotonic() + wait_s >= deadline:
            return answer
        pause(wait_s, tick)


def _try(body: bytes, target: ReportTarget, within_s: float, tick: Tick) -> Answer:
    import requests  # noqa: PLC0415  only jobs with a server pay for it

    try:
        return bounded(lambda: _post(body, target, within_s), within_s=within_s, tick=tick)
    except NotInTimeError as error:
        return Answer("later", str(error), soon=True)
    except requests.exceptions.SSLError:
        return Answer("later", "the server's certificate or its TLS cannot be trusted")
    except (OSError, ValueError) as error:  # all that requests raises; its sentences hold addresses and answers
        soon = isinstance(error, requests.ConnectionError | requests.Timeout)
        return Answer("later", f"no answer ({type(error).__name__})", soon=soon)


def _post(body: bytes, target: ReportTarget, within_s: float) -> Answer:
    """Return the meaning of the server's answer; its body is not read."""
    with http.post(target.url, body, target.token, within_s=within_s) as answer:
        return meaning(answer)


def meaning(answer: requests.Response) -> Answer:
    """Return the result that the status of an answer stands for."""
    status = answer.status_code
    if 200 <= status < 300:
        return Answer("delivered")
    said = f"the server answers with status {status}"
    if status in http.RETRYABLE_STATUSES:
        return Answer("later", said, http.retry_after_s(answer.headers.get("Retry-After", ""), time.time()), soon=True)
    if 300 <= status < 400:
        return Answer("later", f"{said}, and a report goes to no other address than the job's")
    return Answer("refused", said)


OF_A_JOB = Patience()
ON_THE_SIDE = Patience(answer_s=5.0, within_s=5.0, policy=Policy(tries=1))
"""For the reports of earlier jobs at the end of a run, which must not be delayed by them."""

AT_ONCE = Patience(answer_s=1.0, within_s=1.0, policy=Policy(tries=1))
"""For a job that was asked to stop: a pilot leaves 3 s for everything."""

FLUSH_WITHIN_S = 10.0


class Delivery:
    """Delivers the report of one job; without a target it does nothing."""

    def __init__(self, target: ReportTarget | None, environment: Mapping[str, str]) -> None:
        self._target = target
        folder = default_folder(environment)
        self._spool = None if folder is None else Spool(folder)
        self._held: Held | None = None
        self._why_not_kept = "there is no folder for a spool; name one in PILOTEXT_SPOOL"
        self._since = time.time()
        self._sent: str | None = None
        """Result of a report that was sent at once."""
        if target is not None:
            prepare()

    def keep(self, report: Report) -> None:
        """Put this state of the report into the spool: what is sent later if this process ends now."""
        if self._target is None or self._spool is None:
            return
        spooled = _spooled(report, self._target, self._since)
        try:
            if self._held is None:
                self._held = self._spool.keep(spooled)
            else:
                self._held.replace(spooled)
        except (SpoolError, OSError) as error:
            self._why_not_kept = str(error)

    def send_at_once(self, report: Report) -> None:
        """Send the report of a job that was asked to stop: once, within a second. No other is sent after it."""
        if self._target is not None:
            self._sent = self._deliver(report, no_tick, AT_ONCE)

    def send(self, report: Report, switch: StopSwitch, patience: Patience = OF_A_JOB) -> str:
        """Send the report; once and within a second when the job was asked to stop, unless that was done before.

        Returns an empty string, or the sentence that says why it was not taken and where it is now.
        """
        if self._target is None:
            return ""
        if self._sent is not None:
            return self._sent
        if switch.received is not None:
            return self._deliver(report, no_tick, AT_ONCE)
        return self._deliver(report, switch.tick, patience)

    def _deliver(self, report: Report, tick: Tick, patience: Patience) -> str:
        if self._target is None:
            return ""
        self.keep(report)
        try:
            answer = send(msgspec.json.encode(report), self._target, patience, tick)
        except ToldToStop as order:
            answer = Answer("later", str(order))
        where = self._settle(answer)
        if answer.outcome == "delivered":
            return ""
        return f"the report was not delivered to {self._target.url}: {answer.said}; {where}"

    def _settle(self, answer: Answer) -> str:
        """Settle the report in the spool after this answer; return the end of a sentence about it."""
        if self._held is None or self._spool is None:
            return f"it was not kept for later either: {self._why_not_kept}"
        held, self._held = self._held, None
        try:
            return settle(self._spool, held, answer)
        except (OSError, UsageError) as error:
            return f"the spool is in disorder: {error}"
        finally:
            held.release()


def _spooled(report: Report, target: ReportTarget, since: float) -> Spooled:
    label = label_of(report.job.task, report.job.job, report.job.attempt)
    return Spooled(format=1, label=label, target=target, report=msgspec.to_builtins(report), since=since)


def by_http(patience: Patience, tick: Tick) -> Sender:
    """Return a sender to the address that stands in each report."""
    return lambda spooled: send(spooled.body, spooled.target, patience, tick)
