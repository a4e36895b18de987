"""Staging, what the database has to say: which files are wanted from tape, and which jobs they let go on."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from pilotext.errors import UsageError
from pilotext.profile.records import Staging
from pilotext.server.database import transact
from pilotext.server.production.collect_failures import collect_failures
from pilotext.server.production.job_builder import build_job
from pilotext.server.production.models import Experiment, Job, StagedFile
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.states import JOB, STAGED_FILE, JobState, OutputState, StagedFileState, TaskState
from pilotext.server.production.transitions import Reason, advance, record
from pilotext.server.times import EPOCH

AT_ONCE = 500

NEEDS = (JobState.STAGING, JobState.READY, JobState.SENT, JobState.RUNNING, JobState.VERIFYING)
"""Jobs in these states need their file on disk, or on its way there."""

INPUT_IS_THERE = Q(source=None) | Q(source__state=OutputState.VALID)
"""Jobs whose input is not an output of another task that is just produced again."""

_WHO = "staging"


def plan_staging() -> int:
    """Defined jobs of running tasks want their files, run by run, as many as may be on their way at once."""
    return collect_failures(Experiment.objects.all(), _plan)


def _plan(experiment: Experiment) -> int:
    limits, done = profile_of(experiment.name).staging, 0
    while moved := transact(partial(_plan_some, experiment, limits)):
        done += moved
    return done


def _plan_some(experiment: Experiment, limits: Staging) -> int:
    files, size = _room(experiment, limits)
    idle = files == limits.files
    if files <= 0 or size <= 0:
        return 0
    jobs = (
        Job.objects.filter(
            INPUT_IS_THERE,
            task__experiment=experiment,
            task__state=TaskState.RUNNING,
            task__staging=True,
            product="",
            state=JobState.DEFINED,
        )
        .select_related("task__experiment", "staged_file")
        .order_by("-priority", "task_id", "run", "chunk", "id")[: min(AT_ONCE, files)]
    )
    moved = 0
    for job in jobs:
        size -= job.size or limits.unknown_bytes
        if size < 0 and (moved or not idle):  # a single file above the limit comes all the same, by itself
            break
        moved += _want(job)
    return moved


def _room(experiment: Experiment, limits: Staging) -> tuple[int, float]:
    there = StagedFile.objects.needed().filter(experiment=experiment)
    found = there.aggregate(files=Count("pk"), size=Coalesce(Sum("size"), 0))
    return limits.files - found["files"], limits.bytes - found["size"]


def _want(job: Job) -> int:
    """The job waits for its file, or goes on at once when the file is there for another one already."""
    try:
        url = build_job(job.task, job, max(job.attempts, 1)).inputs[0].sources[0]
    except UsageError as error:
        rows = Job.objects.filter(pk=job.pk)
        return len(
            advance(JOB, rows, (JobState.DEFINED,), JobState.MANUAL, Reason(_WHO, str(error), "cycle"), diag=str(error))
        )
    limits = profile_of(job.task.experiment.name).staging
    file, new = StagedFile.objects.select_for_update(of=("self",)).get_or_create(  # nobody gives it back meanwhile
        url=url,
        defaults={
            "experiment_id": job.task.experiment_id,
            "run": job.run,
            "size": job.size or int(limits.unknown_bytes),
        },
    )
    mine = StagedFile.objects.filter(pk=file.pk)
    if new:
        record(STAGED_FILE.name, file.state, Reason(_WHO, f"job {job.pk} needs it", "cycle"), [(file.pk, "", None)])
    if file.state in (StagedFileState.RELEASED, StagedFileState.FAILED) or _slipped(job, file):
        why = "its job found it on tape again" if file.state == StagedFileState.ONLINE else f"job {job.pk} needs it"
        advance(
            STAGED_FILE,
            mine,
            (StagedFileState.RELEASED, StagedFileState.FAILED, StagedFileState.ONLINE),
            StagedFileState.WANTED,
            Reason(_WHO, why, "cycle"),
            finding="",
            tries=0,
            busy_until=EPOCH,
        )
    rows = Job.objects.filter(pk=job.pk)
    moved = advance(
        JOB, rows, (JobState.DEFINED,), JobState.STAGING, Reason(_WHO, f"waits for {url}", "cycle"), staged_file=file
    )
    if StagedFile.objects.filter(pk=file.pk, state=StagedFileState.ONLINE).exists():
        advance(JOB, rows, (JobState.STAGING,), JobState.READY, Reason(_WHO, "its file is on disk already", "cycle"))
    return len(moved)


def _slipped(job: Job, file: StagedFile) -> bool:
    """The job was given out while its file was on disk, and came back for want of it."""
    if file.state != StagedFileState.ONLINE or file.online is None:
        return False
    return job.tries.filter(action="restage", ended__gt=file.online).exists()


def put_online(files: QuerySet[StagedFile], at: datetime) -> int:
    """Files are on disk: jobs that waited for them may be given out. In a transaction."""
    ids = advance(
        STAGED_FILE,
        files,
        (StagedFileState.REQUESTED,),
        StagedFileState.ONLINE,
        Reason(_WHO, "the tape system says that it is on disk", "cycle"),
        online=at,
        came=at,
        busy_until=EPOCH,
    )
    advance(
        JOB,
        Job.objects.filter(staged_file__in=ids),
        (JobState.STAGING,),
        JobState.READY,
        Reason(_WHO, "its file is on disk", "cycle"),
    )
    return len(ids)


def put_offline(files: QuerySet[StagedFile], why: str) -> int:
    """Files are not on disk any more: they are wanted again, and jobs not given out yet wait. In a transaction."""
    ids = advance(
        STAGED_FILE,
        files,
        (StagedFileState.ONLINE,),
        StagedFileState.WANTED,
        Reason(_WHO, why, "cycle"),
        busy_until=EPOCH,
    )
    advance(
        JOB, Job.objects.filter(staged_file__in=ids), (JobState.READY,), JobState.DEFINED, Reason(_WHO, why, "cycle")
    )
    return len(ids)


def give_up_files(files: QuerySet[StagedFile], why: str) -> int:
    """Files will not come: somebody has to look at their jobs. In a transaction."""
    ids = advance(
        STAGED_FILE,
        files,
        (StagedFileState.WANTED, StagedFileState.REQUESTED),
        StagedFileState.FAILED,
        Reason(_WHO, why, "cycle"),
        finding=why,
    )
    advance(
        JOB,
        Job.objects.filter(staged_file__in=ids),
        (JobState.STAGING, JobState.DEFINED),
        JobState.MANUAL,
        Reason(_WHO, why, "cycle"),
        diag=why,
        cause="storage",
    )
    return len(ids)


def unneeded_files() -> Q:
    """Files that no job needs on disk any more."""
    needing = Job.objects.filter(staged_file=OuterRef("pk"), state__in=NEEDS)
    return ~Q(Exists(needing)) & Q(
        state__in=(StagedFileState.WANTED, StagedFileState.REQUESTED, StagedFileState.ONLINE, StagedFileState.FAILED)
    )


MAX_READY = 2000


def ready_without_staging() -> int:
    """Defined jobs of running tasks that read nothing from tape may be given out; merges never do."""
    done = 0
    while moved := transact(_ready_some):
        done += moved
    return done


def _ready_some() -> int:
    on_disk = Q(task__staging=False) | ~Q(product="")
    ids = Job.objects.filter(
        INPUT_IS_THERE, on_disk, task__state=TaskState.RUNNING, state=JobState.DEFINED
    ).values_list("pk", flat=True)
    rows = Job.objects.filter(pk__in=list(ids[:MAX_READY]))
    return len(
        advance(JOB, rows, (JobState.DEFINED,), JobState.READY, Reason("cycle", "its input needs no staging", "cycle"))
    )
