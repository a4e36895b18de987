"""Webhooks and mails, to real receivers on loopback, living and dead ones."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pilotext.server.boot import boot

boot()

from django.test import override_settings  # noqa: E402  needs boot

from pilotext.server.database import transact  # noqa: E402
from pilotext.server.production.manual_decisions.sites import move_site  # noqa: E402
from pilotext.server.production.manual_decisions.tasks import move_task  # noqa: E402
from pilotext.server.production.models import Notice, NoticeChannel, NoticeDelivery  # noqa: E402
from pilotext.server.production.notices import delivery, mail, webhook  # noqa: E402
from pilotext.server.production.notices.mail import send_mails  # noqa: E402
from pilotext.server.production.notices.webhook import SIGNATURE, name_of, send_to_webhooks  # noqa: E402
from pilotext.server.production.row_leases import RowLease  # noqa: E402
from pilotext.server.production.transitions import Reason  # noqa: E402
from pilotext.server.times import EPOCH, earlier, now  # noqa: E402
from tests.server.pages.browsing import HOSTILE, assert_harmless  # noqa: E402
from tests.server.support import SITE, submit  # noqa: E402
from tests.support.mail_server import MailServer, mail_server  # noqa: E402
from tests.support.report_server import drip, mute, raw_server, report_server  # noqa: E402

WHY = Reason("maria", f"storage\r\nBcc: all@example.org\n{HOSTILE}", "person")


@pytest.fixture(autouse=True)
def _task(database: str) -> int:
    return submit().task


def make_notices(task: int = 1) -> None:
    transact(lambda: move_task(task, "pause", WHY))
    transact(lambda: move_site(SITE, "close", WHY))


def due() -> None:
    """Let every channel send again at once."""
    NoticeChannel.objects.update(busy_until=EPOCH)


def channel() -> NoticeChannel:
    return NoticeChannel.objects.get()


@contextmanager
def webhooks(*urls: str, secret: str = "") -> Iterator[None]:
    """Webhooks that are known, so that what comes from now on is sent to them."""
    with override_settings(WEBHOOKS=urls, WEBHOOK_SECRET=secret):
        assert send_to_webhooks() == 0
        yield


def test_a_webhook_gets_everything_new_once_and_signed() -> None:
    with report_server(204) as server, webhooks(server.url("/hooks/x?y=1"), secret="s3cret"):
        make_notices()
        assert send_to_webhooks() == 2
        due()
        assert send_to_webhooks() == 0
        transact(lambda: move_site(SITE, "open", WHY))
        assert send_to_webhooks() == 1
        first, second = server.requests
    assert first.path == "/hooks/x?y=1"
    assert first.headers["Content-Type"] == "application/json"
    expected = hmac.new(b"s3cret", first.body, hashlib.sha256).hexdigest()
    assert first.headers[SIGNATURE] == f"sha256={expected}"
    said = json.loads(first.body)
    assert [each["title"] for each in said["notices"]] == ["Task t1 is held", f"Site {SITE} is closed"]
    assert said["notices"][0]["task"] == "t1"
    assert said["notices"][0]["url"] == "http://127.0.0.1:8080/tasks/1"
    assert said["text"].count("\n") == 1
    for each in said["notices"]:
        assert_harmless(each["text"], html=False)
    assert [each["title"] for each in json.loads(second.body)["notices"]] == [f"Site {SITE} is open"]
    assert "s3cret" not in first.body.decode()


def test_what_happened_before_a_webhook_was_configured_is_not_sent() -> None:
    make_notices()
    Notice.objects.update(at=earlier(now(), 1))
    with report_server(204) as server, webhooks(server.url()):
        assert send_to_webhooks() == 0
        assert server.requests == []


@pytest.mark.parametrize("status", [302, 404, 429, 500])
def test_a_webhook_that_does_not_accept_is_tried_again_later(status: int) -> None:
    with report_server(status, 200) as server, webhooks(server.url("/secret-path")):
        server.headers["Location"] = server.url("/elsewhere")
        make_notices()
        assert send_to_webhooks() == 0
        assert send_to_webhooks() == 0, "it waits"
        assert len(server.requests) == 1
        assert (channel().tries, channel().error) == (1, f"NotAcceptedError: it answers with status {status}")
        due()
        assert send_to_webhooks() == 2
        assert [each.path for each in server.requests] == ["/secret-path"] * 2
    assert (channel().tries, channel().error) == (0, "")
    assert "secret-path" not in channel().name


def test_waits_grow_and_are_bounded() -> None:
    with report_server(500) as server, webhooks(server.url()):
        make_notices()
        waits = []
        for _ in range(12):
            due()
            send_to_webhooks()
            waits.append((channel().busy_until - now()).total_seconds())
    assert 20 < waits[0] < 40
    assert waits[-1] == pytest.approx(delivery.MAX_WAIT_S, abs=60)


@pytest.mark.parametrize("talk", [mute, drip])
def test_a_receiver_that_does_not_answer_is_left_after_a_bounded_time_and_does_not_keep_others_waiting(
    talk: Callable[[socket.socket, threading.Event], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "WITHIN_S", 0.5)
    with report_server(204) as good, raw_server(talk) as bad, webhooks(bad, good.url()):
        make_notices()
        begin = time.monotonic()
        assert send_to_webhooks() == 2
        assert time.monotonic() - begin < 5
        assert len(good.requests) == 1
        assert NoticeChannel.objects.get(name=name_of(bad)).error == "TimeoutError: it takes longer than 0.5 s"
        due()
        assert send_to_webhooks() == 0
        assert "has not come to its end" in NoticeChannel.objects.get(name=name_of(bad)).error
        thread = delivery._threads[name_of(bad)]
    thread.join(30)
    assert not thread.is_alive()


def test_a_dead_receiver_is_tried_again_and_old_notices_are_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with webhooks(f"http://127.0.0.1:{port}/"):
        make_notices()
        assert send_to_webhooks() == 0
        assert channel().error.startswith("ConnectionRefusedError")
        due()
        NoticeChannel.objects.update(since=EPOCH)
        Notice.objects.filter(kind="task").update(at=earlier(now(), delivery.MAX_AGE_S + 60))
        with report_server(204, port=port) as server:
            assert send_to_webhooks() == 1
            assert [each["kind"] for each in json.loads(server.requests[0].body)["notices"]] == ["site"]


def test_two_cycles_send_nothing_twice() -> None:
    with report_server(204) as server, webhooks(server.url()):
        make_notices()
        other = RowLease(NoticeChannel.objects.all(), 1)
        assert send_to_webhooks() == 0
        other.end()
        assert send_to_webhooks() == 2
        assert len(server.requests) == 1


def test_many_notices_are_sent_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "MAX_AT_ONCE", 10)
    with report_server(204) as server, webhooks(server.url()):
        Notice.objects.bulk_create(Notice(key=str(n), kind="site", title=f"t{n}", page="/", count=1) for n in range(25))
        for number in (10, 10, 5, 0):
            due()
            assert send_to_webhooks() == number
    sent = [each["title"] for request in server.requests for each in json.loads(request.body)["notices"]]
    assert sent == [f"t{n}" for n in range(25)]
    assert NoticeDelivery.objects.count() == 25


@contextmanager
def mails(server: MailServer, **more: object) -> Iterator[None]:
    """A mail server that gets what comes from now on."""
    given = {"MAIL_SERVER": ("127.0.0.1", server.port), "MAIL_TO": ("a@example.org", "b@example.org"), **more}
    with override_settings(**given):
        assert send_mails() == 0
        yield


def test_a_mail_is_a_digest_by_task_and_the_next_one_waits() -> None:
    with mail_server() as server, mails(server, MAIL_USER="robot", MAIL_PASSWORD="s3cret"):
        make_notices()
        assert send_mails() == 2
        transact(lambda: move_site(SITE, "open", WHY))
        assert send_mails() == 0, "one mail an hour"
        due()
        assert send_mails() == 1
    first, second = server.mails
    assert first.sender == "pilotext@127.0.0.1"
    assert first.recipients == ["a@example.org", "b@example.org"]
    assert first.message["Subject"] == "[pilotext] Task t1 is held and 1 more"
    assert first.message["Auto-Submitted"] == "auto-generated"
    assert [name for name in first.message if name.lower() == "bcc"] == []
    text = first.message.get_content().replace("\r\n", "\n")
    assert text.index("Task t1\n") < text.index("http://127.0.0.1:8080/tasks/1") < text.index(f"Site {SITE}\n")
    assert "storage\\r\\nBcc: all@example.org\\n<script>" in text
    assert_harmless(text, html=False)
    assert second.message["Subject"] == f"[pilotext] Site {SITE} is open"
    assert server.logins[0] == "\0robot\0s3cret"


def test_a_mail_server_that_refuses_or_is_dead_is_tried_again() -> None:
    with mail_server() as server, mails(server):
        make_notices()
        server.answer = "451 later"
        assert send_mails() == 0
        assert channel().error.startswith("SMTPDataError")
        due()
        server.answer, server.refuses = "250 taken", frozenset({"a@example.org", "b@example.org"})
        assert send_mails() == 0
        assert channel().error.startswith("SMTPRecipientsRefused")
        due()
        with override_settings(MAIL_SERVER=("127.0.0.1", 1)):
            assert send_mails() == 0
            assert channel().tries == 3
        due()
        server.refuses = frozenset({"a@example.org"})
        assert send_mails() == 2
        assert [each.recipients for each in server.mails] == [["b@example.org"]]


def test_a_mail_server_that_says_nothing_is_left_after_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "WITHIN_S", 0.5)
    with mail_server() as server, mails(server), raw_server(mute) as bad:
        make_notices()
        with override_settings(MAIL_SERVER=("127.0.0.1", int(bad.split(":")[2].split("/")[0]))):
            assert send_mails() == 0
        assert channel().error == "TimeoutError: it takes longer than 0.5 s"
    delivery._threads["mail"].join(30)
    assert not delivery._threads["mail"].is_alive()


def test_without_settings_nothing_is_sent_or_written() -> None:
    make_notices()
    assert (send_to_webhooks(), send_mails()) == (0, 0)
    assert not NoticeChannel.objects.exists()


def test_modules_for_one_way_each_answer_in_time() -> None:
    assert max(webhook.ANSWER_S, mail.ANSWER_S) <= delivery.WITHIN_S < delivery.FIRST_WAIT_S * 10
