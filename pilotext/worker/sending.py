"""One report over HTTP: what the server's answer means, and how often it is asked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import pilotext
from pilotext.model import Record
from pilotext.model.job import ReportTarget
from pilotext.storage.retry import Policy
from pilotext.storage.transfer import pause
from pilotext.worker.bounded import NotInTimeError, bounded

if TYPE_CHECKING:
    import requests

TRY_AGAIN = frozenset({408, 425, 429, *range(500, 600)})
"""Statuses with which a server says that it may do better in a while."""

LONGEST_RETRY_AFTER_S = 86_400.0

Tick = Callable[[], None]


class Patience(Record, frozen=True):
    """How long to insist: seconds for one answer and for everything, and the waits between the tries."""

    answer_s: float = 20.0
    within_s: float = 60.0
    policy: Policy = Policy(tries=3, first_wait_s=1.0)


class Answer(Record, frozen=True):
    """What became of a report that was sent.

    `later` can be tried again, `refused` never: the server knows this attempt no more, or has its report. `said` is
    the reason, without anything that the server writes itself; `wait_s` is what it asks to wait (Retry-After).
    """

    outcome: Literal["delivered", "later", "refused"]
    said: str = ""
    wait_s: float | None = None
    soon: bool = False
    """Whether another try within seconds may help."""


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
    """The meaning of the server's answer; its body is not read."""
    import requests  # noqa: PLC0415

    class Bearer(requests.auth.AuthBase):
        """An authentication of our own, since requests would prefer one from a .netrc file to a mere header."""

        def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers["Authorization"] = f"Bearer {target.token}"
            return request

    with requests.post(
        target.url,
        data=body,
        headers={"Content-Type": "application/json", "User-Agent": f"pilotext/{pilotext.__version__}"},
        auth=Bearer(),
        timeout=within_s,
        allow_redirects=False,  # the token is for this server alone
        stream=True,
    ) as answer:
        return meaning(answer)


def meaning(answer: requests.Response) -> Answer:
    """What the status of an answer says about the report."""
    status = answer.status_code
    if 200 <= status < 300:
        return Answer("delivered")
    said = f"the server answers with status {status}"
    if status in TRY_AGAIN:
        return Answer("later", said, retry_after(answer.headers.get("Retry-After", ""), time.time()), soon=True)
    if 300 <= status < 400:
        return Answer("later", f"{said}, and a report goes to no other address than the job's")
    return Answer("refused", said)


def retry_after(text: str, now: float) -> float | None:
    """Seconds that a header Retry-After asks for, as a number or a date; None if it says nothing usable."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415  as above

    try:
        wait_s = float(text) if text.strip().isdecimal() else parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(0.0, wait_s), LONGEST_RETRY_AFTER_S) if math.isfinite(wait_s) else LONGEST_RETRY_AFTER_S
