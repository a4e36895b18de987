"""Steps of the cycle that write notices of what no move tells: many failures, silent factories, changed rules."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Count

from pilotext.formatting import counted_words
from pilotext.server.database import transact
from pilotext.server.production.dispatch.factories import HEARD_S
from pilotext.server.production.models import Factory, Notice, Task
from pilotext.server.production.notices.store import MAX_TITLE, Announcement, announce, announce_once, fit
from pilotext.server.production.rule_files import changed_rule_files
from pilotext.server.production.statistics.errors import failed_between
from pilotext.server.times import HOUR_S, earlier, now, to_seconds

MAX_SILENT_S = 86400.0
"""Silence after which a factory was given up, and not forgotten."""

MAX_NAMED = 5
"""Changed files that are named."""


def watch_failures() -> int:
    """Write a notice where attempts of a task fail by one cause more often than the threshold within an hour.

    As long as they do, the notice of the last hour is kept up to date; after an hour there is another one.
    """
    at = now()
    since = earlier(at, HOUR_S)
    rows = failed_between(since, at).order_by().values_list("task", "cause")
    counted = rows.annotate(failed=Count("pk"), jobs=Count("job", distinct=True))
    found = list(counted.filter(failed__gte=settings.NOTICE_FAILURES))
    if not found:
        return 0
    names = dict(Task.objects.filter(pk__in={row[0] for row in found}).values_list("pk", "name"))
    return sum(
        transact(partial(_failures, task, cause, failed, jobs, names[task])) for task, cause, failed, jobs in found
    )


def _failures(task: int, cause: str, failed: int, jobs: int, name: str) -> int:
    at = now()
    since = earlier(at, HOUR_S)
    cause = fit(cause or "lost", MAX_TITLE)
    text = f"{counted_words(failed, 'attempt')} of {counted_words(jobs, 'job')} failed by {cause} within an hour"
    recent = Notice.objects.filter(kind="failures", task=task, cause=cause, at__gte=since)
    if recent.exists():
        return recent.filter(count__lt=failed).update(count=failed, text=text, last=at)
    chosen = urlencode({"task": name, "cause": cause, "since": f"{to_seconds(since):.0f}"})
    said = Announcement(
        "failures",
        f"{task} {cause}",
        f"Many jobs of task {name} fail by {cause}",
        text,
        f"/failures/attempts?{chosen}",
        task=task,
        cause=cause,
        count=failed,
    )
    announce([said], at)
    return 1


def watch_factories() -> int:
    """Write a notice of each factory that has become silent, one for each silence."""
    at = now()
    silent = Factory.objects.filter(seen__lt=earlier(at, HEARD_S), seen__gte=earlier(at, MAX_SILENT_S))
    return sum(transact(partial(announce_once, _silent(row), at)) for row in silent)


def _silent(factory: Factory) -> Announcement:
    text = f"the last report was at {factory.seen:%Y-%m-%d %H:%M} UTC, from {factory.host}"
    title = f"Factory {factory.name} is silent"
    return Announcement("factory", f"{factory.pk} {to_seconds(factory.seen)}", title, text, "/factory")


def watch_rule_files() -> int:
    """Write a notice when files of rules and profiles differ from those that this process has loaded."""
    changed = changed_rule_files()
    if not changed:
        return 0
    state = hashlib.sha256(repr([(path, _modified(Path(path))) for path in changed]).encode()).hexdigest()
    names = ", ".join(Path(path).name for path in changed[:MAX_NAMED])
    more = f" and {len(changed) - MAX_NAMED} more" if len(changed) > MAX_NAMED else ""
    title = "Files of rules or profiles differ from those that the server has loaded"
    text = f"{names}{more}; restart the server to use them"
    said = Announcement("rules", state, title, text, "/server", count=len(changed))
    return transact(lambda: announce_once(said, now()))


def _modified(path: Path) -> int:
    """Return the time of the last change of a file; 0 for one that was removed."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
