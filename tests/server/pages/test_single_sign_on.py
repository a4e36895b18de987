"""Login behind a single sign-on proxy: off by default, and only from the proxies that are named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pilotext.server.boot import boot

boot()

from django.contrib.auth.models import User  # noqa: E402  needs boot
from django.test import Client, override_settings  # noqa: E402

from pilotext.server.front.address import PEER, REPEATED, trusted_networks  # noqa: E402
from pilotext.server.production.access.people import make_groups, set_user  # noqa: E402
from tests.server.pages.browsing import BY, PASSWORD, browser, text_of  # noqa: E402

pytestmark = pytest.mark.usefixtures("database", "quick_hashes")
PROXY = "10.0.0.5"
NAMED = {"REMOTE_USER_HEADER": "X-Remote-User", "REMOTE_USER_PROXIES": trusted_networks("10.0.0.0/30,10.0.0.5")}


@pytest.fixture
def sso() -> Iterator[None]:
    with override_settings(**NAMED):
        yield


@pytest.fixture
def eva() -> User:
    make_groups()
    return set_user("eva", "expert", BY, PASSWORD)


def status(client: Client, name: str | None, peer: str = PROXY) -> int:
    header = {} if name is None else {"HTTP_X_REMOTE_USER": name}
    return client.get("/jobs", **{PEER: peer, **header}).status_code  # type: ignore[arg-type]


def test_a_named_proxy_logs_somebody_in(sso: None, eva: User) -> None:
    found = browser()
    assert status(found, "eva") == 200
    assert status(found, "eva") == 200
    assert status(found, None) == 302, "the proxy names nobody any more"
    assert status(found, None) == 302


@pytest.mark.parametrize("peer", ["10.0.0.6", "127.0.0.1", "", "::1", "evil"])
def test_nobody_else_is_believed(peer: str, sso: None, eva: User) -> None:
    assert status(browser(), "eva", peer) == 302


@pytest.mark.parametrize("name", ["eve", "", "eva,boss", "boss,eva", "EVA", "eva\x1b"])
def test_a_name_without_an_account_and_a_doubled_header_log_nobody_in(name: str, sso: None, eva: User) -> None:
    assert status(browser(), name) == 302


def test_a_header_that_comes_twice_logs_nobody_in(sso: None, eva: User) -> None:
    for repeated, expected in (frozenset(["HTTP_COOKIE"]), 200), (frozenset(["HTTP_X_REMOTE_USER"]), 302):
        sent = {"HTTP_X_REMOTE_USER": "eva", PEER: PROXY, REPEATED: repeated}
        assert browser().get("/jobs", **sent).status_code == expected, repeated  # type: ignore[arg-type]


def test_without_the_setting_the_header_means_nothing(eva: User) -> None:
    assert status(browser(), "eva") == 302
    with override_settings(REMOTE_USER_HEADER="X-Remote-User"):
        assert status(browser(), "eva") == 302, "no proxy is named"


def test_an_account_that_may_nothing_any_more_is_not_logged_in(sso: None, eva: User) -> None:
    set_user("eva", None, BY)
    assert status(browser(), "eva") == 302


def test_another_person_at_the_same_browser_gets_a_session_of_their_own(sso: None, eva: User) -> None:
    set_user("igor", "viewer", BY, PASSWORD)
    found = browser()
    assert status(found, "eva") == 200
    answer = found.get("/account", HTTP_X_REMOTE_USER="igor", **{PEER: PROXY})  # type: ignore[arg-type]
    assert "<h1>igor</h1>" in text_of(answer)


def test_a_login_by_password_stays_what_it_is(sso: None, eva: User) -> None:
    found = browser("viewer")
    assert status(found, None) == 200
    assert "<h1>a-viewer</h1>" in text_of(found.get("/account", HTTP_X_REMOTE_USER="eva", **{PEER: PROXY}))  # type: ignore[arg-type]
