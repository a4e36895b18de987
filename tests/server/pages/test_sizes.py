"""Size and queries of pages whose lists are full: what a browser on a slow line has to fetch."""

from __future__ import annotations

import re

import pytest

from pilotext.server.boot import boot

boot()

from django.db import connection  # noqa: E402  needs boot
from django.db.models import F, OuterRef, Subquery  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from fixtures.demo.production import fill  # noqa: E402
from pilotext.server.production.access.people import make_groups, set_user  # noqa: E402
from pilotext.server.production.models import Attempt, Job, Product, Task  # noqa: E402
from pilotext.server.production.transitions import Reason  # noqa: E402
from tests.server.conftest import Maker, use  # noqa: E402

JOBS = 1700
PERIOD = {"year": 2016, "period": "P09"}
MAX_BYTES = 100_000
MAX_QUERIES = 12
MAX_PAGES = 200

FULL = (
    *("/", "/tasks", "/tasks/{task}", "/jobs", "/jobs?state=finished", "/manual", "/manual/jobs", "/failures"),
    *("/manual?runs=25", "/manual/decide?state=manual&to=accept", "/manual/decide?state=finished&to=resend"),
    *("/failures/attempts?since=520w", "/attempts?since=520w", "/attempts?by=silent", "/trail", "/sites", "/factory"),
    *("/periods", "/period?year=2016&period=P09", "/plots", "/plots/states", "/rules", "/notices"),
)
"""Pages of lists; those of a hundred rows have a hundred."""


@pytest.fixture(scope="module")
def full(sqlite_databases: Maker) -> str:
    """URL of a made production in which every list has more rows than a page: all failures and runs wait."""
    url = sqlite_databases()
    use(url)
    fill(JOBS, seed=58)
    failed = Attempt.objects.filter(job=OuterRef("pk"), code__gt="").order_by("-number")
    last = {name: Subquery(failed.values(name)[:1]) for name in ("code", "diag")}
    broken = Attempt.objects.filter(code__gt="", job__product="").values("job")
    Job.objects.filter(pk__in=broken).update(state="manual", **last)
    more = Job.objects.filter(product="", state="finished").order_by("pk").values_list("pk", flat=True)
    Job.objects.filter(pk__in=list(more[:60])).update(state="manual")
    Product.objects.update(state="manual", finding="the merged file has fewer events than its inputs")
    for task in Task.objects.filter(type="mass production"):
        begin = task.jobs.order_by("run").values_list("run", flat=True)[0]
        Job.objects.filter(task=task).update(run=F("run") - begin + 270_000)
        Product.objects.filter(task=task).update(run=F("run") - begin + 270_000)
    Task.objects.filter(type="mass production").update(**PERIOD)
    Attempt.objects.filter(state="running").update(seen=F("leased"))
    make_groups()
    set_user("a-manager", "manager", Reason("boss", "for a test", "person"))
    connection.close()
    return url


@pytest.fixture
def client(full: str) -> Client:
    use(full)
    found = Client(SERVER_NAME="localhost")
    found.force_login(set_user("a-manager", "manager", Reason("boss", "for a test", "person")))
    return found


@pytest.mark.parametrize("pattern", FULL)
def test_a_page_with_a_full_list_is_small_and_costs_few_queries(pattern: str, client: Client) -> None:
    page = pattern.format(task=Task.objects.filter(state="running").order_by("pk")[0].pk)
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(page)
    assert answer.status_code == 200
    assert len(answer.content) <= MAX_BYTES
    assert len(queries) <= MAX_QUERIES


@pytest.mark.parametrize(
    ("page", "row", "rows"),
    [
        ("/jobs", "<tr><td", 100),
        ("/manual/jobs", '<section class="card item">', 100),
        ("/trail", "<tr><td", 100),
        ("/failures/attempts?since=520w", "<tr><td", 100),
        ("/manual", "<b>Run ", 25),
        ("/period?year=2016&period=P09", 'class="chunks"', 30),
    ],
)
def test_the_lists_of_these_pages_are_full(page: str, row: str, rows: int, client: Client) -> None:
    """The proof that the sizes above are those of full pages."""
    text = client.get(page).content.decode()
    assert text.count(row) >= rows
    assert "Further" in text or "Earlier lines" in text


def test_the_runs_that_wait_go_on_on_the_next_page(client: Client) -> None:
    shown, pages = 0, ["/manual"]
    for page in pages:
        text = client.get(page).content.decode()
        shown += text.count("<b>Run ")
        pages += re.findall(r'href="(/manual\?runs=[^"#]*)', text)
        assert len(pages) == len(set(pages)) <= MAX_PAGES
    assert shown == Product.objects.filter(state="manual").count()
