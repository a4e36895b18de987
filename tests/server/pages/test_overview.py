"""The overview: what needs attention with its pages, and numbers that agree with each other."""

from __future__ import annotations

import re

import pytest

from pilotext.server.boot import boot

boot()

from pilotext.server.database import transact  # noqa: E402
from pilotext.server.production.cycle.status import record_step  # noqa: E402  needs boot
from pilotext.server.production.manual_decisions.sites import move_breaker, move_site  # noqa: E402
from pilotext.server.production.models import (  # noqa: E402
    Agent,
    Attempt,
    Breaker,
    Experiment,
    Factory,
    Job,
    LogArchive,
    Product,
    Task,
)
from pilotext.server.production.transitions import Reason  # noqa: E402
from pilotext.server.times import HOUR_S, earlier, now  # noqa: E402
from tests.server.pages.browsing import browser, text_of  # noqa: E402
from tests.server.support import SITE, WHY, fail, leased, raw, site, submit  # noqa: E402

pytestmark = pytest.mark.usefixtures("database", "quick_hashes")


def attention() -> dict[str, str]:
    """Return the links of the block by their words."""
    block = text_of(browser("viewer").get("/")).partition('id="attention"')[2].partition("</section>")[0]
    return {words: link.replace("&amp;", "&") for link, words in re.findall(r'<a href="([^"]+)">([^<]+)</a>', block)}


def test_nothing_that_needs_attention_is_a_sentence() -> None:
    record_step("leases")
    submit()
    assert attention() == {}
    assert "Nothing: the cycle runs" in text_of(browser("viewer").get("/"))


def test_each_thing_that_needs_attention_leads_to_its_page() -> None:
    submit([raw(1, chunk) for chunk in range(1, 6)])
    for holder in (Agent.objects.create(name="a1", site=site(), seen=earlier(now(), HOUR_S)), None):
        Attempt.objects.filter(pk=leased().attempt).update(seen=earlier(now(), HOUR_S), agent=holder)
    Factory.objects.create(name="f1", seen=earlier(now(), HOUR_S))
    fail(leased(), "calibration", "manual-check")
    task = Task.objects.get()
    Product.objects.create(task=task, run=1, merge="mdst", state="manual")
    LogArchive.objects.create(task=task, run=1, name="logs", state="manual")
    found = attention()
    assert found == {
        "The cycle does not run: nothing advances": "/server",
        "The factory f1 is silent": "/factory",
        f"1 agent at {SITE} is silent and holds 1 attempt": f"/sites/{site().pk}#agents",
        f"1 attempt at {SITE} sends no heartbeat": f"/attempts?by=silent&site={SITE}",
        "1 job waits for a decision": "/manual",
        "1 merged product waits for a decision": "/manual#runs",
        "1 log archive could not be made": "/tasks?state=archiving",
    }
    viewer = browser("viewer")
    assert all(viewer.get(link).status_code == 200 for link in found.values())
    listed = text_of(viewer.get(f"/attempts?by=silent&site={SITE}"))
    assert listed.count('href="/jobs/') == 1
    assert "Of now, the newest first" in text_of(viewer.get("/attempts?by=silent"))


def test_tiles_and_the_sum_of_the_table_are_the_same_numbers() -> None:
    """Merges are of the tile, and stand apart in the table; a task that is done and has a job to decide on counts."""
    submit([raw(7, 1), raw(7, 2)])
    submit([raw(8, 1)], name="t2")
    row = Job.objects.order_by("pk")[0]
    for number, state in enumerate(("ready", "manual")):
        Job.objects.create(
            task=row.task, type="merging", product="mdst", file=f"mDST-{number}.root", run=7, state=state
        )
    Job.objects.filter(task__name="t2").update(state="manual")
    Task.objects.filter(name="t2").update(state="done")
    text = text_of(browser("viewer").get("/"))
    tiles = {
        words: (int(number), parts)
        for number, words, parts in re.findall(r"<b>(\d+)</b><span>([a-z ]+)(?:<br>([^<]+))?<", text)
    }
    assert tiles["jobs ready"] == (3, "2 + 1 merge")
    assert tiles["jobs to decide"] == (2, "1 + 1 merge")
    assert tiles["jobs running"] == (0, "")
    sums = re.findall(r"<td[^>]*>([^<]*)</td>", text.partition("All of these")[2].partition("</tr>")[0])
    heads = re.findall(r"<th[^>]*>([^<]+)</th>", text.partition("<h2>Tasks at work</h2>")[2].partition("</tr>")[0])
    columns = dict(zip(heads[2:], sums, strict=True))
    assert (columns["Jobs"], columns["ready"], columns["manual"]) == ("3", "2", "1")
    assert columns["Merges"] == "1 ready, 1 manual"


def test_a_closed_site_says_since_when() -> None:
    transact(lambda: move_site(SITE, "close", WHY))
    record_step("leases")
    text = text_of(browser("viewer").get("/"))
    assert attention() == {f"The site {SITE} is closed and takes no jobs": f"/sites/{site().pk}"}
    row = text.partition("takes no jobs")[2].partition("</li>")[0]
    assert re.search(r">\d+ s ago", row)
    assert f"by {WHY.who}: {WHY.why}" in row.replace("person:", "")
    assert "1</b><span>site closed" in text


def test_a_tripped_breaker_says_who_opened_it_and_leads_to_where_it_can_be_reset() -> None:
    submit()
    record_step("leases")
    compass = Experiment.objects.get(name="COMPASS")
    same = {"experiment": compass, "since": earlier(now(), HOUR_S)}
    Breaker.objects.create(rule="bad-node", scope="wn1", site=site(), state="open", why="5 of 5 failed", **same)
    manual = Breaker.objects.create(rule="conditions database", **same)
    transact(lambda: move_breaker(manual.pk, "open", Reason("person:maria", "it is moved", "person")))
    closed = Breaker.objects.create(rule="bad-node", scope="wn2", site=site(), why="over", **same)
    assert closed.state == "closed"
    assert attention() == {
        "The breaker `bad-node` has tripped and blocks wn1": f"/sites/{site().pk}#breakers",
        "The breaker `conditions database` has tripped and blocks everything": "/failures#breakers",
    }
    block = text_of(browser("viewer").get("/")).partition('id="attention"')[2].partition("</section>")[0]
    assert "by itself: 5 of 5 failed" in block
    assert "by maria: it is moved" in block


@pytest.mark.parametrize(
    ("number", "words"), [(10, ""), (11, "1 further breaker has"), (12, "2 further breakers have")]
)
def test_of_many_breakers_the_last_are_counted(number: int, words: str) -> None:
    submit()
    compass = Experiment.objects.get(name="COMPASS")
    for node in range(number):
        Breaker.objects.create(experiment=compass, rule="bad-node", scope=f"wn{node}", site=site(), state="open")
    found = attention()
    assert sum("blocks wn" in each for each in found) == 10
    assert [each for each in found if "further" in each] == ([f"{words} tripped"] if words else [])


def test_an_open_breaker_has_no_word_of_an_open_site() -> None:
    submit()
    compass = Experiment.objects.get(name="COMPASS")
    Breaker.objects.create(experiment=compass, rule="bad-node", scope="wn1", site=site(), state="open")
    for path in (f"/sites/{site().pk}", "/failures"):
        text = text_of(browser("viewer").get(path))
        assert '<span class="chip bad">tripped</span>' in text
        assert "A tripped breaker blocks jobs" in text
        assert 'bad">open' not in text


@pytest.mark.parametrize(("number", "words"), [(10, ""), (11, "1 more row with"), (12, "2 more rows with")])
def test_failures_that_are_not_shown_are_counted_and_lead_to_the_whole(number: int, words: str) -> None:
    submit([raw(1, chunk) for chunk in range(number)])
    for code in range(number):
        attempt = leased().attempt
        Attempt.objects.filter(pk=attempt).update(state="failed", code=f"X-{code}", cause="crash", ended=now())
    text = text_of(browser("viewer").get("/"))
    assert text.count("code=X-") == 10
    assert re.findall(r"\d+ more rows? with", text) == ([words] if words else [])
    assert ("All failures of the last 24 hours" in text) == bool(words)
