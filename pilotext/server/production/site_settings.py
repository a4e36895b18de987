"""Settings of a site: what its profile says, what somebody has set manually, and which of both is in force."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import OuterRef, QuerySet

from pilotext.server.production.models import AuditEntry, Site
from pilotext.server.production.profiles import SITE_LIMIT, manual_limit, profile_of

MAX_HISTORY = 50
UNLIMITED = "no limit"
NOT_THERE = "not in the profile"


@dataclass(frozen=True)
class SiteSetting:
    """A setting in words; `manual` is empty where nobody has set it, `entry` the audit entry by which it was set.

    A setting that is not `editable` comes from the profile alone.
    """

    name: str
    profile: str
    manual: str
    in_force: str
    editable: bool
    entry: AuditEntry | None = None


def history_of(site: Site) -> list[AuditEntry]:
    """Return the last lines of the trail about the settings of a site, the newest first."""
    rows = AuditEntry.objects.filter(subject__in=("site", SITE_LIMIT), subject_id=site.pk)
    return list(rows.order_by("-pk")[:MAX_HISTORY])


def settings_of(site: Site) -> Iterator[SiteSetting]:
    """Yield all settings of a site, which comes with its experiment."""
    profile = profile_of(site.experiment.name).sites.get(site.name)
    closed = f"closed: {site.closed}" if site.closed else ""
    yield SiteSetting("New jobs", "open", closed, closed or "open", True, closings(site.pk).first() if closed else None)
    limited = manual_limit(site)
    of_profile = NOT_THERE if profile is None else _limit(profile.max_active)
    in_force = _limit(site.max_active)
    yield SiteSetting("Attempts at once", of_profile, in_force if limited else "", in_force, True, limited)
    of_profile = NOT_THERE if profile is None else _staging(profile.staging)
    yield SiteSetting("Inputs on tape", of_profile, "", _staging(site.staging), False)
    of_profile = NOT_THERE if profile is None else _merging(profile.merging)
    yield SiteSetting("Merges of its tasks", of_profile, "", _merging(site.merging), False)


def closings(site: int | OuterRef) -> QuerySet[AuditEntry]:
    """Return the audit entries by which an open site was closed, the last one first."""
    rows = AuditEntry.objects.filter(subject="site", subject_id=site, after="closed")
    return rows.exclude(before="closed").order_by("-pk")


def _limit(number: int | None) -> str:
    return UNLIMITED if number is None else f"at most {number}"


def _staging(needed: bool) -> str:
    return "brought to disk before" if needed else "used where they are"


def _merging(site: str | None) -> str:
    return f"at {site}" if site else "where the task runs"
