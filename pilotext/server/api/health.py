"""Health of the server."""

from __future__ import annotations

from pilotext.api.schemas.health import Health
from pilotext.server.api.base import ApiController, operation
from pilotext.server.production.health import health
from pilotext.server.production.refusal import RefusalError


class HealthController(ApiController):
    @operation("anyone")
    def get(self) -> Health:
        """Return the health of the server, part by part; 503 when its database does not answer."""
        found = health()
        if found.parts["database"].status == "failed":
            raise RefusalError("unavailable", found.parts["database"].what)
        return found
