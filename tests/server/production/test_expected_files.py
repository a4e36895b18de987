"""A profile that is changed while a job runs: what the job publishes belongs where the profile said before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from pilotext.model.verdict import Finding
from pilotext.profile import records as profile
from pilotext.serialization.json import from_json
from pilotext.server.database import transact
from pilotext.server.production import job_builder
from pilotext.server.production.cycle.log_archives import logs_of
from pilotext.server.production.dispatch.dispatcher import Lease
from pilotext.server.production.dispatch.tickets import fetch_job, hand_over
from pilotext.server.production.expected_files import ExpectedFiles
from pilotext.server.production.manual_decisions.jobs import move_job
from pilotext.server.production.models import Attempt, Job, Output
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.reports.verification import verify_outputs
from pilotext.server.production.storage.log_place import place_of_log
from pilotext.server.times import EPOCH
from pilotext.storage.memory import MemoryStorage
from tests.server.merged import ON_MEMORY, do, storage
from tests.server.support import WHY, leased, report_of, send, submit, succeed, the_job

__all__ = ["storage"]
pytestmark = pytest.mark.usefixtures("database", "storage")

TYPE = "mass production"
ELSEWHERE = "memory://eos/elsewhere/"

ChangeProfile = Callable[[], None]


def moved_elsewhere(experiment: profile.Experiment) -> profile.Experiment:
    job_type = experiment.job_types[TYPE]
    assert job_type.log is not None
    outputs = tuple(replace(output, to=(ELSEWHERE,)) for output in job_type.outputs)
    moved = replace(job_type, outputs=outputs, log=replace(job_type.log, to=(ELSEWHERE,)))
    return replace(experiment, job_types={**experiment.job_types, TYPE: moved})


def without_type(experiment: profile.Experiment) -> profile.Experiment:
    return replace(experiment, job_types={})


@pytest.fixture(params=[moved_elsewhere, without_type], ids=["other destinations", "its job type removed"])
def change_profile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ChangeProfile:
    """Start the server again with another profile."""
    return lambda: monkeypatch.setattr(job_builder, "profile_of", lambda name: request.param(profile_of(name)))


@pytest.fixture
def given() -> Lease:
    submit(parameters=ON_MEMORY)
    return leased()


def attempt() -> Attempt:
    return Attempt.objects.select_related("job", "task__experiment").get()


@pytest.mark.fault("report", "profile changed while the job ran")
@pytest.mark.usefixtures("comparing")
def test_the_success_of_a_job_counts_where_its_profile_said_when_it_was_given_out(
    storage: MemoryStorage, given: Lease, change_profile: ChangeProfile
) -> None:
    change_profile()
    do(given, storage)
    assert verify_outputs() == 1
    assert (the_job().state, attempt().state) == ("finished", "finished")
    assert {output.url for output in Output.objects.valid()} <= set(storage.files)
    assert Output.objects.valid().count() == len(given.job.outputs)


@pytest.mark.usefixtures("comparing")
def test_files_at_the_new_destinations_are_not_those_of_a_job_that_was_given_out_before(
    given: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_builder, "profile_of", lambda name: moved_elsewhere(profile_of(name)))
    report = report_of(given)
    foreign = tuple(replace(file, url=f"{ELSEWHERE}{file.name}") for file in report.outputs)
    send(given, replace(report, outputs=foreign))
    assert "none of its destinations" in the_job().diag
    Job.objects.update(not_before=EPOCH)
    assert {output.destinations for output in leased("wn2").job.outputs} == {(ELSEWHERE,)}


def test_the_log_of_an_attempt_is_found_where_its_profile_said(
    storage: MemoryStorage, given: Lease, change_profile: ChangeProfile
) -> None:
    do(given, storage)
    change_profile()
    assert given.job.log is not None
    expected = f"{given.job.log.destinations[0]}{given.job.log.name}"
    report = replace(report_of(given), log=replace(report_of(given).outputs[0], url=expected))
    assert place_of_log(attempt(), report).url == expected
    assert list(logs_of(attempt().task, the_job().run or 0)) == [(expected, True)]


def test_a_job_is_accepted_with_what_it_published_before_its_profile_was_changed(
    given: Lease, change_profile: ChangeProfile
) -> None:
    assert succeed(given).accepted
    Output.objects.all().delete()
    Job.objects.update(state="manual")
    change_profile()
    transact(lambda: move_job(the_job().pk, "accept", WHY))
    assert Output.objects.valid().count() == len(given.job.outputs)


def test_the_job_of_a_pilot_is_that_which_its_ticket_fetched(given: Lease, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket = hand_over(given, "pilot").rpartition("=")[2]
    monkeypatch.setattr(job_builder, "profile_of", lambda name: moved_elsewhere(profile_of(name)))
    fetched = fetch_job(given.attempt, ticket)
    kept = from_json(attempt().expected_files, ExpectedFiles)
    assert {output.destinations for output in kept.outputs} == {(ELSEWHERE,)}
    assert kept.log == fetched.log


def test_an_attempt_of_a_former_version_is_compared_with_the_profile_as_it_is_now(
    storage: MemoryStorage, given: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    Attempt.objects.update(expected_files="")
    monkeypatch.setattr(job_builder, "profile_of", lambda name: moved_elsewhere(profile_of(name)))
    do(given, storage)
    assert "none of its destinations" in the_job().diag


@pytest.mark.fault("report", "a worker that is asked to stop reports before it delivers its log")
def test_a_log_that_the_report_does_not_name_is_looked_for_where_it_belongs(given: Lease) -> None:
    report = replace(report_of(given), log=None)
    send(given, report)
    assert given.job.log is not None
    assert place_of_log(attempt(), report).url == f"{given.job.log.destinations[0]}{given.job.log.name}"


def test_a_log_that_could_not_be_delivered_is_not_looked_for(given: Lease) -> None:
    finding = Finding("log-not-delivered", "no space there", "report")
    report = replace(report_of(given), log=None, findings=(finding,))
    send(given, report)
    assert not place_of_log(attempt(), report).url
