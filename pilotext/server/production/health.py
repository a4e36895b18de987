"""Health of the server, part by part: the database, its disk, the cycle, agents, rule files, credentials."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from django.db import DatabaseError, connection
from django.db.models import Q

from pilotext import __version__
from pilotext.api.schemas.health import Health, HealthPart, PartStatus
from pilotext.errors import UsageError
from pilotext.formatting import counted_words, verb_for
from pilotext.server.database import transact
from pilotext.server.production.cycle.status import SILENT_AFTER_S
from pilotext.server.production.dispatch.agents import GONE_AFTER_S, heard_since
from pilotext.server.production.models import Agent, CycleStep, Token
from pilotext.server.production.rule_files import changed_rule_files
from pilotext.server.production.states import AgentState
from pilotext.server.settings import CREDENTIALS
from pilotext.server.times import DAY_S, earlier, now
from pilotext.storage.credentials import REFRESH, Credential, find_credential, told_end
from pilotext.storage.transfer.renewal import MIN_TRANSFER_S

LOW_BYTES = 5_000_000_000
LOW_SHARE = 0.05
FULL_BYTES = 200_000_000
"""Free space below which the disk of the database is reported as low, as a number or as a share, and as full."""

LOCAL = ("", "localhost", "127.0.0.1", "::1")

CREDENTIAL_ENDS_SOON_S = DAY_S
"""Time before the end of a credential from which on somebody is reminded to renew it, where no command does."""

MAX_CHANGED = 3
"""Changed files of rules that are named."""

_ORDER: tuple[PartStatus, ...] = ("ok", "warning", "failed")


def health() -> Health:
    """Look at every part. Raises nothing for a database that does not answer: then only that is reported."""
    parts = {"database": _database()}
    if parts["database"].status == "ok":
        looks: dict[str, Callable[[], HealthPart]] = {
            "disk": _disk,
            "cycle": _cycle,
            "agents": _agents,
            "rules": _rules,
        }
        if CREDENTIALS.kinds:
            looks["credentials"] = _credentials
        parts |= {name: _looked_at(look) for name, look in looks.items()}
    worst = max((part.status for part in parts.values()), key=_ORDER.index)
    return Health(worst, __version__, parts)


def disk_part(free: int, total: int) -> HealthPart:
    """Rate a disk by its free bytes."""
    what = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB are free on the disk of the database"
    if free < FULL_BYTES:
        return HealthPart("failed", f"{what}: nothing can be written soon")
    if free < min(LOW_BYTES, LOW_SHARE * total):
        return HealthPart("warning", f"{what}: make room before it is full")
    return HealthPart("ok", what)


def _looked_at(look: Callable[[], HealthPart]) -> HealthPart:
    try:
        return look()
    except DatabaseError as error:
        return HealthPart("failed", f"it cannot be checked: {type(error).__name__}")


def _database() -> HealthPart:
    try:
        transact(_ask)
    except DatabaseError as error:
        return HealthPart("failed", f"the database does not answer: {type(error).__name__}")
    return HealthPart("ok", f"{connection.display_name} answers")


def _ask() -> None:
    """A question in a transaction that could write: SQLite answers it only when nobody else holds the database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _disk() -> HealthPart:
    folder = _folder_of_database()
    if folder is None:
        return HealthPart("ok", "the disk of the database is not on this machine: monitor it there")
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        return HealthPart("warning", f"the disk of the database cannot be checked: {error.strerror}")
    return disk_part(usage.free, usage.total)


def _folder_of_database() -> Path | None:
    """Return the folder of the database's files, if it is on this machine and the database names it."""
    known = connection.settings_dict
    if connection.vendor == "sqlite":
        return Path(str(known["NAME"])).parent
    if known["HOST"] not in LOCAL and not str(known["HOST"]).startswith("/"):
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT setting FROM pg_settings WHERE name = 'data_directory'")  # no row for who may not see it
        found = cursor.fetchone()
    return Path(found[0]) if found is not None and Path(found[0]).parent.exists() else None


def _cycle() -> HealthPart:
    rows = list(CycleStep.objects.order_by("name"))
    if not rows:
        return HealthPart("warning", "no cycle has run on this database so far")
    silent_s = (now() - max(row.at for row in rows)).total_seconds()
    if silent_s > SILENT_AFTER_S:
        return HealthPart("failed", f"the cycle has been silent for {silent_s:.0f} s: nothing advances")
    failing = [row.name for row in rows if row.error]
    if failing:
        return HealthPart("warning", f"steps that fail: {', '.join(failing)}; the log of the server says why")
    return HealthPart("ok", f"{counted_words(len(rows), 'step', 'is')} done")


def _rules() -> HealthPart:
    try:
        changed = changed_rule_files()
    except (UsageError, OSError) as error:
        return HealthPart("warning", f"the files of rules and profiles cannot be checked: {error}")
    if not changed:
        return HealthPart("ok", "rules and profiles are those on disk")
    more = f" and {len(changed) - MAX_CHANGED} more" if len(changed) > MAX_CHANGED else ""
    what = (
        f"files of rules and profiles differ from those that this server has loaded: {', '.join(changed[:MAX_CHANGED])}"
    )
    return HealthPart("warning", f"{what}{more}; restart the server to use them")


def _credentials() -> HealthPart:
    found = [find_credential(kind, os.environ) for kind in CREDENTIALS.kinds]
    return credentials_part(found, time.time(), renewed=bool(CREDENTIALS.refresh))


def credentials_part(found: list[Credential], at: float, *, renewed: bool) -> HealthPart:
    """Rate the credentials of this machine by the seconds to their end; `renewed`: a command renews them."""
    worst = min(found, key=lambda each: each.left_s(at))
    what = f"the {worst.kind} {worst.path} {told_end(worst, at)}"
    if renewed:
        if worst.left_s(at) >= MIN_TRANSFER_S:
            return HealthPart("ok", what)
        return HealthPart("warning", f"{what}: the next transfer renews it; if it does not, look at {REFRESH}")
    if worst.left_s(at) == 0:
        return HealthPart("failed", f"{what}: files cannot be moved until it is renewed")
    if worst.left_s(at) < CREDENTIAL_ENDS_SOON_S:
        return HealthPart("warning", f"{what}: renew it, or set {REFRESH}")
    return HealthPart("ok", what)


def _agents() -> HealthPart:
    at = now()
    active = Agent.objects.filter(state__in=(AgentState.ACTIVE, AgentState.DRAINING))
    heard = active.filter(heard_since(earlier(at, GONE_AFTER_S))).count()
    number = active.count() - heard
    ended = Token.objects.filter(Q(revoked__isnull=False) | Q(expires__lte=at), role="agent").values("label")
    good = Token.objects.valid(at).filter(role="agent").values("label")
    refused = active.filter(token__in=ended).exclude(token__in=good).count()
    said = [f"{counted_words(heard, 'agent', 'is')} active"]
    said += [f"{number} {verb_for(number, 'is')} silent"] if number else []
    said += [f"{refused} {verb_for(refused, 'has')} a token that was revoked or has expired"] if refused else []
    return HealthPart("warning" if number or refused else "ok", "; ".join(said))
