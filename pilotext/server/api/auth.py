"""Authentication by tokens, kept as their SHA-256, and looked up at most every few seconds each.

Guessing is stopped: after some wrong tokens from an address, a token that this process has never found good is refused
there without a query. Tokens that were good before are checked as always, whoever shares their address.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pilotext.server.api.limits import Limiter, Recent
from pilotext.server.front.guard import Role
from pilotext.server.production.access.people import role_of
from pilotext.server.production.access.tokens import fingerprint
from pilotext.server.production.models import Attempt, Token
from pilotext.server.production.refusal import RefusalError
from pilotext.server.times import later, now


@dataclass(frozen=True)
class Caller:
    """Caller by its token: a label for the audit trail, a role, and the only site that an agent may ask for."""

    label: str
    role: str
    site: int | None = None

    @property
    def who(self) -> str:
        """Return the name that the audit trail has for it; no kind of caller can have a name of another kind."""
        return f"{'pilot' if self.role == 'agent' else 'person'}:{self.label}"


ANYBODY = Caller("anyone", "anyone")

REMEMBERED_S = 5.0
"""So long a token that was revoked may still work."""

WRONG = Limiter(per_s=0.5, burst=20)
"""Wrong tokens and passwords from one address."""

PEOPLE = Limiter(per_s=200, burst=1000)
"""Requests with one token; agents and attempts are bounded by their leases."""

ANYONE = Limiter(per_s=100, burst=400)
"""Requests that need no token, from one address."""

_MAX_KNOWN = 10_000
_MAY = {
    "viewer": frozenset({"viewer"}),
    "expert": frozenset({"viewer", "expert"}),
    "manager": frozenset({"viewer", "expert", "manager"}),
    "agent": frozenset({"agent"}),
}

_known: dict[str, tuple[datetime, Caller]] = {}
_lock = threading.Lock()
_good = Recent()


def bearer(header: str) -> str:
    """The token of an Authorization header, empty if there is none."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def address_of(environ: Mapping[str, Any]) -> str:
    """Return the address that a request comes from; the front has looked through the proxies that are trusted."""
    return str(environ.get("REMOTE_ADDR", ""))


def screen(role: Role, token: str, address: str) -> bool:
    """Return whether the token was found good before; asks no database.

    Raises RefusalError without a token where one is needed, and when the address, or whoever has no token, asks too
    often. A request that cannot prove itself is charged to its address, here or where it is found out.
    """
    if role == "anyone":
        if not ANYONE.spend(address):
            raise RefusalError("too-many", f"more than {ANYONE.per_s:g} requests a second; ask less often.")
        return False
    proved = bool(token) and fingerprint(token) in _good
    if not proved and not WRONG.has_left(address):
        raise RefusalError("too-many", "there were too many wrong tokens from this address; try again later.")
    if not token:
        WRONG.spend(address)
        raise RefusalError("unauthorized", "a token is needed: Authorization: Bearer TOKEN.")
    return proved


def admit(role: Role, token: str, address: str, attempt: int | None = None) -> Caller:
    """Return the caller. Raises RefusalError when the token is not good for this role, or its owner asks too often.

    The token of an attempt, or its ticket, must be that of `attempt` if it was never found good before; whether it is
    still is decided where the attempt is read.
    """
    if role == "anyone":
        return ANYBODY
    proved_before = screen(role, token, address)
    kept = fingerprint(token)
    if role in ("attempt", "ticket"):
        if not proved_before:
            _prove_attempt(role, attempt, kept, address)
        return Caller(role, role)
    caller = _caller(kept, address)
    if caller.role != "agent":
        _not_too_often(kept)
    if role not in _MAY[caller.role]:
        raise RefusalError("forbidden", f"this is for the role {role}; the token has the role {caller.role}.")
    return caller


def proved(token: str) -> None:
    """The token of an attempt was good."""
    _good.add(fingerprint(token))


def failed(token: str, address: str) -> None:
    """The token of an attempt was wrong."""
    _good.discard(fingerprint(token))
    WRONG.spend(address)


def forget() -> None:
    """Look every token up anew, and hold nothing against anybody."""
    with _lock:
        _known.clear()
    _good.clear()
    for limiter in (WRONG, PEOPLE, ANYONE):
        limiter.forget()


def _not_too_often(key: str) -> None:
    if not PEOPLE.spend(key):
        raise RefusalError("too-many", f"more than {PEOPLE.per_s:g} requests a second; ask less often.")


def _prove_attempt(role: Role, attempt: int | None, kept: str, address: str) -> None:
    rows = Attempt.objects.filter(token=kept) if role == "attempt" else Attempt.objects.filter(ticket=kept)
    if attempt is None or not rows.filter(pk=attempt).exists():
        WRONG.spend(address)
        what = "token" if role == "attempt" else "ticket"
        raise RefusalError("forbidden", f"this {what} does not belong to that attempt.")
    _good.add(kept)


def _caller(kept: str, address: str) -> Caller:
    at = now()
    with _lock:
        found = _known.get(kept)
    if found is not None and found[0] > at:
        return found[1]
    row = Token.objects.not_revoked().select_related("user").filter(token=kept).first()
    role = _role(row, at)
    if row is None or role is None:
        _good.discard(kept)
        WRONG.spend(address)
        raise RefusalError("unauthorized", "this token is not known, has expired, or was revoked.")
    caller = Caller(row.label, role, row.site_id)
    _good.add(kept)
    with _lock:
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        _known[kept] = (later(at, REMEMBERED_S), caller)
    return caller


def _role(row: Token | None, at: datetime) -> str | None:
    """Return the role that the token has now: never more than its user's."""
    if row is None or (row.expires is not None and row.expires <= at):
        return None
    if row.user is None:
        return row.role
    mine = role_of(row.user)
    if mine is None or row.role not in _MAY[mine]:
        return mine
    return row.role
