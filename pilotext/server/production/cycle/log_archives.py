"""Log archives of a task that is being archived: one for each run, then one of all, each verified where it is kept."""

from __future__ import annotations

import logging
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from django.db.models import Exists, OuterRef

from pilotext.errors import ExistsError, NotFoundError, PilotextError, UsageError
from pilotext.formatting import counted_words
from pilotext.model.job import label_of
from pilotext.model.report import Report
from pilotext.profile import Experiment
from pilotext.profile.job_builder import printed
from pilotext.serialization.json import from_json
from pilotext.server.database import transact
from pilotext.server.production.collect_failures import collect_failures
from pilotext.server.production.expected_files import expected_files
from pilotext.server.production.job_builder import task_facts
from pilotext.server.production.models import Attempt, AttemptReport, Job, LogArchive, Task
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.published_names import NamesTakenError, claim_urls
from pilotext.server.production.states import ARCHIVE, TASK, LogArchiveState, TaskState
from pilotext.server.production.storage import operations
from pilotext.server.production.transitions import Reason, advance, record
from pilotext.server.times import now
from pilotext.storage.base import adler32_of
from pilotext.storage.leftovers import parts_of
from pilotext.storage.transfer import Mover
from pilotext.storage.urls import canonical

log = logging.getLogger("pilotext.archiving")

MAX_TOLD = 20
"""URLs that a finding names."""

_WHO = "archiving"


def plan_archives() -> int:
    """Tasks that are being archived get an archive for each run and one of all, as far as the profile asks for them."""
    mine = LogArchive.objects.filter(task=OuterRef("pk"))
    new = Task.objects.filter(~Exists(mine), state=TaskState.ARCHIVING).select_related("experiment")
    return collect_failures(new, _plan_or_refuse)


def _plan_or_refuse(task: Task) -> int:
    """A task whose archives have no name, or another task's, is done again, and its history says why."""
    try:
        return transact(partial(_plan, task))
    except (UsageError, NamesTakenError) as error:
        rows, why = Task.objects.filter(pk=task.pk), f"it cannot be archived: {error}"
        reason = Reason(_WHO, why, "cycle")
        return len(transact(lambda: advance(TASK, rows, (TaskState.ARCHIVING,), TaskState.DONE, reason, note=why)))


def _plan(task: Task) -> int:
    experiment = profile_of(task.experiment.name)
    Task.objects.select_for_update().get(pk=task.pk)
    if experiment.logs is None or task.log_archives.exists():
        return 0
    runs = Job.objects.filter(task=task, run__isnull=False).order_by("run").values_list("run", flat=True).distinct()
    facts = task_facts(task)
    rows = [
        LogArchive(task=task, run=run, name=printed(experiment, facts, experiment.logs.run, run=run)) for run in runs
    ]
    rows.append(LogArchive(task=task, name=printed(experiment, facts, experiment.logs.production)))
    claim_urls(task, (operations.place(to, row.name) for row in rows for to in _destinations(experiment, row)))
    LogArchive.objects.bulk_create(rows)
    made = LogArchive.objects.filter(task=task).values_list("pk", flat=True)
    record(
        ARCHIVE.name,
        LogArchiveState.WANTED,
        Reason(_WHO, "its task is being archived", "cycle"),
        [(pk, "", task.pk) for pk in made],
    )
    return len(rows)


def make_archives() -> int:
    """Wanted archives are made and brought to where they are kept; that of all when those of the runs are there."""
    open_run = LogArchive.objects.filter(
        task=OuterRef("task"), run__isnull=False, state__in=(LogArchiveState.WANTED, LogArchiveState.MANUAL)
    )
    wanted = LogArchive.objects.filter(state=LogArchiveState.WANTED, task__state=TaskState.ARCHIVING)
    in_turn = (wanted.filter(run__isnull=False), wanted.filter(~Exists(open_run), run__isnull=True))
    return sum(operations.work_through(due, _make, _failed) for due in in_turn)


@dataclass(frozen=True)
class _LoggedAttempt:
    """An attempt of a job that has logs, the places where its log belongs, and which of them its report names."""

    label: str
    places: tuple[str, ...]
    delivered: str
    """One of the places; empty where the report names none of them, or there is no report."""
    strange: str
    """Another URL that the report names."""


def logs_of(task: Task, run: int) -> Iterator[tuple[str, bool]]:
    """URLs of the logs of this run's attempts, and whether a report says that they are there.

    A worker that died, was cut off or was asked to stop may have delivered its logs after its last report, and then
    they are where every worker puts them. A report may name any file as its log: what lies elsewhere is none, since
    archived logs are removed.
    """
    for attempt in _attempts_with_logs(task, run):
        if attempt.delivered:
            yield attempt.delivered, True
        else:
            yield from ((place, False) for place in attempt.places)


def strange_logs(task: Task, run: int) -> list[str]:
    """Return the URLs that reports of this run name as logs, although no log of their attempts belongs there."""
    return [attempt.strange for attempt in _attempts_with_logs(task, run) if attempt.strange]


def parts_of_logs(task: Task, run: int) -> Iterator[str]:
    """Yield URLs of parts of logs that workers of this run may have left when they were killed while they uploaded."""
    for attempt in _attempts_with_logs(task, run):
        if not attempt.delivered:
            yield from (part for place in attempt.places for part in parts_of(place, attempt.label))


def _attempts_with_logs(task: Task, run: int) -> Iterator[_LoggedAttempt]:
    attempts = Attempt.objects.filter(task=task, job__run=run).select_related("job", "task__experiment")
    for attempt in attempts.order_by("pk").iterator():
        target = expected_files(attempt).log
        if target is None or target.name is None:
            continue
        kept = AttemptReport.objects.filter(pk=attempt.pk).values_list("report", flat=True).first()
        told = None if kept is None else from_json(kept, Report).log
        url = (told and told.url) or ""
        places = tuple(operations.place(each, target.name) for each in target.destinations)
        known = _same_place(url, places)
        label = label_of(task.name, attempt.job_id, attempt.number)
        yield _LoggedAttempt(label, places, url if known else "", "" if known else url)


def _same_place(url: str, places: Iterable[str]) -> bool:
    try:
        return canonical(url) in map(canonical, places)
    except UsageError:  # a report may name anything
        return False


def _make(archive: LogArchive, mover: Mover) -> int:
    with operations.scratch() as folder:
        return _make_in(folder, archive, mover)


def _make_in(folder: Path, archive: LogArchive, mover: Mover) -> int:
    experiment = profile_of(archive.task.experiment.name)
    path = folder / "archive"
    if archive.run is None:
        files = [(each.url, True) for each in archive.task.log_archives.filter(run__isnull=False).order_by("run")]
    else:
        files = list(logs_of(archive.task, archive.run))
    strange = [] if archive.run is None else strange_logs(archive.task, archive.run)
    members, lost = _pack(path, files, mover, zipped=archive.name.endswith("gz"))
    if lost and archive.run is None:
        raise NotFoundError(lost[0], "the archive of a run is not there any more.")
    adler32 = adler32_of(path)
    url = operations.put(path, adler32, _destinations(experiment, archive), archive.name, mover)
    changes = {
        "url": url,
        "size": path.stat().st_size,
        "adler32": adler32,
        "members": [[each.url, each.size, each.adler32] for each in members],
        "finding": "; ".join([*_told("not found", lost), *_told("named by reports, but no place of logs", strange)]),
    }
    rows = LogArchive.objects.filter(pk=archive.pk)
    reason = Reason(_WHO, f"{counted_words(len(members), 'file')}, verified at {url}", "cycle")
    return len(
        transact(lambda: advance(ARCHIVE, rows, (LogArchiveState.WANTED,), LogArchiveState.KEPT, reason, **changes))
    )


def _told(what: str, urls: Sequence[str]) -> list[str]:
    more = f" and {len(urls) - MAX_TOLD} more" if len(urls) > MAX_TOLD else ""
    return [f"{what}: {', '.join(urls[:MAX_TOLD])}{more}"] if urls else []


def _destinations(experiment: Experiment, archive: LogArchive) -> list[str]:
    assert experiment.logs is not None
    texts = experiment.logs.tape if archive.run is None else experiment.logs.to
    return [printed(experiment, task_facts(archive.task), text, run=archive.run) for text in texts]


def _pack(
    path: Path, files: list[tuple[str, bool]], mover: Mover, *, zipped: bool
) -> tuple[list[operations.File], list[str]]:
    """Fetch files one by one into an archive; returns them, and the URLs of those that should be there and are not.

    Raises StorageError.
    """
    members, lost = [], []
    with tarfile.open(path, "w:gz" if zipped else "w") as archive:
        for url, told in files:
            part = path.with_name("part")
            try:
                copied = mover.do("get", url=url, path=part)
            except NotFoundError:
                lost += [url] if told else []
                continue
            archive.add(part, arcname=url.rpartition("/")[2])
            members.append(operations.File(url, copied.size, copied.adler32))
            part.unlink()
    return members, lost


def _failed(archive: LogArchive, error: PilotextError) -> float:
    why = str(error)
    log.warning("log archive %s: %s", archive.name, why)
    rows = LogArchive.objects.filter(pk=archive.pk)
    tries = archive.tries + 1
    transact(lambda: rows.update(tries=tries, finding=why, changed=now()))
    wait_s = None if isinstance(error, ExistsError) else operations.next_try(error, tries)
    if wait_s is None:  # of a file that is there, nothing changes anything but somebody's decision
        reason = Reason(_WHO, f"tried {counted_words(tries, 'time')}: {why}", "cycle")
        transact(lambda: advance(ARCHIVE, rows, (LogArchiveState.WANTED,), LogArchiveState.MANUAL, reason, tries=0))
    return wait_s or 0.0
