"""Work that takes longer than a transaction, by one cycle at a time, although several run and each may die.

Who claims a row has it until its claim expires; a claim is renewed while the work goes on. After a failure the claim is
what keeps everybody away until the next try.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Generic, TypeVar

from django.db.models import Model, QuerySet

from pilotext.server.database import transact
from pilotext.server.times import EPOCH, later, now

M = TypeVar("M", bound=Model)

ROW_LEASE_S = 300.0
RENEW_AFTER_S = 60.0
MAX_WAIT_S = 6 * 3600.0


class RowLease(Generic[M]):
    """Rows that this process works at; `ids` are theirs. Call `renew` often during the work: it writes seldom."""

    def __init__(self, rows: QuerySet[M], most: int) -> None:
        self._model = rows.model
        # Most often nothing is free: that is seen by one query, without a transaction that writes.
        self.ids: list[int] = transact(lambda: self._take(rows, most)) if _free(rows).exists() else []
        self._renewed = time.monotonic()

    def __bool__(self) -> bool:
        return bool(self.ids)

    def renew(self) -> None:
        if time.monotonic() - self._renewed > RENEW_AFTER_S:
            self._renewed = time.monotonic()
            self.end(ROW_LEASE_S)

    def end(self, wait_s: float = 0.0) -> None:
        """Give the rows back; nobody takes them for `wait_s` seconds."""
        rows = self._model._default_manager.filter(pk__in=self.ids)
        transact(lambda: rows.update(busy_until=later(now(), wait_s) if wait_s else EPOCH))

    def _take(self, rows: QuerySet[M], most: int) -> list[int]:
        free = _free(rows).select_for_update(of=("self",), skip_locked=True)
        ids = list(free.values_list("pk", flat=True)[:most])
        self._model._default_manager.filter(pk__in=ids).update(busy_until=later(now(), ROW_LEASE_S))
        return ids


def _free(rows: QuerySet[M]) -> QuerySet[M]:
    return rows.filter(busy_until__lt=now())


def lease_rows(rows: QuerySet[M], most: int) -> Iterator[RowLease[M]]:
    """Claims of all rows that are free, up to `most` at a time, each row once."""
    last = 0
    while lease := RowLease(rows.filter(pk__gt=last).order_by("pk"), most):
        last, taken = lease.ids[-1], len(lease.ids)
        yield lease
        if taken < most:
            return


def wait_after(tries: int, first_s: float) -> float:
    """Seconds until the next try after so many failed ones: doubled each time, and spread."""
    wait = min(first_s * 2.0 ** min(max(tries - 1, 0), 20), MAX_WAIT_S)
    return wait * secrets.SystemRandom().uniform(0.75, 1.25)
