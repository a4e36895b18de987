"""Refusals of requests: by the API, by PanDA's protocol, by the HTTP front."""

from __future__ import annotations

from pilotext.api.schemas.errors import ProblemKind
from pilotext.errors import PilotextError


class RefusalError(PilotextError):
    """A request that is refused; `kind` says how, the sentence why. Nothing was changed."""

    def __init__(self, kind: ProblemKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
