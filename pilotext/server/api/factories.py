"""Factories: what they ask and report, the jobs that they hand to PanDA, and the list of them."""

from __future__ import annotations

from pilotext.api.schemas.factories import FactoryList, FactoryReport, FactorySeen, SiteWork, SiteWorkQuery
from pilotext.api.schemas.panda import HeldAttempts, PandaJobs, PandaRequest, PandaStates
from pilotext.server.api.agents import dispatcher
from pilotext.server.api.base import MEGA, ApiController, Body, Query, operation
from pilotext.server.database import transact
from pilotext.server.production.dispatch.factories import accept_report, site_work
from pilotext.server.production.dispatch.panda import take_jobs, take_states
from pilotext.server.production.lookup import site_named
from pilotext.server.production.models import Site
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.statistics.factories import list_factories


class FactoriesController(ApiController):
    @operation("viewer")
    def get(self) -> FactoryList:
        """List factories."""
        return list_factories()

    @operation("agent", max_body_bytes=8 * MEGA)
    def post(self, parsed_body: Body[FactoryReport]) -> FactorySeen:
        """Report what a factory has submitted, and what is queued."""
        sites = {name: _own_site(self, name) for name in {label.site for label in parsed_body.labels}}
        return FactorySeen(transact(lambda: accept_report(parsed_body, sites)))


class SiteWorkController(ApiController):
    @operation("agent")
    def get(self, parsed_query: Query[SiteWorkQuery]) -> SiteWork:
        """Count the jobs that wait for agents of a site."""
        asked = parsed_query
        return site_work(_own_site(self, asked.site), asked.factory, asked.label)


class PandaJobsController(ApiController):
    @operation("agent")
    def post(self, parsed_body: Body[PandaRequest]) -> PandaJobs:
        """Give jobs of a site to a factory, which hands them to PanDA."""
        site = _own_site(self, parsed_body.site)
        return PandaJobs(tuple(take_jobs(dispatcher, site, parsed_body, self.caller.label)))


class PandaStatesController(ApiController):
    @operation("agent", max_body_bytes=4 * MEGA)
    def post(self, parsed_body: Body[PandaStates]) -> HeldAttempts:
        """Report the states of jobs in PanDA, and list the attempts that are there."""
        site = _own_site(self, parsed_body.site)
        return HeldAttempts(tuple(take_states(site, parsed_body, self.caller.label)))


def _own_site(controller: ApiController, name: str) -> Site:
    """Return a site that the caller's token is for. Raises RefusalError."""
    site = site_named(name)
    if controller.caller.site not in (None, site.pk):
        raise RefusalError("forbidden", f"this token is for another site than {name!r}.")
    return site
