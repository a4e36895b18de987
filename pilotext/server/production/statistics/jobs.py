"""Pages of jobs and of the history of one job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from django.db.models import QuerySet, prefetch_related_objects

from pilotext.api.schemas.attempts import AttemptDetail, AttemptRow, OutputRow
from pilotext.api.schemas.jobs import InputRow, JobFacts, JobList, JobPage, JobQuery, JobRow
from pilotext.model.report import PhaseRecord, Transfer, Usage
from pilotext.model.verdict import Verdict
from pilotext.serialization.json import ready
from pilotext.server.production import waiting
from pilotext.server.production.job_builder import inputs_of, range_of
from pilotext.server.production.lookup import refuse_unknown
from pilotext.server.production.models import Attempt, AttemptReport, AuditEntry, Job, Output
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.statistics.audit import event_row
from pilotext.server.production.statistics.job_choice import choose_jobs
from pilotext.server.times import record_fields

MAX_ENTRIES = 1000

MAX_DETAILS = 20
"""Attempts whose reports are read for a page of a job, the last ones."""

MAX_OUTPUTS = 100

ABOUT_JOBS = ("job", "note", "assigned", "priority")


def list_jobs(asked: JobQuery) -> JobList:
    """A page of jobs in the order of their ids."""
    found = list(page_of(choose_jobs(asked), asked).select_related("task")[: asked.limit + 1])
    if not found and not asked.after:
        refuse_unknown(asked)
    page = found[: asked.limit]
    return JobList(tuple(job_row(row) for row in page), page[-1].pk if len(found) > asked.limit else None)


def page_of(rows: QuerySet[Job], asked: JobQuery) -> QuerySet[Job]:
    """Return these jobs in the order of a page, from where it begins."""
    if asked.order == "newest":
        return (rows.filter(pk__lt=asked.after) if asked.after else rows).order_by("-pk")
    return rows.filter(pk__gt=asked.after).order_by("pk")


@dataclass(frozen=True)
class JobHistory:
    """The page of a job with the rows that it was made of: a few queries for all of them.

    `reports` are those of the last attempts by their numbers, the last one first.
    """

    row: Job
    page: JobPage
    tries: tuple[Attempt, ...]
    reports: dict[int, AttemptReport]
    outputs: tuple[Output, ...]


def describe_job(job_id: int) -> JobPage:
    """One job with its history. Raises RefusalError if there is none."""
    return history_of(job_id).page


def history_of(job_id: int) -> JobHistory:
    """The page of a job and its rows. Raises RefusalError if there is none."""
    row = Job.objects.select_related("task__experiment", "staged_file").filter(pk=job_id).first()
    if row is None:
        raise RefusalError("not-found", f"there is no job {job_id}.")
    if row.files > 1:
        prefetch_related_objects([row], "inputs")
    events = AuditEntry.objects.filter(subject__in=ABOUT_JOBS, subject_id=job_id).order_by("pk")[:MAX_ENTRIES]
    rows = row.tries.select_related("site", "agent").order_by("-number")
    latest = list(rows.select_related("final_report")[:MAX_DETAILS])
    earlier = list(rows[MAX_DETAILS:]) if len(latest) == MAX_DETAILS else []
    tries = tuple(reversed([*latest, *earlier]))
    reports = {each.number: kept for each in latest if (kept := getattr(each, "final_report", None))}
    outputs = tuple(row.outputs.select_related("attempt", "group__product").order_by("-pk")[:MAX_OUTPUTS])
    last = next(iter(reports.values()), None)
    page = JobPage(
        job_row(row),
        tuple(_attempts(tries, reports)),
        tuple(event_row(event) for event in events),
        verdict_in(last) if last is not None else None,
        _facts(row),
        tuple(map(_output_row, outputs)),
        waiting.of_job(row),
        tuple(_inputs(row)),
    )
    return JobHistory(row, page, tries, reports, outputs)


class _Course(msgspec.Struct):
    """The fields that are read of a kept report about the course of its attempt."""

    phases: tuple[PhaseRecord, ...] = ()
    usage: Usage = Usage()
    log: Transfer | None = None


def _detail(kept: AttemptReport) -> AttemptDetail:
    """Return phases and usage of an attempt, from its report."""
    course = msgspec.json.decode(kept.report, type=ready(_Course))
    usage, log = course.usage, course.log
    address = (log.url or "") if log is not None else ""
    return AttemptDetail(course.phases, usage.wall_s, usage.cpu_s, usage.peak_memory_mb, address)


def _facts(row: Job) -> JobFacts:
    done, skipped = row.events_done, row.events_skipped
    return JobFacts(
        task_state=row.task.state,
        priority=row.priority,
        memory_mb=row.memory_mb if row.memory_mb is not None else _memory_of_type(row),
        size=row.size,
        adler32=row.adler32,
        catalogue_events=row.events,
        processed_events=None if done is None or skipped is None else done - skipped,
        skipped_events=skipped,
        parameters={name: str(value) for name, value in row.task.parameters.items()},
        first_event=None if (own := range_of(row.task, row)) is None else own.before + 1,
    )


def _inputs(row: Job) -> Iterator[InputRow]:
    if row.files > 1:
        for each in inputs_of(row):
            yield InputRow(each.file, each.size, each.adler32 or "", each.events)


def _memory_of_type(row: Job) -> float | None:
    job_type = profile_of(row.task.experiment.name).job_types.get(row.type)
    return job_type.limits.memory_mb if job_type is not None else None


_SAME_OF_OUTPUT = tuple(name for name in OutputRow.__struct_fields__ if name != "attempt")


def _output_row(output: Output) -> OutputRow:
    return OutputRow(attempt=output.attempt.number, **{name: getattr(output, name) for name in _SAME_OF_OUTPUT})


class _Judged(msgspec.Struct):
    """The field that is read of a kept report for its verdict."""

    verdict: Verdict


def verdict_in(kept: AttemptReport) -> Verdict:
    """The verdict on an attempt: that of its report, or the one that changed rules gave it since."""
    if kept.reclassified:
        return msgspec.json.decode(kept.reclassified, type=ready(Verdict))
    return msgspec.json.decode(kept.report, type=ready(_Judged)).verdict


_SAME = tuple(name for name in JobRow.__struct_fields__ if name not in ("job", "task"))


def job_row(row: Job) -> JobRow:
    return JobRow(job=row.pk, task=row.task.name, **record_fields(row, _SAME))


def _attempts(tries: tuple[Attempt, ...], reports: dict[int, AttemptReport]) -> Iterator[AttemptRow]:
    same = [name for name in AttemptRow.__struct_fields__ if name not in ("attempt", "site", "agent", "detail")]
    for attempt in tries:
        yield AttemptRow(
            attempt=attempt.pk,
            site=attempt.site.name,
            agent=attempt.agent.name if attempt.agent else attempt.pilot,
            detail=_detail(reports[attempt.number]) if attempt.number in reports else None,
            **record_fields(attempt, same),
        )
