from __future__ import annotations

import gc

import msgspec
import pytest

from pilotext.api.schemas.jobs import BulkMove, BulkMoved, JobFilter, JobQuery
from pilotext.model.verdict import Evidence
from pilotext.server.database import transact
from pilotext.server.production.dispatch.leases import expire_leases
from pilotext.server.production.job_builder import build_job
from pilotext.server.production.manual_decisions import jobs
from pilotext.server.production.manual_decisions.jobs import assign, move_job, note
from pilotext.server.production.manual_decisions.worklist import move_many, worklist
from pilotext.server.production.models import Attempt, AttemptReport, AuditEntry, Job, Output, Product
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.statistics.jobs import describe_job
from pilotext.server.production.transitions import Reason
from pilotext.server.times import EPOCH
from tests.server.support import fail, leased, raw, report_of, send, submit, succeed, the_job

pytestmark = pytest.mark.usefixtures("database")

WHY = Reason("maria", "looked at it", "person")
LINE = Evidence("bad-raw", "stderr", 812, 4711, "DaqError: bad event", ("before",), ("after",))


def fail_for_somebody(number: int = 1, **more: object) -> None:
    submit([raw(1, chunk) for chunk in range(number)], **more)
    for _ in range(number):
        given = leased()
        report = report_of(given, cause="input-corrupt", action="manual-check")
        verdict = msgspec.structs.replace(report.verdict, rule="bad-raw", remedy="Copy it anew.", evidence=(LINE,))
        send(given, msgspec.structs.replace(report, verdict=verdict))


def many(word: str, *, limit: int = 500, after: int = 0, **chosen: object) -> BulkMoved:
    asked = BulkMove(word, "looked at it", JobFilter(**chosen), after, limit)  # type: ignore[arg-type]
    return transact(lambda: move_many(asked, WHY))


def test_the_work_list_has_evidence_remedy_and_who_looks_into_it() -> None:
    """In the legacy system manual check was a dead end, without evidence, note, owner or history."""
    fail_for_somebody()
    job = the_job().pk
    transact(lambda: assign(job, "igor", WHY))
    transact(lambda: note(job, Reason("igor", "asked the shift crew", "person")))
    (item,) = worklist(JobQuery()).items
    assert (item.job, item.rule, item.remedy, item.evidence) == (job, "bad-raw", "Copy it anew.", (LINE,))
    assert (item.assigned, item.notes, item.site, item.node) == ("igor", 1, "CERN_COMPASS_PROD", "wn1")
    with pytest.raises(RefusalError, match="there is no person 'igro'"):
        worklist(JobQuery(assigned="igro"))


def test_what_waits_for_nobody_is_not_on_the_work_list() -> None:
    submit([raw(1, 1), raw(1, 2)])
    succeed(leased())
    fail(leased())
    assert worklist(JobQuery()).items == ()


def test_the_work_list_comes_in_pages() -> None:
    fail_for_somebody(5)
    seen: list[int] = []
    after: int | None = 0
    while after is not None:
        page = worklist(JobQuery(after=after, limit=2))
        seen += [item.job for item in page.items]
        after = page.next
    assert seen == sorted(Job.objects.values_list("pk", flat=True))


def test_notes_and_assignments_are_in_the_history_of_the_job() -> None:
    fail_for_somebody()
    job = the_job().pk
    transact(lambda: assign(job, "igor", WHY))
    transact(lambda: note(job, Reason("igor", "asked the shift crew", "person")))
    page = describe_job(job)
    assert [(event.subject, event.who, event.why) for event in page.events][-2:] == [
        ("assigned", "maria", "looked at it"),
        ("note", "igor", "asked the shift crew"),
    ]
    assert page.verdict is not None
    assert page.verdict.remedy == "Copy it anew."


def test_nothing_is_noted_on_a_job_that_there_is_not() -> None:
    with pytest.raises(RefusalError, match="there is no job 99"):
        transact(lambda: note(99, WHY))
    assert not AuditEntry.objects.filter(subject="note").exists()


def test_a_decision_on_many_is_taken_some_at_a_time_and_each_job_once() -> None:
    fail_for_somebody(5)
    moved: list[int] = []
    step = many("resend", state="manual", limit=2)
    while True:
        moved += step.moved
        if step.next is None:
            break
        assert step.left > 0
        step = many("resend", state="manual", limit=2, after=step.next)
    assert moved == sorted(Job.objects.values_list("pk", flat=True))
    assert set(Job.objects.values_list("state", flat=True)) == {"ready"}
    assert AuditEntry.objects.filter(subject="job", before="manual", after="ready", why="looked at it").count() == 5


def test_a_decision_on_many_leaves_the_others_alone() -> None:
    fail_for_somebody(3)
    Job.objects.filter(chunk=0).update(code="COMPASS-1235")
    assert len(many("fail", code="COMPASS-1235").moved) == 1
    assert Job.objects.filter(state="manual").count() == 2


def test_a_word_that_there_is_not_moves_nothing() -> None:
    fail_for_somebody()
    with pytest.raises(RefusalError, match="Did you mean 'resend'"):
        many("resnd", state="manual")


def test_a_job_without_outputs_is_not_accepted_where_its_run_is_merged() -> None:
    """No merge may lack a chunk that counts as finished."""
    fail_for_somebody(merges=["mdst"])
    assert Product.objects.exists()
    with pytest.raises(
        RefusalError,
        match="its last attempt has not published its outputs: resend it, or fail it, and have its run merged without",
    ):
        transact(lambda: move_job(the_job().pk, "accept", WHY))
    (told,) = many("accept", state="manual").hindered
    assert told.job == the_job().pk
    assert the_job().state == "manual"


def test_a_job_without_outputs_is_not_accepted_where_nothing_is_merged_either() -> None:
    """Its task would be done, and say that everything is published."""
    fail_for_somebody()
    with pytest.raises(RefusalError, match=r"has not published its outputs: resend it, or fail it\.$"):
        transact(lambda: move_job(the_job().pk, "accept", WHY))
    assert the_job().state == "manual"
    (told,) = many("accept", state="manual").hindered
    assert "has not published its outputs" in told.why


def test_a_job_that_publishes_nothing_is_accepted_without_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_for_somebody()
    monkeypatch.setattr(jobs, "build_job", lambda *given: msgspec.structs.replace(build_job(*given), outputs=()))
    transact(lambda: move_job(the_job().pk, "accept", WHY))
    assert the_job().state == "finished"


def test_a_job_is_accepted_with_outputs_whose_report_came_too_late() -> None:
    submit()
    given = leased()
    Attempt.objects.update(lease_until=EPOCH)
    expire_leases()
    Job.objects.update(state="failed")
    assert not send(given, report_of(given)).accepted
    assert AttemptReport.objects.get().late
    transact(lambda: move_job(the_job().pk, "accept", WHY))
    assert the_job().state == "finished"
    assert Output.objects.filter(state="valid").count() == 3


def test_a_job_whose_outputs_were_published_is_accepted_with_them() -> None:
    submit(merges=["mdst"])
    given = leased()
    good, bad = report_of(given), report_of(given, cause="fatal-error", action="manual-check")
    send(given, msgspec.structs.replace(bad, outputs=good.outputs))
    transact(lambda: move_job(the_job().pk, "accept", WHY))
    assert the_job().state == "finished"
    assert {output.kind for output in Output.objects.filter(state="valid")} == {"mdst", "hist", "dump"}


def test_few_reports_are_in_memory_while_jobs_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may have megabytes."""
    fail_for_somebody(5, merges=["mdst"])
    in_memory = []

    def published(_job: Job, _last: Attempt) -> list[dict[str, object]]:
        gc.collect()
        in_memory.append(sum(type(each) is AttemptReport for each in gc.get_objects()))
        return []

    monkeypatch.setattr(jobs, "REPORTS_AT_ONCE", 2)
    monkeypatch.setattr(jobs, "published_by", published)
    assert len(many("accept", state="manual").hindered) == 5
    assert len(in_memory) >= 5
    assert max(in_memory) <= 2


def test_a_decision_by_an_empty_node_is_on_no_job() -> None:
    fail_for_somebody(2)
    assert many("resend", node="").moved == ()
    assert set(Job.objects.values_list("state", flat=True)) == {"manual"}
    assert len(many("resend", node="wn1").moved) == 2
