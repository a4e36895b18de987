"""Breakers of storage servers: one that is away is left alone for a while, and what needs it waits.

A server that is away says nothing about a file, so nothing that waits for it has used up a try. It is away when it
fails an operation and does not answer a plain question about the same file either; one that answers is there, and the
fault is of the file. After the pause one cycle puts that question again.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from typing import Any

from pilotext.errors import CredentialError, RenewalError, StorageError, TransientError
from pilotext.profile.records import STORAGE_BREAKER
from pilotext.server.database import transact
from pilotext.server.production.models import Breaker
from pilotext.server.production.states import BREAKER, BreakerState
from pilotext.server.production.transitions import Reason, advance
from pilotext.server.times import EPOCH, later, now
from pilotext.storage.operations import Operation, subject
from pilotext.storage.transfer import Mover
from pilotext.storage.urls import server_of

MIN_PAUSE_S = 60.0
MAX_PAUSE_S = 900.0
PAUSE_FACTOR = 2.0
MAX_PROBE_S = 900.0
"""A cycle that has not said by then what its question found has died; another one may put it."""

_WHO = "storage"


class ServerAwayError(StorageError):
    """A storage server is away, and is not used until `until`."""

    fault = "unreachable"

    def __init__(self, url: str, until: datetime, why: str) -> None:
        super().__init__(url, f"{server_of(url)} does not answer: {why}")
        self.until = until

    @property
    def wait_s(self) -> float:
        return max(1.0, (self.until - now()).total_seconds())


class GuardedMover:
    """Carries out the operations of another mover, for an experiment, on servers that are not away."""

    def __init__(self, mover: Mover, experiment: int) -> None:
        self._mover = mover
        self._experiment = experiment

    def do(self, operation: Operation, **arguments: Any) -> Any:
        """The same as that of the other mover. Raises ServerAwayError where its server is away."""
        url = subject(arguments)
        self._pass(url)
        try:
            return self._mover.do(operation, **arguments)
        except RenewalError:  # nothing was heard of the server
            raise
        except (TransientError, CredentialError) as error:
            if self._why_away(url) is None:
                raise
            raise _trip(self._experiment, url, error.reason) from error

    def check(self, url: str) -> None:
        """Raise ServerAwayError while the server of this URL is not to be used; it is not asked."""
        row = _not_closed(self._experiment, url)
        if row is not None and row.due > now():
            raise ServerAwayError(url, row.due, row.why)

    def ask(self, url: str) -> None:
        """Put a plain question to the server of this URL. Raises ServerAwayError where it does not answer."""
        self._pass(url)
        why = self._why_away(url)
        if why is not None:
            raise _trip(self._experiment, url, why)

    def pause(self, seconds: float) -> None:
        self._mover.pause(seconds)

    def close(self) -> None:
        self._mover.close()

    def hurried(self) -> AbstractContextManager[None]:
        return self._mover.hurried()

    def tidier(self) -> GuardedMover:
        return GuardedMover(self._mover.tidier(), self._experiment)

    def _pass(self, url: str) -> None:
        """Go on where the server is not known to be away, or where it answers a question that was due."""
        row = _not_closed(self._experiment, url)
        if row is None:
            return
        at = now()
        if row.due > at or not transact(partial(_begin_probe, row, at)):
            raise ServerAwayError(url, max(row.due, later(at, 1.0)), row.why)
        why = self._why_away(url)
        if why is not None:
            raise _trip(self._experiment, url, why)
        reason = Reason(_WHO, f"{row.scope} answers again", "cycle")
        mine = Breaker.objects.filter(pk=row.pk)
        transact(lambda: advance(BREAKER, mine, (BreakerState.PROBING,), BreakerState.CLOSED, reason, trips=0, why=""))

    def _why_away(self, url: str) -> str | None:
        """Ask about the file; None when the server answers anything. Raises RenewalError, which tells nothing of it."""
        try:
            self._mover.do("stat", url=url)
        except RenewalError:
            raise
        except (TransientError, CredentialError) as error:
            return error.reason
        except StorageError:
            return None
        return None


def _rows(experiment: int, url: str) -> dict[str, Any]:
    return {"experiment_id": experiment, "rule": STORAGE_BREAKER, "scope": server_of(url)}


def _not_closed(experiment: int, url: str) -> Breaker | None:
    return Breaker.objects.not_closed().filter(**_rows(experiment, url)).first()


def _begin_probe(row: Breaker, at: datetime) -> bool:
    """Whether it is for this cycle to try the server; in a transaction."""
    due = Breaker.objects.filter(pk=row.pk, due__lte=at)
    until = later(at, MAX_PROBE_S)
    reason = Reason(_WHO, f"a cycle tries whether {row.scope} answers", "cycle")
    if advance(BREAKER, due, (BreakerState.OPEN,), BreakerState.PROBING, reason, due=until):
        return True
    return bool(due.filter(state=BreakerState.PROBING).update(due=until))  # the one that tried has died


def _trip(experiment: int, url: str, why: str) -> ServerAwayError:
    until = transact(partial(_open, experiment, url, why))
    return ServerAwayError(url, until, why)


def _open(experiment: int, url: str, why: str) -> datetime:
    """Open the breaker of a server, for longer each time; returns when it is due. In a transaction."""
    at = now()
    row, _ = Breaker.objects.get_or_create(**_rows(experiment, url), defaults={"changed": EPOCH})
    trips = 1 if row.state == BreakerState.CLOSED else row.trips + 1
    pause = min(MIN_PAUSE_S * PAUSE_FACTOR ** min(trips - 1, 20), MAX_PAUSE_S)
    changes: dict[str, Any] = {"due": later(at, pause), "trips": trips, "why": why}
    if row.state == BreakerState.CLOSED:
        changes["since"] = at
    reason = Reason(_WHO, f"{row.scope} does not answer: {why}; not used for {pause:.0f} s", "cycle")
    advance(
        BREAKER,
        Breaker.objects.filter(pk=row.pk),
        (BreakerState.CLOSED, BreakerState.PROBING),
        BreakerState.OPEN,
        reason,
        **changes,
    )
    row.refresh_from_db()  # another cycle, or a person, may have opened it before
    return row.due
