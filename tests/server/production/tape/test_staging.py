"""Files on their way from tape to disk and back, on a tape system in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.db import connection
from msgspec.structs import replace

from pilotext.errors import OfflineError, TransientError
from pilotext.profile.records import Staging
from pilotext.server.database import transact
from pilotext.server.pages.run import staged_of
from pilotext.server.production import waiting
from pilotext.server.production.manual_decisions.jobs import move_job
from pilotext.server.production.manual_decisions.tasks import move_task
from pilotext.server.production.models import Experiment, Job, StagedFile, Task
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.statistics.jobs import describe_job
from pilotext.server.production.tape import requests, staging
from pilotext.server.times import earlier, later, now
from pilotext.storage.memory import MemoryStorage
from tests.server import several_inputs
from tests.server.merged import ON_MEMORY, cycle, do, storage
from tests.server.several_inputs import joining
from tests.server.support import SITE, WHY, fail, lease, leased, submit

__all__ = ["joining", "storage"]
pytestmark = pytest.mark.usefixtures("database")

Limit = Callable[..., None]


def url(chunk: int, run: int = 1) -> str:
    return f"memory://tape//castor/W14/cdr{chunk}-{run}.raw"


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Limit:
    """Set limits of staging for this test; without a call, nobody waits."""

    def set_limits(**limits: float) -> None:
        rules = replace(Staging(poll_s=0.0, wait_s=0.0), **limits)
        changed = replace(profile_of("COMPASS"), staging=rules)
        for module in (staging, requests):
            monkeypatch.setattr(module, "profile_of", lambda _: changed)
        monkeypatch.setattr(requests, "MIN_POLL_S", 0.0)

    set_limits()
    return set_limits


def on_tape(storage: MemoryStorage, chunks: dict[int, int], **fields: object) -> None:
    """Files on tape, and a task that reads them."""
    files = [url(chunk, run) for run, number in chunks.items() for chunk in range(number)]
    for each in files:
        storage.files[each] = b"raw"
        storage.tape.add(each)
    paths = [each.removeprefix("memory://tape/") for each in files]
    submit(paths, **{"staging": True, "parameters": ON_MEMORY, **fields})


def states() -> list[str]:
    return list(Job.objects.order_by("run", "chunk").values_list("state", flat=True))


def asked(storage: MemoryStorage, verb: str) -> list[str]:
    return [each for operation, each in storage.calls if operation == verb]


@pytest.mark.usefixtures("limit")
def test_a_job_is_given_out_when_its_file_is_on_disk_and_not_before(storage: MemoryStorage) -> None:
    storage.mount_polls = 2
    on_tape(storage, {1: 2})
    assert lease() is None
    staging.plan_staging()
    requests.request_files()
    requests.poll_files()
    assert states() == ["staging", "staging"]
    assert lease() is None
    requests.poll_files()
    assert states() == ["ready", "ready"]
    assert leased().job.inputs[0].sources[0] in storage.files


@pytest.mark.usefixtures("limit")
def test_the_time_when_a_file_came_outlives_checks_and_its_release(storage: MemoryStorage) -> None:
    on_tape(storage, {1: 1})
    assert StagedFile.objects.filter(came__isnull=False).count() == 0
    cycle(2)
    file = StagedFile.objects.get()
    assert file.state == "online"
    assert file.came is not None
    assert file.requested is not None
    assert file.requested <= file.came == file.online
    came, old = file.came, earlier(now(), 1e6)
    StagedFile.objects.update(online=old)
    requests.check_files()
    checked = StagedFile.objects.get()
    assert (checked.came, checked.online != old) == (came, True)
    transact(lambda: move_job(Job.objects.get().pk, "cancel", WHY))
    requests.release_files()
    released = StagedFile.objects.get()
    assert (released.state, released.online, released.came) == ("released", None, came)


@pytest.mark.usefixtures("limit")
def test_files_are_asked_for_in_one_request_for_each_run(storage: MemoryStorage) -> None:
    on_tape(storage, {1: 3, 2: 2})
    staging.plan_staging()
    requests.request_files()
    by_run = StagedFile.objects.values_list("run", "request").distinct()
    assert len(by_run) == 2
    assert sorted(asked(storage, "prepare")) == sorted(StagedFile.objects.values_list("url", flat=True))


def test_no_more_files_are_asked_for_than_may_be_at_once_and_the_others_follow(
    storage: MemoryStorage, limit: Limit
) -> None:
    limit(files=3)
    on_tape(storage, {1: 2, 2: 2})
    cycle(2)
    assert states() == ["ready", "ready", "ready", "defined"]
    do(leased(), storage)
    cycle(3)
    assert states() == ["finished", "ready", "ready", "ready"]


def test_no_more_bytes_are_asked_for_than_may_be_but_a_single_larger_file_comes(
    storage: MemoryStorage, limit: Limit
) -> None:
    limit(bytes=100.0, unknown_bytes=60.0)
    on_tape(storage, {1: 3})
    cycle(2)
    assert states().count("ready") == 1
    limit(bytes=10.0, unknown_bytes=60.0)
    do(leased(), storage)
    cycle(3)
    assert states().count("ready") == 1


@pytest.mark.usefixtures("limit")
def test_a_file_is_given_back_once_when_no_job_needs_it_any_more(storage: MemoryStorage) -> None:
    on_tape(storage, {1: 1})
    cycle(2)
    assert asked(storage, "release") == []
    do(leased(), storage)
    cycle(3)
    assert asked(storage, "release") == [url(0)]
    assert url(0) in storage.tape


@pytest.mark.usefixtures("limit")
def test_a_file_that_two_tasks_read_is_asked_for_and_given_back_once(storage: MemoryStorage) -> None:
    on_tape(storage, {1: 1})
    on_tape(storage, {1: 1}, name="t2", parameters={**ON_MEMORY, "production": "other", "soft": "other"})
    cycle(2)
    do(leased(), storage)
    cycle(2)
    assert asked(storage, "release") == [], "the other task still needs it"
    do(leased(), storage)
    cycle(2)
    assert (asked(storage, "prepare"), asked(storage, "release")) == ([url(0)], [url(0)])


@pytest.mark.usefixtures("limit")
@pytest.mark.fault("staging", "the file is not on tape at all")
def test_jobs_of_a_file_that_the_tape_system_does_not_have_wait_for_a_decision(storage: MemoryStorage) -> None:
    on_tape(storage, {1: 2})
    del storage.files[url(0)]
    cycle(2)
    assert states() == ["manual", "ready"]
    assert "does not have this file" in Job.objects.get(chunk=0).diag


@pytest.mark.usefixtures("limit")
@pytest.mark.fault("staging", "the tape of one file is broken")
def test_one_broken_file_of_a_request_does_not_hold_the_others_and_is_tried_again(storage: MemoryStorage) -> None:
    on_tape(storage, {1: 5})
    broken = BrokenTape(storage, url(3))
    for _ in range(3):
        cycle()
    assert states() == ["ready", "ready", "ready", "manual", "ready"]
    assert "tape VR0001 is broken; tried 3 times" in Job.objects.get(chunk=3).diag
    assert asked(storage, "prepare").count(url(3)) == asked(storage, "release").count(url(3)) == 3
    broken.mend()
    transact(lambda: move_job(Job.objects.get(chunk=3).pk, "resend", WHY))
    cycle(2)
    assert states()[3] == "ready"


class BrokenTape:
    """Makes every question about one file fail, alone or with others."""

    def __init__(self, storage: MemoryStorage, broken: str) -> None:
        self._storage, self._status = storage, storage.status

        def status(request: str, urls: list[str]) -> object:
            if broken in urls:
                raise OfflineError(broken, "the tape system says: tape VR0001 is broken")
            return self._status(request, urls)

        storage.status = status  # type: ignore[method-assign,assignment]

    def mend(self) -> None:
        self._storage.status = self._status  # type: ignore[method-assign]


@pytest.mark.usefixtures("limit")
@pytest.mark.fault("staging", "the tape system does not answer a request")
def test_a_tape_system_that_is_away_is_asked_again(storage: MemoryStorage) -> None:
    on_tape(storage, {1: 1})
    storage.fail_next("prepare", TransientError(url(0), "busy"))
    staging.plan_staging()
    requests.request_files()
    assert states() == ["staging"]
    cycle(2)
    assert states() == ["ready"]


def test_a_file_that_does_not_come_in_time_is_given_back_and_asked_for_again(
    storage: MemoryStorage, limit: Limit
) -> None:
    """Known problem 11 of the legacy system: after a day, a request looked an hour old."""
    limit(within_s=25 * 3600.0)
    storage.mount_polls = 100
    on_tape(storage, {1: 1})
    cycle()
    StagedFile.objects.update(requested=earlier(now(), 24.5 * 3600))
    requests.poll_files()
    assert StagedFile.objects.get().tries == 0
    StagedFile.objects.update(requested=earlier(now(), 25.5 * 3600))
    requests.poll_files()
    assert (StagedFile.objects.get().tries, StagedFile.objects.get().state) == (1, "wanted")
    assert asked(storage, "release") == [url(0)]


def test_a_file_that_left_the_disk_before_its_job_ran_is_asked_for_again(storage: MemoryStorage, limit: Limit) -> None:
    limit(check_s=3600.0)
    on_tape(storage, {1: 2})
    cycle(2)
    storage.tape.add(url(0))
    requests.check_files()
    assert states() == ["ready", "ready"], "it was not for long on disk"
    StagedFile.objects.update(online=earlier(now(), 4000))
    requests.check_files()
    assert states() == ["defined", "ready"]
    cycle(2)
    assert states() == ["ready", "ready"]
    assert asked(storage, "prepare").count(url(0)) == 2
    assert asked(storage, "release") == [url(0)], "the first request is over"


@pytest.mark.usefixtures("limit")
def test_a_job_that_found_its_file_on_tape_has_it_staged_again(storage: MemoryStorage) -> None:
    on_tape(storage, {1: 1})
    cycle(2)
    given = leased()
    storage.tape.add(url(0))
    fail(given, "storage", "restage")
    cycle()
    cycle()
    assert states() == ["ready"]
    assert url(0) not in storage.tape
    assert asked(storage, "prepare").count(url(0)) == 2


def joined_on_tape(storage: MemoryStorage, number: int, **fields: Any) -> None:
    """Files of run 1 on tape, and a task whose jobs read two of them each."""
    for chunk in range(1, number + 1):
        storage.files[url(chunk)] = b"raw"
        storage.tape.add(url(chunk))
    several_inputs.submit({1: number}, **{"staging": True, "parameters": ON_MEMORY, **fields})


@pytest.mark.usefixtures("limit", "joining")
def test_a_job_of_several_files_is_given_out_when_the_last_one_is_on_disk(storage: MemoryStorage) -> None:
    joined_on_tape(storage, 3)
    staging.plan_staging()
    assert asked(storage, "prepare") == []
    requests.request_files()
    assert sorted(asked(storage, "prepare")) == [url(1), url(2), url(3)]
    first, second = StagedFile.objects.filter(url__in=[url(1), url(2)]).order_by("url")
    transact(lambda: staging.put_online(StagedFile.objects.filter(pk=second.pk), now()))
    assert states() == ["staging", "staging"]
    job = Job.objects.select_related("task__experiment", "staged_file").get(chunk=1)
    assert waiting.of_job(job)[0].what.startswith(f"1 of its 2 files are on disk; {url(1)} was asked for from tape")
    assert describe_job(job.pk).waits[0].kind == "staging"
    assert url(1) in waiting.of_task(Task.objects.select_related("experiment").get())[0].what
    assert [file.url for file in staged_of(Task.objects.get(), 1)] == [url(1), url(3)]
    transact(lambda: staging.put_online(StagedFile.objects.filter(pk=first.pk), now()))
    assert states() == ["ready", "staging"]
    requests.release_files()
    assert asked(storage, "release") == [], "jobs need them"
    do(leased(), storage)
    cycle()
    assert sorted(asked(storage, "release")) == [url(1), url(2)]


@pytest.mark.usefixtures("limit", "joining")
def test_a_job_of_several_files_waits_again_when_one_of_them_has_left_the_disk(storage: MemoryStorage) -> None:
    joined_on_tape(storage, 2)
    cycle(2)
    assert states() == ["ready"]
    transact(lambda: staging.put_offline(StagedFile.objects.filter(url=url(2)), "it is gone"))
    assert states() == ["defined"]
    storage.tape.add(url(2))
    cycle(2)
    assert states() == ["ready"]
    assert (asked(storage, "prepare").count(url(1)), asked(storage, "prepare").count(url(2))) == (1, 2)


@pytest.mark.usefixtures("limit", "joining")
def test_a_job_one_of_whose_files_will_not_come_waits_for_a_decision(storage: MemoryStorage) -> None:
    joined_on_tape(storage, 4)
    del storage.files[url(2)]
    cycle(2)
    assert states() == ["manual", "ready"]
    assert "does not have this file" in Job.objects.get(chunk=1).diag
    storage.files[url(2)] = b"raw"
    transact(lambda: move_job(Job.objects.get(chunk=1).pk, "resend", WHY))
    cycle(2)
    assert states() == ["ready", "ready"]


@pytest.mark.usefixtures("limit", "joining")
def test_files_that_two_cycles_saw_at_once_let_their_job_go_on(storage: MemoryStorage) -> None:
    joined_on_tape(storage, 2)
    staging.plan_staging()
    StagedFile.objects.update(state="online", online=now())
    assert states() == ["staging"]
    staging.plan_staging()
    assert states() == ["ready"]


@pytest.mark.usefixtures("joining")
def test_the_files_of_jobs_are_counted_against_the_limit_and_those_of_one_job_come_together(
    storage: MemoryStorage, limit: Limit
) -> None:
    limit(files=3)
    joined_on_tape(storage, 4)
    cycle(2)
    assert states() == ["ready", "defined"], "two more files would be four"
    do(leased(), storage)
    limit(files=1)
    cycle(3)
    assert states() == ["finished", "ready"]


@pytest.mark.usefixtures("joining")
def test_a_job_above_the_limit_does_not_wait_for_the_files_of_a_paused_task(
    storage: MemoryStorage, limit: Limit
) -> None:
    limit(files=1)
    on_tape(storage, {2: 1})
    cycle(2)
    joined_on_tape(storage, 2, name="t2", parameters={**ON_MEMORY, "production": "other", "soft": "other"})
    cycle(2)
    assert states() == ["defined", "ready"]
    transact(lambda: move_task(Task.objects.get(name="t1").pk, "pause", WHY))
    cycle(2)
    assert states() == ["ready", "ready"]


@pytest.mark.usefixtures("limit")
def test_a_cancelled_task_gives_its_files_back_and_a_paused_one_asks_for_none(storage: MemoryStorage) -> None:
    storage.mount_polls = 100
    on_tape(storage, {1: 1})
    task = Task.objects.get().pk
    transact(lambda: move_task(task, "pause", WHY))
    cycle()
    assert states() == ["defined"]
    transact(lambda: move_task(task, "resume", WHY))
    cycle()
    transact(lambda: move_task(task, "cancel", WHY))
    cycle(2)
    assert states() == ["cancelled"]
    assert asked(storage, "release") == [url(0)]


@pytest.mark.usefixtures("limit")
def test_a_request_that_another_cycle_is_making_is_not_made_twice(storage: MemoryStorage) -> None:
    on_tape(storage, {1: 1})
    staging.plan_staging()
    StagedFile.objects.update(busy_until=later(now(), 60))
    assert requests.request_files() == 0
    assert asked(storage, "prepare") == []
    StagedFile.objects.update(busy_until=earlier(now(), 1))  # that cycle has died
    assert requests.request_files() == 1


@pytest.mark.usefixtures("limit")
def test_a_site_without_staging_gets_its_jobs_at_once(storage: MemoryStorage) -> None:
    on_tape(storage, {1: 1}, staging=None, sites=["BW_COMPASS_MCORE"])
    assert states() == ["ready"]
    on_tape(
        storage,
        {1: 1},
        name="t2",
        staging=None,
        sites=[SITE],
        parameters={**ON_MEMORY, "production": "t2", "prodslt": 2},
    )
    assert sorted(states()) == ["defined", "ready"]


@pytest.mark.usefixtures("limit")
def test_a_file_that_a_job_wants_at_this_moment_is_not_given_back(storage: MemoryStorage) -> None:
    on_tape(storage, {1: 1})
    staging.plan_staging()
    StagedFile.objects.update(state="online", online=now())
    Job.objects.update(state="defined")
    planned, may_end = threading.Event(), threading.Event()

    def plan() -> None:
        def work() -> None:
            staging._plan_some(Experiment.objects.get(name="COMPASS"), Staging())
            planned.set()
            assert may_end.wait(60)

        transact(work)
        connection.close()

    def give_back() -> None:
        released.extend(transact(lambda: requests._released(ids)))
        connection.close()

    ids, released = list(StagedFile.objects.values_list("pk", flat=True)), list[int]()
    planning, giving_back = threading.Thread(target=plan), threading.Thread(target=give_back)
    planning.start()
    assert planned.wait(60)
    giving_back.start()
    giving_back.join(0.5)  # it waits for the other one, or has overlooked it by now
    may_end.set()
    planning.join()
    giving_back.join()
    assert released == []
    assert StagedFile.objects.get().state == "online"
    assert states() == ["ready"]


@pytest.mark.usefixtures("limit")
@pytest.mark.parametrize("first", ["running", "done", "archiving", "cancelled"])
def test_a_task_on_the_raw_files_of_another_moves_nothing_of_that_one(storage: MemoryStorage, first: str) -> None:
    """Its jobs were given out again, finished, failed and cancelled ones alike, when the files came for the second."""
    on_tape(storage, {1: 4})
    cycle(2)
    do(leased(), storage)
    fail(leased(), "configuration", "fail")
    task = Task.objects.get().pk
    if first == "running":
        fail(leased(), "input-corrupt", "manual-check")
        leased()
    elif first == "cancelled":
        transact(lambda: move_task(task, "cancel", WHY))
    else:
        do(leased(), storage)
        do(leased(), storage)
    cycle(2)
    if first == "archiving":
        transact(lambda: move_task(task, "archive", WHY))
    assert Task.objects.get().state == first

    def mine() -> list[tuple[int, str, int, datetime]]:
        return list(Job.objects.filter(task=task).order_by("pk").values_list("pk", "state", "attempts", "changed"))

    before = mine()
    assert len({state for _, state, *_ in before}) > 1
    on_tape(storage, {1: 4}, name="t2", parameters={**ON_MEMORY, "production": "other", "soft": "other"})
    for _ in range(3):
        staging.plan_staging()
        requests.request_files()
        requests.poll_files()
    assert mine() == before
    assert set(Job.objects.exclude(task=task).values_list("state", flat=True)) == {"ready"}
