"""Pages as a browser sees them on a real server: login, static files, forms with their protection against forgery."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import requests

from pilotext.server.boot import boot

boot()

from django.test import RequestFactory  # noqa: E402  needs boot

from pilotext.server.urls import handler500  # noqa: E402
from tests.support.pilotext_server import COMMAND, production_server  # noqa: E402

PASSWORD = "correct horse battery"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/server/panda/updateJob", "text/plain; charset=utf-8"),
        ("/api/v1/pilot/update_job", "text/plain; charset=utf-8"),
        ("/api/v1/jobs", "application/json"),
        ("/jobs", "text/html; charset=utf-8"),
    ],
)
def test_a_failure_is_answered_in_the_form_of_its_part_of_the_server(path: str, kind: str) -> None:
    """A pilot takes every JSON object for success of its update."""
    answer = handler500(RequestFactory().post(path))
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, kind)


def test_a_manager_adds_an_account_in_the_administration(tmp_path: Path) -> None:
    with production_server(tmp_path) as server, requests.Session() as browser:
        words = [*COMMAND, "server", "user", "--user", "boss", "--role", "manager", "--password-stdin"]
        subprocess.run(words, env=server.env, input=PASSWORD, text=True, check=True)
        form = browser.get(f"{server.url}/admin", timeout=60)
        assert form.status_code == 200
        styles = re.findall(r'href="(/static/admin/css/[^"]+)"', form.text)
        assert {browser.get(server.url + path, timeout=60).status_code for path in styles} == {200}
        assert browser.get(f"{server.url}/static/admin/css/none.css", timeout=60).status_code == 404
        said = {"username": "boss", "password": PASSWORD, "next": "/admin/", **protection_of(form)}
        home = browser.post(f"{server.url}/admin/login/", data=said, headers={"Origin": server.url}, timeout=60)
        assert (home.status_code, "Accounts and tokens" in home.text) == (200, True)
        form = browser.get(f"{server.url}/admin/auth/user/add/", timeout=60)
        new = {"username": "eva", "role": "viewer", "password": PASSWORD, "why": "new", **protection_of(form)}
        added = browser.post(f"{server.url}/admin/auth/user/add/", data=new, headers={"Origin": server.url}, timeout=60)
        assert (added.status_code, "eva" in added.text) == (200, True)
        users = requests.get(
            f"{server.url}/api/v1/users", headers={"Authorization": f"Bearer {server.token('manager')}"}, timeout=60
        ).json()
        assert {row["user"]: row["role"] for row in users["users"]} == {"boss": "manager", "eva": "viewer"}


def protection_of(page: requests.Response) -> dict[str, str]:
    """The hidden field of the last form on a page."""
    return {"csrfmiddlewaretoken": re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)[-1]}
