"""`/health` within a bound: asked of the application in a thread of its own, however busy all others are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from pilotext import __version__
from pilotext.api.schemas.health import Health, HealthPart
from pilotext.server.front.guard import Response

WITHIN_S = 3.0
"""A database that takes longer is busy."""

FRESH_S = 1.0
"""An answer serves everybody who asks within this time."""

BUSY = Response(
    503,
    [("Content-Type", "application/json"), ("Cache-Control", "no-store"), ("Retry-After", "5")],
    msgspec.json.encode(
        Health(
            "failed", __version__, {"database": HealthPart("failed", f"database busy: no answer within {WITHIN_S:g} s")}
        )
    ),
)


class HealthProbe:
    """One look at a time, shared by all who ask."""

    def __init__(self, look: Callable[[], Response]) -> None:
        self._look = look
        self._thread = ThreadPoolExecutor(1, "health")
        self._looking: asyncio.Future[Response] | None = None
        self._seen_s = 0.0

    async def answer(self) -> Response:
        """Return the health of the server; 503 when the database does not answer in time."""
        looking = self._looking
        if looking is None or (looking.done() and time.monotonic() - self._seen_s > FRESH_S):
            looking = asyncio.get_running_loop().run_in_executor(self._thread, self._timed)
            self._looking = looking
        try:
            return await asyncio.wait_for(asyncio.shield(looking), WITHIN_S)
        except TimeoutError:
            return BUSY

    def _timed(self) -> Response:
        try:
            return self._look()
        finally:
            self._seen_s = time.monotonic()
