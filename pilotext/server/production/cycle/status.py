"""Signs of life of the cycle: when each step was done last, and by which error it fails.

They are in the database, so that every web process can show them; a step writes one when its error is another than
before, and otherwise every half minute.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime

from django.db import DatabaseError, connection

from pilotext.redaction import Redactor, shortened
from pilotext.server.database import transact
from pilotext.server.production.models import CycleStep
from pilotext.server.times import earlier, now

log = logging.getLogger("pilotext.cycle")

EVERY_S = 30.0
SILENT_AFTER_S = 300.0
"""No step of a cycle takes that long between two signs, but for one that waits for storage in a lane of its own."""

MAX_ERROR = 1000

_REDACTOR = Redactor()
_told: dict[tuple[str, str], tuple[datetime, str]] = {}
_lock = threading.Lock()


def describe_error(error: BaseException) -> str:
    """An error as one text; of a group, the first of its errors and how many there are."""
    if isinstance(error, BaseExceptionGroup):
        more = f" (and {len(error.exceptions) - 1} more)" if len(error.exceptions) > 1 else ""
        return describe_error(error.exceptions[0]) + more
    return shortened(_REDACTOR.text(f"{type(error).__name__}: {error}"), MAX_ERROR)


def record_step(step: str, error: str = "") -> None:
    """Note that a step was done, or that it fails by this error."""
    at, key = now(), (str(connection.settings_dict["NAME"]), step)
    with _lock:
        last = _told.get(key)
        if last is not None and last[1] == error and last[0] > earlier(at, EVERY_S):
            return
        _told[key] = at, error
    try:
        transact(lambda: _write(step, error, at))
    except DatabaseError:  # the step that could not be done because of it was told in the log
        log.exception("the sign of step %s could not be written", step)


def forget() -> None:
    """Write the next sign of every step, however short the time since the last one."""
    with _lock:
        _told.clear()


def _write(step: str, error: str, at: datetime) -> None:
    row, _ = CycleStep.objects.get_or_create(name=step, defaults={"at": at})
    since = (row.failing_since or at) if error else None
    CycleStep.objects.filter(pk=row.pk).update(at=at, failing_since=since, error=error)
