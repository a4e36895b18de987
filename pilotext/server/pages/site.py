"""Pages of a site: what runs and fails there; its settings, of which a manager changes those that are set manually."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import msgspec
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from pilotext.api.schemas.sites import SiteLimit
from pilotext.errors import FieldError
from pilotext.serialization.json import from_plain
from pilotext.server.api.panda.files import queuedata
from pilotext.server.database import transact
from pilotext.server.pages.access import may, page, reason_of
from pilotext.server.pages.decisions import carry_out
from pilotext.server.pages.queries import address, whole_number
from pilotext.server.pages.refreshing import marks_of_all, refreshed
from pilotext.server.production.manual_decisions import sites as decisions
from pilotext.server.production.models import Attempt, Site
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.site_settings import history_of, settings_of
from pilotext.server.production.statistics.attempts import listed
from pilotext.server.production.statistics.errors import count_by, failed_between
from pilotext.server.production.statistics.sites import agents_of, describe_site
from pilotext.server.production.transitions import Reason
from pilotext.server.times import DAY_S, earlier, later, now

AGENTS = 50
ATTEMPTS = 50
TOP_FAILURES = 20


@dataclass(frozen=True)
class PilotValue:
    """A value of the description of a queue that PanDA pilots read; `profile` where the profile overrides ours."""

    name: str
    value: str
    profile: bool


@page("viewer")
@refreshed(marks_of_all)
def show(request: HttpRequest, site: int) -> HttpResponse:
    """Show a site: what holds it, its agents, what failed there within a day, and what runs."""
    text = request.GET.get("after") or "0"
    after = whole_number(text)
    if after is None:
        raise RefusalError("invalid", f"there is no agent {text!r:.20}.")
    row, found = describe_site(site)
    at = now()
    failed = failed_between(earlier(at, DAY_S), later(at, 1.0)).filter(site__in=[row.pk])
    active = Attempt.objects.active().filter(site=row).select_related("job").order_by("-leased")
    agents = agents_of(row, after=after, limit=AGENTS)
    words = {
        "number": row.pk,
        "site": found,
        "agents": agents.agents,
        "after": after,
        "further": address(reverse("site", args=[site]), after=agents.next) if agents.next is not None else "",
        "failures": list(count_by(failed, ["code", "cause"]))[:TOP_FAILURES],
        "running": listed(list(active[:ATTEMPTS])),
        "all_running": address(reverse("attempts"), by="running", site=row.name),
        "words": ("close",) if may(request, "manager") else (),
    }
    return render(request, "pages/site.html", words)


@page("viewer")
def show_settings(request: HttpRequest, site: int) -> HttpResponse:
    """Show what a site is: by its profile, what was set manually, and what pilots get; and who has changed it."""
    row = _site(site)
    words = {
        "site": row,
        "settings": list(settings_of(row)),
        "given": values_for_pilots(row),
        "history": history_of(row),
        "may_change": may(request, "manager"),
        "words": ("open",) if row.closed else ("close",),
    }
    return render(request, "pages/site_settings.html", words)


@page("manager", methods=("POST",))
def decide(request: HttpRequest, site: int) -> HttpResponse:
    """Close or open a site, and go back to its settings."""
    back = reverse("site-settings", args=[site])
    return carry_out(request, "site", site, _move, back=back)


@page("manager", methods=("POST",))
def limit(request: HttpRequest, site: int) -> HttpResponse:
    """Limit the attempts at a site, or restore the limit of its profile, and go back to its settings."""
    row, reason = _site(site), reason_of(request)
    text = request.POST.get("most", "").strip()
    number = None if request.POST.get("to") == "profile" else whole_number(text)
    if number is None and request.POST.get("to") != "profile":
        raise RefusalError("invalid", f"the limit {text!r:.20} is no whole number; write one, or take the profile's.")
    try:
        asked = from_plain({"site": row.name, "why": reason.why, "max_active": number}, SiteLimit)
    except FieldError as error:
        raise RefusalError("invalid", f"the limit cannot be set: {error}") from None
    if not transact(partial(decisions.limit_site, asked, reason)):
        raise RefusalError("conflict", f"the limit of {row.name} is so already; nothing was changed.")
    messages.success(request, "Done: limit.")
    return HttpResponseRedirect(reverse("site-settings", args=[site]))


def values_for_pilots(site: Site) -> list[PilotValue]:
    """Return what PanDA pilots get to know of a queue, what the profile overrides first."""
    profile = profile_of(site.experiment.name).sites.get(site.name)
    own = profile.panda if profile is not None else {}
    found = [PilotValue(name, _encoded(value), name in own) for name, value in queuedata(site).items()]
    return sorted(found, key=lambda each: not each.profile)


def _encoded(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _move(site: int, word: str, reason: Reason) -> list[int]:
    return decisions.move_site(_site(site).name, word, reason)


def _site(number: int) -> Site:
    row = Site.objects.select_related("experiment").filter(pk=number).first()
    if row is None:
        raise RefusalError("not-found", f"there is no site {number}.")
    return row
