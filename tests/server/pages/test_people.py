"""Trail, accounts, tokens, people, theme, health and submission by pages; and who may what of it."""

from __future__ import annotations

import re

import pytest

from pilotext.server.boot import boot

boot()

from django.contrib.auth.models import User  # noqa: E402  needs boot
from django.db import connection  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from pilotext.api.schemas.sites import BreakerHold  # noqa: E402
from pilotext.server.database import transact  # noqa: E402
from pilotext.server.pages.submit import MAX_TEXT_BYTES  # noqa: E402
from pilotext.server.production.access.people import role_of  # noqa: E402
from pilotext.server.production.access.tokens import fingerprint  # noqa: E402
from pilotext.server.production.manual_decisions.sites import hold as hold_breaker  # noqa: E402
from pilotext.server.production.models import AuditEntry, CycleStep, Job, Task, Token  # noqa: E402
from pilotext.server.production.profiles import remember_all  # noqa: E402
from pilotext.server.production.transitions import Reason  # noqa: E402
from pilotext.server.times import now  # noqa: E402
from tests.server.pages.browsing import browser, text_of  # noqa: E402
from tests.server.support import raw, submit  # noqa: E402

pytestmark = pytest.mark.usefixtures("database", "quick_hashes")
MAX_QUERIES = 12
TASK = f"""
experiment: COMPASS
name: t1
type: mass production
files: {{these: ["{raw(1, 11)}"]}}
parameters: {{production: prod, path: generalprod/, soft: soft, year: 2016}}
staging: false
merges: []
"""


# ---------------------------------------------------------------------------------------------------------------- trail


def test_the_trail_shows_who_did_what_and_can_be_chosen(failed_job: int) -> None:
    expert = browser("expert")
    expert.post(f"/jobs/{failed_job}/decide", {"to": "fail", "why": "hopeless <b>"})
    text = text_of(expert.get("/trail?who=person:a-expert&subject=job"))
    assert "hopeless &lt;b&gt;" in text
    assert f'href="/jobs/{failed_job}"' in text
    assert text.count("<tr>") == 2
    assert ": 1 line, the newest" in text
    assert text_of(expert.get("/trail?who=a-expert")).count("<tr>") >= 2
    for query in ("who=person:nobody", "since=2999-01-01", "until=1990-01-01", "subject=breaker"):
        assert "No line of the trail" in text_of(expert.get(f"/trail?{query}")), query
    assert "hopeless" in text_of(expert.get("/trail.csv?subject=job"))


def test_the_trail_shows_first_what_people_did(failed_job: int) -> None:
    browser("manager").post(f"/jobs/{failed_job}/decide", {"to": "fail", "why": "hopeless"})
    text = text_of(browser("viewer").get("/trail"))
    link = re.search(r'href="([^"]+)">what people did</a>', text)
    assert link is not None
    chosen = text_of(browser("viewer").get(link[1].replace("&amp;", "&")))
    who = re.findall(r"</time></td><td>([^<]+)</td>", chosen)
    assert "person:a-manager" in who
    assert "dispatch" in text
    assert "dispatch" not in who


def test_the_moves_of_a_breaker_are_in_the_trail() -> None:
    remember_all()
    by = Reason("person:boss", "it is being moved", "person")
    asked = BreakerHold("conditions database", by.why, "COMPASS", None, "")
    [number] = transact(lambda: hold_breaker(asked, by))
    browser("manager").post(f"/breakers/{number}/decide", {"to": "close", "why": "it is back"})
    text = text_of(browser("viewer").get("/trail?subject=breaker"))
    line = rf'"/failures#breakers">breaker {number}</a></td><td>([^<]+)</td><td class="wide">([^<]+)<'
    moves = re.findall(line, text)
    assert moves == [("tripped → reset", "it is back"), ("reset → tripped", "it is being moved")]
    assert ",open,closed," in text_of(browser("viewer").get("/trail.csv?subject=breaker")), "other programs read states"


def test_the_trail_goes_on_on_the_next_page(failed_job: int) -> None:
    viewer = browser("viewer")
    text = text_of(viewer.get("/trail?limit=2"))
    further = re.search(r'href="([^"]+)">Earlier', text)
    assert further is not None
    total = AuditEntry.objects.count()
    assert f": {total} lines, the newest" in text, "whatever the page"
    assert f": {total} lines, the newest" in text_of(viewer.get(further[1].replace("&amp;", "&")))
    assert text_of(viewer.get(further[1].replace("&amp;", "&"))).count("<tr>") == 3


@pytest.mark.parametrize(("query", "status"), [("task=99", 404), ("task=x", 404), ("whom=x", 422), ("since=x", 422)])
def test_lines_of_what_there_is_not_are_refused(query: str, status: int) -> None:
    assert browser("viewer").get(f"/trail?{query}").status_code == status


# --------------------------------------------------------------------------------------------------------------- tokens


def test_a_token_of_ones_own_is_shown_once_and_is_good() -> None:
    expert = browser("expert")
    text = text_of(expert.post("/account", {"role": "expert", "days": "30"}))
    secret = re.search(r'<p class="mono">([\w-]{30,})</p>', text)
    assert secret is not None
    row = Token.objects.get(token=fingerprint(secret[1]))
    assert row.user is not None
    assert (row.role, row.user.username) == ("expert", "a-expert")
    assert secret[1] not in text_of(expert.get("/account"))
    assert expert.post(f"/account/tokens/{row.pk}/revoke").status_code == 302
    row.refresh_from_db()
    assert row.revoked is not None


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"role": "manager", "days": "30"}, 403),
        ({"role": "agent", "days": "30"}, 403),
        ({"role": "expert", "days": "366"}, 422),
        ({"role": "expert", "days": "0"}, 422),
        ({"role": "expert", "days": "x"}, 422),
        ({"role": "expert", "days": "0000003660"}, 422),
    ],
)
def test_nobody_makes_a_token_that_may_more_or_lives_too_long(form: dict[str, str], status: int) -> None:
    assert browser("expert").post("/account", form).status_code == status
    assert not Token.objects.exists()


def test_the_token_of_somebody_else_is_not_found() -> None:
    browser("expert").post("/account", {"role": "viewer", "days": "1"})
    token = Token.objects.get()
    assert browser("viewer").post(f"/account/tokens/{token.pk}/revoke").status_code == 404
    token.refresh_from_db()
    assert token.revoked is None


# --------------------------------------------------------------------------------------------------------------- people


def test_a_manager_makes_an_account_and_changes_its_role() -> None:
    manager = browser("manager")
    form = {"name": "eva", "role": "viewer", "why": "new on shift", "password": "correct horse battery"}
    assert manager.post("/people", form).status_code == 302
    eva = User.objects.get(username="eva")
    assert role_of(eva) == "viewer"
    assert eva.check_password("correct horse battery")
    assert "eva" in text_of(manager.get("/people"))
    assert manager.post("/people", {"name": "eva", "role": "none", "why": "gone"}).status_code == 302
    assert role_of(User.objects.get(username="eva")) is None
    assert AuditEntry.objects.filter(subject="user", who="person:a-manager").count() == 2


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"name": "", "role": "viewer", "why": "x"}, 422),
        ({"name": "a/b", "role": "viewer", "why": "x"}, 422),
        ({"name": "eva", "role": "root", "why": "x"}, 422),
        ({"name": "eva", "role": "viewer"}, 422),
        ({"name": "eva", "role": "viewer", "why": "x", "password": "123"}, 422),
        ({"name": "a-manager", "role": "viewer", "why": "x"}, 409),
    ],
)
def test_what_is_no_account_is_refused(form: dict[str, str], status: int) -> None:
    assert browser("manager").post("/people", form).status_code == status
    assert not User.objects.filter(username="eva").exists()


@pytest.mark.parametrize("role", ["viewer", "expert"])
def test_people_and_submission_are_for_managers(role: str) -> None:
    found = browser(role)
    for page in ("/people", "/submit"):
        assert found.get(page).status_code == 403
        assert found.post(page, {"name": "eva", "role": "manager", "why": "x", "text": TASK}).status_code == 403
    assert not User.objects.filter(username="eva").exists()
    assert not Task.objects.exists()


# ---------------------------------------------------------------------------------------------------------------- theme


def test_the_theme_of_a_browser_is_kept() -> None:
    viewer = browser("viewer")
    assert '<html lang="en">' in text_of(viewer.get("/"))
    answer = viewer.post("/account/theme", {"theme": "dark", "back": "/jobs"})
    assert (answer.status_code, answer["Location"]) == (302, "/jobs")
    assert '<html lang="en" class="dark">' in text_of(viewer.get("/"))
    viewer.post("/account/theme", {"theme": "system"})
    assert '<html lang="en">' in text_of(viewer.get("/"))


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "javascript:x", "\\\\evil.example"])
def test_the_theme_leads_to_no_other_server(back: str) -> None:
    assert browser("viewer").post("/account/theme", {"theme": "dark", "back": back})["Location"] == "/account"


def test_a_theme_that_there_is_not_is_refused_and_a_strange_cookie_is_ignored() -> None:
    viewer = browser("viewer")
    assert viewer.post("/account/theme", {"theme": "pink"}).status_code == 422
    viewer.cookies["pilotext_theme"] = '"><script>'
    assert '<html lang="en">' in text_of(viewer.get("/"))


# --------------------------------------------------------------------------------------------------------------- health


def test_the_health_of_the_server_names_steps_that_fail() -> None:
    CycleStep.objects.create(name="merging", failing_since=now(), error="OSError: <disk>")
    text = text_of(browser("viewer").get("/server"))
    assert "steps that fail: merging" in text
    assert "OSError: &lt;disk&gt;" in text


# ----------------------------------------------------------------------------------------------------------- submission


def test_a_task_is_shown_before_it_is_submitted() -> None:
    manager = browser("manager")
    text = text_of(manager.post("/submit", {"text": TASK, "to": "preview"}))
    assert "t1: 1 job of 1 run" in text
    assert not Task.objects.exists()
    answer = manager.post("/submit", {"text": TASK, "to": "submit"})
    task = Task.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/tasks/{task.pk}")
    assert Job.objects.filter(task=task).count() == 1
    assert AuditEntry.objects.filter(who="person:a-manager", subject="task").exists()
    manager.post("/submit", {"text": TASK, "to": "submit"})
    assert Task.objects.count() == 1, "the same task file is the same task"


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("", 422, "There is no task file: paste one"),
        (" \n", 422, "There is no task file: paste one"),
        ("experiment: [", 422, "line"),
        (TASK.replace("type:", "tipe:"), 422, "tipe"),
        (TASK.replace("COMPASS", "COMPAS"), 422, "COMPASS"),
        (TASK.replace("merges: []", "catalogue: /etc/passwd"), 422, "names a catalogue"),
        (TASK.replace("{these:", "{list: /etc/passwd, these:"), 422, "names a catalogue or a list"),
        ("x" * (MAX_TEXT_BYTES + 1), 413, "more than"),
    ],
)
def test_a_wrong_task_file_is_refused_with_the_reason(text: str, status: int, said: str) -> None:
    answer = browser("manager").post("/submit", {"text": text, "to": "submit"})
    assert answer.status_code == status
    assert said in text_of(answer)
    assert "root:" not in text_of(answer)
    assert not Task.objects.exists()


@pytest.mark.parametrize("page", ["/trail", "/account", "/people", "/server", "/submit"])
def test_pages_of_people_cost_few_queries(page: str) -> None:
    submit()
    manager = browser("manager")
    manager.get(page)
    with CaptureQueriesContext(connection) as queries:
        assert manager.get(page).status_code == 200
    assert len(queries) <= MAX_QUERIES
