"""Requests of pilots, by the names of the legacy protocol; each function takes the request and returns the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from pilotext.api.schemas.attempts import Heartbeat
from pilotext.errors import FieldError
from pilotext.serialization.json import from_plain
from pilotext.server.api.agents import dispatcher
from pilotext.server.api.auth import Caller
from pilotext.server.api.panda.encoding import Sent, number_in, number_of, seconds_of, text_of
from pilotext.server.api.panda.job_description import panda_job
from pilotext.server.production.dispatch.dispatcher import Asker
from pilotext.server.production.dispatch.pilots import hear, hear_last, standings_of
from pilotext.server.production.dispatch.tickets import hand_over
from pilotext.server.production.models import Site
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.reports.pilot_verdict import PilotSaid
from pilotext.server.production.reports.sanitize import decoded
from pilotext.server.production.states import AttemptState

Answer = Any

NO_JOBS = 20
FINAL = ("finished", "failed", "holding")
MAX_IN_BULK = 1000

TRY_AGAIN = ("too-many", "too-slow", "busy", "internal")
"""Refusals that are no answer to an update. A pilot takes every JSON object as success of an update, whatever it says;
what it cannot read, it sends again."""

_STATE = {
    AttemptState.LEASED: "sent",
    AttemptState.RUNNING: "running",
    AttemptState.VERIFYING: "holding",
    AttemptState.FINISHED: "finished",
    AttemptState.FAILED: "failed",
    AttemptState.LOST: "failed",
    AttemptState.CANCELLED: "cancelled",
}
"""States of attempts in PanDA's words for jobs."""


def get_job(sent: Sent, caller: Caller) -> Answer:
    """One job, or word that there is none; a pilot asks again by itself."""
    site = Site.objects.filter(name=text_of(sent, "siteName")).first()
    if site is None:
        return {"StatusCode": NO_JOBS, "errorDialog": f"there is no queue {text_of(sent, 'siteName', 80)!r}"}
    if caller.site not in (None, site.pk):
        raise RefusalError("forbidden", f"this token is for another queue than {site.name!r}.")
    node = text_of(sent, "node").partition("@")[2] or text_of(sent, "node")
    factory, number = text_of(sent, "harvester_id", 120), text_of(sent, "worker_id", 120)
    batch_job = f"{factory}.{number}" if factory and number else ""
    asker = Asker(site, node, left_s=seconds_of(sent, "remaining_time"), batch_job=batch_job)
    lease = dispatcher.give(asker, lease_s=settings.PILOT_LEASE_S)
    if lease is None:
        return {"StatusCode": NO_JOBS, "errorDialog": "No jobs in PanDA"}
    return panda_job(lease, hand_over(lease, caller.label), text_of(sent, "prodSourceLabel", 40))


def update_job(sent: Sent, caller: Caller) -> Answer:
    """A heartbeat, or the last word; a job that somebody cancelled is to be killed."""
    attempt = number_of(sent, "jobId")
    state = text_of(sent, "state", 20)
    if state in FINAL:
        hear_last(attempt, caller.label, PilotSaid.of(sent))
        return {"StatusCode": 0, "command": "NULL"}
    why = hear(attempt, caller.label, Heartbeat(state))
    return {"StatusCode": 0, "command": "tobekilled" if why else "NULL"}


def update_jobs(sent: Sent, caller: Caller) -> Answer:
    """Updates of several jobs; each has its own answer, and one that is refused does not stop the others."""
    try:
        updates = from_plain(decoded(text_of(sent, "jobList", 1 << 30)), list[dict[str, Any]])
    except FieldError:
        raise RefusalError("invalid", "jobList is not a JSON list of updates.") from None
    refuse_too_many(updates)
    answers = [answer_of_update(update, caller) for update in updates]
    return [all(answer["StatusCode"] == 0 for answer in answers), answers]


def refuse_too_many(items: Sequence[Any]) -> None:
    """Raise RefusalError for more updates, or numbers of jobs, than one request may have."""
    if len(items) > MAX_IN_BULK:
        raise RefusalError("too-large", f"these are {len(items)} jobs; send at most {MAX_IN_BULK} in a request.")


def answer_of_update(update: Sent, caller: Caller) -> dict[str, Any]:
    """The answer to one update, also where it is refused. Raises RefusalError where it is to be sent again."""
    try:
        answer: dict[str, Any] = update_job(update, caller)
    except RefusalError as error:
        if error.kind in TRY_AGAIN:
            raise
        return {"StatusCode": STATUS_CODE[error.kind], "errorDialog": error.message}
    return answer


@dataclass(frozen=True)
class JobStatus:
    """A job in PanDA's words; without a state it is none of the caller's."""

    job: int
    state: str | None
    attempt: int


def statuses(jobs: Sequence[int], caller: Caller) -> list[JobStatus]:
    """Return the state of each of these jobs, in their order."""
    refuse_too_many(jobs)
    found = standings_of(set(jobs), caller.label)
    return [
        JobStatus(job, _STATE[found[job].state], found[job].number) if job in found else JobStatus(job, None, 0)
        for job in jobs
    ]


def get_status(sent: Sent, caller: Caller) -> Answer:
    """The state and the attempt of each job, separated by commas as their numbers are."""
    jobs = [number_in(text, "ids") for text in text_of(sent, "ids", 1 << 16).split(",")]
    told = statuses(jobs, caller)
    return {
        "StatusCode": 0,
        "status": ",".join(each.state or "notfound" for each in told),
        "attemptNr": ",".join(str(each.attempt) for each in told),
    }


def nothing_to_say(_sent: Sent, _caller: Caller) -> Answer:
    return {"StatusCode": 0, "ResourceTypes": []}


FUNCTIONS: dict[str, Callable[[Sent, Caller], Answer]] = {
    "getJob": get_job,
    "updateJob": update_job,
    "updateJobsInBulk": update_jobs,
    "getStatus": get_status,
    "updateWorkerPilotStatus": nothing_to_say,
    "getResourceTypes": nothing_to_say,
}

# Of PanDA's dispatcher (`jobdispatcher/Protocol.py`): failed 30, invalid token 50, permission 70, key missing 80.
STATUS_CODE = {
    "unauthorized": 50,
    "forbidden": 70,
    "invalid": 80,
    "not-found": 30,
    "not-allowed": 30,
    "conflict": 30,
    "too-large": 30,
    "too-many": 30,
    "too-slow": 30,
    "busy": 30,
    "internal": 30,
}
