"""What an endpoint is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from pilotext.errors import FieldError
from pilotext.serialization.json import from_json, from_plain
from pilotext.server.production.refusal import RefusalError

Role = Literal["anyone", "attempt", "ticket", "agent", "viewer", "expert", "manager"]
"""Who may call: `attempt` is whoever holds the token of the attempt in the path, `ticket` whoever has one for it in the
query; the function itself checks these."""

KILO = 1024
MEGA = 1024 * KILO


@dataclass(frozen=True)
class Caller:
    """Who calls, by the token: a label for the audit trail, a role, and the only site that an agent may ask for."""

    label: str
    role: str
    site: int | None = None

    @property
    def who(self) -> str:
        """Return the name that the audit trail has for it; no kind of caller can have a name of another kind."""
        return f"{'pilot' if self.role == 'agent' else 'person'}:{self.label}"


ANYBODY = Caller("anyone", "anyone")


def number_of(text: str) -> int:
    """Return the id that a segment of a path holds. Raises RefusalError for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise RefusalError("not-found", f"{text[:40]!r} is no number of anything.")
    return int(text)


@dataclass(frozen=True)
class Call:
    """One request, with what its path, its query and its body say."""

    path: dict[str, str]
    query: dict[str, str]
    body: Any
    raw: bytes
    token: str
    caller: Caller

    def number(self, name: str) -> int:
        """Return a number of the path."""
        return number_of(self.path[name])


@dataclass(frozen=True)
class Endpoint:
    """A method and a path, who may call it, what goes in and what comes out.

    `query` is a record of the query's fields; `limit` the largest body in bytes. With `raw`, the function decodes the
    body itself.
    """

    method: Literal["GET", "POST"]
    path: str
    role: Role
    answer: Any
    function: Callable[[Call], Any]
    summary: str
    body: Any = None
    query: Any = None
    limit: int = 64 * KILO
    raw: bool = False
    tag: str = ""
    segments: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "segments", tuple(self.path.strip("/").split("/")))

    def decode(self, raw: bytes) -> Any:
        """The body as a record. Raises RefusalError with the path of the wrong field."""
        if self.body is None or self.raw:
            return None
        try:
            return from_json(raw, self.body, where="body")
        except (FieldError, RecursionError) as error:
            raise RefusalError("invalid", str(error)) from None

    def decode_query(self, query: dict[str, str]) -> Any:
        if self.query is None:
            return None
        try:
            return from_plain(query, self.query, where="query", strict=False)
        except FieldError as error:
            raise RefusalError("invalid", str(error)) from None
