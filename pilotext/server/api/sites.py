"""Sites and breakers."""

from __future__ import annotations

from dmr import Path

from pilotext.api.schemas.fields import Id, Move, Moved
from pilotext.api.schemas.sites import BreakerHold, SiteLimit, SiteList, SiteMove
from pilotext.model import Record
from pilotext.server.api.base import ApiController, Body, operation
from pilotext.server.database import transact
from pilotext.server.production.manual_decisions import sites as decisions
from pilotext.server.production.statistics.sites import list_sites


class BreakerPath(Record, frozen=True):
    breaker: Id


class SitesController(ApiController):
    @operation("viewer")
    def get(self) -> SiteList:
        """List sites and breakers."""
        return list_sites()


class SiteMoveController(ApiController):
    @operation("manager")
    def post(self, parsed_body: Body[SiteMove]) -> Moved:
        """Close or open a site."""
        reason = self.reason(parsed_body.why)
        return Moved(tuple(transact(lambda: decisions.move_site(parsed_body.site, parsed_body.to, reason))))


class SiteLimitController(ApiController):
    @operation("manager")
    def post(self, parsed_body: Body[SiteLimit]) -> Moved:
        """Limit what runs at a site at once."""
        return Moved(tuple(transact(lambda: decisions.limit_site(parsed_body, self.reason(parsed_body.why)))))


class BreakersController(ApiController):
    @operation("manager")
    def post(self, parsed_body: Body[BreakerHold]) -> Moved:
        """Open a breaker of the profile."""
        return Moved(tuple(transact(lambda: decisions.hold(parsed_body, self.reason(parsed_body.why)))))


class BreakerMoveController(ApiController):
    @operation("manager")
    def post(self, parsed_path: Path[BreakerPath], parsed_body: Body[Move]) -> Moved:
        """Close or open a breaker."""
        reason = self.reason(parsed_body.why)
        return Moved(tuple(transact(lambda: decisions.move_breaker(parsed_path.breaker, parsed_body.to, reason))))
