"""Decisions of people on tasks: their moves and their settings; in a transaction."""

from __future__ import annotations

from typing import Any

from django.db.models import F

from pilotext.api.schemas.tasks import TaskSettings
from pilotext.server.production.lookup import no_such_word
from pilotext.server.production.models import Job, LogArchive, Task
from pilotext.server.production.published_names import refuse_if_replaced
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import ARCHIVE, TASK, LogArchiveState, TaskState
from pilotext.server.production.submission.backfill import replace_late
from pilotext.server.production.transitions import Reason, advance, record
from pilotext.server.times import EPOCH

TASK_WORDS = ("start", "pause", "resume", "cancel", "archive")


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
        return advance(TASK, rows, (TaskState.READY,), TaskState.RUNNING, reason)
    if word == "resume":
        again = advance(TASK, rows, (TaskState.CANCELLED,), TaskState.DRAFT, reason)
        return again or advance(TASK, rows, (TaskState.PAUSED,), TaskState.RUNNING, reason)
    if word == "archive" and row.state == TaskState.ARCHIVING:  # archives that somebody has looked into are tried again
        held = LogArchive.objects.filter(task=task)
        again = advance(
            ARCHIVE, held, (LogArchiveState.MANUAL,), LogArchiveState.WANTED, reason, finding="", busy_until=EPOCH
        )
        return [task] if again else []
    to = {"pause": TaskState.PAUSED, "cancel": TaskState.CANCELLED, "archive": TaskState.ARCHIVING}[word]
    return advance(TASK, rows, TASK.sources(to, reason.actor), to, reason)


def possible_words(state: str) -> list[str]:
    """Return the decisions that a task in this state allows."""
    targets = {"start": TaskState.RUNNING, "pause": TaskState.PAUSED, "cancel": TaskState.CANCELLED}
    sources = {word: TASK.sources(target, "person") for word, target in targets.items()}
    sources["start"] = (TaskState.READY,)
    sources["resume"] = (TaskState.PAUSED, TaskState.CANCELLED)
    sources["archive"] = TASK.sources(TaskState.ARCHIVING, "person")
    return [word for word in TASK_WORDS if state in sources[word]]


def change_task(task: int, asked: TaskSettings, reason: Reason) -> list[int]:
    """Change settings of a task. Raises RefusalError when there is none, or nothing to change."""
    row = Task.objects.select_for_update().filter(pk=task).first()
    if row is None:
        raise RefusalError("not-found", f"there is no task {task}.")
    wanted = {"priority": asked.priority, "share": asked.share, "max_attempts": asked.max_attempts}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    if not wanted and asked.replaces is None:
        raise RefusalError("invalid", f"no setting is given. Known are: {', '.join(asked.__struct_fields__[1:])}.")
    changes: dict[str, Any] = {name: value for name, value in wanted.items() if getattr(row, name) != value}
    if asked.replaces is not None:
        replace_late(row, asked.replaces, reason)
    if not changes:
        return [] if asked.replaces is None else [task]
    Task.objects.filter(pk=task).update(**changes)
    if "priority" in changes:
        Job.objects.filter(task=task).update(priority=F("priority") + changes["priority"] - row.priority)
    for name, value in changes.items():
        record("task setting", f"{name} {value:g}", reason, [(task, f"{name} {getattr(row, name):g}", task)])
    return [task]
