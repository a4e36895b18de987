"""Secrets: made at random, told once, kept as their SHA-256 only."""

from __future__ import annotations

import hashlib
import hmac
import secrets


def make_token() -> str:
    return secrets.token_urlsafe(32)


def fingerprint(token: str) -> str:
    """What is kept of a token; a random one needs no salt and no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def same(token: str, kept: str) -> bool:
    return hmac.compare_digest(fingerprint(token), kept)
