from __future__ import annotations

import msgspec
import pytest

from pilotext.api.schemas.attempts import Heartbeat
from pilotext.model.report import Report, Transfer
from pilotext.model.verdict import Verdict
from pilotext.serialization.json import from_json
from pilotext.server.database import transact
from pilotext.server.production.cycle.tasks import end_cancelled, finish_tasks, take_up_again
from pilotext.server.production.dispatch.dispatcher import Lease
from pilotext.server.production.dispatch.leases import expire_leases, heartbeat
from pilotext.server.production.manual_decisions.jobs import move_job
from pilotext.server.production.manual_decisions.tasks import move_task
from pilotext.server.production.models import Attempt, AttemptReport, AuditEntry, AvoidedPlace, Job, Output, Task
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.reports.accept import take_report
from pilotext.server.production.transitions import Reason
from pilotext.server.times import EPOCH
from tests.server.support import WHY, events, fail, lease, leased, raw, report_of, send, submit, succeed, the_job

pytestmark = pytest.mark.usefixtures("database")


def expire() -> None:
    Attempt.objects.update(lease_until=EPOCH)
    assert expire_leases() == 1


def test_a_success_finishes_the_job_and_keeps_its_outputs() -> None:
    submit()
    given = leased()
    assert succeed(given).accepted
    job = the_job()
    assert (job.state, job.events_done) == ("finished", 100)
    kept = {output.kind: output for output in Output.objects.all()}
    assert kept["mdst"].name == "mDST-1-11-0-7.root"
    assert kept["mdst"].events == 50
    assert kept["dump"].placeholder
    assert not kept["mdst"].placeholder
    assert events("job", job.pk) == [("ready", "sent"), ("sent", "finished")]


def test_a_success_without_an_output_is_none() -> None:
    """Known problem 1 of the legacy system: a status of 0 was all that was asked for."""
    submit()
    given = leased()
    send(given, msgspec.structs.replace(report_of(given), outputs=()))
    assert the_job().state == "ready"
    assert Attempt.objects.get().state == "failed"
    assert Output.objects.count() == 0


def test_the_same_report_again_is_answered_the_same_and_changes_nothing() -> None:
    submit()
    given = leased()
    assert fail(given).accepted
    before = Job.objects.values().get(), AuditEntry.objects.count()
    assert fail(given).accepted
    assert (Job.objects.values().get(), AuditEntry.objects.count()) == before


def test_another_final_report_is_refused() -> None:
    submit()
    given = leased()
    fail(given)
    with pytest.raises(RefusalError, match="another final report") as refused:
        succeed(given)
    assert refused.value.kind == "conflict"
    assert the_job().state == "ready"


LOG = Transfer("a.job.log.tgz", "root://eos//logs/a.job.log.tgz", 7, "0a0b0c0d", 0.1)


def test_the_address_of_a_log_that_was_kept_is_added_to_the_report() -> None:
    submit()
    given = leased()
    fail(given)
    first = from_json(AttemptReport.objects.get().report, Report)
    later = msgspec.structs.replace(first, log=LOG, ended=first.started + 99)
    for why in ("was added", "taken before"):
        assert why in send(given, later).why
        assert from_json(AttemptReport.objects.get().report, Report) == msgspec.structs.replace(first, log=LOG)
    assert Attempt.objects.get().state == "failed"


@pytest.mark.parametrize(
    "change",
    [
        {"exit_status": 0, "log": LOG},
        {"outputs": (LOG,), "log": LOG},
        {"verdict": Verdict("success"), "state": "done", "log": LOG},
        {"ended": 99.0},
    ],
)
def test_a_later_report_changes_nothing_but_the_address_of_the_log(change: dict[str, object]) -> None:
    submit()
    given = leased()
    fail(given)
    first = from_json(AttemptReport.objects.get().report, Report)
    with pytest.raises(RefusalError, match="another final report"):
        send(given, msgspec.structs.replace(first, **change))
    assert from_json(AttemptReport.objects.get().report, Report) == first


def test_the_address_of_a_log_is_given_once() -> None:
    submit()
    given = leased()
    fail(given)
    first = from_json(AttemptReport.objects.get().report, Report)
    send(given, msgspec.structs.replace(first, log=LOG))
    with pytest.raises(RefusalError, match="another final report"):
        send(given, msgspec.structs.replace(first, log=msgspec.structs.replace(LOG, url="root://eos//other")))


def test_a_token_is_good_for_its_own_attempt_only() -> None:
    submit([raw(1, 1), raw(1, 2)])
    mine, other = leased(), leased()
    body = msgspec.json.encode(report_of(other))
    for attempt, token in ((other.attempt, mine.token), (other.attempt, ""), (10**9, mine.token)):
        with pytest.raises(RefusalError, match="does not belong"):
            take_report(attempt, token, body)
    with pytest.raises(RefusalError, match="of another attempt"):
        take_report(mine.attempt, mine.token, body)
    assert AttemptReport.objects.count() == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"{}", b'{"format": 2}'])
def test_what_is_no_report_is_refused(body: bytes) -> None:
    submit()
    given = leased()
    with pytest.raises(RefusalError) as refused:
        take_report(given.attempt, given.token, body)
    assert refused.value.kind == "invalid"


def test_a_report_that_is_not_final_is_refused() -> None:
    submit()
    given = leased()
    with pytest.raises(RefusalError, match="not final"):
        send(given, msgspec.structs.replace(report_of(given), state="running"))


def test_more_memory_is_asked_for_until_there_is_no_more() -> None:
    submit(max_attempts=100)
    asked = []
    while the_job().state == "ready":
        Job.objects.update(not_before=EPOCH)
        given = leased()
        asked.append(given.job.limits.memory_mb)
        fail(given, "memory", "retry-more-memory")
    assert asked == [3000, 4500, 6750, 8000]
    assert the_job().state == "manual"


def test_a_dead_conditions_database_does_not_use_up_the_attempts() -> None:
    submit(max_attempts=2)
    for _ in range(10):
        Job.objects.update(not_before=EPOCH)
        fail(leased(), "conditions-db", "retry")
    assert (the_job().state, the_job().charged) == ("ready", 0)


def test_a_job_whose_attempts_are_used_up_waits_for_somebody() -> None:
    submit(max_attempts=2)
    for _ in range(2):
        Job.objects.update(not_before=EPOCH)
        fail(leased())
    assert (the_job().state, the_job().charged) == ("manual", 2)


@pytest.mark.fault("dispatch", "worker heard of no more")
def test_a_lost_attempt_gives_its_job_back() -> None:
    submit()
    leased()
    expire()
    assert (Attempt.objects.get().state, the_job().state) == ("lost", "ready")
    assert expire_leases() == 0


def test_a_heartbeat_keeps_the_lease() -> None:
    submit()
    given = leased()
    Attempt.objects.update(lease_until=EPOCH)
    answer = heartbeat(given.attempt, given.token, Heartbeat("payload", progress={"events": 5}))
    assert answer.command == "go-on"
    assert expire_leases() == 0
    assert the_job().state == "running"


def test_a_lost_attempt_that_is_heard_of_has_its_job_back() -> None:
    submit()
    given = leased()
    expire()
    assert heartbeat(given.attempt, given.token, Heartbeat()).command == "go-on"
    assert (Attempt.objects.get().state, the_job().state) == ("running", "running")
    assert succeed(given).accepted


def lost_and_given_to_another() -> tuple[Lease, Lease]:
    """An attempt that was lost, and the next one of its job."""
    submit()
    first = leased("wn1")
    Attempt.objects.update(lease_until=EPOCH)
    expire_leases()
    Job.objects.update(not_before=EPOCH)
    return first, leased("wn2")


def test_a_lost_attempt_has_to_stop_also_when_the_next_one_has_failed() -> None:
    first, second = lost_and_given_to_another()
    fail(second, "crash", "retry")
    assert the_job().state == "ready"
    charged = the_job().charged
    assert heartbeat(first.attempt, first.token, Heartbeat()).command == "stop"
    assert fail(first, "crash", "retry").accepted is False
    assert (the_job().state, the_job().charged) == ("ready", charged)
    assert Attempt.objects.get(number=1).state == "lost"


def test_a_lost_attempt_has_to_stop_while_the_next_one_was_cancelled_and_is_at_work() -> None:
    first, _ = lost_and_given_to_another()
    for word in ("cancel", "resend"):
        transact(lambda word=word: move_job(the_job().pk, word, Reason("maria", "wrong options", "person")))  # type: ignore[misc]
    assert the_job().state == "ready"
    assert heartbeat(first.attempt, first.token, Heartbeat()).command == "stop"
    assert succeed(first).accepted is False, "the other one may still write over its files"
    assert the_job().state == "ready"


def test_a_lost_attempt_has_to_stop_when_somebody_else_has_its_job() -> None:
    submit()
    given = leased()
    expire()
    Job.objects.update(not_before=EPOCH)
    leased("wn2")
    assert heartbeat(given.attempt, given.token, Heartbeat()).command == "stop"


def test_a_late_report_counts_while_nobody_else_has_the_job() -> None:
    submit()
    given = leased()
    expire()
    assert succeed(given).accepted
    assert the_job().state == "finished"


def test_a_late_report_is_kept_and_changes_nothing_when_somebody_else_has_the_job() -> None:
    submit()
    late = leased()
    expire()
    Job.objects.update(not_before=EPOCH)
    other = leased("wn2")
    answer = succeed(late)
    assert not answer.accepted
    assert AttemptReport.objects.get(pk=late.attempt).late
    assert the_job().state == "sent"
    assert Output.objects.count() == 0
    assert succeed(other).accepted
    assert not succeed(late).accepted


def lost_for_somebody() -> Lease:
    """A job that waits for a person only because its attempts were lost; the last one may still report."""
    submit()
    given = leased()
    expire()
    while the_job().state != "manual":
        Job.objects.update(not_before=EPOCH)
        AvoidedPlace.objects.all().delete()
        given = leased()
        expire()
    return given


def test_a_late_success_counts_for_a_job_that_waits_only_because_its_attempts_were_lost() -> None:
    given = lost_for_somebody()
    Job.objects.update(assigned="maria")
    assert succeed(given).accepted
    assert (the_job().state, the_job().assigned, the_job().diag) == ("finished", "", "")
    assert Output.objects.filter(state="valid").count() == 3
    assert events("job", the_job().pk)[-1] == ("manual", "finished")


def test_a_lost_attempt_that_is_heard_of_goes_on_although_its_job_waits_for_a_person() -> None:
    """Its wrapper asks before it publishes, and would have thrown its outputs away."""
    given = lost_for_somebody()
    Job.objects.update(assigned="maria")
    assert heartbeat(given.attempt, given.token, Heartbeat()).command == "go-on"
    assert (the_job().state, the_job().assigned) == ("running", "")
    assert succeed(given).accepted
    assert the_job().state == "finished"


@pytest.mark.parametrize("state", ["defined", "staging"])
def test_a_lost_attempt_that_is_heard_of_goes_on_while_the_file_of_its_job_is_on_its_way_from_tape(state: str) -> None:
    submit()
    given = leased()
    expire()
    Job.objects.update(state=state)
    assert heartbeat(given.attempt, given.token, Heartbeat()).command == "go-on"
    assert the_job().state == "running"


def test_a_lost_attempt_stops_when_a_person_had_its_job_sent_again_and_it_waits_for_one_anew() -> None:
    given = lost_for_somebody()
    transact(lambda: move_job(the_job().pk, "resend", WHY))
    Job.objects.update(state="manual")
    assert heartbeat(given.attempt, given.token, Heartbeat()).command == "stop"
    assert the_job().state == "manual"


@pytest.mark.usefixtures("comparing")
def test_a_late_success_of_a_lost_job_is_compared_before_it_is_believed() -> None:
    given = lost_for_somebody()
    assert succeed(given).accepted
    assert (the_job().state, Attempt.objects.latest("pk").state) == ("verifying", "verifying")


def test_a_late_failure_leaves_a_job_that_waits_for_a_person_as_it_is() -> None:
    given = lost_for_somebody()
    assert not fail(given).accepted
    assert the_job().state == "manual"


def test_a_late_success_does_not_count_after_a_person_had_the_job_sent_again() -> None:
    given = lost_for_somebody()
    transact(lambda: move_job(the_job().pk, "resend", WHY))
    Job.objects.update(state="manual")
    assert not succeed(given).accepted
    assert the_job().state == "manual"


@pytest.mark.parametrize("state", ["defined", "staging"])
def test_a_late_success_counts_while_the_file_of_its_job_is_on_its_way_from_tape(state: str) -> None:
    submit()
    given = leased()
    expire()
    Job.objects.update(state=state)
    assert succeed(given).accepted
    assert the_job().state == "finished"


def test_a_late_failure_does_not_count_while_the_file_of_its_job_is_on_its_way_from_tape() -> None:
    submit()
    given = leased()
    expire()
    Job.objects.update(state="staging")
    assert not fail(given).accepted
    assert the_job().state == "staging"


def test_a_resent_job_replaces_its_outputs_and_its_task_runs_again() -> None:
    submit()
    succeed(leased())
    assert finish_tasks() == 1
    assert Task.objects.get().state == "done"
    moved = transact(lambda: move_job(the_job().pk, "resend", Reason("me", "new calibrations", "person")))
    assert moved == [the_job().pk]
    assert Task.objects.get().state == "running"
    succeed(leased())
    assert sorted(Output.objects.values_list("state", flat=True)) == ["superseded"] * 3 + ["valid"] * 3


def test_a_task_with_something_left_to_decide_is_not_done() -> None:
    submit()
    fail(leased(), "input-corrupt", "manual-check")
    assert finish_tasks() == 0
    transact(lambda: move_job(the_job().pk, "fail", Reason("me", "hopeless", "person")))
    assert finish_tasks() == 1


def test_cancel_ends_jobs_and_tells_those_that_run() -> None:
    submit([raw(1, 1), raw(1, 2)])
    given = leased()
    transact(lambda: move_task(Task.objects.get().pk, "cancel", Reason("me", "wrong files", "person")))
    assert end_cancelled() == 2
    answer = heartbeat(given.attempt, given.token, Heartbeat())
    assert (answer.command, lease()) == ("stop", None)
    assert not succeed(given).accepted
    assert set(Job.objects.values_list("state", flat=True)) == {"cancelled"}
    assert Attempt.objects.get().state == "cancelled"


def test_an_attempt_of_a_cancelled_task_has_to_stop_before_the_next_cycle() -> None:
    """What an attempt asks just before it publishes its outputs; the other job is left to the cycle."""
    submit([raw(1, 1), raw(1, 2)])
    given = leased()
    assert heartbeat(given.attempt, given.token, Heartbeat()).command == "go-on"
    transact(lambda: move_task(Task.objects.get().pk, "cancel", Reason("me", "wrong files", "person")))
    answer = heartbeat(given.attempt, given.token, Heartbeat())
    assert (answer.command, answer.why) == ("stop", "its task was cancelled")
    assert not fail(given, "evicted").accepted
    assert Attempt.objects.get().state == "cancelled"
    assert lease() is None
    assert end_cancelled() == 2
    assert set(Job.objects.values_list("state", flat=True)) == {"cancelled"}


@pytest.mark.parametrize("end", ["report", "lease"])
def test_a_job_whose_attempt_was_stopped_goes_on_when_its_task_is_resumed_before_the_next_cycle(end: str) -> None:
    submit()
    given = leased()
    me = Reason("me", "wrong task", "person")
    transact(lambda: move_task(Task.objects.get().pk, "cancel", me))
    assert heartbeat(given.attempt, given.token, Heartbeat()).command == "stop"
    transact(lambda: move_task(Task.objects.get().pk, "resume", me))
    if end == "report":
        fail(given, "evicted")
    else:
        expire()
    take_up_again()
    assert (Attempt.objects.get().state, the_job().state, the_job().charged) == ("cancelled", "ready", 0)
    assert succeed(leased()).accepted


def test_an_attempt_of_a_task_that_was_cancelled_and_resumed_goes_on() -> None:
    submit()
    given = leased()
    me = Reason("me", "wrong task", "person")
    transact(lambda: move_task(Task.objects.get().pk, "cancel", me))
    transact(lambda: move_task(Task.objects.get().pk, "resume", me))
    assert heartbeat(given.attempt, given.token, Heartbeat()).command == "go-on"
    assert the_job().state == "running"


def test_every_move_is_in_the_audit_trail_with_its_reason() -> None:
    submit()
    given = leased()
    bad = report_of(given, cause="input-corrupt", action="manual-check")
    send(given, msgspec.structs.replace(bad, outputs=report_of(given).outputs))
    transact(lambda: move_job(the_job().pk, "accept", Reason("maria", "checked by hand", "person")))
    last = AuditEntry.objects.filter(subject="job").latest("pk")
    assert (last.who, last.before, last.after, last.why) == ("maria", "manual", "finished", "checked by hand")


def test_evictions_use_up_no_attempts_and_other_ends_do() -> None:
    submit(max_attempts=3)
    for _ in range(6):
        Job.objects.update(not_before=EPOCH)
        fail(leased(), "evicted")
    assert (the_job().state, the_job().charged, the_job().attempts) == ("ready", 0, 6)
    for _ in range(3):
        Job.objects.update(not_before=EPOCH)
        fail(leased(), "killed")
    assert (the_job().state, the_job().charged) == ("manual", 3)
