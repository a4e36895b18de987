"""What managers and experts see and decide beside single tasks and jobs."""

from __future__ import annotations

from pilotext.api.schemas.agents import AgentList, AgentQuery
from pilotext.api.schemas.audit import AuditQuery, AuditTrail
from pilotext.api.schemas.errors import ErrorList, ErrorQuery
from pilotext.api.schemas.fields import Move, Moved, Note
from pilotext.api.schemas.jobs import Assignment, BulkMove, BulkMoved, JobFilter, JobQuery, WorkList
from pilotext.api.schemas.rules import BulkReclassified, Reclassify, SignatureList, SignatureQuery
from pilotext.api.schemas.runs import RunList, RunPage, RunQuery
from pilotext.api.schemas.sites import SiteList, SiteMove
from pilotext.server.api.endpoint import Call, Endpoint
from pilotext.server.database import transact
from pilotext.server.production.decisions import jobs as job_decisions
from pilotext.server.production.decisions import sites as site_decisions
from pilotext.server.production.decisions import worklist
from pilotext.server.production.lookup import no_such_word
from pilotext.server.production.models.common import now
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.reports import reclassify
from pilotext.server.production.statistics.audit import list_audit_entries
from pilotext.server.production.statistics.errors import ERROR_FIELDS, list_errors, list_signatures
from pilotext.server.production.statistics.runs import describe_run, list_runs
from pilotext.server.production.statistics.sites import list_agents, list_sites
from pilotext.server.production.transitions import Reason

WEEK_S = 7 * 86400.0


def manual(call: Call) -> WorkList:
    asked: JobQuery = call.body
    return worklist.worklist(asked)


def move_jobs(call: Call) -> BulkMoved:
    asked: BulkMove = call.body
    _named(asked.jobs.task is not None, all_tasks=asked.all_tasks)
    if asked.jobs == JobFilter():
        raise RefusalError("invalid", "all jobs of all tasks are too many; name a run, a state, or a code as well.")
    if asked.dry_run:
        return worklist.preview_many(asked)
    reason = Reason(call.caller.who, asked.why, "person")
    return transact(lambda: worklist.move_many(asked, reason))


def note_job(call: Call) -> Moved:
    said: Note = call.body
    job = call.number("job")
    transact(lambda: job_decisions.note(job, Reason(call.caller.who, said.why, "person")))
    return Moved((job,))


def assign_job(call: Call) -> Moved:
    said: Assignment = call.body
    job = call.number("job")
    transact(lambda: job_decisions.assign(job, said.to, Reason(call.caller.who, said.why, "person")))
    return Moved((job,))


def _named(one_task: bool, *, all_tasks: bool) -> None:
    """Raise RefusalError for a decision on many that does not say whose jobs it means, or says it twice."""
    if one_task and all_tasks:
        raise RefusalError("invalid", "a decision is on one task or on all tasks, not on both.")
    if not one_task and not all_tasks:
        raise RefusalError("invalid", "a decision on many names a task, or says that all tasks are meant: `all_tasks`.")


def rejudge_jobs(call: Call) -> BulkReclassified:
    asked: Reclassify = call.body
    if asked.act and not asked.only:
        _named(asked.jobs.task is not None, all_tasks=asked.all_tasks)
    if asked.act and not asked.why:
        raise RefusalError("invalid", "a decision needs a reason: `why`.")
    return reclassify.rejudge(asked, call.caller.who)


def runs(call: Call) -> RunList:
    asked: RunQuery = call.body
    return list_runs(asked.task, run=asked.run, state=asked.state, after=asked.after, limit=asked.limit)


def run(call: Call) -> RunPage:
    return describe_run(call.number("task"), call.number("run"))


def errors(call: Call) -> ErrorList:
    asked: ErrorQuery = call.body
    by = [word.strip() for word in asked.by.split(",") if word.strip()]
    for word in by:
        if word not in ERROR_FIELDS:
            raise no_such_word(f"count by {word}", [f"count by {field}" for field in ERROR_FIELDS])
    if not by:
        raise RefusalError("invalid", f"by what? There are {', '.join(ERROR_FIELDS)}.")
    until = asked.until if asked.until is not None else now() + 1
    since = asked.since if asked.since is not None else until - WEEK_S
    return list_errors(by=by, since=since, until=until, task=asked.task, site=asked.site, code=asked.code)


def signatures(call: Call) -> SignatureList:
    asked: SignatureQuery = call.body
    return list_signatures(experiment=asked.experiment, limit=asked.limit)


def sites(_: Call) -> SiteList:
    return list_sites()


def move_site(call: Call) -> Moved:
    asked: SiteMove = call.body
    reason = Reason(call.caller.who, asked.why, "person")
    return Moved(tuple(transact(lambda: site_decisions.move_site(asked.site, asked.to, reason))))


def move_breaker(call: Call) -> Moved:
    asked: Move = call.body
    reason = Reason(call.caller.who, asked.why, "person")
    return Moved(tuple(transact(lambda: site_decisions.move_breaker(call.number("breaker"), asked.to, reason))))


def agents(call: Call) -> AgentList:
    asked: AgentQuery = call.body
    return list_agents(name=asked.name, site=asked.site, state=asked.state, after=asked.after, limit=asked.limit)


def events(call: Call) -> AuditTrail:
    asked: AuditQuery = call.body
    return list_audit_entries(task=asked.task, who=asked.who, before=asked.before, limit=asked.limit)


ENDPOINTS = (
    Endpoint("GET", "/api/v1/manual", "viewer", WorkList, manual, "Jobs that wait for a decision.", query=JobQuery),
    Endpoint(
        "POST",
        "/api/v1/jobs/move",
        "expert",
        BulkMoved,
        move_jobs,
        "Resend, accept, fail or cancel jobs of a choice.",
        BulkMove,
    ),
    Endpoint(
        "POST",
        "/api/v1/jobs/rejudge",
        "expert",
        BulkReclassified,
        rejudge_jobs,
        "Apply the rules of today to kept evidence.",
        Reclassify,
    ),
    Endpoint("POST", "/api/v1/jobs/{job}/note", "expert", Moved, note_job, "Note something on a job.", Note),
    Endpoint("POST", "/api/v1/jobs/{job}/assign", "expert", Moved, assign_job, "Say who looks into a job.", Assignment),
    Endpoint("GET", "/api/v1/runs", "viewer", RunList, runs, "The runs of a task.", query=RunQuery),
    Endpoint(
        "GET",
        "/api/v1/tasks/{task}/runs/{run}",
        "viewer",
        RunPage,
        run,
        "A run of a task: its events, its products, and why they are not further.",
    ),
    Endpoint("GET", "/api/v1/errors", "viewer", ErrorList, errors, "Failures, counted.", query=ErrorQuery),
    Endpoint(
        "GET",
        "/api/v1/signatures",
        "viewer",
        SignatureList,
        signatures,
        "Failures that no rule knew.",
        query=SignatureQuery,
    ),
    Endpoint("GET", "/api/v1/sites", "viewer", SiteList, sites, "Sites and breakers."),
    Endpoint("POST", "/api/v1/sites/move", "manager", Moved, move_site, "Close or open a site.", SiteMove),
    Endpoint(
        "POST", "/api/v1/breakers/{breaker}/move", "manager", Moved, move_breaker, "Close or open a breaker.", Move
    ),
    Endpoint("GET", "/api/v1/agents", "viewer", AgentList, agents, "Agents.", query=AgentQuery),
    Endpoint("GET", "/api/v1/events", "viewer", AuditTrail, events, "The audit trail.", query=AuditQuery),
)
