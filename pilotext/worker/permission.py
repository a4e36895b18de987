"""Question whether an attempt may publish: the job may be cancelled, or somebody else's, by now."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

import msgspec

from pilotext.api import http
from pilotext.api.schemas.attempts import Heartbeat, HeartbeatAnswer
from pilotext.errors import FieldError
from pilotext.model.job import ReportTarget
from pilotext.model.permission import Permission
from pilotext.serialization.json import from_json
from pilotext.worker.bounded import NotInTimeError, bounded

Tick = Callable[[], None]
Ask = Callable[[Tick], Permission]
"""Asks for the permission; the tick is called several times a second and may raise."""

ANSWER_WITHIN_S = 10.0
_UNKNOWN = Permission("unknown")


class NotOursError(Exception):
    """The job was given to somebody else, cancelled, or given up."""


def server_asker(target: ReportTarget | None, phase: str) -> Ask | None:
    """Return how to ask the server of a report, by a heartbeat in this phase; None where it takes no heartbeats."""
    if target is None or not target.url.endswith("/report"):
        return None
    return partial(_ask_server, f"{target.url.removesuffix('/report')}/heartbeat", target.token, phase)


def _ask_server(url: str, token: str, phase: str, tick: Tick) -> Permission:
    import requests  # noqa: PLC0415  only jobs with a server pay for it

    try:
        status, body = bounded(lambda: _beat(url, token, phase), within_s=ANSWER_WITHIN_S, tick=tick)
        if status in http.DISOWNING_STATUSES:
            return Permission("no", f"status {status} of {urlsplit(url).netloc}")
        if status != 200:
            return _UNKNOWN
        said = from_json(body, HeartbeatAnswer, where=url)
    except (requests.RequestException, OSError, NotInTimeError, FieldError):
        return _UNKNOWN
    return Permission("no", said.why or "stop") if said.command == "stop" else Permission("yes")


def _beat(url: str, token: str, phase: str) -> tuple[int, bytes]:
    beat = msgspec.json.encode(Heartbeat(phase))
    with http.post(url, beat, token, within_s=ANSWER_WITHIN_S) as answer:
        return answer.status_code, answer.content
