"""Settings of the notices: what is refused at the start."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pilotext.errors import UsageError
from pilotext.server import notice_settings


@pytest.mark.parametrize(
    ("check", "wrong"),
    [
        (notice_settings.webhook_urls, "ftp://host/"),
        (notice_settings.webhook_urls, "https://user:pass@host/"),
        (notice_settings.webhook_urls, "https://host:99999/"),
        (notice_settings.webhook_urls, "https:///path"),
        (notice_settings.mail_addresses, "a@b.org, nobody"),
        (notice_settings.mail_addresses, "a@b.org\r\nBcc: c@d.org"),
        (notice_settings.mail_sender, "a@b.org\nX: y"),
        (notice_settings.server_and_port, "mail.example.org"),
        (notice_settings.server_and_port, "mail.example.org:0"),
        (notice_settings.tls_of_mails, "yes"),
    ],
)
def test_wrong_settings_are_refused_at_the_start(check: Callable[[str], object], wrong: str) -> None:
    with pytest.raises(UsageError) as refused:
        check(wrong)
    assert "user:pass" not in str(refused.value)


def test_right_settings_are_taken() -> None:
    urls = "https://chat.example.org/hooks/x http://127.0.0.1:8065/y"
    assert notice_settings.webhook_urls(urls) == tuple(urls.split())
    assert notice_settings.mail_addresses("a@b.org, c@d.org") == ("a@b.org", "c@d.org")
    assert notice_settings.server_and_port("mail.example.org:587") == ("mail.example.org", 587)
