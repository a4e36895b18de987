"""Sites with what runs there, the breakers, and the agents."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from pilotext.server.pages.access import page
from pilotext.server.production.statistics.sites import list_agents, list_sites

AGENTS = 200


@page("viewer")
def show(request: HttpRequest) -> HttpResponse:
    """Show all sites, what holds them, and the agents that were heard of."""
    found = list_sites()
    agents = list_agents(site=None, state=None, after=0, limit=AGENTS).agents
    return render(request, "pages/sites.html", {"sites": found.sites, "breakers": found.breakers, "agents": agents})
