"""Sites with what runs there, the breakers, and the agents."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from pilotext.server.pages.access import page
from pilotext.server.pages.queries import address, whole_number
from pilotext.server.pages.refreshing import marks_of_all, refreshed
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.statistics.sites import describe_sites, efficiency_of_sites, list_agents
from pilotext.server.times import DAY_S, earlier, now

AGENTS = 200


@page("viewer")
@refreshed(marks_of_all)
def show(request: HttpRequest) -> HttpResponse:
    """Show all sites, what holds them, and a page of the agents."""
    found = describe_sites()
    text = request.GET.get("after") or "0"
    after = whole_number(text)
    if after is None:
        raise RefusalError("invalid", f"there is no agent {text!r:.20}.")
    efficiency = efficiency_of_sites(earlier(now(), DAY_S))
    agents = list_agents(site=None, state=None, after=after, limit=AGENTS)
    words = {
        "sites": [(site.pk, row, efficiency.get(site.pk)) for site, row in found.rows],
        "breakers": found.breakers,
        "agents": agents.agents,
        "after": after,
        "further": address(reverse("sites"), after=agents.next) if agents.next is not None else "",
    }
    return render(request, "pages/sites.html", words)
