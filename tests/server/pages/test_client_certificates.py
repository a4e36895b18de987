"""Login by a client certificate that a proxy has verified: off by default, only from the proxies that are named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pilotext.errors import UsageError
from pilotext.server.boot import boot

boot()

from django.contrib.auth.models import User  # noqa: E402  needs boot
from django.test import Client, override_settings  # noqa: E402

from pilotext.server.front.address import PEER, REPEATED, trusted_networks  # noqa: E402
from pilotext.server.production.access.people import (  # noqa: E402
    add_certificate,
    make_groups,
    remove_certificate,
    set_user,
)
from pilotext.server.production.models import AuditEntry, ClientCertificate  # noqa: E402
from tests.server.pages.browsing import BY, HOSTILE, PASSWORD, assert_harmless, browser, text_of  # noqa: E402

pytestmark = pytest.mark.usefixtures("database", "quick_hashes")
PROXY = "10.0.0.5"
EVA, IGOR = "CN=Eva Muster,O=CERN,C=CH", "CN=Igor,O=CERN,C=CH"
NAMED = {"CERTIFICATE_HEADER": "X-Client-Subject", "CERTIFICATE_PROXIES": trusted_networks("10.0.0.0/30,10.0.0.5")}


@pytest.fixture
def certificates() -> Iterator[None]:
    with override_settings(**NAMED):
        yield


@pytest.fixture
def eva() -> User:
    make_groups()
    user = set_user("eva", "expert", BY, PASSWORD)
    add_certificate("eva", EVA, BY)
    return user


def headers(subject: str | None, verify: str | None = "SUCCESS", peer: str = PROXY) -> dict[str, str]:
    given = {"HTTP_X_CLIENT_SUBJECT": subject, "HTTP_X_CLIENT_VERIFY": verify}
    return {PEER: peer, **{name: text for name, text in given.items() if text is not None}}


def status(client: Client, subject: str | None, verify: str | None = "SUCCESS", peer: str = PROXY) -> int:
    return client.get("/jobs", **headers(subject, verify, peer)).status_code  # type: ignore[arg-type]


def test_a_verified_certificate_logs_its_person_in_as_long_as_it_is_there(certificates: None, eva: User) -> None:
    found = browser()
    assert status(found, EVA) == 200
    assert "<h1>eva</h1>" in text_of(found.get("/account", **headers(EVA)))  # type: ignore[arg-type]
    assert status(found, None, None) == 302
    assert status(found, None, None) == 302


@pytest.mark.parametrize("peer", ["10.0.0.6", "127.0.0.1", "", "::1", "evil"])
def test_a_header_from_elsewhere_is_not_believed(peer: str, certificates: None, eva: User) -> None:
    assert status(browser(), EVA, peer=peer) == 302


@pytest.mark.parametrize("verify", [None, "", "NONE", "GENEROUS", "FAILED:certificate has expired", "SUCCESS,SUCCESS"])
def test_a_certificate_that_was_not_verified_is_not_believed(verify: str | None, certificates: None, eva: User) -> None:
    assert status(browser(), EVA, verify) == 302


@pytest.mark.parametrize("subject", ["", "(null)", "CN=Eve,O=CERN,C=CH", EVA.lower(), f"{EVA},{EVA}", f"{EVA}\x1b"])
def test_a_subject_that_nobody_has_logs_nobody_in(subject: str, certificates: None, eva: User) -> None:
    assert status(browser(), subject) == 302


@pytest.mark.parametrize("header", ["HTTP_X_CLIENT_SUBJECT", "HTTP_X_CLIENT_VERIFY"])
def test_a_header_that_comes_twice_is_not_believed(header: str, certificates: None, eva: User) -> None:
    for repeated, expected in (frozenset(["HTTP_COOKIE"]), 200), (frozenset([header]), 302):
        found = browser().get("/jobs", **{**headers(EVA), REPEATED: repeated})  # type: ignore[arg-type]
        assert found.status_code == expected, repeated


def test_a_person_who_may_nothing_any_more_is_not_logged_in(certificates: None, eva: User) -> None:
    found = browser()
    assert status(found, EVA) == 200
    set_user("eva", None, BY)
    assert status(found, EVA) == 302
    assert status(browser(), EVA) == 302


def test_a_certificate_that_was_removed_ends_its_sessions(certificates: None, eva: User) -> None:
    found = browser()
    assert status(found, EVA) == 200
    remove_certificate("eva", EVA, BY)
    assert status(found, EVA) == 302


def test_another_certificate_at_the_same_browser_begins_a_session_of_its_own(certificates: None, eva: User) -> None:
    set_user("igor", "viewer", BY, PASSWORD)
    add_certificate("igor", IGOR, BY)
    found = browser()
    assert status(found, EVA) == 200
    assert "<h1>igor</h1>" in text_of(found.get("/account", **headers(IGOR)))  # type: ignore[arg-type]


def test_without_the_setting_the_headers_mean_nothing(eva: User) -> None:
    assert status(browser(), EVA) == 302
    with override_settings(CERTIFICATE_HEADER="X-Client-Subject"):
        assert status(browser(), EVA) == 302, "no proxy is named"
    with override_settings(CERTIFICATE_PROXIES=NAMED["CERTIFICATE_PROXIES"]):
        assert status(browser(), EVA) == 302, "no header is named"


def test_the_name_of_a_single_sign_on_proxy_is_no_subject(certificates: None, eva: User) -> None:
    found = browser().get("/jobs", HTTP_X_REMOTE_USER="eva", **{PEER: PROXY})  # type: ignore[arg-type]
    assert found.status_code == 302


def test_a_person_has_several_certificates_and_a_certificate_one_person(eva: User) -> None:
    set_user("igor", "viewer", BY, PASSWORD)
    add_certificate("eva", IGOR, BY)
    add_certificate("eva", IGOR, BY)
    assert ClientCertificate.objects.filter(user=eva).count() == 2
    with pytest.raises(UsageError, match="is that of eva"):
        add_certificate("igor", IGOR, BY)
    said = list(AuditEntry.objects.filter(subject="user", why__contains="certificate").values_list("why", flat=True))
    assert said == [f"eva, certificate {subject} added: for a test" for subject in (EVA, IGOR)]


def test_a_subject_that_no_header_carries_is_refused_with_the_forms_that_proxies_write(eva: User) -> None:
    with pytest.raises(UsageError, match="beyond ASCII") as refused:
        add_certificate("eva", "CN=Jörg Müller,C=CH", BY)
    assert r"nginx: CN=J\C3\B6rg M\C3\BCller,C=CH; " in str(refused.value.advice)
    assert "documented: CN=J%c3%b6rg%20M%c3%bcller,C=CH." in str(refused.value.advice)
    add_certificate("eva", r"CN=J\C3\B6rg M\C3\BCller,C=CH", BY)


@pytest.mark.parametrize(
    ("name", "subject", "said"),
    [
        ("nobody", IGOR, "no user 'nobody'"),
        ("eva", " ", "cannot be the subject"),
        ("eva", "CN=\n", "cannot be the subject"),
    ],
)
def test_a_certificate_needs_a_person_and_a_subject(name: str, subject: str, said: str, eva: User) -> None:
    with pytest.raises(UsageError, match=said):
        add_certificate(name, subject, BY)


def test_nobody_loses_the_certificate_of_somebody_else(eva: User) -> None:
    set_user("igor", "viewer", BY, PASSWORD)
    for name, subject in (("igor", EVA), ("eva", IGOR)):
        with pytest.raises(UsageError, match="has no certificate"):
            remove_certificate(name, subject, BY)
    assert ClientCertificate.objects.count() == 1


def test_the_page_of_people_shows_their_certificates(eva: User) -> None:
    ClientCertificate.objects.create(user=eva, subject=HOSTILE)
    text = text_of(browser("manager").get("/people"))
    assert EVA in text
    assert_harmless(text)
