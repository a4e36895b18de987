"""Every address of the pages for every role: what it answers, and that nothing is changed without the right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pilotext.server.boot import boot

boot()

from django.apps import apps  # noqa: E402  needs boot
from django.db import connection, transaction  # noqa: E402
from django.http.response import HttpResponseBase  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from fixtures.demo.production import fill  # noqa: E402
from pilotext.server.pages.urls import urlpatterns  # noqa: E402
from pilotext.server.production.access.people import make_groups, set_user  # noqa: E402
from pilotext.server.production.access.tokens import issue  # noqa: E402
from pilotext.server.production.models import Attempt, AuditEntry, Breaker, Job, Product, Site, Task, Token  # noqa: E402
from pilotext.server.production.states import JOB, PRODUCT  # noqa: E402
from pilotext.server.production.transitions import Reason  # noqa: E402
from tests.server.conftest import Maker, use  # noqa: E402
from tests.server.pages.addresses import ADDRESSES, PUBLIC, ROLES, Address, may  # noqa: E402

JOBS = 150
MAX_QUERIES = 12
"""Queries of a page, those of session and user included."""

AT = 1_800_000_000.0


@pytest.fixture(scope="module")
def filled(sqlite_databases: Maker) -> str:
    """URL of a database with a small made production and somebody of each role."""
    url = sqlite_databases()
    use(url)
    fill(JOBS, seed=58, at=AT)
    make_groups()
    for role in ROLES:
        set_user(f"a-{role}", role, Reason("boss", "for a test", "person"))
    issue("boss", "viewer", user="a-manager", good_for_s=3600.0, by=Reason("boss", "for a test", "person"))
    connection.close()
    return url


@pytest.fixture(autouse=True)
def _on_filled(filled: str) -> None:
    use(filled)


def client_of(role: str | None) -> Client:
    found = Client(SERVER_NAME="localhost")
    if role is not None:
        found.force_login(set_user(f"a-{role}", role, Reason("boss", "for a test", "person")))
    return found


def path_of(address: Address) -> str:
    chosen = {
        "job": Job.objects.filter(state="manual"),
        "running": Job.objects.filter(state="running", attempts=1),
        "task": Task.objects.filter(state="running"),
        "product": Product.objects.filter(state="manual"),
        "breaker": Breaker.objects.filter(state="open"),
        "site": Site.objects.filter(closed=""),
        "token": Token.objects.all(),
    }
    numbers = {name: query.order_by("pk").values_list("pk", flat=True)[0] for name, query in chosen.items()}
    run, run_task = Product.objects.order_by("pk").values_list("run", "task")[0]
    return address.path.format(**numbers, run=run, run_task=run_task)


def rows() -> dict[str, list[tuple[object, ...]]]:
    """All rows of the production, and people with their roles; not sessions and logins."""
    models = [
        *apps.get_app_config("production").get_models(),
        *apps.get_app_config("auth").get_models(include_auto_created=True),
    ]
    chosen = [model for model in models if model.__name__ not in ("AuditEntry", "User")]
    found = {model.__name__: list(model._default_manager.order_by("pk").values_list()) for model in chosen}
    return {**found, "AuditEntry": list(AuditEntry.objects.exclude(subject="user").order_by("pk").values_list())}


def test_every_address_has_its_row() -> None:
    assert {each.name for each in urlpatterns if hasattr(each, "name")} == {*ADDRESSES, *PUBLIC}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", ADDRESSES)
def test_people_see_what_their_role_may_see(name: str, role: str) -> None:
    address = ADDRESSES[name]
    expected = {"page": 200, "data": 200, "feed": 200, "elsewhere": 302, "unavailable": 503, "nothing": 405}[
        address.get
    ]
    if address.get != "nothing" and not may(role, address.sees):
        expected = 403
    answer = client_of(role).get(path_of(address))
    assert answer.status_code == expected
    assert "default-src 'none'" in answer["Content-Security-Policy"]


def test_pages_of_tasks_runs_and_jobs_in_every_state_cost_few_queries() -> None:
    """Also the first time, when no count is known yet."""
    client = client_of("manager")
    jobs = [Job.objects.filter(state=state).order_by("pk").first() for state in JOB.states]
    products = [Product.objects.filter(state=state).order_by("pk").first() for state in PRODUCT.states]
    paths = [f"/tasks/{task}" for task in Task.objects.values_list("pk", flat=True)]
    paths += [f"/tasks/{row.task_id}/runs/{row.run}" for row in products if row is not None]
    paths += [f"/jobs/{row.pk}" for row in jobs if row is not None]
    assert len(paths) > 25
    costs = {}
    for path in paths:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(path).status_code == 200
        costs[path] = len(queries)
    assert {path: number for path, number in costs.items() if number > MAX_QUERIES} == {}


@pytest.mark.parametrize("name", ADDRESSES)
def test_nobody_sees_or_changes_anything_without_a_login(name: str) -> None:
    path, before = path_of(ADDRESSES[name]), rows()
    for answer in (client_of(None).get(path), client_of(None).post(path, dict(ADDRESSES[name].form))):
        refused = (401, 405) if ADDRESSES[name].get == "feed" else (405,)
        assert is_sent_to_login(answer) or answer.status_code in refused
    assert rows() == before


@pytest.mark.parametrize("role", ROLES[:-1])
def test_without_the_right_no_form_changes_anything(role: str) -> None:
    before, client = rows(), client_of(role)
    for address in ADDRESSES.values():
        if not may(role, address.changes):
            answer = client.post(path_of(address), dict(address.form))
            assert answer.status_code == (405 if address.changes is None else 403), address.path
    assert rows() == before


@pytest.mark.parametrize("name", [name for name, address in ADDRESSES.items() if address.form])
def test_with_the_right_the_same_form_changes_something(name: str) -> None:
    """The proof that the forms of the test above would have changed something."""
    address, before = ADDRESSES[name], rows()
    assert address.changes is not None
    with transaction.atomic():
        answer = client_of(address.changes).post(path_of(address), dict(address.form))
        assert answer.status_code in (200, 302), answer.content[-2000:]
        assert rows() != before
        transaction.set_rollback(True)
    assert rows() == before


def is_sent_to_login(answer: HttpResponseBase) -> bool:
    return answer.status_code == 302 and answer["Location"].startswith("/login?next=")


BLOCKS = "td|th|tr|p|div|li|dt|dd|h[1-6]|section|label|summary|option|figcaption|title|button|pre|time|text|caption"
LOGS = re.compile(r'<(figure|div|pre) class="log.*?</\1>', re.DOTALL)
DOUBLED = re.compile(r"(?<![\w-])([A-Za-z][\w-]{2,}) \1(?![\w-])", re.IGNORECASE)


def doubled_words(text: str) -> list[str]:
    """Return the words that stand twice, one behind the other, in a sentence or a cell; not in quoted logs."""
    text = re.sub(rf"</?(?:{BLOCKS})\b[^>]*>", "\n", LOGS.sub("\n", text))
    lines = (re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", line)) for line in re.split(r"\n(?=\S)", text))
    return [found[0] for line in lines for found in DOUBLED.finditer(line)]


@pytest.mark.parametrize("text", ["<td><b>lost</b> <i>Lost</i></td>", "<p>COMPASS-3210 COMPASS-3210 away</p>"])
def test_a_doubled_word_is_found(text: str) -> None:
    assert len(doubled_words(text)) == 1
    assert doubled_words(text.replace(" ", "</td><td>").replace("COMPASS", "<td>COMPASS")) == []


@pytest.mark.parametrize("name", [name for name, address in ADDRESSES.items() if address.get == "page"])
def test_no_page_says_a_word_twice(name: str) -> None:
    client = client_of("manager")
    paths = {path_of(ADDRESSES[name])}
    if name == "job":
        states = Attempt.objects.order_by("state", "code", "charged").values_list("state", "code", "charged", "job")
        paths |= {f"/jobs/{job}" for *_, job in {each[:3]: each for each in states}.values()}
    for path in paths:
        assert doubled_words(client.get(path).content.decode()) == [], path


def test_every_template_of_a_page_has_no_script_or_style_of_its_own() -> None:
    folder = Path(apps.get_app_config("pages").path, "templates")
    for path in folder.rglob("*.html"):
        text = path.read_text()
        assert " style=" not in text, path
        assert "<style" not in text, path
        assert "javascript:" not in text, path
