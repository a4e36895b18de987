"""Whether the cycle, which moves everything by itself, is alive, and which of its steps fail."""

from __future__ import annotations

from collections.abc import Iterator

from pilotext.api.schemas.waits import Wait
from pilotext.server.production.models import CycleStep
from pilotext.server.production.signs import SILENT_AFTER_S


def of_cycle(at: float) -> Iterator[Wait]:
    """What keeps the server from moving anything; nothing while its cycle is alive and no step fails."""
    rows = list(CycleStep.objects.order_by("name"))
    last = max((row.at for row in rows), default=None)
    if last is not None and at - last > SILENT_AFTER_S:
        how = "start it: pilotext server, or pilotext server cycle"
        yield Wait("cycle", "the cycle of the server is not heard of: nothing is moved", last, None, "manager", how)
    for row in rows:
        if row.error:
            what = f"step {row.name!r} of the cycle fails: {row.error}"
            yield Wait("cycle", what, row.failing_since, None, "manager", "the log of the server has the details")
