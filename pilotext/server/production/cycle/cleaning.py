"""Files that are not needed any more, when a task is archived: only the very files that we know, and only after what
was made of them has been verified once more where it is kept for good.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.db.models import Exists, OuterRef, Q

from pilotext.errors import ChecksumError, NotFoundError, OfflineError, PilotextError, StorageError
from pilotext.formatting import counted_words
from pilotext.server.database import transact
from pilotext.server.production.chained_inputs import read_by_others
from pilotext.server.production.cycle.log_archives import parts_of_logs
from pilotext.server.production.models import LogArchive, Output, Product, Task
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.published_names import not_owned
from pilotext.server.production.row_leases import wait_after
from pilotext.server.production.states import (
    ARCHIVE,
    PRODUCT,
    TASK,
    LogArchiveState,
    OutputState,
    ProductState,
    TaskState,
)
from pilotext.server.production.storage import operations
from pilotext.server.production.storage.breakers import ServerAwayError
from pilotext.server.production.tape.archive import merged_outputs
from pilotext.server.production.transitions import Reason, advance
from pilotext.server.times import now
from pilotext.storage.leftovers import remove_if_there
from pilotext.storage.transfer import Mover

log = logging.getLogger("pilotext.cleaning")

FIRST_WAIT_S = 60.0

MAX_TOLD = 5

_WHO = "cleaning"


@dataclass
class _Removal:
    """Result of removing files: how many were there, and the URLs of those that stay."""

    count: int = 0
    strange: list[str] = field(default_factory=list)
    """Another file than ours stands there, or another task owns the name."""
    failed: dict[str, StorageError] = field(default_factory=dict)
    """They could not be removed."""

    def give_up(self, tries: int) -> None:
        """Raise the first error that is worth another try after so many; else the files stay where they are."""
        for error in self.failed.values():
            if operations.next_try(error, tries + 1) is not None:
                raise error

    def staying(self) -> str:
        """Return what stays, for the audit trail; empty when everything is removed."""
        told = ""
        if self.strange:
            told += f"; others than ours stay ({len(self.strange)}): {', '.join(self.strange[:MAX_TOLD])}"
        if self.failed:
            some = ", ".join(str(error) for error in list(self.failed.values())[:MAX_TOLD])
            told += f"; {len(self.failed)} cannot be removed: {some}"
        return told


def clean_products() -> int:
    """The chunk files of kept products are removed, and merged files that a later merge has replaced.

    Nothing is removed before the log archives of the task are planned: until then its archiving may be refused. Nor is
    anything while another task that reads the files has not ended.
    """
    due = Product.objects.filter(
        ~read_by_others(), state=ProductState.KEPT, task__state=TaskState.ARCHIVING, task__in=_planned()
    )
    return operations.work_through(due, _clean, _failed)


def clean_logs() -> int:
    """The log files that are in the archives of runs are removed when the archive of the whole production is kept."""
    whole = LogArchive.objects.filter(
        task=OuterRef("task"), run__isnull=True, state__in=(LogArchiveState.KEPT, LogArchiveState.CLEANED)
    )
    due = LogArchive.objects.filter(
        Exists(whole), run__isnull=False, state=LogArchiveState.KEPT, task__state=TaskState.ARCHIVING
    )
    return operations.work_through(due, _clean_logs, _logs_failed)


def finish_archiving() -> int:
    """Tasks with nothing left to remove become archived."""
    mine = OuterRef("pk")
    open_archive = LogArchive.objects.filter(task=mine).exclude(
        Q(state=LogArchiveState.CLEANED) | Q(state=LogArchiveState.KEPT, run__isnull=True)
    )
    over = Task.objects.filter(
        ~Exists(open_archive),
        ~Exists(Product.objects.filter(task=mine).exclude(state=ProductState.CLEANED)),
        pk__in=_planned(),
    )
    reason = Reason(_WHO, "its products and logs are kept, everything else is removed", "cycle")
    return len(transact(lambda: advance(TASK, over, (TaskState.ARCHIVING,), TaskState.ARCHIVED, reason)))


def _planned() -> list[int]:
    """The tasks that are being archived and have their log archives, or whose profile has none."""
    return [
        task.pk
        for task in Task.objects.filter(state=TaskState.ARCHIVING).select_related("experiment")
        if task.log_archives.exists() or profile_of(task.experiment.name).logs is None
    ]


def _clean_logs(archive: LogArchive, mover: Mover) -> int:
    whole = archive.task.log_archives.get(run__isnull=True)
    _verify(operations.File(whole.url, whole.size, whole.adler32), mover)
    removal = _remove(archive.task, (operations.File(*each) for each in archive.members), mover)
    if archive.run is not None:
        _remove_parts(parts_of_logs(archive.task, archive.run), mover, removal)
    removal.give_up(archive.tries)
    rows = LogArchive.objects.filter(pk=archive.pk)
    reason = Reason(_WHO, f"{counted_words(removal.count, 'log file')} removed{removal.staying()}", "cycle")

    def end() -> int:
        _note(archive.task, f"log file of run {archive.run}", removal)
        return len(advance(ARCHIVE, rows, (LogArchiveState.KEPT,), LogArchiveState.CLEANED, reason))

    return transact(end)


def _logs_failed(archive: LogArchive, error: PilotextError) -> float:
    tries = archive.tries + 1
    transact(lambda: LogArchive.objects.filter(pk=archive.pk).update(finding=str(error), tries=tries))
    return wait_after(tries, FIRST_WAIT_S)


def _clean(product: Product, mover: Mover) -> int:
    merged = merged_outputs(product)
    for output in merged:
        _verify(operations.File(output.kept, output.size, output.adler32), mover)
    merge = profile_of(product.task.experiment.name).merges[product.merge]
    mine = {"task": product.task, "run": product.run}
    chunks = Output.objects.filter(job__in=product.task.jobs.filter(**mine, product=""), kind=merge.of)
    earlier = Output.objects.filter(
        job__in=product.task.jobs.filter(**mine, product=product.merge), state=OutputState.SUPERSEDED
    )
    valid = {output.url for output in merged} | {output.kept for output in merged}
    of_chunks = _remove(product.task, _files(chunks.exclude(state=OutputState.REMOVED).order_by("-state"), ()), mover)
    of_merges = _remove(product.task, _files(earlier, valid), mover)
    whole = _Removal(0, [*of_chunks.strange, *of_merges.strange], {**of_chunks.failed, **of_merges.failed})
    whole.give_up(product.tries)
    rows = Output.objects.filter(Q(pk__in=chunks) | Q(pk__in=earlier)).exclude(state=OutputState.REMOVED)
    staying = [each.pk for each in rows if {each.url, each.kept} & whole.failed.keys()] if whole.failed else []
    what = f"{counted_words(of_chunks.count, 'chunk file')} and {counted_words(of_merges.count, 'file')}"
    reason = Reason(_WHO, f"{what} of earlier merges removed{whole.staying()}", "cycle")
    still = Product.objects.filter(pk=product.pk, round=product.round)

    def end() -> int:
        _note(product.task, f"file of run {product.run}", whole)
        rows.exclude(pk__in=staying).update(state=OutputState.REMOVED)
        return len(advance(PRODUCT, still, (ProductState.KEPT,), ProductState.CLEANED, reason))

    return transact(end)


def _files(outputs: Iterable[Output], needed: Iterable[str]) -> Iterator[operations.File]:
    """Yield the places of these outputs, their kept copies included, each once, without places that are needed.

    Of several outputs at one place, the first counts: let valid ones come first.
    """
    seen = set(needed)
    for output in outputs:
        for url in (output.url, output.kept):
            if url and url not in seen:
                seen.add(url)
                yield operations.File(url, output.size, output.adler32)


def _verify(file: operations.File, mover: Mover) -> None:
    if not operations.is_there(file, mover):
        raise NotFoundError(file.url, "the copy that must be kept is missing; nothing is removed.")


def _remove(task: Task, files: Iterable[operations.File], mover: Mover) -> _Removal:
    """Remove files. One that cannot be removed keeps none of the others. Raises ServerAwayError.

    A file whose name belongs to another task is not this one's, however equal the two are.
    """
    asked = list(files)
    others = not_owned(task, (file.url for file in asked))
    removal = _Removal(strange=list(others))
    for file in asked:
        if file.url in others:
            continue
        try:
            removal.count += operations.remove(file, mover)
        except (ChecksumError, OfflineError):
            removal.strange.append(file.url)
        except ServerAwayError:
            raise
        except StorageError as error:
            removal.failed[file.url] = error
    return removal


def _remove_parts(parts: Iterable[str], mover: Mover, removal: _Removal) -> None:
    """Remove parts of files where they are. Raises ServerAwayError."""
    for url in parts:
        try:
            remove_if_there(url, mover)
        except ServerAwayError:
            raise
        except StorageError as error:
            removal.failed[url] = error


def _note(task: Task, what: str, removal: _Removal) -> None:
    """Show files that could not be removed where the task is listed."""
    if removal.failed:
        note = f"{counted_words(len(removal.failed), what)} could not be removed; the history of the task says which"
        Task.objects.filter(pk=task.pk).update(note=note)


def _failed(product: Product, error: PilotextError) -> float:
    why = str(error)
    log.warning("product %d: %s", product.pk, why)
    tries = product.tries + 1
    Product.objects.filter(pk=product.pk).update(tries=tries, finding=why, changed=now())
    return wait_after(tries, FIRST_WAIT_S)
