"""Decisions on many jobs: groups, previews, steps, assignments, and who may."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape

import msgspec
import pytest

from pilotext.server.boot import boot

boot()

from django.db import connection  # noqa: E402  needs boot
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from pilotext.api.schemas.jobs import BulkMove, JobFilter  # noqa: E402
from pilotext.model.verdict import Evidence  # noqa: E402
from pilotext.server.pages import manual_decide  # noqa: E402
from pilotext.server.production.manual_decisions.bulk_preview import preview_many  # noqa: E402
from pilotext.server.production.models import Attempt, AuditEntry, Job, Product, Task  # noqa: E402
from tests.server.pages.browsing import browser, text_of  # noqa: E402
from tests.server.support import fail, leased, raw, report_of, send, submit, succeed  # noqa: E402

pytestmark = pytest.mark.usefixtures("database", "quick_hashes")
MAX_QUERIES = 12


def failed(
    number: int, *, run: int = 7, rule: str = "coral/bad", diag: str = "bad event {} of spill", name: str = "t1"
) -> None:
    """Jobs in manual check that have failed by this rule."""
    submit([raw(run, chunk) for chunk in range(1, number + 1)], name=name)
    for place in range(number):
        given = leased()
        report = report_of(given, cause="input-corrupt", action="manual-check")
        line = Evidence(rule, "stderr", 812, 4711, f"DaqError: bad event {place}")
        said = {"rule": rule, "diag": diag.format(1000 + place), "remedy": "Copy it anew.", "evidence": (line,)}
        send(given, msgspec.structs.replace(report, verdict=msgspec.structs.replace(report.verdict, **said)))


def states() -> dict[str, int]:
    found: dict[str, int] = {}
    for state in Job.objects.values_list("state", flat=True):
        found[state] = found.get(state, 0) + 1
    return found


def fields_of(text: str) -> list[dict[str, str]]:
    """The fields of each form of a page that leads to a preview."""
    forms = re.findall(r'<form[^>]*action="/manual/decide"[^>]*>(.*?)</form>', text, re.DOTALL)
    pattern = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')
    return [dict(pattern.findall(form)) for form in forms]


def decide(client: Client, form: Mapping[str, object], status: int = 302) -> str:
    answer = client.post("/manual/decide", form)
    assert answer.status_code == status, text_of(answer)
    return text_of(answer)


def test_jobs_that_failed_alike_are_one_group_whatever_their_numbers() -> None:
    failed(3)
    failed(2, run=8, rule="coral/other", name="t2")
    text = text_of(browser("expert").get("/manual"))
    assert re.findall(r'class="big">(\d+)<', text) == ["3", "2"]
    for part in (
        "bad event # of spill",
        "coral/bad",
        "coral/other",
        "Copy it anew.",
        "DaqError: bad event 0",
        "5 jobs",
    ):
        assert part in text


def test_the_form_of_a_group_chooses_just_its_jobs() -> None:
    failed(3)
    failed(2, run=8, diag="no header in block {}", name="t2")
    expert = browser("expert")
    first = fields_of(text_of(expert.get("/manual")))[0]
    assert (first["message"], first["state"]) == ("bad event # of spill", "manual")
    preview = text_of(expert.get("/manual/decide", {**first, "to": "resend"}))
    assert "3 jobs can be moved" in preview
    assert states() == {"manual": 5}, "a preview moves nothing"
    decide(expert, {**first, "to": "resend", "why": "the file is there now"})
    assert set(Job.objects.filter(state="ready").values_list("task__name", flat=True)) == {"t1"}
    assert states() == {"ready": 3, "manual": 2}
    assert AuditEntry.objects.filter(who="person:a-expert", why="the file is there now").count() >= 3


@pytest.mark.parametrize("diag", ["(a+)+$ #1 [x] \\d {}", "100 % of 5.5^2 | {} ?*", "", "Ünïcode {} „x“"])
def test_a_message_is_no_pattern(diag: str) -> None:
    """What people wrote into logs is compared as it is, on both databases."""
    failed(2, diag=diag)
    failed(1, run=8, diag="another text", name="t2")
    expert = browser("expert")
    form = next(form for form in fields_of(text_of(expert.get("/manual"))) if form["message"] != "another text")
    form = {name: unescape(value) for name, value in form.items()}
    assert "2 jobs can be moved" in text_of(expert.get("/manual/decide", {**form, "to": "fail"}))


def test_a_group_of_failures_without_a_rule_has_a_choice_of_its_own() -> None:
    failed(2, rule="")
    failed(1, run=8, name="t2")
    expert = browser("expert")
    form = next(form for form in fields_of(text_of(expert.get("/manual"))) if form["rule"] == "")
    assert "2 jobs can be moved" in text_of(expert.get("/manual/decide", {**form, "to": "fail"}))


def test_ticked_jobs_are_decided_on_and_no_others() -> None:
    failed(4)
    expert = browser("expert")
    listed = re.findall(r'name="job" value="(\d+)"', text_of(expert.get("/manual/jobs")))
    assert len(listed) == 4
    assert "2 jobs can be moved" in text_of(expert.get("/manual/decide", {"job": listed[:2], "to": "fail"}))
    decide(expert, {"job": listed[:2], "to": "fail", "why": "hopeless"})
    assert states() == {"failed": 2, "manual": 2}


def test_a_preview_says_who_cannot_and_why_and_which_runs_are_merged_anew() -> None:
    failed(3)
    failed(1, run=8, name="t2")
    Task.objects.filter(name="t2").update(state="archived")
    Product.objects.create(task=Task.objects.get(name="t1"), run=7, merge="mdst", state="kept")
    text = text_of(browser("expert").get("/manual/decide", {"state": "manual", "to": "resend"}))
    for part in ("its task t2 is archived", "1 run will be merged anew", "t1 run 7 (mdst)", "nothing is done yet"):
        assert part in text
    assert "3 jobs can be moved, 1 cannot" in text
    assert "Resend 3 jobs</button>" in text
    assert "All 4 are of 2 runs, and have had 4 attempts; each may have as many again" in text
    other = text_of(browser("expert").get("/manual/decide", {"state": "manual", "to": "fail"}))
    assert "No run is merged anew" in other
    assert "They are of 2 runs, and have had 4 attempts." in other


def test_a_decision_that_no_job_can_take_has_no_button() -> None:
    failed(2)
    Task.objects.update(state="archived")
    text = text_of(browser("expert").get("/manual/decide", {"state": "manual", "to": "resend"}))
    assert "0 jobs can be moved, 2 cannot" in text
    assert "None of these jobs can be moved" in text
    assert 'name="to"' not in text


def test_jobs_of_a_merged_run_that_was_left_out_are_merged_with_it_when_they_are_accepted() -> None:
    failed(2)
    jobs = list(Job.objects.values_list("pk", flat=True))
    Product.objects.create(task=Task.objects.get(), run=7, merge="mdst", state="kept", left_out=jobs[:1])
    asked = BulkMove("accept", "x", JobFilter(job=str(jobs[0])))
    preview = preview_many(asked).preview
    assert preview is not None
    assert [hindrance.jobs for hindrance in preview.hindrances] == [1], "it has published nothing"


def test_jobs_in_other_states_stay_as_they_are() -> None:
    submit([raw(7, 1), raw(7, 2)])
    succeed(leased())
    expert = browser("expert")
    text = text_of(expert.get("/manual/decide", {"task": "t1", "to": "fail"}))
    assert text.count("stay as they are") == 2
    assert "None of these jobs" in text
    assert "nothing was changed" in decide(expert, {"task": "t1", "to": "fail", "why": "x"}, 409)


def test_a_decision_on_many_goes_in_steps_and_can_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    failed(5)
    real = BulkMove
    monkeypatch.setattr(manual_decide, "BulkMove", lambda *words, **more: real(*words, **{**more, "limit": 2}))
    expert = browser("expert")
    form: dict[str, object] = {"state": "manual", "to": "resend", "why": "again"}
    text = decide(expert, form, 200)
    assert "2 moved so far, 3 of the choice remain" in text
    assert states() == {"ready": 2, "manual": 3}
    step = dict(re.findall(r'name="(after|moved|hindered|why)" value="([^"]*)"', text))
    assert step["why"] == "again"
    assert "4 moved so far, 1 of" in decide(expert, {**form, **step}, 200)
    decide(expert, form)
    assert states() == {"ready": 5}


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({"to": "resend", "state": "manual"}, 422, "needs a reason"),
        ({"to": "resent", "state": "manual", "why": "x"}, 422, "Did you mean"),
        ({"to": "resend", "why": "x"}, 422, "No jobs are chosen"),
        ({"to": "resend", "why": "x", "job": "1;2"}, 422, "named by numbers"),
        ({"to": "resend", "why": "x", "task": "t9"}, 404, "t9"),
        ({"to": "resend", "why": "x", "stat": "manual"}, 422, "stat"),
        ({"to": "assign", "why": "x", "state": "manual", "person": "a\u202eb"}, 422, "printable"),
        ({"to": "assign", "why": "x", "state": "manual", "person": "a" * 151}, 422, "at most 150"),
    ],
)
def test_what_cannot_be_decided_is_refused_and_changes_nothing(
    form: dict[str, str], status: int, said: str, failed_job: int
) -> None:
    before = AuditEntry.objects.count()
    assert said in decide(browser("expert"), form, status)
    assert states() == {"manual": 1}
    assert AuditEntry.objects.count() == before + 1, "the line of the new user"


@pytest.mark.parametrize("words", [{"to": "fail"}, {"to": "assign", "person": "x"}, {"to": "note"}])
def test_a_viewer_decides_nothing_and_sees_no_buttons(words: dict[str, str], failed_job: int) -> None:
    viewer = browser("viewer")
    for page in ("/manual", "/manual/jobs", "/jobs?state=manual"):
        assert 'name="to"' not in text_of(viewer.get(page)), page
    assert viewer.get("/manual/decide", {**words, "state": "manual"}).status_code == 403
    decide(viewer, {**words, "state": "manual", "why": "x"}, 403)
    assert states() == {"manual": 1}


def test_a_form_of_another_site_decides_nothing(failed_job: int) -> None:
    decide(browser("expert", checks=True), {"to": "fail", "state": "manual", "why": "x"}, 403)
    assert states() == {"manual": 1}


def test_a_group_is_assigned_and_gets_a_note() -> None:
    failed(3)
    expert = browser("expert")
    assert 'value="a-expert"' in text_of(expert.get("/manual/decide", {"state": "manual", "to": "assign"}))
    decide(expert, {"state": "manual", "to": "assign", "person": "igor", "why": "he knows it"})
    assert set(Job.objects.values_list("assigned", flat=True)) == {"igor"}
    decide(expert, {"state": "manual", "to": "note", "why": "asked the shift crew"})
    assert AuditEntry.objects.filter(subject="note", why="asked the shift crew").count() == 3
    assert "3 jobs" in text_of(expert.get("/manual?assigned=igor"))
    assert "1 note" in text_of(expert.get("/manual/jobs"))
    assert "No job of this choice" in text_of(expert.get("/manual?assigned="))


def test_a_run_that_waits_is_decided_on_beside_the_jobs(failed_job: int) -> None:
    product = Product.objects.create(
        task=Task.objects.get(), run=7, merge="mdst", state="manual", finding="2 events lost"
    )
    text = text_of(browser("expert").get("/manual"))
    assert "2 events lost" in text
    page = f"/products/{product.pk}/decide"
    assert browser("viewer").post(page, {"to": "accept", "why": "x"}).status_code == 403
    assert browser("expert").post(page, {"to": "accept"}).status_code == 422
    assert browser("expert").post(page, {"to": "accept", "why": "x"}).status_code == 409, "it has no merged files"
    answer = browser("expert").post(page, {"to": "remerge", "why": "with the new files"})
    assert (answer.status_code, answer["Location"]) == (302, "/manual")
    product.refresh_from_db()
    assert product.state == "waiting"


@pytest.mark.parametrize(
    "page", ["/manual", "/manual/jobs", "/manual/decide?state=manual&to=resend", "/jobs?state=manual"]
)
def test_pages_of_decisions_cost_as_many_queries_for_many_jobs_as_for_few(page: str) -> None:
    expert, numbers = browser("expert"), []
    for name, number in (("t1", 1), ("t2", 12)):
        failed(number, name=name, rule=f"coral/{name}")
        expert.get(page)
        with CaptureQueriesContext(connection) as queries:
            assert expert.get(page).status_code == 200
        numbers.append(len(queries))
    assert max(numbers) <= MAX_QUERIES
    assert numbers[1] <= numbers[0]


def test_more_groups_than_a_page_shows_are_on_the_next_one() -> None:
    failed(3)
    Attempt.objects.filter(job=Job.objects.order_by("pk")[0]).update(rule="coral/lonely")
    manual = "pilotext.server.pages.manual.GROUPS"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manual, 1)
        first = text_of(browser("viewer").get("/manual"))
        further = re.search(r'href="([^"]+)">Further groups', first)
        assert further is not None
        second = text_of(browser("viewer").get(further[1]))
    assert "coral/lonely" in second
    assert "Further groups" not in second


def test_fail_and_retry_do_not_stand_in_the_work_list() -> None:
    submit()
    fail(leased(), "crash", "retry")
    assert "No job waits for a decision" in text_of(browser("viewer").get("/manual"))
