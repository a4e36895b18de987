"""Decisions of people on jobs, runs and tasks, by the words of the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet

from pilotext.model.report import Report
from pilotext.serialization.json import from_json, nearest
from pilotext.server.production.acceptance import NOT_PUBLISHED, outputs_of, why_elsewhere
from pilotext.server.production.advance import Reason, advance, record
from pilotext.server.production.expanded import expand
from pilotext.server.production.machines.job import cancel_jobs, hold_tasks
from pilotext.server.production.machines.resend import ENDED, hindrances, merge_with, resend_jobs
from pilotext.server.production.models import Breaker, Job, LogArchive, Output, Product, Site, Task
from pilotext.server.production.models.common import now
from pilotext.server.production.named import site_named
from pilotext.server.production.ownership import refuse_if_replaced, why_replaced
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import ARCHIVE, BREAKER, JOB, TASK
from pilotext.server.rows import insert_rows

ACCEPTED_FROM = ("manual", "failed")
NOT_CLOSED = ("open", "probing")
TASK_WORDS = ("start", "pause", "resume", "cancel", "archive")
OPEN_S = 10 * 365 * 86400.0
"""A breaker that somebody opened stays so until somebody closes it."""


def move_task(task: int, word: str, reason: Reason) -> list[int]:
    """Start, pause, resume, cancel or archive a task. Raises RefusalError for another word, or no such task.

    A cancelled task that is resumed takes up the jobs again that were cancelled with it; the cycle does that.
    """
    if word not in TASK_WORDS:
        raise no_such_word(word, list(TASK_WORDS))
    rows = Task.objects.filter(pk=task)
    row = rows.select_for_update(of=("self",)).first()
    if row is None:
        raise RefusalError("not-found", f"there is no task {task}.")
    refuse_if_replaced(row)
    if word == "start":
        return advance(TASK, rows, ("ready",), "running", reason)
    if word == "resume":
        again = advance(TASK, rows, ("cancelled",), "draft", reason)
        return again or advance(TASK, rows, ("paused",), "running", reason)
    if word == "archive" and row.state == "archiving":  # archives that somebody has looked into are tried again
        held = LogArchive.objects.filter(task=task)
        again = advance(ARCHIVE, held, ("manual",), "wanted", reason, finding="", busy_until=0.0)
        return [task] if again else []
    to = {"pause": "paused", "cancel": "cancelled", "archive": "archiving"}[word]
    return advance(TASK, rows, TASK.sources(to, reason.actor), to, reason)


def move_job(job: int, word: str, reason: Reason) -> list[int]:
    """Resend, accept (as finished), fail or cancel a job.

    Raises RefusalError for another word, no such job, or with the reason why just this cannot be done.
    """
    if word not in JOB_WORDS:
        raise no_such_word(word, list(JOB_WORDS))
    rows = Job.objects.filter(pk=job)
    if not rows.exists():
        raise RefusalError("not-found", f"there is no job {job}.")
    if why := hindered(rows, word).get(job):
        raise RefusalError("conflict", f"job {job} cannot be moved: {why}.")
    return move_jobs(rows, word, reason)


def move_jobs(jobs: QuerySet[Job], word: str, reason: Reason) -> list[int]:
    """The same for many; those that cannot be moved stay as they are. Returns the ids of the others."""
    return JOB_WORDS[word](jobs, reason)


def hindered(jobs: QuerySet[Job], word: str) -> dict[int, str]:
    """Of these jobs, those in the right state that cannot be moved all the same, with the reason."""
    if word == "resend":
        return hindrances(jobs.filter(state__in=ENDED))
    if word == "accept":
        return {job.pk: why for job in _to_accept(jobs) if (why := _unacceptable(job))}
    return {}


def may_move(word: str) -> tuple[str, ...]:
    """The states from which a job can be moved by this word. Raises RefusalError for another word."""
    if word not in JOB_WORDS:
        raise no_such_word(word, list(JOB_WORDS))
    if word == "resend":
        return ENDED
    return {"cancel": JOB.sources("cancelled", "person"), "accept": ACCEPTED_FROM}.get(word, ("manual",))


def _fail(jobs: QuerySet[Job], reason: Reason) -> list[int]:
    return advance(JOB, jobs, ("manual",), "failed", reason)


def _accept(jobs: QuerySet[Job], reason: Reason) -> list[int]:
    """Take jobs as finished; their outputs are those that the last attempt published."""
    hold_tasks(Task.objects.filter(pk__in=jobs.values("task")))
    moved = []
    for job in _to_accept(jobs):
        if _unacceptable(job):
            continue
        Output.objects.filter(job=job, state="valid").update(state="superseded", group=None)
        insert_rows(Output, _published(job))
        moved += advance(JOB, Job.objects.filter(pk=job.pk), ACCEPTED_FROM, "finished", reason, assigned="")
    merge_with(Job.objects.filter(pk__in=moved), reason)
    return moved


def _to_accept(jobs: QuerySet[Job]) -> QuerySet[Job]:
    return jobs.filter(state__in=ACCEPTED_FROM).select_related("task__experiment")


def _unacceptable(job: Job) -> str:
    """Return why a job cannot count as finished: its run would be merged without its events, and nobody would know."""
    if job.task.state in ("archiving", "archived"):
        return f"its task {job.task.name} is {job.task.state}"
    if why := why_replaced(job.task):
        return why
    merged = job.run is not None and Product.objects.filter(task=job.task_id, run=job.run).exists()
    if not (merged or job.product) or _published(job):
        return ""
    return "no attempt has published its outputs; fail it, and have its run merged without it"


def _published(job: Job) -> list[dict[str, Any]]:
    last = job.tries.filter(number=job.attempts, evidence__late=False).select_related("evidence").first()
    if last is None or last.rule in NOT_PUBLISHED:
        return []
    report = from_json(last.evidence.report, Report)
    expected = {output.name: output for output in expand(job.task, job, last.number).outputs}
    if not expected.keys() <= {file.name for file in report.outputs} or why_elsewhere(report, expected):
        return []
    return list(outputs_of(last, report, expected))


JOB_WORDS: dict[str, Callable[[QuerySet[Job], Reason], list[int]]] = {
    "resend": resend_jobs,
    "accept": _accept,
    "fail": _fail,
    "cancel": cancel_jobs,
}


def assign(job: int, to: str, reason: Reason) -> None:
    """Say who looks into a job; empty: nobody. Raises RefusalError when there is no such job."""
    row = _job(job)
    Job.objects.filter(pk=job).update(assigned=to)
    told = [(job, row.assigned, row.task_id)]
    record("assigned", to, reason, told)


def note(job: int, reason: Reason) -> None:
    """Write down a note on a job, for whoever looks at it next. Raises RefusalError when there is no such job."""
    row = _job(job)
    record("note", row.state, reason, [(job, row.state, row.task_id)])


def _job(job: int) -> Job:
    row = Job.objects.select_for_update().filter(pk=job).first()
    if row is None:
        raise RefusalError("not-found", f"there is no job {job}.")
    return row


def move_site(name: str, word: str, reason: Reason) -> list[int]:
    """Close a site, so that it gets no jobs, or open it again, with all of its breakers.

    Raises RefusalError for another word, or no such site.
    """
    row = Site.objects.select_for_update().get(pk=site_named(name).pk)
    if word not in ("close", "open"):
        raise no_such_word(word, ["close", "open"])
    if word == "close":
        moved = Site.objects.filter(pk=row.pk, closed="").update(closed=reason.why)
    else:
        moved = Site.objects.filter(pk=row.pk).exclude(closed="").update(closed="")
        breakers = Breaker.objects.filter(site=row)
        moved += len(advance(BREAKER, breakers, NOT_CLOSED, "closed", reason, trips=0, why="", probe=None))
    if moved:
        after = "closed" if word == "close" else "open"
        record("site", after, reason, [(row.pk, "closed" if row.closed else "open", None)])
    return [row.pk] if moved else []


def move_breaker(breaker: int, word: str, reason: Reason) -> list[int]:
    """Close a breaker, or open it until somebody closes it. Raises RefusalError when that cannot be."""
    rows = Breaker.objects.filter(pk=breaker)
    if not rows.exists():
        raise RefusalError("not-found", f"there is no breaker {breaker}.")
    if word == "close":
        return advance(BREAKER, rows, NOT_CLOSED, "closed", reason, trips=0, why="", probe=None)
    if word == "open":
        held = {"why": reason.why, "due": now() + OPEN_S, "probe": None}
        opened = advance(BREAKER, rows, ("closed",), "open", reason, since=now(), **held)
        return (
            opened or advance(BREAKER, rows, ("probing",), "open", reason, **held) or _hold_longer(rows, reason, **held)
        )
    raise no_such_word(word, ["close", "open"])


def _hold_longer(rows: QuerySet[Breaker], reason: Reason, **held: Any) -> list[int]:
    """One that opened by itself stays open until somebody closes it."""
    found = list(rows.filter(due__lt=now() + OPEN_S / 2).select_for_update(of=("self",)).values_list("pk", "state"))
    Breaker.objects.filter(pk__in=[pk for pk, _ in found]).update(changed=now(), **held)
    record(BREAKER.name, "open", reason, [(pk, state, None) for pk, state in found])
    return [pk for pk, _ in found]


def no_such_word(word: str, known: list[str]) -> RefusalError:
    meant = nearest(word, known)
    hint = f"did you mean {meant!r}?" if meant else f"there are {', '.join(known)}."
    return RefusalError("invalid", f"nobody can {word!r:.40}; {hint}")
