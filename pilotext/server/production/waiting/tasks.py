"""Reasons why a task waits: those of its jobs, products and archives, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from shlex import quote

from django.db.models import Count, F, Func, Max, OuterRef, QuerySet, Subquery

from pilotext.api.schemas.waits import Wait, WaitKind
from pilotext.errors import UsageError
from pilotext.formatting import counted_words
from pilotext.profile.job_builder import printed
from pilotext.server.database import number_of
from pilotext.server.production.job_builder import task_facts
from pilotext.server.production.models import Attempt, Breaker, Job, LogArchive, Product, StagedFile, Task
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.states import JobState, LogArchiveState, ProductState, StagedFileState, TaskState
from pilotext.server.production.statistics.counts import TaskCounts, counts_of
from pilotext.server.production.storage.operations import MAX_TRIES
from pilotext.server.production.waiting.chains import of_parent, of_readers, of_replaced_inputs, parent_to_wait_for
from pilotext.server.production.waiting.jobs import of_file, of_room, of_tasks_state, with_room
from pilotext.server.production.waiting.places import (
    breakers_of,
    obstacles,
    of_cycle,
    places_of,
    wait_for,
    with_servers,
)
from pilotext.server.times import now

MAX_ARCHIVES = 20
"""Log archives that are named."""


def with_put_off(tasks: QuerySet[Task], at: datetime) -> QuerySet[Task]:
    """Return these tasks, each with the number of its jobs that wait before their next attempt, and the first time."""
    later = Job.objects.filter(task=OuterRef("pk"), state=JobState.READY, not_before__gt=at).order_by()
    first = later.annotate(first=Func(F("not_before"), function="MIN")).values("first")
    return tasks.annotate(put_off=number_of(later), put_off_until=Subquery(first))


@dataclass(frozen=True)
class TaskParts:
    """The jobs of a task by state, and its products that are not kept yet: number, run, merge and state of each."""

    counts: TaskCounts
    products: Sequence[tuple[int, int, str, str]]


def parts_of(task: Task, counts: TaskCounts | None = None) -> TaskParts:
    """Return what the reasons of a task are made of; `counts` are those of its jobs, read where the caller has none."""
    unfinished = Product.objects.filter(task=task).exclude(state__in=(ProductState.KEPT, ProductState.CLEANED))
    if task.state == TaskState.ARCHIVING:  # all of its products are kept, and its archiving counts them itself
        unfinished = unfinished.none()
    products = tuple(unfinished.values_list("pk", "run", "merge", "state"))
    return TaskParts(counts or counts_of([task.pk])[task.pk], products)


def of_task(task: Task, at: datetime | None = None, parts: TaskParts | None = None) -> tuple[Wait, ...]:
    """Return the reasons why a task waits; empty for one that has ended. It comes with its experiment.

    What `with_put_off` adds, and `parts`, are read where the caller does not have them.
    """
    at = now() if at is None else at
    breakers = breakers_of(task.experiment_id)
    waits = with_servers(_of_task(task, at, parts or parts_of(task), breakers), breakers)
    return (*waits, *of_cycle(at)) if waits else ()


_UNDER_WAY = {JobState.SENT, JobState.RUNNING, JobState.VERIFYING}
_TO_BE_GIVEN_OUT = {JobState.DEFINED, JobState.STAGING, JobState.READY}
_WITH_THE_CYCLE = {ProductState.MERGED, ProductState.CHECKED, ProductState.COPYING}


def needs_person(task: Task, parts: TaskParts | None = None) -> bool:
    """Whether nothing of a task moves until a person decides, starts or resumes it; `parts` as in `of_task`."""
    stopped = task.state in (TaskState.READY, TaskState.PAUSED)
    if not stopped and task.state != TaskState.RUNNING:
        return False
    parts = parts or parts_of(task)
    products, states = parts.products, {*parts.counts.own, *parts.counts.merges}
    if states & (_UNDER_WAY if stopped else _UNDER_WAY | _TO_BE_GIVEN_OUT):
        return False
    if any(state in _WITH_THE_CYCLE for *_, state in products):
        return False
    if stopped:
        return True
    parent = parent_to_wait_for(task)
    if parent is not None:
        return needs_person(parent)
    held = _held(task, products)
    waits = JobState.MANUAL in states or any(state == ProductState.MANUAL for *_, state in products)
    return waits and all(pk in held for pk, *_ in products)


def _held(task: Task, products: Sequence[tuple[int, int, str, str]]) -> set[int]:
    """Return the products that wait for a person, or for jobs and other products of their run that do."""
    manual = Job.objects.filter(task=task, state=JobState.MANUAL)
    chunks = set(manual.filter(product="").values_list("run", flat=True))
    merging = set(manual.filter(group__round=F("group__product__round")).values_list("group__product", flat=True))
    merges = profile_of(task.experiment.name).merges
    held = {pk for pk, _, _, state in products if state == ProductState.MANUAL or pk in merging}
    held |= {pk for pk, run, _, state in products if state == ProductState.WAITING and run in chunks}
    while True:
        names = {(run, merge) for pk, run, merge, _ in products if pk in held}
        more = {
            pk
            for pk, run, merge, state in products
            if state == ProductState.WAITING and merge in merges
            if any((run, other) in names for other in merges[merge].after)
        }
        if more <= held:
            return held
        held |= more


def _of_task(task: Task, at: datetime, parts: TaskParts, breakers: Iterable[Breaker]) -> tuple[Wait, ...]:
    if task.state == TaskState.ARCHIVING:
        return tuple(_archiving(task, at))
    if task.state == TaskState.CANCELLED:
        return (*_ending(task), *_left(task, len(parts.products)))
    if task.state in (TaskState.DONE, TaskState.ARCHIVED):
        return ()
    jobs = _jobs(task, at, parts.counts, breakers)
    inputs = (*of_parent(task), *of_replaced_inputs(task)) if task.input_kind else ()
    return (*of_tasks_state(task), *jobs, *inputs, *_products(task, parts.products))


def _jobs(task: Task, at: datetime, counts: TaskCounts, breakers: Iterable[Breaker]) -> Iterator[Wait]:
    number = Counter(counts.own) + Counter(counts.merges)
    name = quote(task.name)
    if number[JobState.MANUAL]:
        what = f"{counted_words(number[JobState.MANUAL], 'job', 'waits')} for a decision"
        yield wait_for("person", what, None, None, "expert", f"pilotext jobs manual --task {name}")
    if number[JobState.SENT] + number[JobState.RUNNING]:
        what = f"{counted_words(number[JobState.SENT] + number[JobState.RUNNING], 'job', 'is')} running"
        how = f"pilotext jobs --task {name} --state running; pilotext jobs show N says how far"
        yield wait_for("attempt", what, None, None, "server", how)
    if number[JobState.VERIFYING]:
        verified = counted_words(number[JobState.VERIFYING], "job")
        what = f"the published files of {verified} are compared with the reports"
        how = f"the cycle looks by itself; pilotext jobs --task {name} --state verifying"
        yield wait_for("verifying", what, None, None, "server", how)
    worst = None
    if number[JobState.STAGING]:
        worst = _longest_staged(task)
        yield _staging(task, worst, number[JobState.STAGING], at)
    if number[JobState.DEFINED] and task.staging and task.state == TaskState.RUNNING:
        room = of_room(task, profile_of(task.experiment.name).staging, worst)
        what = f"{counted_words(number[JobState.DEFINED], 'job', 'waits')} until the cycle asks for files from tape"
        yield room or wait_for("cycle", what, None, None, "server", "the next step of the cycle asks for them")
    if number[JobState.READY] and task.state == TaskState.RUNNING:
        yield from _ready(task, number[JobState.READY], at, breakers)


def _longest_staged(task: Task) -> StagedFile | None:
    """Return the file of a task that the tape system owes longest, with what `with_room` adds."""
    files = StagedFile.objects.read_by(task=task, state=JobState.STAGING).exclude(state=StagedFileState.ONLINE)
    worst = files.order_by("-tries", "changed", "pk").values("pk")[:1]
    return with_room(StagedFile.objects.filter(pk__in=worst)).first()


def _staging(task: Task, worst: StagedFile | None, number: int, at: datetime) -> Wait:
    """The file that the tape system owes longest says why; the others wait as it does."""
    limits = profile_of(task.experiment.name).staging
    what = f"{counted_words(number, 'job', 'waits')} for files from tape"
    if worst is None:
        return wait_for("staging", what, None, None, "server", "the cycle asks for them")
    first = of_file(worst, limits, at)
    return Wait(first.kind, f"{what}; {first.what}", first.since, first.until, "server", first.how)


def _ready(task: Task, number: int, at: datetime, breakers: Iterable[Breaker]) -> Iterator[Wait]:
    row = task if hasattr(task, "put_off") else with_put_off(Task.objects.filter(pk=task.pk), at).get()
    put_off, until = getattr(row, "put_off", 0), getattr(row, "put_off_until", None)
    if put_off:
        what = f"{counted_words(put_off, 'job', 'waits')} before the next attempt; the time is that of the first"
        yield wait_for("back-off", what, None, until, "server", "each is given out again by itself")
    if number <= put_off:
        return
    found = {place.site.name: list(obstacles(place, {}, at)) for place in places_of(task, None, at, {}, breakers)}
    free = [name for name, waits in found.items() if not waits]
    if free:
        ready = counted_words(number - put_off, "job", "is")
        what = f"{ready} ready for {', '.join(free)}, each when its turn comes"
        how = f"pilotext tasks set {quote(task.name)} --priority N --share X --why ..."
        yield wait_for("others-first", what, None, None, "manager", how)
    else:
        yield from dict.fromkeys(wait for waits in found.values() for wait in waits)


def _products(task: Task, products: Sequence[tuple[int, int, str, str]]) -> Iterator[Wait]:
    states = Counter(state for *_, state in products)
    name = quote(task.name)
    for state, number in sorted(states.items()):
        if state == ProductState.MANUAL:
            how = f"pilotext runs {name} --state manual"
            what = f"{counted_words(number, 'product of runs', 'waits')} for a decision"
            yield wait_for("person", what, None, None, "expert", how)
        else:
            how = f"pilotext runs {name} --state {state}; pilotext runs show {name} --run N says why"
            kind: WaitKind = "copying" if state in (ProductState.CHECKED, "copying") else "merge-jobs"
            yield wait_for(kind, f"{counted_words(number, 'product of runs', 'is')} {state}", None, None, "server", how)


def _ending(task: Task) -> Iterator[Wait]:
    at_work = Attempt.objects.active().filter(task=task).count()
    if at_work:
        what = f"{counted_words(at_work, 'attempt of the cancelled task', 'is')} still running"
        yield wait_for("stopping", what, task.changed, None, "server", "workers hear of it by their heartbeats")


def _left(task: Task, products: int) -> Iterator[Wait]:
    if products:
        stay = counted_words(products, "product of runs", "is")
        what = f"{stay} not kept: nothing of a cancelled task is merged, compared, or copied to where it is kept"
        how = f"pilotext tasks resume {quote(task.name)} --why ..., if they are wanted after all"
        yield wait_for("task-over", what, task.changed, None, "manager", how)


# ----------------------------------------------------------------------------------------------------------- archiving


def _archiving(task: Task, at: datetime) -> Iterator[Wait]:
    if why := _unprintable(task):
        how = "correct the profile or the database: the parameters of the task cannot be changed"
        yield wait_for("archive", f"its log archives cannot be named: {why}", task.changed, None, "manager", how)
        return
    rows = list(LogArchive.objects.filter(task=task).defer("members").order_by("pk"))
    if not rows and profile_of(task.experiment.name).logs is not None:
        yield wait_for("cycle", "its log archives are to be planned", task.changed, None, "server", "by the cycle")
    manual = [archive for archive in rows if archive.state == LogArchiveState.MANUAL]
    for archive in manual[:MAX_ARCHIVES]:
        what = f"archive {archive.name} could not be made: {archive.finding}"
        how = "repair its storage; see docs/administrator.md"
        yield wait_for("person", what, archive.changed, None, "manager", how)
    yield from _wanted(task, [archive for archive in rows if archive.state == LogArchiveState.WANTED], at)
    products = Product.objects.filter(task=task).exclude(state=ProductState.CLEANED).order_by()
    counted = {
        state: (number, tries)
        for state, number, tries in products.values_list("state").annotate(Count("pk"), Max("tries"))
    }
    number, tries = counted.pop(ProductState.KEPT, (0, 0))
    readers = tuple(of_readers(task)) if number else ()
    yield from readers
    if number and not readers:
        kept = products.filter(state=ProductState.KEPT)
        failed = kept.order_by("-tries").first() if tries else None
        what = f"the chunk files of {counted_words(number, 'product')} are to be removed"
        if failed is not None:
            what += f"; run {failed.run} {failed.merge} failed {counted_words(failed.tries, 'time')}: {failed.finding}"
        until = failed.busy_until if failed is not None and failed.busy_until > at else None
        yield wait_for("cleaning", what, task.changed, until, "server", "the cycle tries it again then")
    yield from _logs([row for row in rows if row.state == LogArchiveState.KEPT and row.run is not None], at)
    if odd := sum(number for number, _ in counted.values()):
        what = f"{counted_words(odd, 'product', 'is')} not kept"
        yield wait_for("person", what, task.changed, None, "expert", f"pilotext runs show {quote(task.name)}")


def _logs(archives: Sequence[LogArchive], at: datetime) -> Iterator[Wait]:
    if not archives:
        return
    worst = max(archives, key=lambda archive: archive.tries)
    what = f"the log files in {counted_words(len(archives), 'archive')} are to be removed"
    if worst.tries:
        what += f"; those of run {worst.run} failed {counted_words(worst.tries, 'time')}: {worst.finding}"
    until = worst.busy_until if worst.busy_until > at else None
    yield wait_for("cleaning", what, worst.changed, until, "server", "the cycle tries it again then")


def _unprintable(task: Task) -> str:
    """Return why the names and places of a task's log archives cannot be made; empty when they can."""
    experiment, facts = profile_of(task.experiment.name), task_facts(task)
    logs = experiment.logs
    if logs is None:
        return ""
    try:
        for text in (logs.run, logs.production, *logs.to, *logs.tape):
            printed(experiment, facts, text, run=0)
    except UsageError as error:
        return str(error)
    return ""


def _wanted(task: Task, archives: Sequence[LogArchive], at: datetime) -> Iterator[Wait]:
    if not archives:
        return
    worst = max(archives, key=lambda archive: archive.tries)
    what = f"{counted_words(len(archives), 'log archive', 'is')} to be made"
    if not worst.tries:
        yield wait_for("archive", what, task.changed, None, "server", "the cycle makes one at a time")
        return
    what += f"; {worst.name} failed {worst.tries} of {MAX_TRIES} times: {worst.finding}"
    until = worst.busy_until if worst.busy_until > at else None
    yield wait_for("archive", what, worst.changed, until, "server", "the cycle tries it again then")
