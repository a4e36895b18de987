from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pilotext.api.schemas.jobs import JobFilter
from pilotext.api.schemas.rules import BulkReclassified, Reclassify
from pilotext.model.verdict import Evidence, ExitStatus
from pilotext.server.production.models import Attempt, AuditEntry, Job, Signature
from pilotext.server.production.reports.reclassify import rejudge
from pilotext.server.production.statistics.errors import list_signatures
from pilotext.server.production.statistics.jobs import describe_job
from pilotext.server.times import EPOCH
from tests.server.support import leased, raw, report_of, send, submit, succeed, the_job

pytestmark = pytest.mark.usefixtures("database")

STRANGE = "Quasar: the flux is inverted"
RULE = """
format: 1
experiment: COMPASS
rules:
  - id: flux-inverted
    code: 1298
    title: The flux is inverted
    cause: conditions-db
    action: {action}
    match: 'the flux is inverted'
    remedy: Wait.
    since: 2026-01-01
    examples:
      - match: 'Quasar: the flux is inverted'
      - no-match: 'the flux is right'
"""


def fail_strangely(number: int = 1, text: str = STRANGE) -> None:
    """Attempts whose failure no shipped rule knows."""
    submit([raw(1, chunk) for chunk in range(number)])
    for _ in range(number):
        given = leased()
        report = report_of(given, cause="unknown", action="manual-check")
        line = Evidence("exit-nonzero", "stderr", 900, 4711, text, ("so far so good",))
        changes = {"rule": "exit-nonzero", "code": "COMPASS-2001", "number": 582001}
        verdict = msgspec.structs.replace(report.verdict, signature="00112233", evidence=(line,), **changes)
        send(given, msgspec.structs.replace(report, verdict=verdict, payload=ExitStatus(code=1)))


@pytest.fixture
def new_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A rule that somebody has written since."""
    file = tmp_path / "further" / "compass" / "flux.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(RULE.format(action="retry"))
    monkeypatch.setenv("PILOTEXT_RULES", str(tmp_path / "further"))
    return file


def again(*, act: bool = True, after: int = 0, limit: int = 100, **jobs: object) -> BulkReclassified:
    return rejudge(Reclassify(JobFilter(**jobs), act, "the rule is new", after, limit), "maria")  # type: ignore[arg-type]


def test_without_a_new_rule_nothing_is_judged_otherwise() -> None:
    fail_strangely()
    found = again()
    assert (found.looked_at, found.changed) == (1, ())
    assert the_job().state == "manual"


@pytest.mark.usefixtures("new_rule")
def test_a_rule_that_came_later_is_applied_to_kept_evidence_and_acted_on() -> None:
    """Known problem 25 of the legacy system: a new pattern was a new pilot, and past failures stayed unknown."""
    fail_strangely()
    (changed,) = again().changed
    assert (changed.after, changed.rule) == ("COMPASS-1298", "flux-inverted")
    attempt, job = Attempt.objects.get(), the_job()
    assert (attempt.code, attempt.cause, attempt.action) == ("COMPASS-1298", "conditions-db", "retry")
    assert (job.state, job.code, job.charged) == ("ready", "COMPASS-1298", 0)
    assert again().changed == (), "once"


@pytest.mark.usefixtures("new_rule")
def test_without_act_nothing_is_written_down() -> None:
    fail_strangely()
    told = AuditEntry.objects.count()
    assert len(again(act=False).changed) == 1
    assert (the_job().state, Attempt.objects.get().code, AuditEntry.objects.count()) == ("manual", "COMPASS-2001", told)


@pytest.mark.usefixtures("new_rule")
def test_what_was_changed_by_whom_and_why_is_in_the_audit_trail() -> None:
    fail_strangely()
    again()
    event = AuditEntry.objects.get(subject="attempt", after="COMPASS-1298")
    assert (event.who, event.before) == ("maria", "COMPASS-2001")
    assert "the rule is new" in event.why
    page = describe_job(the_job().pk)
    assert page.verdict is not None
    assert page.verdict.rule == "flux-inverted"


def test_where_the_new_rule_wants_a_manual_check_the_job_waits_with_the_new_words(new_rule: Path) -> None:
    new_rule.write_text(RULE.format(action="manual-check"))
    fail_strangely()
    again()
    assert (the_job().state, the_job().code) == ("manual", "COMPASS-1298")


@pytest.mark.usefixtures("new_rule")
def test_a_job_that_was_decided_on_is_left_alone() -> None:
    fail_strangely()
    Job.objects.update(state="failed")
    assert len(again().changed) == 1
    assert the_job().state == "failed"


@pytest.mark.usefixtures("new_rule")
def test_a_job_that_succeeded_since_is_left_alone() -> None:
    fail_strangely()
    Job.objects.update(state="ready", not_before=EPOCH)
    succeed(leased())
    assert len(again().changed) == 1
    assert the_job().state == "finished"


@pytest.mark.usefixtures("new_rule")
def test_a_signature_that_a_rule_explains_names_no_attempt_any_more() -> None:
    fail_strangely(3)
    assert list_signatures(experiment=None, limit=10).signatures[0].open == 3
    again()
    (row,) = list_signatures(experiment=None, limit=10).signatures
    assert (row.count, row.open) == (3, 0)
    assert Signature.objects.count() == 1


@pytest.mark.usefixtures("new_rule")
def test_many_are_judged_some_at_a_time_and_only_those_of_the_choice() -> None:
    fail_strangely(5)
    Job.objects.filter(chunk=4).update(state="failed")
    first = again(limit=3, state="manual")
    assert (first.looked_at, first.left) == (3, 1)
    assert first.next is not None
    assert again(limit=3, state="manual", after=first.next).looked_at == 1
    assert Attempt.objects.filter(code="COMPASS-1298").count() == 4
