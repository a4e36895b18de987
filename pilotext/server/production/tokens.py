"""Secrets: made at random, told once, kept as their SHA-256 only."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from pilotext.errors import UsageError
from pilotext.server.database import transact
from pilotext.server.production import models


def make_token() -> str:
    return secrets.token_urlsafe(32)


def fingerprint(token: str) -> str:
    """What is kept of a token; a random one needs no salt and no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def same(token: str, kept: str) -> bool:
    return hmac.compare_digest(fingerprint(token), kept)


def issue(label: str, role: str, site: str | None = None) -> str:
    """Make a token for the API and return it; it cannot be looked up later. Raises UsageError for an unknown site."""
    where = models.Site.objects.filter(name=site).first() if site else None
    if site and where is None:
        raise UsageError(f"there is no site {site!r}.", advice="Sites come with the first task of their experiment.")
    token = make_token()
    row = models.Token(token=fingerprint(token), label=label, role=role, site=where)
    transact(row.save)
    return token
