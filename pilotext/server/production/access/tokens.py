"""Secrets: made at random, told once, kept as their SHA-256 only."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from django.contrib.auth.models import User
from django.db.models import QuerySet

from pilotext.errors import UsageError
from pilotext.server.database import transact
from pilotext.server.production import models
from pilotext.server.production.transitions import Reason, record
from pilotext.server.times import later, now


def make_token() -> str:
    return secrets.token_urlsafe(32)


def fingerprint(token: str) -> str:
    """Return the hash that is kept of a token; a random one needs no salt and no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def same(token: str, kept: str) -> bool:
    return hmac.compare_digest(fingerprint(token), kept)


OPERATOR = Reason("operator", "made at the console", "person")


def issue(
    label: str,
    role: str,
    site: str | None = None,
    *,
    user: str | None = None,
    good_for_s: float | None = None,
    by: Reason = OPERATOR,
) -> str:
    """Make a token for the API and return it; it cannot be looked up later.

    One that belongs to a user may never more than the user may. Raises UsageError for an unknown site or user.
    """
    where = models.Site.objects.filter(name=site).first() if site else None
    if site and where is None:
        raise UsageError(f"there is no site {site!r}.", advice="Sites come with the first task of their experiment.")
    owner = User.objects.filter(username=user).first() if user else None
    if user and owner is None:
        raise UsageError(f"there is no user {user!r}.", advice="Make one with `pilotext server user`.")
    check_label(label, role, user)
    token = make_token()
    expires = None if good_for_s is None else later(now(), good_for_s)
    row = models.Token(token=fingerprint(token), label=label, role=role, site=where, user=owner, expires=expires)

    def save() -> None:
        row.save()
        record("token", role, Reason(by.who, f"{label}: {by.why}", by.actor), [(row.pk, "", None)])

    transact(save)
    return token


def check_label(label: str, role: str, user: str | None) -> None:
    """Raise UsageError for a label by which a token would sign as somebody else in the audit trail."""
    if role != "agent" and label != user and User.objects.filter(username=label).exists():
        raise UsageError(f"{label!r} is the name of a user.", advice="A token signs by its label; choose another one.")


def revoke(tokens: QuerySet[models.Token], by: Reason) -> list[int]:
    """End tokens; returns the ids of those that were good until now."""

    def end() -> list[int]:
        rows = list(tokens.filter(revoked=None).select_for_update())
        models.Token.objects.filter(pk__in=[row.pk for row in rows]).update(revoked=now())
        for row in rows:
            record("token", "revoked", Reason(by.who, f"{row.label}: {by.why}", by.actor), [(row.pk, row.role, None)])
        return [row.pk for row in rows]

    return transact(end)
