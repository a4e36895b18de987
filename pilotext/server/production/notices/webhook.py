"""Webhooks: notices as JSON, by POST to the addresses of PILOTEXT_WEBHOOKS and to no others."""

from __future__ import annotations

import hashlib
import hmac
import ssl
from collections.abc import Sequence
from functools import partial
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import urlsplit

import msgspec
from django.conf import settings

from pilotext import __version__
from pilotext.model import Record
from pilotext.server.production.collect_failures import collect_failures
from pilotext.server.production.models import Notice
from pilotext.server.production.notices.delivery import NotAcceptedError, deliver
from pilotext.server.times import to_seconds

EVERY_S = 10.0
ANSWER_S = 10.0
"""Time in which a connection, or the next bytes of an answer, have to come."""

SIGNATURE = "X-Pilotext-Signature"


class SentNotice(Record, frozen=True):
    """A notice as a webhook gets it; `notice` is its number, by which one that comes again is known."""

    notice: int
    kind: str
    task: str
    site: str
    cause: str
    title: str
    text: str
    count: int
    at: float
    last: float
    url: str


class Digest(Record, frozen=True):
    """Body of a request to a webhook; `text` has all of it as lines, for chats that show such a field."""

    server: str
    text: str
    notices: tuple[SentNotice, ...]


def send_to_webhooks() -> int:
    """Send what is new to every webhook; one that does not work does not keep the others waiting."""
    return collect_failures(settings.WEBHOOKS, _deliver_to)


def _deliver_to(url: str) -> int:
    return deliver(name_of(url), partial(_post, url), EVERY_S)


def name_of(url: str) -> str:
    """Return the name of a webhook without its path, which may hold a secret."""
    return f"webhook {urlsplit(url).hostname} {hashlib.sha256(url.encode()).hexdigest()[:8]}"


def _post(url: str, notices: Sequence[Notice]) -> None:
    """Post a digest. Raises NotAcceptedError for any other answer than 2xx; redirects are not followed."""
    body = msgspec.json.encode(digest_of(notices))
    parts = urlsplit(url)
    connection = _connection(parts.scheme, parts.hostname or "", parts.port)
    headers = {"Content-Type": "application/json", "User-Agent": f"pilotext/{__version__}"}
    if settings.WEBHOOK_SECRET:
        signed = hmac.new(settings.WEBHOOK_SECRET.encode(), body, "sha256").hexdigest()
        headers[SIGNATURE] = f"sha256={signed}"
    try:
        connection.request("POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, headers)
        status = connection.getresponse().status  # its body is not read
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise NotAcceptedError(f"it answers with status {status}")


def _connection(scheme: str, host: str, port: int | None) -> HTTPConnection:
    if scheme == "https":
        return HTTPSConnection(host, port, timeout=ANSWER_S, context=ssl.create_default_context())
    return HTTPConnection(host, port, timeout=ANSWER_S)


def digest_of(notices: Sequence[Notice]) -> Digest:
    """Return the digest of some notices."""
    sent = tuple(_sent(notice) for notice in notices)
    lines = (f"{each.title}: {each.text} {each.url}" for each in sent)
    return Digest(settings.PUBLIC_URL, "\n".join(lines), sent)


def _sent(notice: Notice) -> SentNotice:
    return SentNotice(
        notice=notice.pk,
        kind=notice.kind,
        task=notice.task.name if notice.task else "",
        site=notice.site.name if notice.site else "",
        cause=notice.cause,
        title=notice.title,
        text=notice.summary(),
        count=notice.count,
        at=to_seconds(notice.at),
        last=to_seconds(notice.last),
        url=f"{settings.PUBLIC_URL}{notice.page}",
    )
