"""Health of the server, part by part."""

from __future__ import annotations

from typing import Literal

from pilotext.model import Record

PartStatus = Literal["ok", "warning", "failed"]


class HealthPart(Record, frozen=True):
    """One part of the server: how it is, and why in words."""

    status: PartStatus
    what: str


class Health(Record, frozen=True):
    """Health of the server; `status` is that of its worst part."""

    status: PartStatus
    version: str
    parts: dict[str, HealthPart]
