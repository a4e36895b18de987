"""What managers ask for and decide."""

from __future__ import annotations

from msgspec.structs import replace

from pilotext.api.schemas.fields import Move, Moved
from pilotext.api.schemas.jobs import JobList, JobPage, JobQuery
from pilotext.api.schemas.tasks import DryRun, Submitted, TaskDocument, TaskFilter, TaskList, TaskPage
from pilotext.errors import StorageError, UsageError
from pilotext.profile.records import Experiment
from pilotext.server.api.endpoint import MEGA, Call, Endpoint
from pilotext.server.database import transact
from pilotext.server.production.decisions import jobs as job_decisions
from pilotext.server.production.decisions import tasks as task_decisions
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.statistics.jobs import describe_job, list_jobs
from pilotext.server.production.statistics.tasks import describe_task, list_tasks
from pilotext.server.production.submission.document import WholeTask, from_plain
from pilotext.server.production.submission.dry_run import dry_run, site_warnings
from pilotext.server.production.submission.listing import lister_for_others
from pilotext.server.production.submission.plan import Plan, make_plan
from pilotext.server.production.submission.store import store
from pilotext.server.production.transitions import Reason


def tasks(call: Call) -> TaskList:
    asked: TaskFilter = call.body
    return TaskList(tuple(list_tasks(state=asked.state, name=asked.name)))


def task(call: Call) -> TaskPage:
    return describe_task(call.number("task"))


def jobs(call: Call) -> JobList:
    asked: JobQuery = call.body
    return list_jobs(asked)


def job(call: Call) -> JobPage:
    return describe_job(call.number("job"))


def submit(call: Call) -> Submitted:
    document: TaskDocument = call.body
    experiment, whole, plan = _planned(document)
    if plan.refused and not document.leave_out:
        first = "; ".join(f"{entry.file}: {entry.why}" for entry in plan.refused[:5])
        raise RefusalError("invalid", f"{len(plan.refused)} inputs are refused: {first}")
    done = store(experiment, whole.task, plan, call.caller.who)
    return replace(done, warnings=(*done.warnings, *site_warnings(experiment, whole.task)))


def submit_dry(call: Call) -> DryRun:
    document: TaskDocument = call.body
    experiment, whole, plan = _planned(document)
    return dry_run(experiment, whole.task, plan)


def _planned(document: TaskDocument) -> tuple[Experiment, WholeTask, Plan]:
    try:
        whole = from_plain(document.task)
        experiment = profile_of(whole.task.experiment)
        return experiment, whole, make_plan(experiment, whole, lister_for_others())
    except (UsageError, StorageError) as error:
        raise RefusalError("invalid", str(error)) from None


def move_task(call: Call) -> Moved:
    asked: Move = call.body
    reason = Reason(call.caller.who, asked.why, "person")
    return Moved(tuple(transact(lambda: task_decisions.move_task(call.number("task"), asked.to, reason))))


def move_job(call: Call) -> Moved:
    asked: Move = call.body
    reason = Reason(call.caller.who, asked.why, "person")
    return Moved(tuple(transact(lambda: job_decisions.move_job(call.number("job"), asked.to, reason))))


ENDPOINTS = (
    Endpoint("GET", "/api/v1/tasks", "viewer", TaskList, tasks, "Tasks with their counts.", query=TaskFilter),
    Endpoint("GET", "/api/v1/tasks/{task}", "viewer", TaskPage, task, "One task, and why it is not further."),
    Endpoint("POST", "/api/v1/tasks", "manager", Submitted, submit, "Submit a task.", TaskDocument, limit=64 * MEGA),
    Endpoint(
        "POST",
        "/api/v1/tasks/dry-run",
        "manager",
        DryRun,
        submit_dry,
        "What a submission would do or be refused for; nothing is stored.",
        TaskDocument,
        limit=64 * MEGA,
    ),
    Endpoint("POST", "/api/v1/tasks/{task}/move", "manager", Moved, move_task, "Start, pause, cancel… a task.", Move),
    Endpoint("GET", "/api/v1/jobs", "viewer", JobList, jobs, "A page of jobs.", query=JobQuery),
    Endpoint("GET", "/api/v1/jobs/{job}", "viewer", JobPage, job, "A job with its attempts and its history."),
    Endpoint(
        "POST", "/api/v1/jobs/{job}/move", "expert", Moved, move_job, "Resend, accept, fail or cancel a job.", Move
    ),
)
