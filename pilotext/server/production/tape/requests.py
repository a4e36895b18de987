"""Staging, what is said to tape systems: asked in bulk for a run, polled, looked at again, given back exactly once.

Before a request is given back, its id is struck out: one that stays with the tape system is better than one that is
given back twice, which takes the file from somebody else. So that none stays because its server is away, the server is
asked a plain question before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import groupby

from django.db.models import Q, QuerySet

from pilotext.errors import OfflineError, StorageError, TransientError
from pilotext.formatting import counted_words
from pilotext.profile.records import Staging
from pilotext.server.database import transact
from pilotext.server.production.collect_failures import collect_failures
from pilotext.server.production.models import Experiment, StagedFile
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.row_leases import lease_rows, wait_after
from pilotext.server.production.states import STAGED_FILE, JobState, StagedFileState, TaskState
from pilotext.server.production.storage import operations
from pilotext.server.production.storage.breakers import GuardedMover, ServerAwayError
from pilotext.server.production.tape import staging
from pilotext.server.production.transitions import Reason, advance
from pilotext.server.times import EPOCH, earlier, later, now
from pilotext.storage.base import Residence
from pilotext.storage.transfer import Mover
from pilotext.storage.urls import server_of

log = logging.getLogger("pilotext.staging")

_WHO = "staging"
_AT_ONCE = 1000

RESIDENCES: tuple[Residence, ...] = ("online", "offline", "missing")
MIN_POLL_S = 1.0

Work = Callable[[list[StagedFile], GuardedMover, Staging], int]


def request_files() -> int:
    """Wanted files are asked for, those of one run and server in one request."""
    return _each(
        lambda _: Q(state=StagedFileState.WANTED, pk__in=_needed_by_running_tasks()),
        _ask,
    )


def _needed_by_running_tasks() -> QuerySet[StagedFile, int]:
    to_come = (JobState.DEFINED, JobState.STAGING)
    return StagedFile.objects.read_by(state__in=to_come, task__state=TaskState.RUNNING).values_list("pk", flat=True)


def poll_files() -> int:
    """Requested files that have come let their jobs go on; others are asked for again after a while, or given up."""
    return _each(lambda _: Q(state=StagedFileState.REQUESTED), _poll)


def check_files() -> int:
    """Files that have been on disk for long are looked at: a tape system removes what it needs the place of."""
    return _each(lambda limits: Q(state=StagedFileState.ONLINE, online__lt=earlier(now(), limits.check_s)), _look)


def release_files() -> int:
    """Files that no job needs any more are given back to the tape system."""
    return _each(lambda _: staging.unneeded_files(), _give_back)


def _each(which: Callable[[Staging], Q], work: Work) -> int:
    """Do this with all such files, those of one run and server together, and no file twice at once."""
    return collect_failures(Experiment.objects.all(), lambda experiment: _each_of(experiment, which, work))


def _each_of(experiment: Experiment, which: Callable[[Staging], Q], work: Work) -> int:
    limits, done = profile_of(experiment.name).staging, 0
    rows = StagedFile.objects.filter(pk__in=StagedFile.objects.filter(which(limits), experiment=experiment))
    for lease in lease_rows(rows, _AT_ONCE):
        files = list(StagedFile.objects.filter(pk__in=lease.ids))
        with operations.moving(experiment.pk, lease.renew) as mover:
            for some in _requests(files, limits.request_files):
                try:
                    mover.check(some[0].url)  # before anything is given back, which is done once only
                    done += work(some, mover, limits)
                except ServerAwayError as error:
                    transact(partial(_rows(some).update, busy_until=error.until))
    return done


def _requests(files: list[StagedFile], most: int) -> Iterator[list[StagedFile]]:
    def alike(file: StagedFile) -> tuple[str, int, str]:
        return server_of(file.url), -1 if file.run is None else file.run, file.request

    for _, group in groupby(sorted(files, key=alike), alike):
        some = list(group)
        yield from (some[begin : begin + most] for begin in range(0, len(some), most))


def _ask(files: list[StagedFile], mover: GuardedMover, limits: Staging) -> int:
    _ask_before_giving_back(files, mover)
    _release(files, mover)
    rows = _rows(files).filter(state=StagedFileState.WANTED)
    try:
        request = mover.do("prepare", urls=[file.url for file in files])
    except ServerAwayError:
        raise
    except TransientError as error:
        return transact(partial(_wait, rows, f"it could not be asked for: {error.reason}", limits))
    except StorageError as error:
        return transact(partial(_later, rows, f"it could not be asked for: {error.reason}", limits))
    why = f"asked for with {counted_words(len(files), 'file')} of run {files[0].run}, request {request}"
    changes = {"request": request, "requested": now(), "busy_until": EPOCH}
    return len(
        transact(
            lambda: advance(
                STAGED_FILE,
                rows,
                (StagedFileState.WANTED,),
                StagedFileState.REQUESTED,
                Reason(_WHO, why, "cycle"),
                **changes,
            )
        )
    )


def _poll(files: list[StagedFile], mover: Mover, limits: Staging) -> int:
    found, refused = _residences(files, mover)
    at = now()
    where = {residence: [file for file in files if found.get(file.url) == residence] for residence in RESIDENCES}
    silent = [file for file in files if file.url not in found and file not in [each for each, _ in refused]]
    late = [file for file in where["offline"] + silent if _waited_s(file, at) > limits.within_s]
    done = transact(lambda: staging.put_online(_rows(where["online"]), at))
    done += transact(lambda: staging.give_up_files(_rows(where["missing"]), "the tape system does not have this file"))
    again = [(file, f"still on tape after {limits.within_s:.0f} s") for file in late] + refused
    _release([file for file, _ in again], mover)
    for file, why in again:
        done += transact(partial(_later, _rows([file]), why, limits))
    waited = max((_waited_s(file, at) for file in files), default=0.0)
    wait = min(limits.poll_s, max(MIN_POLL_S, waited / 4))
    transact(lambda: _rows(files).filter(state=StagedFileState.REQUESTED).update(busy_until=later(at, wait)))
    return done


def _waited_s(file: StagedFile, at: datetime) -> float:
    return 0.0 if file.requested is None else (at - file.requested).total_seconds()


def _look(files: list[StagedFile], mover: Mover, limits: Staging) -> int:  # noqa: ARG001 - as the others
    found, refused = _residences(files, mover)
    here = _rows([file for file in files if found.get(file.url) == "online"])
    transact(lambda: here.update(online=now(), busy_until=EPOCH))
    lost = [file for file in files if found.get(file.url) in ("offline", "missing")] + [file for file, _ in refused]
    return transact(lambda: staging.put_offline(_rows(lost), "it is not on disk any more"))


def _give_back(files: list[StagedFile], mover: GuardedMover, limits: Staging) -> int:  # noqa: ARG001 - as the others
    _ask_before_giving_back(files, mover)
    ids = transact(lambda: _released([file.pk for file in files]))
    given = [file for file in files if file.pk in ids]
    _release(given, mover)
    return len(given)


def _released(ids: list[int]) -> list[int]:
    locked = StagedFile.objects.filter(pk__in=ids).select_for_update(of=("self",)).order_by("pk")
    mine = [file.pk for file in locked]
    # Looked at again, after whoever had them locked: a job may want it since.
    still = list(StagedFile.objects.filter(staging.unneeded_files(), pk__in=mine).values_list("pk", flat=True))
    found = StagedFile.objects.filter(pk__in=still)
    reason = Reason(_WHO, "no job needs it on disk any more", "cycle")
    return advance(
        STAGED_FILE,
        found,
        (StagedFileState.WANTED, StagedFileState.REQUESTED, StagedFileState.ONLINE, StagedFileState.FAILED),
        StagedFileState.RELEASED,
        reason,
        online=None,
        busy_until=EPOCH,
    )


def _ask_before_giving_back(files: Sequence[StagedFile], mover: GuardedMover) -> None:
    """Raise ServerAwayError where these files have a request and their server does not answer."""
    url = next((file.url for file in files if file.request), None)
    if url is not None:
        mover.ask(url)


def _release(files: Sequence[StagedFile], mover: Mover) -> None:
    """Give back the requests of these files, as far as they have one."""
    asked = [file for file in files if file.request]
    for request, group in groupby(sorted(asked, key=lambda file: file.request), lambda file: file.request):
        some = list(group)
        struck = transact(partial(_rows(some).exclude(request="").update, request=""))
        if struck != len(some):  # somebody else gives it back
            continue
        try:
            mover.do("release", request=request, urls=[file.url for file in some])
        except StorageError as error:
            log.warning("request %s was not given back to the tape system: %s", request, error)


def _residences(files: Sequence[StagedFile], mover: Mover) -> tuple[dict[str, Residence], list[tuple[StagedFile, str]]]:
    """Return where the files of one request are, and those of which the tape system says why they will not come.

    It says so for the first of them only: the others are found by halves.
    """
    try:
        return mover.do("status", request=files[0].request, urls=[file.url for file in files]), []
    except OfflineError as error:
        if len(files) == 1:
            return {}, [(files[0], error.reason)]
    except ServerAwayError:
        raise
    except StorageError as error:
        log.warning("the tape system does not say how far request %s is: %s", files[0].request, error)
        return {}, []
    middle = len(files) // 2
    one, other = _residences(files[:middle], mover), _residences(files[middle:], mover)
    return {**one[0], **other[0]}, [*one[1], *other[1]]


def _wait(rows: QuerySet[StagedFile], why: str, limits: Staging) -> int:
    """Ask for files again after a while: the tape system answers, and cannot take requests now. In a transaction.

    No try is counted, since nothing is said about the files.
    """
    return rows.update(finding=why, busy_until=later(now(), wait_after(1, limits.wait_s)))


def _later(rows: QuerySet[StagedFile], why: str, limits: Staging) -> int:
    """Ask for files again after a while, or give them up after so many tries. In a transaction."""
    done = 0
    for file in rows.select_for_update(of=("self",)):
        mine, tries = StagedFile.objects.filter(pk=file.pk), file.tries + 1
        mine.update(tries=tries, finding=why, busy_until=later(now(), wait_after(tries, limits.wait_s)))
        if tries >= limits.tries:
            done += staging.give_up_files(mine, f"{why}; tried {counted_words(tries, 'time')}")
        else:
            done += len(
                advance(
                    STAGED_FILE, mine, (StagedFileState.REQUESTED,), StagedFileState.WANTED, Reason(_WHO, why, "cycle")
                )
            )
    return done


def _rows(files: Sequence[StagedFile]) -> QuerySet[StagedFile]:
    return StagedFile.objects.filter(pk__in=[file.pk for file in files])
