"""Refusals of requests: by the API, by PanDA's protocol, by the HTTP front."""

from __future__ import annotations

from typing import Literal

from pilotext.errors import PilotextError

Kind = Literal[
    "not-found",
    "not-allowed",
    "unauthorized",
    "forbidden",
    "conflict",
    "invalid",
    "too-large",
    "too-many",
    "too-slow",
    "busy",
    "unavailable",
    "internal",
]


class RefusalError(PilotextError):
    """A request that is refused; `kind` says how, the sentence why. Nothing was changed."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
