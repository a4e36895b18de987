"""Sites and breakers."""

from __future__ import annotations

from typing import Annotated

import msgspec

from pilotext.api.schemas.fields import Name, Places, Text, Why
from pilotext.model import Record

BREAKER_WORDS = {"open": "tripped", "probing": "tripped, one job tries", "closed": "reset"}
"""Words for people of the states of breakers: an open site takes jobs, an open breaker blocks them."""


class BreakerRow(Record, frozen=True):
    """Something that gets no jobs until `due`, or a storage server that is not used until then; since when, and why."""

    breaker: int
    rule: str
    scope: str
    state: str
    since: float
    due: float
    trips: int
    why: str


class SiteRow(Record, frozen=True):
    """A queue: what runs there, what ended in the last hour, whether it is closed, and why."""

    site: str
    experiment: str
    max_active: int | None
    active: int
    finished: int
    failed: int
    agents: int
    closed: str
    breakers: tuple[BreakerRow, ...]


class SiteList(Record, frozen=True):
    """All sites, and the breakers that are not about a site."""

    sites: tuple[SiteRow, ...]
    breakers: tuple[BreakerRow, ...]


class SiteMove(Record, frozen=True):
    """Close or open the site of this name."""

    site: str
    to: Text
    why: Why


class SiteLimit(Record, frozen=True):
    """So many attempts may run at a site at once; None: what the profile says, now and when it changes."""

    site: Name
    why: Why
    max_active: Places | None = None


class BreakerHold(Record, frozen=True):
    """Hold manually the jobs that a breaker rule of the profile holds, until somebody closes the breaker again."""

    rule: Name
    why: Why
    experiment: Name | None = None
    """Experiment of the profile; null: the one that the server takes where none is named."""
    site: Name | None = None
    node: Annotated[str, msgspec.Meta(max_length=255)] = ""
