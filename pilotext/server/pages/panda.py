"""Tasks and jobs of a PanDA server on pages: their numbers, with links to its monitor if there is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings

from pilotext.server.production.models import Attempt

MAX_TASKS = 20


@dataclass(frozen=True)
class PandaLink:
    """A task or job of PanDA in words; `address` is that of its page in the monitor, or empty."""

    words: str
    address: str


def links_of_attempt(attempt: Attempt) -> Iterator[PandaLink]:
    """Yield the PanDA job and JEDI task of an attempt, as far as it has them."""
    if attempt.panda_job:
        yield PandaLink(f"PanDA job {attempt.panda_job}", _address(f"job?pandaid={attempt.panda_job}"))
    if attempt.panda_task:
        yield _task(attempt.panda_task)


def links_of_task(task: int) -> list[PandaLink]:
    """Return the newest JEDI tasks in which jobs of a task were."""
    rows = Attempt.objects.filter(task=task, panda_task__gt=0).order_by("-panda_task")
    return [_task(number) for number in rows.values_list("panda_task", flat=True).distinct()[:MAX_TASKS] if number]


def _task(number: int) -> PandaLink:
    return PandaLink(f"JEDI task {number}", _address(f"task/{number}/"))


def _address(path: str) -> str:
    return f"{settings.PANDA_MONITOR}/{path}" if settings.PANDA_MONITOR else ""
