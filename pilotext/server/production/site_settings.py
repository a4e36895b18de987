"""Settings of a site: what its profile says, what somebody has set manually, and which of both is in force."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pilotext.server.production.models import AuditEntry, Site
from pilotext.server.production.profiles import SITE_LIMIT, profile_of

MAX_HISTORY = 50
UNLIMITED = "no limit"


@dataclass(frozen=True)
class SiteSetting:
    """A setting in words; `manual` is empty where nobody has set it, and `told` the last line of the trail about it.

    A setting that is not `editable` comes from the profile alone.
    """

    name: str
    profile: str
    manual: str
    in_force: str
    editable: bool
    told: AuditEntry | None = None


def history_of(site: Site) -> list[AuditEntry]:
    """Return the last lines of the trail about the settings of a site, the newest first."""
    rows = AuditEntry.objects.filter(subject__in=("site", SITE_LIMIT), subject_id=site.pk)
    return list(rows.order_by("-pk")[:MAX_HISTORY])


def settings_of(site: Site, history: list[AuditEntry]) -> Iterator[SiteSetting]:
    """Yield all settings of a site, which comes with its experiment; `history` is that of `history_of`."""
    profile = profile_of(site.experiment.name).sites.get(site.name)
    moved = next((row for row in history if row.subject == "site" and row.before != row.after), None)
    limited = next((row for row in history if row.subject == SITE_LIMIT), None)
    closed = f"closed: {site.closed}" if site.closed else ""
    yield SiteSetting("New jobs", "open", closed, closed or "open", True, moved if closed else None)
    by_hand = limited is not None and limited.after != "profile"
    of_profile = "not in the profile" if profile is None else _limit(profile.max_active)
    manual = _limit(site.max_active) if by_hand else ""
    yield SiteSetting(
        "Attempts at once", of_profile, manual, _limit(site.max_active), True, limited if by_hand else None
    )
    staging = "brought to disk before" if site.staging else "used where they are"
    yield SiteSetting("Inputs on tape", staging, "", staging, False)
    merging = f"at {site.merging}" if site.merging else "where the task runs"
    yield SiteSetting("Merges of its tasks", merging, "", merging, False)


def _limit(number: int | None) -> str:
    return UNLIMITED if number is None else f"at most {number}"
