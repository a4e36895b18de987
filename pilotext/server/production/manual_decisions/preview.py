"""Preview of the decisions on one job: whether each is possible, and what it does to the run and the task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pilotext.errors import UsageError
from pilotext.formatting import counted_words
from pilotext.server.production.manual_decisions.jobs import JOB_WORDS, hindered, may_move, without_outputs
from pilotext.server.production.models import Job, Product
from pilotext.server.production.published_names import why_replaced
from pilotext.server.production.states import JobState, ProductState, TaskState
from pilotext.server.production.statistics.jobs import JobHistory

MAX_PRODUCTS = 20


@dataclass(frozen=True)
class DecisionPreview:
    """A decision that the state of a job allows: what it does, or why just this job cannot be moved by it."""

    word: str
    effects: tuple[str, ...]
    hindrance: str


def preview_decisions(history: JobHistory) -> list[DecisionPreview]:
    """Return what each decision that the state of this job allows would do; nothing is changed."""
    job = history.row
    words = [word for word in JOB_WORDS if job.state in may_move(word)]
    if not words:
        return []
    products: Sequence[Product] = ()
    if job.run is not None:
        named = {"merge": job.product} if job.product else {}
        products = list(Product.objects.filter(task=job.task_id, run=job.run, **named).order_by("pk")[:MAX_PRODUCTS])
    hindrances: dict[str, str] = {}
    if "resend" in words:
        hindrances["resend"] = hindered(Job.objects.filter(pk=job.pk), "resend").get(job.pk, "")
    if "accept" in words:
        hindrances["accept"] = _unacceptable(history, products)
    return [DecisionPreview(word, tuple(_effects(word, job, products)), hindrances.get(word, "")) for word in words]


def _unacceptable(history: JobHistory, products: Sequence[Product]) -> str:
    """Return why a job cannot be accepted, as the decision itself finds it, from the rows that are there."""
    job = history.row
    if job.task.state in (TaskState.ARCHIVING, TaskState.ARCHIVED):
        return f"its task {job.task.name} is {job.task.state}"
    if why := why_replaced(job.task):
        return why
    last = history.tries[-1] if history.tries and job.attempts in history.reports else None
    try:
        return without_outputs(job, last, merged=bool(products))
    except UsageError as error:
        return f"its profile cannot make it any more: {error}"


def _effects(word: str, job: Job, products: Sequence[Product]) -> Iterator[str]:
    if word == "resend":
        yield from _effects_of_resend(job, products)
    elif word == "accept":
        yield "it counts as finished, with the files that its last attempt published"
        yield from _merged_anew(job, [each for each in products if job.pk in each.left_out])
    elif word == "hurry":
        yield "it goes before all others, without the wait after a failure; what it waits for otherwise stays"
    elif word == "fail":
        yield "it has failed for good"
        yield from _without(job, products)
    else:
        yield "it is not run any more"
        if job.state in (JobState.SENT, JobState.RUNNING):
            yield "its worker is asked to stop"
        yield from _without(job, products)


def _effects_of_resend(job: Job, products: Sequence[Product]) -> Iterator[str]:
    tried = f"it had {counted_words(job.attempts, 'attempt')}, and " if job.attempts else ""
    yield f"it runs again: {tried}its attempts count anew, up to {job.task.max_attempts}"
    if job.state == JobState.FINISHED:
        yield "the files that it has published count no more"
    if job.task.staging and not job.product:
        yield "its input is brought to disk first"
    yield from _merged_anew(job, products)
    if job.task.state in (TaskState.DONE, TaskState.CANCELLED):
        yield f"task {job.task.name} runs again"


def _merged_anew(job: Job, products: Sequence[Product]) -> Iterator[str]:
    begun = [each.merge for each in products if each.state != ProductState.WAITING]
    if begun:
        yield f"run {job.run} is merged anew: {', '.join(begun)}"
    elif products:
        yield f"run {job.run} waits for it: {', '.join(each.merge for each in products)}"


def _without(job: Job, products: Sequence[Product]) -> Iterator[str]:
    waiting = [each.merge for each in products if each.state in (ProductState.WAITING, ProductState.MANUAL)]
    if waiting and not job.product:
        yield f"run {job.run} needs a decision before it is merged without it: {', '.join(waiting)}"
