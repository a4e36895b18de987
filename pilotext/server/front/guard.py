"""Interface between the HTTP front and the application behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from pilotext.server.production.refusal import RefusalError

Role = Literal["anyone", "attempt", "ticket", "agent", "viewer", "expert", "manager"]
"""Required caller: `attempt` holds the token of the attempt in the path, `ticket` has one for it in the query; the
function itself checks these."""


@dataclass(frozen=True)
class BodyPolicy:
    """Limits of a request: the caller that it needs, and the largest body. `attempt` is the number in its path."""

    role: Role
    max_body_bytes: int
    attempt: int | None = None


@dataclass(frozen=True)
class Response:
    """An answer without its transport."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Guard(Protocol):
    """Knowledge of the application that the front needs. `prove` may wait for the database; the others never do."""

    def policy_of(self, method: str, path: str) -> BodyPolicy:
        """Return the limits of a request. Raises RefusalError where there is nothing at the path."""
        ...

    def screen(self, policy: BodyPolicy, token: str, address: str) -> bool:
        """Count the request; True if its token was proved before. Raises RefusalError when there were too many."""
        ...

    def prove(self, policy: BodyPolicy, token: str, address: str) -> None:
        """Raise RefusalError, and charge the address, unless the token is good for the request."""
        ...

    def refusal(self, path: str, error: RefusalError) -> Response:
        """Return the answer to a refused request, in the form that callers of this path understand."""
        ...
