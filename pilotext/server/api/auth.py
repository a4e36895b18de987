"""Who calls: tokens, kept as their SHA-256, and looked up at most every few seconds each."""

from __future__ import annotations

import threading

from pilotext.server.api.endpoint import ANYONE, Caller, Endpoint
from pilotext.server.production.models import Token
from pilotext.server.production.models.common import now
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.tokens import fingerprint

REMEMBERED_S = 5.0
"""So long a token that was revoked may still work."""

_MOST = 10_000
_MAY = {
    "viewer": frozenset({"viewer"}),
    "expert": frozenset({"viewer", "expert"}),
    "manager": frozenset({"viewer", "expert", "manager"}),
    "agent": frozenset({"agent"}),
}

_known: dict[str, tuple[float, Caller]] = {}
_lock = threading.Lock()


def bearer(header: str) -> str:
    """The token of an Authorization header, empty if there is none."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def admit(endpoint: Endpoint, token: str) -> Caller:
    """The caller. Raises RefusalError when the token is not good for this endpoint."""
    if endpoint.role == "anyone":
        return ANYONE
    if not token:
        raise RefusalError("unauthorized", "a token is needed: Authorization: Bearer TOKEN.")
    if endpoint.role == "attempt":
        return Caller("attempt", "attempt")
    caller = _caller(fingerprint(token))
    if endpoint.role not in _MAY[caller.role]:
        raise RefusalError("forbidden", f"this is for the role {endpoint.role}; the token has the role {caller.role}.")
    return caller


def forget() -> None:
    """Look every token up anew."""
    with _lock:
        _known.clear()


def _caller(kept: str) -> Caller:
    at = now()
    with _lock:
        found = _known.get(kept)
    if found is not None and found[0] > at:
        return found[1]
    row = Token.objects.filter(token=kept, revoked=None).first()
    if row is None or (row.expires is not None and row.expires <= at):
        raise RefusalError("unauthorized", "this token is not known, has expired, or was revoked.")
    caller = Caller(row.label, row.role, row.site_id)
    with _lock:
        if len(_known) >= _MOST:
            _known.clear()
        _known[kept] = (at + REMEMBERED_S, caller)
    return caller
