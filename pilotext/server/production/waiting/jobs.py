"""Reasons why a job waits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from shlex import quote

from django.db.models import F, Func, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from pilotext.api.schemas.waits import Changer, Wait, WaitKind
from pilotext.formatting import counted_words
from pilotext.profile.records import Staging
from pilotext.server.database import number_of
from pilotext.server.production.dispatch.placement import avoided_by
from pilotext.server.production.models import AuditEntry, Breaker, Job, StagedFile, Task, Verification
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.states import ACTIVE_ATTEMPT, JobState, OutputState, StagedFileState, TaskState
from pilotext.server.production.waiting.chains import of_source
from pilotext.server.production.waiting.places import (
    breakers_of,
    obstacles,
    of_cycle,
    places_of,
    wait_for,
    with_servers,
)
from pilotext.server.times import earlier, later, now

MAX_AHEAD = 1000
"""Jobs of a task that are counted before this one; of more it is only said that there are more."""

SILENT_AFTER_S = 900.0
PILOT_SILENT_AFTER_S = 5400.0
"""Three heartbeats of an agent, and of a PanDA pilot: an attempt without a word for so long is reported as silent."""

_NEXT_STEP = "the next step of the cycle moves it"


def of_job(job: Job, at: datetime | None = None) -> tuple[Wait, ...]:
    """Return why a job waits; empty for one that has ended. It comes with its task, experiment and staged file."""
    at = now() if at is None else at
    breakers = breakers_of(job.task.experiment_id)
    waits = with_servers(_of_job(job, at, breakers), breakers)
    return (*waits, *of_cycle(at)) if waits else ()


def _of_job(job: Job, at: datetime, breakers: Iterable[Breaker]) -> tuple[Wait, ...]:
    if job.state == JobState.MANUAL:
        return (_person(job),)
    if job.state in (JobState.SENT, JobState.RUNNING):
        return tuple(_at_work(job, at))
    if job.state == JobState.VERIFYING:
        return tuple(_verifying(job, at))
    if job.state not in (JobState.DEFINED, JobState.STAGING, JobState.READY):
        return ()
    waits = list(of_tasks_state(job.task))
    if job.state == JobState.READY:
        waits += _ready(job, at, breakers)
    elif job.source is not None and job.source.state != OutputState.VALID:
        waits.append(of_source(job.source))
    elif job.task.staging and not job.product:
        waits += _staging(job, at)
    return tuple(waits) or (wait_for("cycle", "its input needs no staging", job.changed, None, "server", _NEXT_STEP),)


def of_tasks_state(task: Task) -> Iterator[Wait]:
    """Yield the wait for the state of the task; nothing while it runs."""
    if task.state == TaskState.RUNNING:
        return
    told = AuditEntry.objects.filter(subject="task", subject_id=task.pk, after=task.state).order_by("-pk").first()
    since, by = (told.at, f" by {told.who}: {told.why}") if told else (task.changed, "")
    name = quote(task.name)
    kind: WaitKind = "task-over"
    who: Changer = "manager"
    what, how = f"task {task.name} is {task.state}{by}", f"pilotext tasks resume {name} --why ..."
    if task.state == TaskState.READY:
        kind, what = "task-not-started", f"task {task.name} has not been started"
        how = f"pilotext tasks start {name} --why ..."
    elif task.state == TaskState.PAUSED:
        kind = "task-paused"
    elif task.state == TaskState.DRAFT:
        kind, who, how = "task-resuming", "server", "its jobs are taken up again by the cycle"
    elif task.state in (TaskState.DONE, TaskState.ARCHIVING, TaskState.ARCHIVED):
        how = (
            "send a job again: pilotext jobs resend N --why ..."
            if task.state == TaskState.DONE
            else "it can be changed no more"
        )
    yield wait_for(kind, what, since, None, who, how)


def _person(job: Job) -> Wait:
    whose = f", {job.assigned} investigates it" if job.assigned else ", nobody investigates it yet"
    how = f"pilotext jobs resend {job.pk} --why ...; also accept, fail, cancel, assign"
    return wait_for("person", f"it waits for a decision{whose}: {job.diag}", job.changed, None, "expert", how)


def _at_work(job: Job, at: datetime) -> Iterator[Wait]:
    attempt = job.tries.active().select_related("site", "agent").first()
    if attempt is None:
        return
    who = attempt.agent.name if attempt.agent else attempt.pilot
    where = (
        f"attempt {attempt.number}, {who or 'a pilot'} at {attempt.site.name} on {attempt.node or 'an unknown node'}"
    )
    cancel = f"pilotext jobs cancel {job.pk} --why ..."
    if attempt.stop:
        why = f"{where} was asked to stop: {attempt.stop}"
        yield wait_for(
            "stopping", why, attempt.seen, attempt.lease_until, "server", "its worker hears of it by a heartbeat"
        )
    elif attempt.seen < earlier(at, PILOT_SILENT_AFTER_S if attempt.pilot else SILENT_AFTER_S):
        how = "without a word until then it is lost, and goes on by the rules for lost ones"
        yield wait_for("silent", f"{where} is silent", attempt.seen, attempt.lease_until, "server", how)
    else:
        yield wait_for(
            "attempt", f"{where} is in phase {attempt.phase or 'leased'}", attempt.leased, None, "expert", cancel
        )


def _verifying(job: Job, at: datetime) -> Iterator[Wait]:
    """Yield the progress of the comparison of published files; nothing when it has just been settled."""
    row = Verification.objects.filter(attempt__job=job).first()
    if row is None:
        return
    until = row.busy_until if row.busy_until > at else None
    found = f"; the last look found: {row.finding}" if row.finding else ""
    what = f"its published files are compared with its report{found}"
    yield wait_for("verifying", what, row.since, until, "server", "the cycle looks by itself")


# ------------------------------------------------------------------------------------------------------------- staging


def _staging(job: Job, at: datetime) -> Iterator[Wait]:
    limits = profile_of(job.task.experiment.name).staging
    if job.state == JobState.STAGING and (wait := _of_inputs(job, limits, at)) is not None:
        yield wait
        return
    if job.task.state == TaskState.RUNNING:
        yield of_room(job.task, limits) or wait_for(
            "cycle", "its file is to be brought from tape", job.changed, None, "server", _NEXT_STEP
        )


def _of_inputs(job: Job, limits: Staging, at: datetime) -> Wait | None:
    """Return the progress of the file of a job or, of several, of the first that is not on disk, and their number."""
    if job.files == 1:
        return None if job.staged_file is None else of_file(job.staged_file, limits, at)
    rows = list(job.inputs.select_related("staged_file").order_by("number"))
    files = [row.staged_file for row in rows if row.staged_file is not None]
    missing = [file for file in files if file.state != StagedFileState.ONLINE]
    if not files:
        return None
    first = of_file((missing or files)[0], limits, at)
    there = f"{len(files) - len(missing)} of its {counted_words(job.files, 'file')} are"
    return Wait(first.kind, f"{there} on disk; {first.what}", first.since, first.until, first.who, first.how)


def of_file(file: StagedFile, limits: Staging, at: datetime) -> Wait:
    """Return the progress of a file on its way from tape."""
    url = file.url
    found = f": {file.finding}" if file.finding else ""
    busy_until = file.busy_until if file.busy_until > at else None
    if file.state == StagedFileState.REQUESTED:
        until = None if file.requested is None else later(file.requested, limits.within_s)
        how = "the cycle asks the tape system again; after that it releases the file and requests it again"
        return wait_for(
            "staging", f"{url} was asked for from tape, request {file.request}", file.requested, until, "server", how
        )
    if file.state == StagedFileState.ONLINE:
        return wait_for("cycle", f"{url} is on disk", file.online, None, "server", _NEXT_STEP)
    if file.tries:
        noun = counted_words(limits.tries, "try")
        what = f"{url} could not be had in {file.tries} of {noun}{found}"
        return wait_for("staging", what, file.changed, busy_until, "server", "the cycle asks for it again then")
    return wait_for(
        "staging", f"{url} is to be asked for from tape{found}", file.changed, busy_until, "server", "the cycle asks"
    )


def with_room(files: QuerySet[StagedFile]) -> QuerySet[StagedFile]:
    """Return these files, each with the number and the bytes of all that its experiment has on disk or asked for."""
    there = StagedFile.objects.needed().filter(experiment=OuterRef("experiment"))
    size = there.order_by().annotate(sum=Func(F("size"), function="SUM")).values("sum")
    return files.annotate(files_used=number_of(there), bytes_used=Coalesce(Subquery(size), 0))


def of_room(task: Task, limits: Staging, file: StagedFile | None = None) -> Wait | None:
    """Return the wait for room for files from tape; None while there is some.

    `file` is any one of the experiment, from `with_room`.
    """
    file = file or with_room(StagedFile.objects.filter(experiment=task.experiment_id)).first()
    files, used = getattr(file, "files_used", 0), getattr(file, "bytes_used", 0)
    if files < limits.files and used < limits.bytes:
        return None
    what = (
        f"{files} of at most {counted_words(limits.files, 'file')}, {used / 1e12:.1f} of {limits.bytes / 1e12:.1f} TB, "
        "are on their way from tape or on disk for other jobs"
    )
    return wait_for("staging-room", what, None, None, "server", "there is room when other jobs have ended")


# --------------------------------------------------------------------------------------------------------------- ready


def _ready(job: Job, at: datetime, breakers: Iterable[Breaker]) -> Iterator[Wait]:
    if job.not_before > at:
        yield _back_off(job)
    if job.task.state != TaskState.RUNNING:
        return
    avoided = avoided_by([job.pk]).get(job.pk, {})
    places = places_of(job.task, job, at, avoided, breakers)
    found = {place.site.name: list(obstacles(place, avoided, at)) for place in places}
    if not places:
        how = "the task names sites that do not exist: submit it again with other sites"
        yield wait_for("no-agent", "there is no site that may have it", job.changed, None, "manager", how)
    free = [name for name, waits in found.items() if not waits]
    if not free:
        yield from _once(wait for waits in found.values() for wait in waits)
    elif job.not_before <= at:
        yield _its_turn(job, free, at)


def _once(waits: Iterator[Wait]) -> Iterator[Wait]:
    """Each wait once: a breaker of the experiment is in the way at every site."""
    yield from dict.fromkeys(waits)


def _back_off(job: Job) -> Wait:
    last = job.tries.order_by("-number").first()
    if last is not None and last.state in ACTIVE_ATTEMPT:
        why = f"attempt {last.number}, which was asked to stop, is not known to have ended"
        return wait_for("earlier-attempt", why, last.seen, job.not_before, "server", "its end, or the end of its lease")
    decided = f": {last.decision}" if last is not None and last.decision else ""
    how = "it is given out again by itself then"
    return wait_for(
        "back-off", f"it waits before its next attempt{decided}", job.changed, job.not_before, "server", how
    )


def _its_turn(job: Job, free: list[str], at: datetime) -> Wait:
    due = Job.objects.due(at).filter(task=OuterRef(OuterRef("pk")))
    some = due.filter(priority__gt=job.priority).order_by().values("pk")[: MAX_AHEAD + 1]
    mine = due.filter(priority=job.priority, pk__lt=job.pk).order_by().values("pk")[: MAX_AHEAD + 1]
    before = number_of(Job.objects.filter(pk__in=some)), number_of(Job.objects.filter(pk__in=mine))
    running = list(Task.objects.running_of(job.task.experiment_id).values_list("pk", "share", *before))
    higher = sum(number for _, _, number, _ in running)
    own = sum(number for task, _, _, number in running if task == job.task_id)
    shares = [share for _, share, _, _ in running]
    share = job.task.share / sum(shares)
    tasks = counted_words(len(shares), "running task")
    turn = "it is the next one of its task"
    if higher or own:
        turn = (
            f"others come first: {_jobs(higher)} of higher priority than {job.priority}, {_jobs(own)} of its own task"
        )
    what = f"{turn}; the task has {share:.0%} of the places among {tasks}. It can run at {', '.join(free)}"
    how = f"pilotext tasks set {quote(job.task.name)} --priority N --share X --why ..."
    since = max(job.changed, job.not_before, job.task.changed)  # its back-off, and the start of its task, are over
    return wait_for("others-first", what, since, None, "manager", how)


def _jobs(count: int) -> str:
    return f"more than {MAX_AHEAD} jobs" if count > MAX_AHEAD else counted_words(count, "job")
