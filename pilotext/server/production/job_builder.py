"""Job builder: the complete job that a worker takes, made from the rows of the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import msgspec
from django.db.models import Q, QuerySet

from pilotext.errors import STORAGE_ERRORS
from pilotext.model import job as worker_job
from pilotext.model.job import Input, KnownFile, ReportTarget
from pilotext.model.report import Transfer, Try
from pilotext.profile import records as profile
from pilotext.profile.job_builder import (
    AttemptFacts,
    EventRange,
    FileFacts,
    Generate,
    TaskFacts,
    merge_job,
    production_job,
)
from pilotext.serialization.json import from_plain, ready
from pilotext.server.production.models import Attempt, AttemptReport, Job, Output, Task
from pilotext.server.production.profiles import profile_of

MERGE_ORDER = ("job__chunk", "job__source__job__source__job_id", "job__source__job_id", "job_id")
"""Order of outputs in a merge. Jobs that read outputs of another task have the order of its jobs."""

MAX_PREDECESSORS = 20
"""Tasks of which each replaced the one before, as far back as files are looked for."""

_PUBLISHING = ("stage-out", "report")
"""An attempt that ended badly in these phases may have left files where it published them."""

_EXISTS = "stage-out-exists"
_REFUSED = frozenset(f"stage-out-{fault}" for fault, error in STORAGE_ERRORS.items() if not error.retryable)
"""Findings of a stage-out that a storage has refused."""


def task_facts(task: Task) -> TaskFacts:
    described = None if task.generate is None else from_plain(task.generate, Generate)
    return TaskFacts(task.name, task.type, task.parameters, task.environment, described)


def build_job(
    task: Task, job: Job, attempt: int, report: ReportTarget | None = None, panda_id: int | None = None
) -> worker_job.Job:
    """Return the job of this row as its n-th attempt. Raises UsageError when the profile cannot make it (any more).

    For a worker, which needs a `report` target, it says what may be replaced where it publishes.
    """
    experiment = profile_of(task.experiment.name)
    facts = AttemptFacts(
        job=job.pk,
        attempt=attempt,
        type=job.type,
        run=job.run,
        chunk=job.chunk,
        event_range=_range_with_total(task, job),
        memory_mb=job.memory_mb,
        report=report,
        panda_id=panda_id,
    )
    if job.product:
        made = _merge(experiment, task, job, facts)
    else:
        first, *further = inputs_of(job)
        made = production_job(experiment, task_facts(task), first, facts, further)
    return made if report is None else with_earlier_files(job, attempt, made)


def range_of(task: Task, job: Job) -> EventRange | None:
    """Return the events of its input that a job of this task processes; None for all."""
    if not job.event_range:
        return None
    before = (job.event_range - 1) * int(task.document["events_per_job"])
    return EventRange(job.event_range, before, job.events or 0)


def _range_with_total(task: Task, job: Job) -> EventRange | None:
    """Return the range of a job with the events of the whole file, which end with those of its last range."""
    found = range_of(task, job)
    if found is None:
        return None
    last = Job.objects.filter(task=job.task_id, product="", file=job.file).order_by("event_range").last()
    end = None if last is None else range_of(task, last)
    return msgspec.structs.replace(found, of=None if end is None else end.before + end.events)


def inputs_of(job: Job) -> list[FileFacts]:
    """Return the inputs of a production job, or its number among those that generate events, in their order."""
    if job.files == 1:
        return [FileFacts(job.file, job.size, job.adler32 or None, job.events)]
    rows = sorted(job.inputs.all(), key=lambda row: row.number)
    return [FileFacts(row.file, row.size, row.adler32 or None, row.events) for row in rows]


def _merge(experiment: profile.Experiment, task: Task, job: Job, facts: AttemptFacts) -> worker_job.Job:
    group = job.group
    checks = experiment.file_checks
    inputs = [
        Input(
            name=output.name,
            sources=(output.url,),
            size=output.size,
            adler32=output.adler32,
            # The entries of everything in a file, as of histograms, are what no reader takes for its events.
            events=None if checks.output_kind(output.kind).counts == "everything" else output.events,
        )
        for output in group.inputs.order_by(*MERGE_ORDER)
    ]
    return merge_job(experiment, task_facts(task), inputs, facts, merge=job.product, number=group.number)


class _Named(msgspec.Struct):
    """The part of a finding that is read here."""

    name: str


class _Told(msgspec.Struct):
    """The part of a kept report that is read here."""

    state: str = ""
    phase: str = ""
    outputs: tuple[Transfer, ...] = ()
    findings: tuple[_Named, ...] = ()
    tries: tuple[Try, ...] = ()

    @property
    def hides_files(self) -> bool:
        """Whether the attempt may have left files under the names of its outputs that this report does not name.

        A stage-out that was refused takes back what it has published, and reports what it could not take back. Where
        a storage was away, the outputs may have been kept, and somebody else has tried to publish them.
        """
        if self.phase not in _PUBLISHING or self.state == "done" or self.outputs:
            return False
        names = {finding.name for finding in self.findings}
        if not names & _REFUSED or any(_left_published(each) for each in self.tries):
            return True
        return _EXISTS not in names and any(STORAGE_ERRORS[each.fault].retryable for each in self._known_tries)

    @property
    def _known_tries(self) -> Iterator[Try]:
        """Tries with a fault that this version knows."""
        return (each for each in self.tries if each.fault in STORAGE_ERRORS)


def _left_published(failed: Try) -> bool:
    """Whether a published file could not be taken back; the names of temporary files begin with a dot."""
    return failed.message.startswith("left behind") and not failed.url.rpartition("/")[2].startswith(".")


def with_earlier_files(job: Job, number: int, built: worker_job.Job) -> worker_job.Job:
    """The job with what its n-th attempt may replace: files of its earlier attempts, of merges of the same run before.

    The same for the tasks that its task replaced. No query is needed for the first attempt of most jobs.
    """
    if number == 1 and not job.product and job.task.replaces_id is None:
        return msgspec.structs.replace(built, unreported=False)
    jobs = _same_jobs(job)
    tries = Attempt.objects.filter(job__in=jobs).exclude(job=job.pk, number__gte=number)
    known = _known(jobs, tries)
    outputs = tuple(
        msgspec.structs.replace(output, replaces=tuple(sorted(known[output.published_name], key=_order)))
        for output in built.outputs
    )
    return msgspec.structs.replace(built, outputs=outputs, unreported=_unreported(tries))


def _same_jobs(job: Job) -> list[int]:
    """The jobs that publish under the same names: rounds of a merge, the same input in tasks that were replaced."""
    tasks = [job.task_id, *predecessors(job.task)]
    if not job.product:
        same = Job.objects.filter(task__in=tasks, product="", run=job.run, chunk=job.chunk)
        if job.event_range:  # other ranges have other names
            same = same.filter(event_range__in=(0, job.event_range))
        return [job.pk, *same.exclude(task=job.task_id).values_list("pk", flat=True)]
    same = Job.objects.filter(task__in=tasks, product=job.product, run=job.run)
    return list(same.values_list("pk", flat=True))


def predecessors(task: Task) -> Iterator[int]:
    """The tasks that this one has replaced, and those that they had, the latest first."""
    earlier = task.replaces_id
    for _ in range(MAX_PREDECESSORS):
        if earlier is None:
            return
        yield earlier
        earlier = Task.objects.filter(pk=earlier).values_list("replaces", flat=True).first()


def _known(jobs: list[int], tries: QuerySet[Attempt]) -> dict[str, set[KnownFile]]:
    """Return the file published under each name, as far as reports tell, also those that came too late to count."""
    known: defaultdict[str, set[KnownFile]] = defaultdict(set)
    for name, size, adler32 in Output.objects.filter(job__in=jobs).values_list("name", "size", "adler32"):
        known[name].add(KnownFile(size, adler32))
    unused = AttemptReport.objects.filter(attempt__in=tries.filter(outputs=None)).values_list("report", flat=True)
    for text in unused.iterator(chunk_size=10):
        for file in msgspec.json.decode(text, type=ready(_Told)).outputs:
            if file.url:
                known[file.url.partition("?")[0].rpartition("/")[2]].add(KnownFile(file.size, file.adler32))
    return known


def _unreported(tries: QuerySet[Attempt]) -> bool:
    """Whether one of these attempts may have published without a report of it."""
    if tries.filter(final_report=None).exists():
        return True
    bad = Q(attempt__phase__in=_PUBLISHING) & ~Q(attempt__verdict="success")
    reports = AttemptReport.objects.filter(Q(late=True) | bad, attempt__in=tries).values_list("report", flat=True)
    return any(msgspec.json.decode(text, type=ready(_Told)).hides_files for text in reports.iterator(chunk_size=10))


def _order(file: KnownFile) -> tuple[int, str]:
    return file.size, file.adler32
