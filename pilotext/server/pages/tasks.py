"""Pages of tasks: all of them with their counters, one with its runs and why it waits, and decisions on it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from pilotext.api.schemas.audit import AuditQuery
from pilotext.api.schemas.fields import Id
from pilotext.api.schemas.tasks import TaskFilter, TaskRow
from pilotext.sanitize import printable_json
from pilotext.server.pages.access import may, page
from pilotext.server.pages.decisions import carry_out
from pilotext.server.pages.failures import failures_since
from pilotext.server.pages.panda import links_of_task
from pilotext.server.pages.queries import address, choice_of, given, in_words, whole_number
from pilotext.server.pages.refreshing import marks_of_all, refreshed
from pilotext.server.pages.run import held_by, parts_of
from pilotext.server.production.manual_decisions import tasks as decisions
from pilotext.server.production.models import Task
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import JOB, TASK
from pilotext.server.production.statistics.audit import list_audit_entries
from pilotext.server.production.statistics.runs import runs_of
from pilotext.server.production.statistics.tasks import description_of, list_tasks
from pilotext.server.times import EPOCH

TASKS = 100
RUNS = 50
MAX_RUN = 2**31 - 1
TOP_FAILURES = 5
HISTORY = 50
ENDED = ("archived", "cancelled")
"""States of tasks that the list shows only when it is asked for them."""


class TaskQuery(TaskFilter, frozen=True):
    """Choice of tasks; the page goes on before the task `before`, to older ones."""

    before: Id | None = None


@dataclass(frozen=True)
class Counted:
    """A task with its jobs in the order of the columns."""

    row: TaskRow
    columns: tuple[tuple[str, int], ...]
    total: int
    merges: tuple[tuple[str, int], ...]


@page("viewer")
@refreshed(marks_of_all)
def list_all(request: HttpRequest) -> HttpResponse:
    """Show the tasks with their counters; those that have ended only when they are asked for."""
    asked, texts = choice_of(request, TaskQuery), given(request)
    without = () if asked.state or asked.name else ENDED
    rows = list(list_tasks(state=asked.state, name=asked.name, without=without, before=asked.before, limit=TASKS + 1))
    shown = rows[:TASKS]
    words = {
        "tasks": [counted(row) for row in shown],
        "states": JOB.states,
        "choice": in_words({name: text for name, text in texts.items() if name != "before"}),
        "further": address(reverse("tasks"), **{**texts, "before": shown[-1].task}) if len(rows) > TASKS else "",
        "task_states": TASK.states,
    }
    return render(request, "pages/tasks.html", words)


@page("viewer")
@refreshed(marks_of_all)
def show(request: HttpRequest, task: int) -> HttpResponse:
    """Show a task: counters, why it waits, the most frequent failures, its runs and its parameters."""
    described = description_of(task)
    found, row = described.page, described.row
    text = request.GET.get("after") or ""
    after = whole_number(text, MAX_RUN) if text else None
    if text and after is None:
        raise RefusalError("invalid", f"there is no run {text!r:.20}.")
    runs = runs_of(row, run=None, state=None, after=after, limit=RUNS)
    failures = failures_since(EPOCH, ("code", "cause"), of_task=task)
    words = {
        "page": found,
        "counted": counted(found.task),
        "runs": [(each, parts_of(each), held_by(each)) for each in runs.runs],
        "products": sorted({name for each in runs.runs for name in each.products}),
        "further": address(reverse("task", args=[task]), after=runs.next) if runs.next is not None else "",
        "failures": failures[:TOP_FAILURES],
        "more_failures": max(0, len(failures) - TOP_FAILURES),
        "panda": links_of_task(task),
        "pace": described.pace,
        "left_out": described.left_out,
        "refused": described.refused,
        "words": decisions.possible_words(found.task.state) if may(request, "manager") else [],
    }
    return render(request, "pages/task.html", words)


@page("viewer")
def file(request: HttpRequest, task: int) -> HttpResponse:
    """Show a task as it was submitted: its parameters and its file; and the last moves of it and its jobs."""
    row = Task.objects.filter(pk=task).first()
    if row is None:
        raise RefusalError("not-found", f"there is no task {task}.")
    words = {
        "task": row,
        "document": printable_json(msgspec.json.format(msgspec.json.encode(row.document), indent=2)).decode(),
        "history": list_audit_entries(AuditQuery(task=task, limit=HISTORY)).events,
    }
    return render(request, "pages/task_file.html", words)


@page("manager", methods=("POST",))
def decide(request: HttpRequest, task: int) -> HttpResponse:
    """Carry out a decision on a task, and go back to it."""
    return carry_out(request, "task", task, decisions.move_task)


def counted(row: TaskRow) -> Counted:
    """Return a task with the numbers of its jobs by state."""
    columns = tuple((state, row.jobs.get(state, 0)) for state in JOB.states)
    merges = tuple((state, row.merges[state]) for state in JOB.states if row.merges.get(state))
    return Counted(row, columns, sum(row.jobs.values()), merges)
