"""What people decide, by the words they use for it."""

from __future__ import annotations

from pilotext.decode import nearest
from pilotext.server.production.advance import Reason, advance
from pilotext.server.production.machines.job import cancel_jobs, resend_jobs
from pilotext.server.production.models import Job, Task
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import JOB, TASK

TASK_WORDS = {
    "start": "running",
    "pause": "paused",
    "resume": "running",
    "cancel": "cancelled",
    "archive": "archiving",
}
JOB_WORDS = ("resend", "accept", "fail", "cancel")


def move_task(task: int, word: str, reason: Reason) -> list[int]:
    """Start, pause, resume, cancel or archive a task. Raises RefusalError for another word, or no such task."""
    if word not in TASK_WORDS:
        raise _no_such_word(word, list(TASK_WORDS))
    rows = Task.objects.filter(pk=task)
    if not rows.exists():
        raise RefusalError("not-found", f"there is no task {task}.")
    return advance(TASK, rows, TASK_WORDS[word], reason)


def move_job(job: int, word: str, reason: Reason) -> list[int]:
    """Resend, accept (as finished), fail or cancel a job. Raises RefusalError for another word, or no such job."""
    if word not in JOB_WORDS:
        raise _no_such_word(word, list(JOB_WORDS))
    rows = Job.objects.filter(pk=job)
    if not rows.exists():
        raise RefusalError("not-found", f"there is no job {job}.")
    if word == "resend":
        return resend_jobs(rows, reason)
    if word == "cancel":
        return cancel_jobs(rows, reason)
    decided = rows.filter(state__in=("manual", "failed"))
    return advance(JOB, decided, "finished" if word == "accept" else "failed", reason)


def _no_such_word(word: str, known: list[str]) -> RefusalError:
    meant = nearest(word, known)
    hint = f"did you mean {meant!r}?" if meant else f"there are {', '.join(known)}."
    return RefusalError("invalid", f"nobody can {word!r:.40}; {hint}")
