"""Page of a job: verdict, attempts, course, files, history, notes, and what a decision would do."""

from __future__ import annotations

import re

import pytest

from pilotext.server.boot import boot
from pilotext.server.times import EPOCH, from_seconds

boot()

from django.db import connection  # noqa: E402  needs boot
from django.test.utils import CaptureQueriesContext  # noqa: E402
from msgspec.structs import replace  # noqa: E402

from pilotext.model.report import PhaseRecord, Report, Series, Transfer, Usage  # noqa: E402
from pilotext.model.verdict import Dropped, Evidence, Match, Verdict  # noqa: E402
from pilotext.server.production.dispatch.dispatcher import Lease  # noqa: E402
from pilotext.server.production.manual_decisions.jobs import HURRIED  # noqa: E402
from pilotext.server.production.models import Attempt, AttemptReport, AuditEntry, Job, Product, Task  # noqa: E402
from tests.server import several_inputs  # noqa: E402
from tests.server.pages.browsing import HOSTILE, assert_harmless, browser, rows_of, text_of  # noqa: E402
from tests.server.several_inputs import joining  # noqa: E402
from tests.server.support import fail, leased, raw, report_of, send, submit, succeed, the_job  # noqa: E402

__all__ = ["joining"]
pytestmark = pytest.mark.usefixtures("database", "quick_hashes")

MAX_QUERIES = 12
"""Queries of the page of a job, those of session and user included."""


def whole_report(given: Lease, text: str = "A FATAL ERROR APPEARED: no table for run 275772") -> Report:
    """A failure with all that a report can hold; `text` is the decisive line."""
    quote = Evidence("fatal-error", "stderr", 812, 40123, text, ("the line before",), ("the line after",))
    verdict = Verdict(
        "failure",
        "COMPASS-1235",
        581235,
        "fatal-error",
        "manual-check",
        "fatal-error",
        "CORAL stopped",
        f"COMPASS-1235 {text}",
        "Read the FATAL block.",
        (quote,),
        (Match("end-of-job-missing", "COMPASS-1202", "manual-check", 3, (quote,)),),
        (Dropped("end-of-job-missing", "explained by fatal-error"), Dropped("lonely", "shadow")),
        {"raw_events": 100, "events_processed": 60, "events_skipped": 0, "decoded": 7},
    )
    phases = (PhaseRecord("stage-in", 10.0, 30.0, "done"), PhaseRecord("payload", 40.0, 70.0, "failed"))
    series = Series((0.0, 30.0, 60.0), (0.0, 27.0, 57.0), (500.0, 900.0, 1300.0), disk_mb=(1.0, 2.0, 3.0))
    usage = Usage(wall_s=60.0, cpu_s=57.0, peak_memory_mb=1300.0, series=series)
    inputs = (Transfer("cdr11-1.raw", "root://castor/cdr11-1.raw", 200_000_000, "1a2b3c4d", 2.0),)
    base = report_of(given, cause="fatal-error", action="manual-check")
    return replace(base, verdict=verdict, phases=phases, usage=usage, inputs=inputs)


def fail_wholly(text: str = "A FATAL ERROR APPEARED: no table for run 275772") -> int:
    given = leased()
    send(given, whole_report(given, text))
    return given.job.job


def page_of(job: int, role: str = "expert", **query: str | int) -> str:
    answer = browser(role).get(f"/jobs/{job}", query)
    assert answer.status_code == 200
    return text_of(answer)


def test_the_verdict_stands_with_its_line_the_lines_around_it_and_what_was_caught() -> None:
    submit()
    text = page_of(fail_wholly())
    assert "CORAL stopped" in text
    assert "Read the FATAL block." in text
    assert re.search(r'class="n">811</td><td>the line before', text)
    assert re.search(r'class="hit"><td class="n">812</td><td>.*<mark>[^<]*A FATAL ERROR APPEARED', text)
    assert re.search(r'class="n">813</td><td>the line after', text)


def test_rules_that_were_not_elected_say_why() -> None:
    submit()
    rows = rows_of(page_of(fail_wholly()), "Rules that matched and were not elected")
    assert rows[1][:3] == ["end-of-job-missing", "COMPASS-1202", "3"]
    assert rows[1][3].startswith("stderr, line 812:")
    assert rows[1][4] == "explained by fatal-error"
    assert rows[2] == ["lonely", "", "", "", "shadow"]


def test_phases_resources_events_and_files_are_those_of_the_report() -> None:
    submit()
    text = page_of(fail_wholly())
    assert rows_of(text, "Phases")[0][:3] == ["stage-in", "30 s", "30.0 %"]
    assert "CPU efficiency 95 % of one core" in text
    assert "peak 1.3 GB of 3 GB, 43%" in text
    assert text.count('class="limit"') == 2
    assert ["Processed", "60"] in rows_of(text, "Events")
    assert "balance broken" in text
    assert rows_of(text, "Inputs of attempt 1")[1][4:6] == ["2.0", "100.0"]


def test_a_good_job_shows_its_balance_and_the_files_that_it_published() -> None:
    submit()
    given = leased()
    report = report_of(given)
    counters = {"raw_events": 100, "events_processed": 90, "events_skipped": 10, "mdst_entries": 50}
    send(given, replace(report, verdict=replace(report.verdict, counters=counters)))
    text = page_of(given.job.job)
    assert "balance holds" in text
    assert ["Entries of the mDST", "50"] in rows_of(text, "Events")
    published = rows_of(text, "Published files")
    assert {row[0] for row in published[1:]} == {"dump", "hist", "mdst"}
    assert {row[0]: row[6] for row in published[1:]}["mdst"] == "50"
    assert all(row[7] == "0.0" for row in published[1:])  # a kilobyte in a second
    assert "It was over before its resources were sampled twice." in text


def test_an_earlier_attempt_can_be_shown_and_the_page_says_that_it_is_not_the_last() -> None:
    submit()
    fail(leased("wn1"), "crash", "retry")
    Job.objects.update(not_before=EPOCH)
    job = fail_wholly()
    text = page_of(job)
    assert "COMPASS-1235" in text
    assert "This is attempt" not in text
    earlier = page_of(job, attempt=1)
    assert "This is attempt 1" in earlier
    assert "crash it was" in earlier


@pytest.mark.parametrize("attempt", ["3", "x", "-1", "1e9", "%00"[:2]])
def test_an_attempt_that_there_is_not_is_not_found(attempt: str) -> None:
    submit()
    answer = browser("viewer").get(f"/jobs/{fail_wholly()}", {"attempt": attempt})
    assert answer.status_code == 404
    assert "no attempt" in text_of(answer)


def test_an_attempt_without_a_report_shows_what_the_server_knows() -> None:
    submit()
    leased()
    Attempt.objects.update(phase="payload", progress={"events_processed": 4711})
    text = page_of(the_job().pk)
    assert "No report yet" in text
    assert "in phase payload" in text
    assert "4711" in text
    Attempt.objects.update(state="lost", ended=from_seconds(2.0), diag="was heard of no more")
    text = page_of(the_job().pk)
    assert "No report of this attempt came" in text
    assert "was heard of no more" in text


def test_the_verdict_of_a_lost_attempt_is_not_that_of_the_one_before() -> None:
    submit()
    fail(leased(), "crash", "retry")
    Job.objects.update(not_before=EPOCH)
    leased("wn2")
    Attempt.objects.filter(number=2).update(state="lost", ended=from_seconds(3.0), diag="was heard of no more")
    Job.objects.update(state="manual", diag="")
    text = page_of(the_job().pk)
    assert "crash it was" not in text
    assert "was heard of no more" in text


def test_a_new_verdict_of_changed_rules_and_a_late_report_are_said() -> None:
    submit()
    job = fail_wholly()
    AttemptReport.objects.update(reclassified='{"verdict":"failure","code":"COMPASS-1241","rule":"x","ruleset":"abc"}')
    AttemptReport.objects.update(late=True)
    text = page_of(job)
    assert "judged again" in text
    assert "after the lease of its attempt had ended" in text


def test_a_preview_says_what_a_decision_does_to_the_run() -> None:
    submit([raw(7, 1)], merges=["mdst"])
    job = fail_wholly()
    Product.objects.update(state="merging")
    text = page_of(job)
    assert re.search(r'value="resend".*?run 7 is merged anew: mdst', text, re.DOTALL)
    assert re.search(r"<b>Accept</b>.*?cannot be: its last attempt has not published its outputs", text, re.DOTALL)
    assert 'value="accept"' not in text
    Product.objects.update(state="waiting")
    text = page_of(job)
    assert "run 7 waits for it: mdst" in text
    assert "needs a decision before it is merged without it" in text


@pytest.mark.parametrize("word", ["resend", "accept"])
def test_a_preview_hinders_what_the_decision_itself_refuses(word: str) -> None:
    submit([raw(7, 1)], merges=["mdst"])
    job = fail_wholly()
    Task.objects.update(state="archived")
    text = page_of(job)
    assert f'value="{word}"' not in text
    assert "its task t1 is archived" in text
    answer = browser("expert").post(f"/jobs/{job}/decide", {"to": word, "why": "x"})
    assert answer.status_code == 409
    assert "its task t1 is archived" in text_of(answer)


def test_a_job_whose_files_are_there_can_be_accepted_as_its_page_says() -> None:
    submit([raw(7, 1)], merges=["mdst"])
    given = leased()
    succeed(given)
    Job.objects.update(state="manual")
    assert 'value="accept"' in page_of(given.job.job)
    answer = browser("expert").post(f"/jobs/{given.job.job}/decide", {"to": "accept", "why": "x"})
    assert answer.status_code == 302
    assert the_job().state == "finished"


def test_a_waiting_job_is_hurried_on_its_page_by_an_expert_and_one_that_waits_for_a_decision_is_not() -> None:
    submit([raw(7, 1)])
    job = the_job().pk
    assert 'value="hurry"' in page_of(job)
    form = {"to": "hurry", "why": "for the conference"}
    assert browser("viewer").post(f"/jobs/{job}/decide", form).status_code == 403
    assert browser("expert").post(f"/jobs/{job}/decide", form).status_code == 302
    text = page_of(job)
    assert "for the conference" in text
    assert the_job().priority == HURRIED
    fail_wholly()
    assert 'value="hurry"' not in page_of(job)
    assert 'value="hurry"' not in text_of(browser("expert").get("/manual"))
    assert 'value="resend"' in text_of(browser("expert").get("/manual"))


def test_a_note_and_who_has_it_stand_in_the_history() -> None:
    submit()
    job = fail_wholly()
    expert = browser("expert")
    assert expert.post(f"/jobs/{job}/note", {"why": "asked the alignment team"}).status_code == 302
    assert expert.post(f"/jobs/{job}/assign", {"whom": "me"}).status_code == 302
    assert the_job().assigned == "a-expert"
    text = text_of(expert.get(f"/jobs/{job}"))
    assert "asked the alignment team" in text
    assert "assigned to a-expert" in text
    assert 'value="me"' not in text
    expert.post(f"/jobs/{job}/assign", {"whom": ""})
    assert the_job().assigned == ""


def test_a_note_needs_words_and_a_job() -> None:
    submit()
    job = fail_wholly()
    before = AuditEntry.objects.filter(subject="note").count()
    assert browser("expert").post(f"/jobs/{job}/note", {"why": " "}).status_code == 422
    assert browser("expert").post("/jobs/99999/note", {"why": "x"}).status_code == 404
    assert browser("expert").post("/jobs/99999/assign", {"whom": "me"}).status_code == 404
    assert AuditEntry.objects.filter(subject="note").count() == before


def test_nobody_can_give_a_job_to_somebody_else_by_the_form() -> None:
    submit()
    job = fail_wholly()
    browser("expert").post(f"/jobs/{job}/assign", {"whom": "maria"})
    assert the_job().assigned == ""


def test_a_viewer_is_offered_nothing() -> None:
    submit()
    text = page_of(fail_wholly(), "viewer")
    assert [form for form in re.findall(r"<form[^>]*>", text) if "logout" not in form and "search" not in form] == []


def test_hostile_texts_of_a_report_stay_texts() -> None:
    submit()
    given = leased()
    report = whole_report(given, HOSTILE)
    verdict = replace(report.verdict, title=HOSTILE, remedy=HOSTILE, ruleset=HOSTILE, counters={HOSTILE: 1})
    moved = Transfer(HOSTILE, HOSTILE, 1, HOSTILE, 1.0)
    send(given, replace(report, verdict=verdict, host=HOSTILE, inputs=(moved,), log=moved, pilotext=HOSTILE))
    Attempt.objects.update(decision=HOSTILE)
    text = page_of(given.job.job)
    assert_harmless(text)
    assert "\\x1b[31m\\u202e" in text


@pytest.mark.parametrize("attempts", [1, 25])
@pytest.mark.parametrize("state", ["manual", "finished", "failed", "sent", "cancelled"])
def test_the_page_of_a_job_costs_few_queries_whatever_its_history(attempts: int, state: str) -> None:
    submit([raw(7, 1)], merges=["mdst", "hist"])
    fail_wholly()
    row = Attempt.objects.get()
    kept = AttemptReport.objects.get()
    for number in range(2, attempts + 1):
        row.pk, row.number, row.token = None, number, f"token-{number}"
        row.save()
        AttemptReport.objects.create(attempt=row, report=kept.report)
    Job.objects.update(state=state, attempts=attempts)
    expert = browser("expert")
    job = the_job().pk
    expert.get(f"/jobs/{job}")
    with CaptureQueriesContext(connection) as queries:
        assert expert.get(f"/jobs/{job}").status_code == 200
    assert len(queries) <= MAX_QUERIES + (attempts > 20)


@pytest.mark.usefixtures("joining")
def test_a_job_of_several_files_lists_them_and_is_found_by_each() -> None:
    several_inputs.submit({7: 3}, known={"size": 400, "adler32": "0a0b0c0d", "events": 50})
    job, expert = Job.objects.get(files=2).pk, browser("expert")
    leased()
    with CaptureQueriesContext(connection) as queries:
        text = text_of(expert.get(f"/jobs/{job}"))
    assert len(queries) <= MAX_QUERIES
    assert "The 2 files that it reads" in text
    assert "cdr2-7.raw · 400 B · adler32 0a0b0c0d · 50 events" in text
    assert {expert.get("/search", {"q": f"cdr{chunk}-7.raw"})["Location"] for chunk in (1, 2)} == {f"/jobs/{job}"}
    assert expert.get("/search", {"q": "cdr4-7.raw"}).status_code == 404
    assert "that it reads" not in page_of(Job.objects.get(files=1).pk)


@pytest.mark.usefixtures("joining")
def test_a_further_file_of_a_job_is_found_before_a_job_whose_run_and_chunk_are_in_its_name() -> None:
    several_inputs.submit({1: 2, 2: 2}, known={"size": 400})
    job, other, expert = Job.objects.get(run=1).pk, Job.objects.get(run=2).pk, browser("expert")
    assert expert.get("/search", {"q": "cdr2-1.raw"})["Location"] == f"/jobs/{job}"
    assert expert.get("/search", {"q": "mDST-2-1.root"})["Location"] == f"/jobs/{other}"


def test_the_page_of_a_job_that_is_ready_costs_few_queries_too() -> None:
    submit([raw(7, 1)])
    expert, job = browser("expert"), the_job()
    with CaptureQueriesContext(connection) as queries:
        assert expert.get(f"/jobs/{job.pk}").status_code == 200
    assert len(queries) <= MAX_QUERIES
