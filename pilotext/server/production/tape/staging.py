"""Staging, what the database has to say: which files are wanted from tape, and which jobs they let go on."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import partial

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from pilotext.errors import UsageError
from pilotext.formatting import counted_words
from pilotext.model.job import Input
from pilotext.profile.records import Staging
from pilotext.server.database import transact
from pilotext.server.production.collect_failures import collect_failures
from pilotext.server.production.job_builder import build_job
from pilotext.server.production.models import Experiment, Job, JobInput, StagedFile
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
_ON_DISK = Reason(_WHO, "its input is on disk", "cycle")


def plan_staging() -> int:
    """Defined jobs of running tasks want their files, run by run, as many as may be on their way at once."""
    return collect_failures(Experiment.objects.all(), _plan) + transact(_go_on)


def _go_on() -> int:
    """Let jobs of several files go on whose last ones were seen on disk by two cycles, neither of which saw both."""
    complete = Job.objects.filter(~Exists(_on_the_way()), state=JobState.STAGING, files__gt=1)
    return len(advance(JOB, complete, (JobState.STAGING,), JobState.READY, _ON_DISK))


def _on_the_way() -> QuerySet[JobInput]:
    """Return the inputs of a job of several files that are not on disk."""
    return JobInput.objects.filter(job=OuterRef("pk")).exclude(staged_file__state=StagedFileState.ONLINE)


def _plan(experiment: Experiment) -> int:
    limits, done = profile_of(experiment.name).staging, 0
    while moved := transact(partial(_plan_some, experiment, limits)):
        done += moved
    return done


def _plan_some(experiment: Experiment, limits: Staging) -> int:
    waiting = _waiting(experiment)
    there = waiting.filter(pk__in=_with_needed_files()).select_related("task__experiment", "staged_file")
    if moved := sum(_want(job) for job in there[:AT_ONCE]):  # they need no room: their files are counted already
        return moved
    files, size = _room(experiment, limits)
    idle = not _is_at_work(experiment)
    if (files <= 0 or size <= 0) and not idle:
        return 0
    jobs = waiting.select_related("task__experiment", "staged_file")[: min(AT_ONCE, max(files, 1))]
    moved = wanted = 0
    ranges: set[tuple[int, str]] = set()
    for job in jobs:
        if (job.task_id, job.file) in ranges:  # its file is wanted by the range before
            moved += _want(job)
            continue
        wanted += job.files
        size -= job.size or job.files * limits.unknown_bytes
        full = wanted > files or size < 0
        if full and (moved or not idle):  # the files of a job above the limit come all the same, by themselves
            break
        if moved and wanted > AT_ONCE:
            break
        moved += _want(job)
        if job.event_range:
            ranges.add((job.task_id, job.file))
            _share_file(job)
    return moved


def _waiting(experiment: Experiment) -> QuerySet[Job]:
    """Return the defined jobs of running tasks whose files come from tape, in their order."""
    return Job.objects.filter(
        INPUT_IS_THERE,
        task__experiment=experiment,
        task__state=TaskState.RUNNING,
        task__staging=True,
        product="",
        state=JobState.DEFINED,
    ).order_by("-priority", "task_id", "run", "chunk", "id")


def _with_needed_files() -> QuerySet[Job, int]:
    """Return the defined jobs whose files are known, and all on disk or on their way there."""
    needed = StagedFile.objects.needed()
    others = JobInput.objects.filter(job=OuterRef("job")).exclude(staged_file__in=needed)
    several = JobInput.objects.filter(~Exists(others), staged_file__in=needed, job__state=JobState.DEFINED)
    single = Job.objects.filter(staged_file__in=needed, state=JobState.DEFINED)
    return single.values_list("pk", flat=True).union(several.values_list("job", flat=True))


def _share_file(job: Job) -> None:
    """Let the other ranges of a file have it from tape, too: it stays until they have run, and comes once."""
    others = Job.objects.filter(task=job.task_id, product="", file=job.file, state=JobState.DEFINED)
    others.update(staged_file=Job.objects.filter(pk=job.pk).values("staged_file")[:1])


def _room(experiment: Experiment, limits: Staging) -> tuple[int, float]:
    there = StagedFile.objects.needed().filter(experiment=experiment)
    found = there.aggregate(files=Count("pk"), size=Coalesce(Sum("size"), 0))
    return limits.files - found["files"], limits.bytes - found["size"]


def _is_at_work(experiment: Experiment) -> bool:
    """Whether files are needed by jobs that are given out, so that there will be more room without a decision."""
    needed = StagedFile.objects.needed().filter(experiment=experiment)
    return needed.read_by(state__in=NEEDS, task__state=TaskState.RUNNING).exists()


def _want(job: Job) -> int:
    """The job waits for its files, or goes on at once when they are there for others already."""
    try:
        inputs = build_job(job.task, job, max(job.attempts, 1)).inputs
    except UsageError as error:
        rows = Job.objects.filter(pk=job.pk)
        return len(
            advance(JOB, rows, (JobState.DEFINED,), JobState.MANUAL, Reason(_WHO, str(error), "cycle"), diag=str(error))
        )
    files = [_wanted(job, each) for each in inputs]
    waits = f"waits for {inputs[0].sources[0]}"
    if job.files > 1:
        for number, each in enumerate(files, 1):
            JobInput.objects.filter(job=job, number=number).update(staged_file=each)
        waits += f" and {counted_words(len(files) - 1, 'more file')}"
    rows = Job.objects.filter(pk=job.pk)
    mine = files[0] if job.files == 1 else None
    moved = advance(JOB, rows, (JobState.DEFINED,), JobState.STAGING, Reason(_WHO, waits, "cycle"), staged_file=mine)
    if not StagedFile.objects.filter(pk__in=[each.pk for each in files]).exclude(state=StagedFileState.ONLINE).exists():
        there = f"{_of_it(job)} on disk already"
        advance(JOB, rows, (JobState.STAGING,), JobState.READY, Reason(_WHO, there, "cycle"))
    return len(moved)


def _of_it(job: Job) -> str:
    return "its file is" if job.files == 1 else "its files are"


def _wanted(job: Job, read: Input) -> StagedFile:
    """Return the row of an input of a job: wanted, unless it is on its way or on disk."""
    limits = profile_of(job.task.experiment.name).staging
    url = read.sources[0]
    file, new = StagedFile.objects.select_for_update(of=("self",)).get_or_create(  # nobody gives it back meanwhile
        url=url,
        defaults={
            "experiment_id": job.task.experiment_id,
            "run": job.run,
            "size": read.size or int(limits.unknown_bytes),
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
    return file


def _slipped(job: Job, file: StagedFile) -> bool:
    """The job was given out while its file was on disk, and came back for want of it."""
    if file.state != StagedFileState.ONLINE or file.online is None:
        return False
    return job.tries.filter(action="restage", ended__gt=file.online).exists()


def put_online(files: QuerySet[StagedFile], at: datetime) -> int:
    """Files are on disk: jobs that waited for nothing else may be given out. In a transaction."""
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
    complete = _readers(ids).filter(~Exists(_on_the_way()))
    advance(JOB, complete, (JobState.STAGING,), JobState.READY, _ON_DISK)
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
    advance(JOB, _readers(ids), (JobState.READY,), JobState.DEFINED, Reason(_WHO, why, "cycle"))
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
        _readers(ids),
        (JobState.STAGING, JobState.DEFINED),
        JobState.MANUAL,
        Reason(_WHO, why, "cycle"),
        diag=why,
        cause="storage",
    )
    return len(ids)


def _readers(files: Collection[int]) -> QuerySet[Job]:
    """Return the jobs that read one of these files."""
    single = Job.objects.filter(staged_file__in=files).values_list("pk", flat=True)
    several = JobInput.objects.filter(staged_file__in=files).values_list("job", flat=True)
    return Job.objects.filter(pk__in={*single, *several})


def unneeded_files() -> Q:
    """Files that no job needs on disk any more, also none that is still to be planned in a running task."""
    of_jobs = Q(state__in=NEEDS) | Q(state=JobState.DEFINED, task__state=TaskState.RUNNING)
    of_inputs = Q(job__state__in=NEEDS) | Q(job__state=JobState.DEFINED, job__task__state=TaskState.RUNNING)
    single = Job.objects.filter(of_jobs, staged_file=OuterRef("pk"))
    several = JobInput.objects.filter(of_inputs, staged_file=OuterRef("pk"))
    asked = (StagedFileState.WANTED, StagedFileState.REQUESTED, StagedFileState.ONLINE, StagedFileState.FAILED)
    return ~Q(Exists(single)) & ~Q(Exists(several)) & Q(state__in=asked)


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
