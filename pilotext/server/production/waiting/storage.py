"""Storage servers that are away, for what waits for storage."""

from __future__ import annotations

from collections.abc import Sequence

from pilotext.api.schemas.waits import Wait
from pilotext.profile.records import STORAGE_BREAKER
from pilotext.server.production.models import Breaker

_FOR_STORAGE = {"staging", "verifying", "copying", "cleaning", "archive"}


def with_servers(waits: Sequence[Wait], experiment: int) -> tuple[Wait, ...]:
    """These reasons, and where one of them is work on storage, every server of the experiment that is away."""
    if not any(wait.kind in _FOR_STORAGE for wait in waits):
        return tuple(waits)
    away = Breaker.objects.filter(experiment=experiment, rule=STORAGE_BREAKER).exclude(state="closed").order_by("scope")
    return (*waits, *map(_of_server, away))


def _of_server(row: Breaker) -> Wait:
    how = f"the cycle asks it again then, or now: pilotext sites close --breaker {row.pk} --why ..."
    return Wait("storage-away", f"{row.scope} is away: {row.why}", row.since, row.due, "server", how)
