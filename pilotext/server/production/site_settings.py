"""Settings of a site: what its profile says, what somebody has set manually, and which of both is in force."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import OuterRef, QuerySet

from pilotext.server.production.models import AuditEntry, Site
from pilotext.server.production.profiles import (
    SITE_LIMIT,
    limit_words,
    manual_limit,
    merging_words,
    profile_of,
    staging_words,
)

MAX_HISTORY = 50
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
    of_profile = NOT_THERE if profile is None else limit_words(profile.max_active)
    in_force = limit_words(site.max_active)
    yield SiteSetting("Attempts at once", of_profile, in_force if limited else "", in_force, True, limited)
    of_profile = NOT_THERE if profile is None else staging_words(profile.staging)
    yield SiteSetting("Inputs on tape", of_profile, "", staging_words(site.staging), False)
    of_profile = NOT_THERE if profile is None else merging_words(profile.merging)
    yield SiteSetting("Merges of its tasks", of_profile, "", merging_words(site.merging), False)


def closings(site: int | OuterRef) -> QuerySet[AuditEntry]:
    """Return the audit entries by which an open site was closed, the last one first."""
    rows = AuditEntry.objects.filter(subject="site", subject_id=site, after="closed")
    return rows.exclude(before="closed").order_by("-pk")
