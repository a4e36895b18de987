"""Tokens and users."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pilotext.api.schemas.fields import Name, Why
from pilotext.model import Record


class TokenRow(Record, frozen=True):
    """A token that may call the API, but for what is secret of it; `site` is the only one it is good for."""

    token: int
    label: str
    role: str
    site: str
    created: float
    expires: float | None
    revoked: float | None


class TokenList(Record, frozen=True):
    tokens: tuple[TokenRow, ...]


class NewToken(Record, frozen=True):
    """Somebody is to have a token, for so many days; `label` stands in the audit trail for what it does."""

    label: Name
    role: Literal["viewer", "expert", "manager", "agent"]
    site: Name | None = None
    days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 365


class IssuedToken(Record, frozen=True):
    """The secret, which cannot be looked up later."""

    token: str


class Revocation(Record, frozen=True):
    why: Why


class Revoked(Record, frozen=True):
    """The tokens that are no good any more; empty when they were that already."""

    revoked: tuple[int, ...]


class UserRow(Record, frozen=True):
    """Somebody with an account; the role is empty for one who may nothing any more."""

    user: str
    role: str
    last_login: float | None
    tokens: int


class UserList(Record, frozen=True):
    users: tuple[UserRow, ...]
