"""What managers and experts see and decide beside single tasks and jobs."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pilotext import managing
from pilotext.managing import Id, JobQuery, Limit, Number, Text, Time
from pilotext.messages import AgentList, Move, Moved
from pilotext.model import Record
from pilotext.server.api.endpoint import Call, Endpoint
from pilotext.server.database import transact
from pilotext.server.production import decisions, overview, rejudge, worklist
from pilotext.server.production.advance import Reason
from pilotext.server.production.models.common import now
from pilotext.server.production.refusal import RefusalError

WEEK_S = 7 * 86400.0


class RunQuery(Record, frozen=True):
    task: str
    run: Number | None = None
    state: managing.ProductState | None = None
    """Of one of its products."""
    after: Number = 0
    limit: Limit = 100


class ErrorQuery(Record, frozen=True):
    """A period, the last week if it is not said; `by` are fields of the answer, separated by commas."""

    by: Annotated[str, msgspec.Meta(max_length=100)] = "code,cause,site"
    since: Time | None = None
    until: Time | None = None
    task: str | None = None
    site: str | None = None
    code: str | None = None


class SignatureQuery(Record, frozen=True):
    experiment: str | None = None
    limit: Limit = 100


class AgentQuery(Record, frozen=True):
    name: str | None = None
    site: str | None = None
    state: Literal["active", "draining", "gone"] | None = None
    after: Id = 0
    limit: Limit = 100


class EventQuery(Record, frozen=True):
    task: Id | None = None
    who: str | None = None
    before: Id | None = None
    limit: Limit = 100


class SiteMove(Record, frozen=True):
    """Close or open the site of this name."""

    site: str
    to: Text
    why: managing.Why


def manual(call: Call) -> managing.WorkList:
    asked: JobQuery = call.body
    return worklist.worklist(asked)


def move_jobs(call: Call) -> managing.ManyMoved:
    asked: managing.ManyMoves = call.body
    _named(asked.jobs.task is not None, all_tasks=asked.all_tasks)
    if asked.jobs == managing.JobFilter():
        raise RefusalError("invalid", "all jobs of all tasks are too many; name a run, a state, or a code as well.")
    if asked.dry_run:
        return worklist.preview_many(asked)
    reason = Reason(call.caller.who, asked.why, "person")
    return transact(lambda: worklist.move_many(asked, reason))


def note_job(call: Call) -> Moved:
    said: managing.Noted = call.body
    job = call.number("job")
    transact(lambda: decisions.note(job, Reason(call.caller.who, said.why, "person")))
    return Moved((job,))


def assign_job(call: Call) -> Moved:
    said: managing.Assign = call.body
    job = call.number("job")
    transact(lambda: decisions.assign(job, said.to, Reason(call.caller.who, said.why, "person")))
    return Moved((job,))


def _named(one_task: bool, *, all_tasks: bool) -> None:
    """Raise RefusalError for a decision on many that does not say whose jobs it means, or says it twice."""
    if one_task and all_tasks:
        raise RefusalError("invalid", "a decision is on one task or on all tasks, not on both.")
    if not one_task and not all_tasks:
        raise RefusalError("invalid", "a decision on many names a task, or says that all tasks are meant: `all_tasks`.")


def rejudge_jobs(call: Call) -> managing.ManyRejudged:
    asked: managing.Rejudge = call.body
    if asked.act and not asked.only:
        _named(asked.jobs.task is not None, all_tasks=asked.all_tasks)
    if asked.act and not asked.why:
        raise RefusalError("invalid", "a decision needs a reason: `why`.")
    return rejudge.rejudge(asked, call.caller.who)


def runs(call: Call) -> managing.RunList:
    asked: RunQuery = call.body
    return overview.runs(asked.task, run=asked.run, state=asked.state, after=asked.after, limit=asked.limit)


def run(call: Call) -> managing.RunPage:
    return overview.run(call.number("task"), call.number("run"))


def errors(call: Call) -> managing.ErrorList:
    asked: ErrorQuery = call.body
    by = [word.strip() for word in asked.by.split(",") if word.strip()]
    for word in by:
        if word not in overview.ERROR_FIELDS:
            raise decisions.no_such_word(f"count by {word}", [f"count by {field}" for field in overview.ERROR_FIELDS])
    if not by:
        raise RefusalError("invalid", f"by what? There are {', '.join(overview.ERROR_FIELDS)}.")
    until = asked.until if asked.until is not None else now() + 1
    since = asked.since if asked.since is not None else until - WEEK_S
    return overview.errors(by=by, since=since, until=until, task=asked.task, site=asked.site, code=asked.code)


def signatures(call: Call) -> managing.SignatureList:
    asked: SignatureQuery = call.body
    return overview.signatures(experiment=asked.experiment, limit=asked.limit)


def sites(_: Call) -> managing.SiteList:
    return overview.sites()


def move_site(call: Call) -> Moved:
    asked: SiteMove = call.body
    reason = Reason(call.caller.who, asked.why, "person")
    return Moved(tuple(transact(lambda: decisions.move_site(asked.site, asked.to, reason))))


def move_breaker(call: Call) -> Moved:
    asked: Move = call.body
    reason = Reason(call.caller.who, asked.why, "person")
    return Moved(tuple(transact(lambda: decisions.move_breaker(call.number("breaker"), asked.to, reason))))


def agents(call: Call) -> AgentList:
    asked: AgentQuery = call.body
    return overview.agents(name=asked.name, site=asked.site, state=asked.state, after=asked.after, limit=asked.limit)


def events(call: Call) -> managing.EventList:
    asked: EventQuery = call.body
    return overview.events(task=asked.task, who=asked.who, before=asked.before, limit=asked.limit)


ENDPOINTS = (
    Endpoint(
        "GET", "/api/v1/manual", "viewer", managing.WorkList, manual, "Jobs that wait for a decision.", query=JobQuery
    ),
    Endpoint(
        "POST",
        "/api/v1/jobs/move",
        "expert",
        managing.ManyMoved,
        move_jobs,
        "Resend, accept, fail or cancel jobs of a choice.",
        managing.ManyMoves,
    ),
    Endpoint(
        "POST",
        "/api/v1/jobs/rejudge",
        "expert",
        managing.ManyRejudged,
        rejudge_jobs,
        "Apply the rules of today to kept evidence.",
        managing.Rejudge,
    ),
    Endpoint("POST", "/api/v1/jobs/{job}/note", "expert", Moved, note_job, "Note something on a job.", managing.Noted),
    Endpoint(
        "POST", "/api/v1/jobs/{job}/assign", "expert", Moved, assign_job, "Say who looks into a job.", managing.Assign
    ),
    Endpoint("GET", "/api/v1/runs", "viewer", managing.RunList, runs, "The runs of a task.", query=RunQuery),
    Endpoint(
        "GET",
        "/api/v1/tasks/{task}/runs/{run}",
        "viewer",
        managing.RunPage,
        run,
        "A run of a task: its events, its products, and why they are not further.",
    ),
    Endpoint("GET", "/api/v1/errors", "viewer", managing.ErrorList, errors, "Failures, counted.", query=ErrorQuery),
    Endpoint(
        "GET",
        "/api/v1/signatures",
        "viewer",
        managing.SignatureList,
        signatures,
        "Failures that no rule knew.",
        query=SignatureQuery,
    ),
    Endpoint("GET", "/api/v1/sites", "viewer", managing.SiteList, sites, "Sites and breakers."),
    Endpoint("POST", "/api/v1/sites/move", "manager", Moved, move_site, "Close or open a site.", SiteMove),
    Endpoint(
        "POST", "/api/v1/breakers/{breaker}/move", "manager", Moved, move_breaker, "Close or open a breaker.", Move
    ),
    Endpoint("GET", "/api/v1/agents", "viewer", AgentList, agents, "Agents.", query=AgentQuery),
    Endpoint("GET", "/api/v1/events", "viewer", managing.EventList, events, "The audit trail.", query=EventQuery),
)
