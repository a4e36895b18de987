"""Writing of notices: the same within an hour is one row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from django.db.models import F

from pilotext.redaction import Redactor, shortened
from pilotext.sanitize import one_line
from pilotext.server.production.models import Notice
from pilotext.server.times import HOUR_S, earlier, now, to_seconds

NoticeKind = Literal["task", "run", "breaker", "site", "agent", "factory", "rules", "failures"]

MAX_TITLE = 200
MAX_TEXT = 1000

KEPT_S = 30 * 86400.0
"""Age at which notices are removed."""

_REDACTOR = Redactor()


@dataclass(frozen=True)
class Announcement:
    """A notice to be written; `same` says within its kind what is the same again."""

    kind: NoticeKind
    same: str
    title: str
    text: str
    page: str
    task: int | None = None
    site: int | None = None
    cause: str = ""
    count: int = 1

    def key(self, period: int) -> str:
        """Return the key of its row in a period, of one length whatever its parts hold."""
        return hashlib.sha256(f"{self.kind}\0{self.same}\0{period}".encode()).hexdigest()


def announce(announcements: Iterable[Announcement], at: datetime) -> None:
    """Write notices, or count them where the hour has the same ones; in a transaction."""
    period = int(to_seconds(at) // HOUR_S)
    # In the order of their keys: of two that write the same ones at once, the second waits for the first.
    for key, each in sorted(((each.key(period), each) for each in announcements), key=lambda found: found[0]):
        _insert(key, each, at)
        Notice.objects.filter(key=key).update(count=F("count") + each.count, last=at)


def announce_once(announcement: Announcement, at: datetime) -> int:
    """Write a notice unless there is the same one, of whatever hour; returns how many were written."""
    key = announcement.key(0)
    if Notice.objects.filter(key=key).exists():
        return 0
    _insert(key, announcement, at)
    return Notice.objects.filter(key=key, count=0).update(count=announcement.count)


def _insert(key: str, said: Announcement, at: datetime) -> None:
    row = Notice(
        key=key,
        kind=said.kind,
        task_id=said.task,
        site_id=said.site,
        cause=fit(said.cause, MAX_TITLE),
        title=fit(said.title, MAX_TITLE),
        text=fit(said.text, MAX_TEXT),
        page=said.page,
        at=at,
        last=at,
    )
    Notice.objects.bulk_create([row], ignore_conflicts=True)


def fit(text: str, longest: int) -> str:
    """Return a text of others without secrets and without characters that steer a terminal, a mail or a feed."""
    return shortened(one_line(_REDACTOR.text(text)), longest)


def forget_notices() -> int:
    """Remove notices that are older than KEPT_S; returns their number."""
    removed, _ = Notice.objects.filter(at__lt=earlier(now(), KEPT_S)).delete()
    return removed
