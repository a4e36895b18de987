from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from pilotext.api.schemas.attempts import OUTPUTS_KEPT, Heartbeat
from pilotext.errors import DeniedError, TransientError
from pilotext.model.report import Report
from pilotext.server.database import transact
from pilotext.server.production import waiting
from pilotext.server.production.dispatch.dispatcher import Lease
from pilotext.server.production.dispatch.leases import expire_leases, heartbeat
from pilotext.server.production.dispatch.pilots import hear_last
from pilotext.server.production.manual_decisions.tasks import move_task
from pilotext.server.production.models import Attempt, AttemptReport, Breaker, Job, Output, Task, Verification
from pilotext.server.production.reports.pilot_verdict import PilotSaid
from pilotext.server.production.reports.verification import verify_outputs
from pilotext.server.production.storage.operations import MAX_TRIES
from pilotext.server.production.transitions import Reason
from pilotext.server.settings import LEASE_S
from pilotext.server.times import EPOCH, later, now
from pilotext.storage.memory import MemoryStorage
from tests.server.merged import ON_MEMORY, cycle, do, storage
from tests.server.support import leased, report_of, send, submit, succeed, the_job
from tests.server.trail import gaps

__all__ = ["storage"]
pytestmark = pytest.mark.usefixtures("database", "comparing")

WHY = Reason("maria", "not needed", "person")


def submit_one() -> Lease:
    submit(parameters=ON_MEMORY)
    return leased()


def look_again() -> int:
    Verification.objects.update(busy_until=EPOCH)
    return verify_outputs()


def attempt() -> Attempt:
    return Attempt.objects.latest("number")


def fail_stat(storage: MemoryStorage, error: type[TransientError | DeniedError], times: int = 1) -> None:
    url = next(url for url in storage.files if "mDST" in url)
    for _ in range(times):
        storage.fail_next("stat", error(url, "it says no"))


def test_a_reported_success_is_believed_when_its_files_are_there(storage: MemoryStorage) -> None:
    do(submit_one(), storage)
    assert (the_job().state, attempt().state) == ("verifying", "verifying")
    assert Output.objects.count() == 0
    assert verify_outputs() == 1
    assert (the_job().state, attempt().state, the_job().events_done) == ("finished", "finished", 100)
    assert {output.url for output in Output.objects.filter(state="valid")} <= set(storage.files)
    assert Verification.objects.count() == 0
    assert gaps() == []


def test_a_forged_success_whose_files_are_nowhere_fails_and_the_job_runs_again(storage: MemoryStorage) -> None:
    assert succeed(submit_one()).accepted
    assert verify_outputs() == 1
    assert (attempt().state, attempt().code, attempt().cause) == ("failed", "COMPASS-5211", "storage")
    assert (the_job().state, the_job().code) == ("ready", "COMPASS-5211")
    assert Output.objects.count() == 0
    assert gaps() == []


@pytest.mark.parametrize("other", [b"short", b"x" * 1000], ids=["of another size", "of another checksum"])
def test_a_file_that_is_not_the_reported_one_is_no_success(storage: MemoryStorage, other: bytes) -> None:
    do(submit_one(), storage)
    url = next(url for url in storage.files if "mDST" in url)
    storage.files[url] = other
    assert verify_outputs() == 1
    assert (attempt().state, attempt().code) == ("failed", "COMPASS-5212")
    assert storage.files[url] == other  # nothing is removed that is not ours


def changed(report: Report, **fields: object) -> Report:
    return replace(report, **fields)


@pytest.mark.parametrize(
    "fields", [{"exit_status": 66}, {"state": "failed"}, {"outputs": ()}], ids=["status", "state", "no outputs"]
)
def test_a_success_that_contradicts_itself_is_none(storage: MemoryStorage, fields: dict[str, object]) -> None:
    given = submit_one()
    send(given, changed(report_of(given), **fields))
    assert (attempt().state, attempt().action, the_job().state) == ("failed", "", "ready")


def test_a_file_at_another_place_than_its_destinations_is_no_output(storage: MemoryStorage) -> None:
    """Else a report could make the files of somebody else its own, and have them merged or removed."""
    given = submit_one()
    report = report_of(given)
    foreign = tuple(replace(file, url=f"memory://eos/somebody/{file.name}") for file in report.outputs)
    send(given, replace(report, outputs=foreign))
    assert attempt().state == "failed"
    assert "none of its destinations" in the_job().diag


def test_a_storage_that_is_away_makes_the_job_wait_and_costs_no_attempt(storage: MemoryStorage) -> None:
    do(submit_one(), storage)
    fail_stat(storage, TransientError)
    for _ in range(3 * MAX_TRIES):
        fail_stat(storage, TransientError)  # the question whether the server is there
        Breaker.objects.update(due=EPOCH)
        assert look_again() == 0
    row = Verification.objects.get()
    assert "it says no" in row.finding
    assert (the_job().state, the_job().charged, row.tries) == ("verifying", 0, 0)
    assert verify_outputs() == 0  # not due
    Breaker.objects.update(due=EPOCH)
    assert look_again() == 1
    assert the_job().state == "finished"


def test_a_server_that_is_away_is_not_asked_for_each_job(storage: MemoryStorage) -> None:
    submit([f"/castor/cern.ch/W14/cdr{chunk}-1.raw" for chunk in range(3)], parameters=ON_MEMORY)
    for _ in range(3):
        do(leased(), storage)
    for url in [url for url in storage.files if "mDST" in url]:
        for _ in range(2):
            storage.fail_next("stat", TransientError(url, "it is away"))
    before = len(storage.calls)
    assert look_again() == 0
    assert [call for call, _ in storage.calls[before:]] == ["stat", "stat"]
    assert Verification.objects.filter(finding__contains="it is away").count() == 3


def test_files_that_the_server_may_not_read_are_for_somebody_to_decide(storage: MemoryStorage) -> None:
    do(submit_one(), storage)
    for left in range(MAX_TRIES, 0, -1):
        fail_stat(storage, DeniedError)
        assert look_again() == (left == 1)
    assert (the_job().state, attempt().code) == ("manual", "COMPASS-5213")


def test_a_cancelled_job_is_not_finished_by_its_comparison(storage: MemoryStorage) -> None:
    do(submit_one(), storage)
    transact(lambda: move_task(Task.objects.get().pk, "cancel", WHY))
    cycle(2)
    assert (the_job().state, attempt().state) == ("cancelled", "cancelled")
    assert Output.objects.count() == Verification.objects.count() == 0


def test_a_lease_does_not_run_out_while_files_are_compared(storage: MemoryStorage) -> None:
    do(submit_one(), storage)
    Attempt.objects.update(lease_until=EPOCH)
    assert expire_leases() == 0
    assert verify_outputs() == 1
    assert the_job().state == "finished"


def test_the_report_again_while_it_is_compared_changes_nothing(storage: MemoryStorage) -> None:
    given = submit_one()
    do(given, storage)
    kept = msgspec.json.decode(AttemptReport.objects.get().report, type=Report)
    assert send(given, kept).accepted
    assert Verification.objects.count() == 1


def from_pilot(status: int) -> None:
    Attempt.objects.update(pilot="p1")
    hear_last(attempt().pk, "p1", PilotSaid("failed" if status else "finished", payload_status=status))


@pytest.mark.parametrize(("status", "state"), [(0, "finished"), (137, "ready")])
def test_the_status_that_a_pilot_saw_has_to_agree(storage: MemoryStorage, status: int, state: str) -> None:
    given = submit_one()
    Attempt.objects.update(pilot="p1")
    do(given, storage)
    assert verify_outputs() == 0  # the pilot has not said how the wrapper ended
    from_pilot(status)
    assert verify_outputs() == 1
    assert the_job().state == state
    if status:
        assert attempt().code == "COMPASS-5214"


def test_a_pilot_that_says_nothing_more_is_not_waited_for_for_ever(storage: MemoryStorage) -> None:
    given = submit_one()
    Attempt.objects.update(pilot="p1")
    do(given, storage)
    assert Verification.objects.filter(busy_until__gt=EPOCH).exists()
    assert look_again() == 1
    assert Job.objects.get().state == "finished"


@pytest.mark.parametrize(("phase", "soon"), [("stage-out", True), (OUTPUTS_KEPT, False)])
def test_the_lease_of_kept_outputs_does_not_end_with_their_pilot(
    storage: MemoryStorage, phase: str, soon: bool
) -> None:
    given = submit_one()
    heartbeat(given.attempt, given.token, Heartbeat(phase))
    from_pilot(1)
    assert (attempt().lease_until < later(now(), LEASE_S / 2)) == soon


def test_what_waits_for_a_storage_server_says_so_with_the_server(storage: MemoryStorage) -> None:
    do(submit_one(), storage)
    for _ in range(2):
        fail_stat(storage, TransientError)
    assert look_again() == 0
    job = Job.objects.select_related("task__experiment", "staged_file").get()
    waits = {wait.kind: wait for wait in waiting.of_job(job)}
    assert "it says no" in waits["verifying"].what
    assert waits["storage-away"].what == "memory does not answer: it says no"
    assert waits["storage-away"].until is not None
    assert {"verifying", "storage-away"} <= {wait.kind for wait in waiting.of_task(job.task)}
    Breaker.objects.update(due=EPOCH)
    assert look_again() == 1
    job.refresh_from_db()
    assert waiting.of_job(job) == ()
