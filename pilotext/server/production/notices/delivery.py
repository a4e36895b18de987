"""Delivery of notices by a channel: what was not sent yet, together, again after a failure with growing waits.

A notice is marked as sent after the other side has accepted it: a cycle that dies in between has it sent again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from http.client import HTTPException

from django.db.models import Exists, OuterRef, QuerySet

from pilotext.redaction import Redactor, shortened
from pilotext.sanitize import one_line
from pilotext.server.database import transact
from pilotext.server.production.models import Notice, NoticeChannel, NoticeDelivery
from pilotext.server.production.row_leases import RowLease, wait_after
from pilotext.server.times import earlier, now

log = logging.getLogger("pilotext.notices")

Send = Callable[[Sequence[Notice]], None]

MAX_AT_ONCE = 200
"""Notices that are sent together; more of them follow."""

MAX_AGE_S = 3 * 86400.0
"""Age from which on a notice is not sent any more."""

FIRST_WAIT_S = 30.0
MAX_WAIT_S = 1800.0
MAX_ERROR = 300

WITHIN_S = 30.0
"""Time of one delivery, whatever the other side does."""

_REDACTOR = Redactor()
_threads: dict[str, threading.Thread] = {}


class NotAcceptedError(Exception):
    """The other side does not accept what was sent."""


def deliver(name: str, send: Send, every_s: float) -> int:
    """Send what a channel has not sent yet, at most every `every_s` seconds; returns the number of notices.

    `send` uses no database, and raises OSError, HTTPException or NotAcceptedError for a failure.
    """
    channel = NoticeChannel.objects.filter(name=name).first() or transact(lambda: _channel(name))
    pending = _pending(channel)
    if not pending.exists():
        return 0
    lease = RowLease(NoticeChannel.objects.filter(pk=channel.pk), 1)
    if not lease:
        return 0
    found = list(pending[:MAX_AT_ONCE])  # after another cycle has ended what it did
    try:
        if found:
            _send_within(name, send, found, WITHIN_S)
    except (OSError, HTTPException, NotAcceptedError) as error:
        lease.end(_failed(channel, error))
        return 0
    transact(lambda: _sent(channel, found))
    lease.end(every_s)
    return len(found)


def _channel(name: str) -> NoticeChannel:
    return NoticeChannel.objects.get_or_create(name=name)[0]


def _pending(channel: NoticeChannel) -> QuerySet[Notice]:
    sent = NoticeDelivery.objects.filter(notice=OuterRef("pk"), channel=channel)
    since = max(channel.since, earlier(now(), MAX_AGE_S))
    return Notice.objects.filter(~Exists(sent), at__gte=since).select_related("task", "site").order_by("pk")


def _sent(channel: NoticeChannel, found: list[Notice]) -> None:
    rows = [NoticeDelivery(notice=notice, channel=channel) for notice in found]
    NoticeDelivery.objects.bulk_create(rows, ignore_conflicts=True)
    NoticeChannel.objects.filter(pk=channel.pk).update(tries=0, error="")


def _failed(channel: NoticeChannel, error: Exception) -> float:
    """Note a failure; returns the seconds to wait."""
    tries = channel.tries + 1
    why = shortened(one_line(_REDACTOR.text(f"{type(error).__name__}: {error}")), MAX_ERROR)
    log.warning("notices cannot be sent by %s: %s", channel.name, why)
    rows = NoticeChannel.objects.filter(pk=channel.pk)
    transact(lambda: rows.update(tries=tries, error=why, failed=now()))
    return min(wait_after(tries, FIRST_WAIT_S), MAX_WAIT_S)


def _send_within(channel: str, send: Send, notices: Sequence[Notice], within_s: float) -> None:
    """Send in a thread that is left alone when it does not end in time: a byte now and then outlasts every timeout.

    There is one such thread for each channel at most.
    """
    hanging = _threads.get(channel)
    if hanging is not None and hanging.is_alive():
        raise TimeoutError("the delivery before has not come to its end")
    failures: list[BaseException] = []

    def work() -> None:
        try:
            send(notices)
        except BaseException as error:  # noqa: BLE001  raised below
            failures.append(error)

    _threads[channel] = thread = threading.Thread(target=work, name=f"notices {channel}", daemon=True)
    thread.start()
    thread.join(within_s)
    if thread.is_alive():
        raise TimeoutError(f"it takes longer than {within_s:g} s")
    if failures:
        raise failures[0]
