"""Django's administration at /admin/: managers change accounts and tokens there, all others see nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from pilotext.server.boot import boot

boot()

from django.contrib.auth.models import Group, User  # noqa: E402  needs boot
from django.contrib.sessions.models import Session  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.test import Client, override_settings  # noqa: E402

from pilotext.server.api import auth  # noqa: E402
from pilotext.server.production.access.people import role_of, set_user  # noqa: E402
from pilotext.server.production.access.tokens import fingerprint, issue  # noqa: E402
from pilotext.server.production.models import AuditEntry, Token  # noqa: E402
from pilotext.server.production.profiles import remember_all  # noqa: E402
from pilotext.server.production.transitions import Reason  # noqa: E402
from tests.server.support import SITE, site  # noqa: E402

BY = Reason("boss", "for a test", "person")
PASSWORD = "correct horse battery"
PAGES = (
    "/admin/",
    "/admin/auth/user/",
    "/admin/auth/user/add/",
    "/admin/auth/group/",
    "/admin/production/token/",
    "/admin/production/token/add/",
    "/admin/password_change/",
)

pytestmark = pytest.mark.usefixtures("database", "quick_hashes")


@pytest.fixture
def quick_hashes() -> Iterator[None]:
    """Hash passwords in no time."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


def browser_of_nobody(*, checks: bool = False) -> Client:
    return Client(enforce_csrf_checks=checks, SERVER_NAME="localhost")


def logged_in(name: str, role: str) -> Client:
    """A browser of somebody who has tried to log in, and asks for no forgery checks."""
    set_user(name, role, BY, PASSWORD)
    browser = browser_of_nobody()
    browser.post("/admin/login/", {"username": name, "password": PASSWORD})
    return browser


def error_of(answer: HttpResponse) -> str:
    found = re.search(r'<p class="errornote">\s*(.*?)\s*</p>', answer.content.decode(), re.DOTALL)
    return found[1] if found else ""


def trail(subject: str) -> list[tuple[str, str, str, str]]:
    rows = AuditEntry.objects.filter(subject=subject).order_by("pk")
    return list(rows.values_list("who", "before", "after", "why"))


def test_a_manager_sees_every_page_and_its_static_files() -> None:
    manager = logged_in("boss", "manager")
    for page in PAGES:
        answer = manager.get(page)
        assert answer.status_code == 200, page
    styles = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', answer.content.decode()))
    assert styles
    for path in styles:
        file = browser_of_nobody().get(path)
        assert file.status_code == 200, path
        assert len(b"".join(file)) > 100
    redirected = manager.get("/admin")
    assert (redirected.status_code, redirected.headers["Location"]) == (302, "/admin/")


@pytest.mark.parametrize("role", ["expert", "viewer"])
def test_other_users_see_nothing(role: str) -> None:
    other = logged_in("eva", role)
    assert Session.objects.count() == 0  # the login was refused
    for browser in (other, browser_of_nobody()):
        for page in PAGES:
            answer = browser.get(page)
            assert (answer.status_code, answer.headers.get("Location", "")) == (302, f"/admin/login/?next={page}")
    refused = other.post("/admin/login/", {"username": "eva", "password": PASSWORD})
    wrong = other.post("/admin/login/", {"username": "eva", "password": "wrong"})
    said = [
        re.findall(r'<p class="errornote">\s*(.*?)\s*</p>', each.content.decode(), re.DOTALL)
        for each in (refused, wrong)
    ]
    assert said[0] == said[1] != []


def test_a_manager_who_loses_the_role_loses_the_pages_at_once() -> None:
    manager = logged_in("boss", "manager")
    assert manager.get("/admin/").status_code == 200
    set_user("boss", "expert", BY)
    assert manager.get("/admin/").status_code == 302
    add = {"username": "mallory", "role": "manager", "password": PASSWORD, "why": "x"}
    assert manager.post("/admin/auth/user/add/", add).status_code == 302
    assert not User.objects.filter(username="mallory").exists()


def test_djangos_flags_for_staff_open_nothing() -> None:
    root = User.objects.create_superuser("root", password=PASSWORD)
    browser = browser_of_nobody()
    browser.force_login(root)
    assert browser.get("/admin/").status_code == 302


def test_accounts_get_roles_and_passwords_with_a_line_in_the_trail() -> None:
    manager = logged_in("boss", "manager")
    AuditEntry.objects.all().delete()
    new = {"username": "eva", "role": "viewer", "password": PASSWORD, "why": "new in the group"}
    assert manager.post("/admin/auth/user/add/", new).status_code == 302
    eva = User.objects.get(username="eva")
    assert (role_of(eva), eva.check_password(PASSWORD)) == ("viewer", True)
    page = f"/admin/auth/user/{eva.pk}/change/"
    assert 'value="viewer" selected' in manager.get(page).content.decode()
    assert manager.post(page, {"role": "expert", "password": "", "why": "knows CORAL"}).status_code == 302
    eva.refresh_from_db()
    assert (role_of(eva), eva.check_password(PASSWORD)) == ("expert", True)
    assert manager.post(page, {"role": "none", "password": "", "why": "left"}).status_code == 302
    assert role_of(User.objects.get(pk=eva.pk)) is None
    assert trail("user") == [
        ("person:boss", "", "viewer", "eva, with a new password: new in the group"),
        ("person:boss", "viewer", "expert", "eva: knows CORAL"),
        ("person:boss", "expert", "none", "eva: left"),
    ]
    assert manager.post(f"/admin/auth/user/{eva.pk}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize(
    "mistake", [{"password": "12345678"}, {"why": ""}, {"role": "god"}, {"username": ""}, {"username": "boss"}]
)
def test_mistakes_in_an_account_change_nothing(mistake: dict[str, str]) -> None:
    manager = logged_in("boss", "manager")
    AuditEntry.objects.all().delete()
    answer = manager.post(
        "/admin/auth/user/add/", {"username": "eva", "role": "viewer", "password": PASSWORD, "why": "new", **mistake}
    )
    assert answer.status_code == 200
    assert 'class="errornote"' in answer.content.decode()
    assert (list(User.objects.values_list("username", flat=True)), trail("user")) == (["boss"], [])


def test_the_own_password_has_its_line_too() -> None:
    manager = logged_in("boss", "manager")
    new = "another long word 77"
    asked = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert manager.post("/admin/password_change/", asked).status_code == 302
    assert manager.get("/admin/").status_code == 200  # the session goes on
    assert User.objects.get(username="boss").check_password(new)
    assert trail("user")[-1] == ("person:boss", "manager", "manager", "boss, with a new password: own password")


def test_roles_can_be_read_and_not_changed() -> None:
    manager = logged_in("boss", "manager")
    shown = manager.get("/admin/auth/group/").content.decode()
    assert "boss" in shown
    pk = Group.objects.get(name="manager").pk
    assert manager.post(f"/admin/auth/group/{pk}/change/", {"name": "nobody"}).status_code == 403
    assert manager.post("/admin/auth/group/add/", {"name": "gods"}).status_code == 403


def test_a_token_is_shown_once_and_works_until_it_is_revoked() -> None:
    remember_all()
    manager = logged_in("boss", "manager")
    AuditEntry.objects.all().delete()
    asked = {"label": "node7", "role": "agent", "site": site(SITE).pk, "good_for_days": "2", "why": "new node"}
    answer = manager.post("/admin/production/token/add/", asked)
    assert (answer.status_code, "no-store" in answer.headers["Cache-Control"]) == (200, True)
    (secret,) = re.findall(r"<code>(.*?)</code>", answer.content.decode())
    row = Token.objects.get()
    assert (row.token, row.label, row.role, row.site) == (fingerprint(secret), "node7", "agent", site(SITE))
    assert row.expires is not None
    assert round((row.expires - row.created).total_seconds()) == 2 * 86400
    assert auth.admit("agent", secret, "127.0.0.1").label == "node7"
    for page in ("/admin/production/token/", f"/admin/production/token/{row.pk}/change/", "/admin/"):
        shown = manager.get(page).content.decode()
        assert secret not in shown
        assert row.token not in shown
    revoke = {"action": "revoke_tokens", "_selected_action": str(row.pk)}
    assert "give a reason" in manager.post("/admin/production/token/", revoke, follow=True).content.decode()
    assert Token.objects.get().revoked is None
    told = manager.post("/admin/production/token/", {**revoke, "why": "stolen"}, follow=True).content.decode()
    assert "Tokens revoked: 1." in told
    assert Token.objects.get().revoked is not None
    assert trail("token") == [
        ("person:boss", "", "agent", "node7: new node"),
        ("person:boss", "agent", "revoked", "node7: stolen"),
    ]


def test_no_token_signs_as_somebody_else() -> None:
    manager = logged_in("boss", "manager")
    set_user("eva", "viewer", BY)
    asked = {"label": "eva", "role": "manager", "why": "x"}
    answer = manager.post("/admin/production/token/add/", asked)
    assert "is the name of a user" in answer.content.decode()
    assert Token.objects.count() == 0
    row = Token.objects.get(token=fingerprint(issue("probe", "viewer")))
    assert manager.post(f"/admin/production/token/{row.pk}/change/", {"role": "manager"}).status_code == 403
    assert Token.objects.get().role == "viewer"


def test_forged_forms_are_refused() -> None:
    set_user("boss", "manager", BY, PASSWORD)
    browser = browser_of_nobody(checks=True)
    browser.force_login(User.objects.get(username="boss"))
    new = {"username": "mallory", "role": "manager", "password": PASSWORD, "why": "x"}
    assert browser.post("/admin/auth/user/add/", new).status_code == 403
    assert not User.objects.filter(username="mallory").exists()


def test_guessing_is_stopped() -> None:
    set_user("boss", "manager", BY, PASSWORD)
    browser = browser_of_nobody()
    for _ in range(25):
        browser.post("/admin/login/", {"username": "boss", "password": "wrong"})
    browser.post("/admin/login/", {"username": "boss", "password": PASSWORD})
    assert browser.get("/admin/").status_code == 302


def test_the_system_checks_of_django_find_nothing() -> None:
    call_command("check", fail_level="WARNING")
