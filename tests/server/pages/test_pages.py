"""Pages: who sees which, what stands on them, decisions, hostile texts, and the number of queries."""

from __future__ import annotations

import html
import re

import pytest

from pilotext.server.boot import boot

boot()

from django.db import connection  # noqa: E402  needs boot
from django.test.utils import CaptureQueriesContext  # noqa: E402

from pilotext.server.production.access.people import make_groups, set_user  # noqa: E402
from pilotext.server.production.models import Agent, Attempt, AuditEntry, Experiment, Job, Site, Task  # noqa: E402
from pilotext.server.production.profiles import remember_all  # noqa: E402
from tests.server.pages.browsing import BY, HOSTILE, PASSWORD, assert_harmless, browser, text_of  # noqa: E402
from tests.server.support import fail, leased, raw, submit, succeed, the_job  # noqa: E402

ROLES = ("viewer", "expert", "manager")
READ = (
    *(
        "/",
        "/tasks",
        "/tasks/{task}",
        "/tasks/{task}/file",
        "/jobs",
        "/jobs/{job}",
        "/manual",
        "/manual/jobs",
        "/failures",
        "/sites",
    ),
    *("/jobs.json", "/jobs.csv", "/failures.csv", "/failures/attempts", "/trail", "/trail.csv", "/account", "/server"),
    "/jobs/{job}/attempts/1/log",
    *("/plots", "/plots/states", "/plots/failures", "/plots/storage/hours.csv", "/attempts"),
    *("/rules", "/rules/COMPASS/fatal-error"),
)
TWINS = (".json", ".csv", ".atom")
"""Ends of addresses whose answers are no HTML."""
MAX_QUERIES = 12
"""Queries of a page, those of session and user included."""

pytestmark = pytest.mark.usefixtures("database", "quick_hashes")


def address(pattern: str) -> str:
    return pattern.format(task=Task.objects.values_list("pk", flat=True)[0], job=Job.objects.values_list("pk")[0][0])


@pytest.mark.parametrize("pattern", READ)
def test_people_of_every_role_see_a_page_and_others_are_asked_to_log_in(pattern: str, failed_job: int) -> None:
    page = address(pattern)
    for role in ROLES:
        answer = browser(role).get(page)
        assert answer.status_code == 200, role
        assert "default-src 'none'" in answer["Content-Security-Policy"]
    nobody = browser().get(page)
    assert (nobody.status_code, nobody["Location"]) == (302, f"/login?next={page}")
    assert browser().post(page).status_code == (302 if page == "/account" else 405)


@pytest.mark.parametrize(
    ("pattern", "word", "allowed"),
    [
        ("/jobs/{job}/decide", "fail", {"expert", "manager"}),
        ("/jobs/{job}/note", "", {"expert", "manager"}),
        ("/jobs/{job}/assign", "me", {"expert", "manager"}),
        ("/tasks/{task}/decide", "pause", {"manager"}),
    ],
)
@pytest.mark.parametrize("role", ROLES)
def test_a_decision_needs_its_role(pattern: str, word: str, allowed: set[str], role: str, failed_job: int) -> None:
    before = AuditEntry.objects.count()
    answer = browser(role).post(address(pattern), {"to": word, "why": "seen in the log"})
    assert answer.status_code == (302 if role in allowed else 403)
    assert (AuditEntry.objects.filter(who=f"person:a-{role}").count() > 0) == (role in allowed)
    assert (AuditEntry.objects.count() > before + 1) == (role in allowed)  # one line is the new user


def test_somebody_logs_in_and_out_and_comes_to_the_page_that_was_asked_for() -> None:
    make_groups()
    set_user("eva", "viewer", BY, PASSWORD)
    found = browser()
    wrong = found.post("/login", {"username": "eva", "password": "wrong"})
    assert wrong.status_code == 200
    assert "Please enter a correct username and password" in text_of(wrong)
    right = found.post("/login", {"username": "eva", "password": PASSWORD, "next": "/sites"})
    assert (right.status_code, right["Location"]) == (302, "/sites")
    assert found.get("/logout").status_code == 405
    assert found.post("/logout").status_code == 302
    assert found.get("/sites").status_code == 302


def test_the_login_leads_to_no_other_server() -> None:
    make_groups()
    set_user("eva", "viewer", BY, PASSWORD)
    answer = browser().post("/login", {"username": "eva", "password": PASSWORD, "next": "https://evil.example/"})
    assert answer["Location"] == "/"


def test_a_user_without_a_role_sees_no_page(failed_job: int) -> None:
    found = browser("viewer")
    set_user("a-viewer", None, BY)
    assert found.get("/tasks").status_code == 302


def test_the_page_of_a_job_begins_with_its_verdict_and_offers_what_can_be_decided(failed_job: int) -> None:
    text = text_of(browser("expert").get(f"/jobs/{failed_job}"))
    for part in ("COMPASS-1241", "calibration it was", "manual check", "CERN_COMPASS_PROD", "wn1", raw(1, 11)):
        assert part in text
    assert re.findall(r'name="to" value="(\w+)"', text) == ["resend", "fail", "cancel"]
    assert 'name="to"' not in text_of(browser("viewer").get(f"/jobs/{failed_job}"))


def test_a_decision_moves_the_job_and_has_its_line_in_the_history(failed_job: int) -> None:
    expert = browser("expert")
    answer = expert.post(f"/jobs/{failed_job}/decide", {"to": "resend", "why": "the calibration is there now"})
    assert (answer.status_code, answer["Location"]) == (302, f"/jobs/{failed_job}")
    assert the_job().state == "ready"
    text = text_of(expert.get(f"/jobs/{failed_job}"))
    assert "Done: resend." in text
    assert "the calibration is there now" in text
    assert "person:a-expert" in text


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({"to": "resend"}, 422, "needs a reason"),
        ({"to": "resend", "why": " "}, 422, "needs a reason"),
        ({"to": "resend", "why": "x" * 501}, 422, "longer than 500"),
        ({"to": "resent", "why": "x"}, 422, "Did you mean"),
    ],
)
def test_a_decision_that_cannot_be_carried_out_says_why(
    form: dict[str, str], status: int, said: str, failed_job: int
) -> None:
    answer = browser("expert").post(f"/jobs/{failed_job}/decide", form)
    assert answer.status_code == status
    assert said in text_of(answer)
    assert the_job().state == "manual"


def test_a_form_of_another_site_decides_nothing(failed_job: int) -> None:
    answer = browser("expert", checks=True).post(f"/jobs/{failed_job}/decide", {"to": "fail", "why": "x"})
    assert answer.status_code == 403
    assert the_job().state == "manual"


def test_a_task_shows_counters_that_lead_to_its_jobs_and_its_runs() -> None:
    submit([raw(7, 1), raw(7, 2), raw(8, 1)])
    succeed(leased())
    viewer = browser("viewer")
    text = text_of(viewer.get(address("/tasks/{task}")))
    finished = re.search(r'href="([^"]+)"><b>1</b><span>finished', text)
    assert finished is not None
    jobs = text_of(viewer.get(finished[1].replace("&amp;", "&")))
    assert jobs.count("<tr>") == 1 + 1
    assert re.findall(r"/runs/(\d)", text) == ["7", "8"]


def test_the_counters_of_a_task_lead_to_as_many_jobs_as_they_say() -> None:
    submit([raw(7, 1), raw(7, 2)])
    row = Job.objects.order_by("pk")[0]
    merge = {"task": row.task, "type": "merging", "product": "mdst", "file": "mDST-7.root", "run": 7, "state": "ready"}
    Job.objects.create(**merge)
    viewer = browser("viewer")
    ready = re.search(r'href="([^"]+)"><b>(\d)</b><span>ready', text_of(viewer.get(address("/tasks/{task}"))))
    assert ready is not None
    listed = text_of(viewer.get(ready[1].replace("&amp;", "&")))
    assert listed.count('href="/jobs/') == int(ready[2]) == 2
    assert "no product" in listed


def test_a_list_of_jobs_goes_on_on_the_next_page() -> None:
    submit([raw(7, chunk) for chunk in range(1, 6)])
    viewer = browser("viewer")
    first = text_of(viewer.get("/jobs?limit=3"))
    further = re.search(r'href="([^"]+)">Further', first)
    assert further is not None
    second = text_of(viewer.get(further[1].replace("&amp;", "&")))
    shown = [re.findall(r'href="/jobs/(\d+)"', text) for text in (first, second)]
    assert list(map(len, shown)) == [3, 2]
    assert "Further" not in second


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("task=t2", 404, "t2"),
        ("state=finish", 422, "finish"),
        ("stat=finished", 422, "stat"),
        ("run=x", 422, "run"),
        ("limit=100000", 422, "limit"),
    ],
)
def test_a_choice_that_there_is_not_is_refused_in_words(query: str, status: int, said: str, failed_job: int) -> None:
    answer = browser("viewer").get(f"/jobs?{query}")
    assert answer.status_code == status
    assert said in text_of(answer)


@pytest.mark.parametrize(("page", "status"), [("/jobs/99999", 404), ("/tasks/99999", 404), ("/nothing", 404)])
def test_what_there_is_not_is_not_found_and_leads_back(page: str, status: int) -> None:
    viewer = browser("viewer")
    text = text_of(viewer.get(page, headers={"referer": "http://localhost/jobs?state=manual"}))
    assert '<a class="button" href="/jobs?state=manual">Back</a>' in text
    for elsewhere in ("http://evil.invalid/x", f"http://localhost{page}", "http://localhost//evil.invalid/x", ""):
        text = text_of(viewer.get(page, headers={"referer": elsewhere}))
        assert ">Back</a>" not in text, elsewhere
        assert '<a href="/">Overview</a>' in text


def test_a_form_without_a_token_says_what_to_do(failed_job: int) -> None:
    answer = browser("expert", checks=True).post(f"/jobs/{failed_job}/decide", {"to": "fail", "why": "no token"})
    assert answer.status_code == 403
    assert "reload the page" in text_of(answer)
    assert "default-src 'none'" in answer["Content-Security-Policy"]


def test_a_failure_of_the_server_has_a_way_back(failed_job: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken for a test")

    monkeypatch.setattr("pilotext.server.pages.job.event_counts", broken)
    viewer = browser("viewer")
    viewer.raise_request_exception = False
    answer = viewer.get(f"/jobs/{failed_job}")
    assert answer.status_code == 500
    assert '<a href="/">Overview</a>' in text_of(answer)
    assert "broken for a test" not in text_of(answer)


@pytest.mark.parametrize(("page", "status"), [("/jobs/99999", 404), ("/tasks/99999", 404), ("/nothing", 404)])
def test_what_there_is_not_is_not_found(page: str, status: int) -> None:
    assert browser("viewer").get(page).status_code == status


@pytest.mark.parametrize(
    ("word", "place"),
    [("{job}", "/jobs/{job}"), ("123456", "/jobs?run=123456"), ("compass-1241", "/jobs?code=COMPASS-1241")],
)
def test_the_search_leads_to_what_a_word_names(word: str, place: str, failed_job: int) -> None:
    Job.objects.update(run=275772)  # another number than that of the job
    answer = browser("viewer").get("/search", {"q": word.format(job=failed_job)})
    assert (answer.status_code, answer["Location"]) == (302, place.format(job=failed_job))


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("bw_compass_mcore", "/sites/{site}"),
        ("w14", "/period?year=2016&period=W14"),
        ("2016 W14", "/period?year=2016&period=W14"),
        ("2016W14", "/period?year=2016&period=W14"),
        ("P01", "/periods"),
        ("2017P01", "/period?year=2017&period=P01"),
    ],
)
def test_the_search_finds_sites_and_periods(word: str, place: str) -> None:
    for number, (year, period) in enumerate(((2016, "W14"), (2017, "P01"), (2018, "P01"))):
        submit(name=f"t{number}")
        Task.objects.filter(name=f"t{number}").update(year=year, period=period)
    site = Site.objects.get(name="BW_COMPASS_MCORE").pk
    assert browser("viewer").get("/search", {"q": word})["Location"] == place.format(site=site)


@pytest.mark.parametrize("word", ["cdr00003-7.raw", "mDST-7-3-0-7.root", "COMPASS-7-3.log"])
def test_the_search_finds_the_job_of_a_raw_or_an_output_file(word: str) -> None:
    submit([raw(7, 2), raw(7, 3), raw(3, 4)])
    job = Job.objects.get(run=7, chunk=3).pk
    assert browser("viewer").get("/search", {"q": word})["Location"] == f"/jobs/{job}"


def test_the_search_shows_the_run_where_several_tasks_read_a_file() -> None:
    for name in ("t1", "t2"):
        submit([raw(7, 3)], name=name)
    assert browser("viewer").get("/search", {"q": "cdr00003-7.raw"})["Location"] == "/jobs?run=7"


def test_the_search_finds_a_node(failed_job: int) -> None:
    node = Attempt.objects.exclude(node="").values_list("node", flat=True)[0]
    assert browser("viewer").get("/search", {"q": node})["Location"] == f"/jobs?node={node}"


def test_the_search_finds_an_agent_also_one_whose_name_looks_like_a_code() -> None:
    agent = Agent.objects.create(name="stampede-001", site=Site.objects.earliest("pk"))
    assert browser("viewer").get("/search", {"q": agent.name})["Location"] == "/jobs?agent=stampede-001"
    assert "code=STAMPEDE-002" in browser("viewer").get("/search", {"q": "stampede-002"})["Location"]


@pytest.mark.parametrize("word", ["2018W14", "cdr00009-9.raw", "no-such-node.example", "<b>"])
def test_the_search_for_what_there_is_not_says_what_can_be_found(word: str, failed_job: int) -> None:
    answer = browser("viewer").get("/search", {"q": word})
    assert answer.status_code == 404
    text = text_of(answer)
    assert f"Nothing is called {html.escape(word)}" in text
    assert "a node, or a code" in text


def test_a_task_names_the_inputs_that_were_left_out_and_why() -> None:
    submit([raw(7, 1), "/castor/odd.txt", "/castor/other.txt"])
    text = text_of(browser("viewer").get(address("/tasks/{task}")))
    assert "2 inputs made no job" in text
    rows = re.findall(r"<tr><td class=\"mono wide\">([^<]+)</td><td class=\"wide\">([^<]+)</td>", text)
    assert [file for file, _ in rows] == ["/castor/odd.txt", "/castor/other.txt"]
    assert all(len(why) > 10 for _, why in rows)


def test_a_task_without_inputs_left_out_says_so(failed_job: int) -> None:
    assert "No input is known to have been left out" in text_of(browser("viewer").get(address("/tasks/{task}")))


@pytest.mark.parametrize("pattern", READ)
def test_texts_of_logs_nodes_and_tasks_stay_texts(pattern: str) -> None:
    submit()
    fail(leased(HOSTILE), "calibration", "manual-check", host=HOSTILE)
    Job.objects.update(diag=HOSTILE, assigned=HOSTILE, file=HOSTILE)
    Task.objects.update(note=HOSTILE, name=HOSTILE)
    answer = browser("manager").get(address(pattern))
    assert answer.status_code == 200
    text = text_of(answer)
    assert_harmless(text, html=not pattern.endswith(TWINS))


@pytest.mark.parametrize("pattern", READ)
def test_a_page_costs_as_many_queries_for_many_jobs_as_for_few(pattern: str) -> None:
    numbers = []
    viewer = browser("viewer")
    for name, chunks in (("t1", 2), ("t2", 40)):
        submit([raw(9 + chunks, chunk) for chunk in range(1, chunks + 1)], name=name)
        fail(leased(), "calibration", "manual-check")
        tried = Attempt.objects.order_by("-pk")[0]
        page = pattern.format(task=tried.task_id, job=tried.job_id)
        with CaptureQueriesContext(connection) as queries:
            assert viewer.get(page).status_code == 200
        numbers.append(len(queries))
    assert max(numbers) <= MAX_QUERIES
    assert numbers[1] <= numbers[0] + 2


def test_a_job_that_runs_has_a_page_before_any_report() -> None:
    submit()
    leased()
    text = text_of(browser("expert").get(f"/jobs/{the_job().pk}"))
    assert "No report yet" in text


@pytest.mark.parametrize(("page", "word"), [("/jobs/{job}/decide", "fail"), ("/tasks/{task}/decide", "start")])
def test_a_decision_that_moves_nothing_is_no_success(page: str, word: str) -> None:
    submit()
    answer = browser("manager").post(address(page), {"to": word, "why": "x"})
    assert answer.status_code == 409
    assert "nothing was changed" in text_of(answer)


def test_after_a_login_a_decision_leads_to_its_object(failed_job: int) -> None:
    answer = browser().post(f"/jobs/{failed_job}/decide", {"to": "fail", "why": "x"})
    assert answer.status_code == 302
    assert answer["Location"] == f"/login?next=/jobs/{failed_job}"


@pytest.mark.parametrize("page", ["/jobs?path=&limit=1", "/manual?path=&limit=1", "/jobs?task=t1&assigned="])
def test_empty_fields_of_an_address_break_nothing(page: str, failed_job: int) -> None:
    assert browser("viewer").get(page).status_code == 200


def test_a_text_with_a_zero_is_refused(failed_job: int) -> None:
    assert browser("expert").get("/jobs?code=%00").status_code == 422
    assert browser("expert").post(f"/jobs/{failed_job}/decide", {"to": "fail", "why": "a\0"}).status_code == 422


def test_the_command_of_a_list_is_quoted(failed_job: int) -> None:
    text = text_of(browser("viewer").get("/jobs?code=x;curl+evil|sh&after=99999"))
    assert "--code &#x27;x;curl evil|sh&#x27;" in text


def test_a_code_that_no_rule_has_and_an_attempt_had_is_no_error() -> None:
    submit()
    fail(leased(), "crash", "retry")
    Attempt.objects.update(code="COMPASS-1999")
    Job.objects.update(code="")
    assert browser("viewer").get("/jobs?code=COMPASS-1999").status_code == 200
    assert browser("viewer").get("/jobs?code=COMPASS-1998").status_code == 404


def test_the_page_of_a_task_is_not_about_another_of_its_name() -> None:
    submit([raw(7, 1)])
    submit([raw(8, 1)], name="t2")
    Task.objects.filter(name="t2").update(name="t1", experiment=Experiment.objects.exclude(name="COMPASS")[0])
    text = text_of(browser("viewer").get(f"/tasks/{Task.objects.order_by('-pk')[0].pk}"))
    assert re.findall(r"/runs/(\d)", text) == ["8"]


@pytest.mark.usefixtures("database")
def test_the_trail_says_in_words_what_a_profile_and_its_sites_are() -> None:
    remember_all()
    text = text_of(browser("viewer").get("/trail"))
    assert "COMPASS for the first time" in text
    assert "attempts at once: at most 10000; inputs on tape: brought to disk before; merges of its tasks: where" in text
    assert "attempts at once: no limit" in text
    assert "job_types:" not in text, "fingerprints are for programs"
