"""Mails: a digest of what is new by task and cause, at most one every PILOTEXT_MAIL_EVERY_S."""

from __future__ import annotations

import logging
import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import localtime, make_msgid
from itertools import groupby
from urllib.parse import urlsplit

from django.conf import settings

from pilotext import __version__
from pilotext.server.production.models import Notice
from pilotext.server.production.notices.delivery import deliver

log = logging.getLogger("pilotext.notices")

ANSWER_S = 10.0
"""Time in which a connection, or the next line of an answer, has to come."""


def send_mails() -> int:
    """Send a digest to all recipients, if there are any and something is new."""
    return deliver("mail", _send, settings.MAIL_EVERY_S) if settings.MAIL_TO else 0


def message_of(notices: Sequence[Notice]) -> EmailMessage:
    """Return the mail about some notices: those of a task together, those of a cause in it together."""
    message = EmailMessage(policy=SMTP)
    message["From"] = settings.MAIL_FROM
    message["To"] = ", ".join(settings.MAIL_TO)
    more = f" and {len(notices) - 1} more" if len(notices) > 1 else ""
    message["Subject"] = f"[pilotext] {notices[0].title}{more}"
    message["Date"] = localtime()
    message["Message-ID"] = make_msgid(domain=urlsplit(settings.PUBLIC_URL).hostname)
    message["Auto-Submitted"] = "auto-generated"
    message["User-Agent"] = f"pilotext/{__version__}"
    message.set_content("\n".join(_lines(notices)))
    return message


def _lines(notices: Sequence[Notice]) -> list[str]:
    lines = []
    for subject, of_one in groupby(sorted(notices, key=_order), key=_subject):
        lines += [subject, ""]
        for each in of_one:
            lines += [f"  {each.title} ({each.at:%Y-%m-%d %H:%M} UTC)", f"    {each.summary()}"]
            lines += [f"    {settings.PUBLIC_URL}{each.page}", ""]
    return [*lines, f"All notices: {settings.PUBLIC_URL}/notices"]


def _subject(notice: Notice) -> str:
    if notice.task is not None:
        return f"Task {notice.task.name}"
    return f"Site {notice.site.name}" if notice.site is not None else "Server"


def _order(notice: Notice) -> tuple[bool, str, str, int]:
    """Return the place of a notice in a mail: tasks first, within them by cause and time."""
    return notice.task is None, _subject(notice), notice.cause, notice.pk


def _send(notices: Sequence[Notice]) -> None:
    """Send a mail; one that no recipient is accepted for raises an OSError, as everything that fails."""
    with _connected() as mailer:
        if settings.MAIL_USER:
            mailer.login(settings.MAIL_USER, settings.MAIL_PASSWORD)
        refused = mailer.send_message(message_of(notices))
    if refused:
        log.warning("%d of %d recipients of notices are refused", len(refused), len(settings.MAIL_TO))


def _connected() -> smtplib.SMTP:
    host, port = settings.MAIL_SERVER
    if settings.MAIL_TLS == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=ANSWER_S, context=ssl.create_default_context())
    mailer = smtplib.SMTP(host, port, timeout=ANSWER_S)
    if settings.MAIL_TLS == "starttls":
        mailer.starttls(context=ssl.create_default_context())
    return mailer
