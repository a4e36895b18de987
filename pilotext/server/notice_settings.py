"""Settings of the notices, which are checked at the start: addresses of webhooks and mails, and the mail server."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pilotext.errors import UsageError

MAIL_ADDRESS = re.compile(r"[^\s@,<>\"()]+@[^\s@,<>\"()]+")
TLS = ("no", "starttls", "tls")


def webhook_urls(text: str) -> tuple[str, ...]:
    """Return the addresses of a setting. Raises UsageError, without quoting one, since it may hold a secret."""
    urls = tuple(text.split())
    for place, url in enumerate(urls, 1):
        if not _is_webhook(url):
            raise UsageError(
                f"PILOTEXT_WEBHOOKS: address {place} is not one of a webhook.",
                advice="Write https://HOST/PATH, without user and password; blanks between several.",
            )
    return urls


def _is_webhook(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        return False
    named = bool(parts.hostname) and parts.username is None
    return port_is_valid and named and parts.scheme in ("http", "https") and url.isascii() and url.isprintable()


def mail_addresses(text: str) -> tuple[str, ...]:
    """Return the recipients of mails. Raises UsageError."""
    found = tuple(filter(None, (each.strip() for each in text.split(","))))
    for each in found:
        _check_address("PILOTEXT_MAIL_TO", each)
    return found


def mail_sender(text: str) -> str:
    """Return the sender of mails. Raises UsageError."""
    _check_address("PILOTEXT_MAIL_FROM", text)
    return text


def _check_address(setting: str, text: str) -> None:
    if not MAIL_ADDRESS.fullmatch(text):
        raise UsageError(f"{setting}: {text!r} is not a mail address.", advice="Write name@example.org.")


def server_and_port(text: str) -> tuple[str, int]:
    """Return host and port of the mail server. Raises UsageError."""
    host, _, port = text.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise UsageError(f"PILOTEXT_MAIL_SERVER: {text!r} is not host:port.", advice="Write mail.example.org:587.")
    return host.strip("[]"), int(port)


def tls_of_mails(text: str) -> str:
    """Return the kind of TLS of the mail server. Raises UsageError."""
    if text not in TLS:
        raise UsageError(f"PILOTEXT_MAIL_TLS: there is no {text!r}.", advice=f"Known are: {', '.join(TLS)}.")
    return text
