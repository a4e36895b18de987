"""Every reason why something waits is told, with who can change it; what does not wait has none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pilotext.api.schemas.waits import Wait
from pilotext.server.database import transact
from pilotext.server.production import waiting
from pilotext.server.production.cycle.runner import STEPS, run_once
from pilotext.server.production.cycle.status import SILENT_AFTER_S
from pilotext.server.production.manual_decisions.jobs import assign, move_job
from pilotext.server.production.manual_decisions.sites import move_site
from pilotext.server.production.manual_decisions.tasks import move_task
from pilotext.server.production.models import (
    Agent,
    Attempt,
    Breaker,
    CycleStep,
    Experiment,
    Job,
    LogArchive,
    Product,
    Site,
    StagedFile,
    Task,
)
from pilotext.server.production.statistics.jobs import describe_job
from pilotext.server.production.statistics.runs import describe_run, list_runs
from pilotext.server.production.statistics.sites import list_agents
from pilotext.server.production.statistics.tasks import describe_task, list_tasks
from pilotext.server.times import EPOCH, earlier, from_seconds, later, now, to_seconds
from pilotext.storage.memory import MemoryStorage
from tests.server.merged import cycle, do_all, storage, submit_runs
from tests.server.support import SITE, WHY, avoid, fail, leased, raw, submit, succeed

__all__ = ["storage"]

pytestmark = pytest.mark.usefixtures("database")

MAX_QUERIES = 12


def queried(look: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as queries:
        look()
    return len(queries)


def of_job(job: Job | None = None) -> tuple[Wait, ...]:
    number = (job or Job.objects.get()).pk
    rows = Job.objects.select_related("task__experiment", "staged_file")
    row = rows.get(pk=number)
    assert queried(lambda: waiting.of_job(row)) <= MAX_QUERIES
    return waiting.of_job(row)


def of_task() -> tuple[Wait, ...]:
    row = Task.objects.select_related("experiment").get()
    assert queried(lambda: waiting.of_task(row)) <= MAX_QUERIES
    return waiting.of_task(row)


def of_run(run: int = 1) -> dict[str, tuple[Wait, ...]]:
    number = Task.objects.get().pk
    assert queried(lambda: describe_run(number, run)) <= MAX_QUERIES
    return describe_run(number, run).waits


def kinds(waits: tuple[Wait, ...]) -> list[str]:
    return [wait.kind for wait in waits]


def only(waits: tuple[Wait, ...]) -> Wait:
    (wait,) = waits
    return wait


def submit_at(*sites: str, **fields: object) -> None:
    submit(**{"sites": list(sites or (SITE,)), **fields})  # type: ignore[arg-type]


def agent(name: str = "a1", **fields: object) -> Agent:
    return Agent.objects.create(name=name, site=Site.objects.get(name=SITE), host="wn1", **fields)


# ---------------------------------------------------------------------------------------------------------------- jobs


def test_a_job_of_a_task_that_nobody_started_waits_for_a_manager() -> None:
    submit_at(start=False)
    wait = of_job()[0]
    assert (wait.kind, wait.who, wait.how) == ("task-not-started", "manager", "pilotext tasks start t1 --why ...")
    transact(lambda: move_task(Task.objects.get().pk, "start", WHY))
    assert "task-not-started" not in kinds(of_job())


def test_a_job_of_a_paused_task_says_who_paused_it_and_why() -> None:
    submit_at()
    transact(lambda: move_task(Task.objects.get().pk, "pause", WHY))
    wait = only(of_job())
    assert (wait.kind, wait.who) == ("task-paused", "manager")
    assert "maria: I have looked at it" in wait.what
    assert wait.since == pytest.approx(to_seconds(now()), abs=600)
    assert kinds(of_task())[0] == "task-paused"


def test_where_no_agent_ever_was_one_has_to_be_started() -> None:
    submit_at()
    wait = only(of_job())
    assert (wait.kind, wait.who, wait.since) == ("no-agent", "operator", None)
    assert f"pilotext agent --site {SITE}" in wait.how
    assert kinds(of_task()) == ["no-agent"]


def test_an_agent_that_is_silent_is_none_and_since_when_is_told() -> None:
    submit_at()
    last = earlier(now(), 1000)
    agent(seen=last)
    wait = only(of_job())
    assert (wait.kind, wait.since) == ("no-agent", to_seconds(last))


def test_an_agent_whose_slots_are_full_is_alive_by_its_attempts() -> None:
    submit_at(files=[raw(1, 1), raw(1, 2)])
    mine = agent(seen=earlier(now(), 1000), slots=1)
    leased()
    Attempt.objects.update(agent=mine)
    waiting_one = Job.objects.get(state="ready")
    assert kinds(of_job(waiting_one)) == ["agents-busy"]
    (row,) = list_agents(site=None, state=None, after=0, limit=10).agents
    assert row.silent_since is None


def test_a_closed_site_says_since_when_and_how_it_is_opened() -> None:
    submit_at()
    agent()
    transact(lambda: move_site(SITE, "close", WHY))
    wait = only(of_job())
    assert (wait.kind, wait.who, wait.how) == ("site-closed", "manager", f"pilotext sites open {SITE} --why ...")
    assert "I have looked at it" in wait.what
    assert wait.since is not None


def test_a_full_site_says_how_many_it_may_have() -> None:
    submit_at(files=[raw(1, 1), raw(1, 2)])
    agent(slots=9)
    leased()
    Site.objects.update(max_active=1)
    wait = only(of_job(Job.objects.get(state="ready")))
    assert wait.kind == "site-full"
    assert "1 of at most 1 attempt" in wait.what


@pytest.mark.parametrize("rule", ["broken site", "conditions database"])
def test_an_open_breaker_says_until_when_and_how_it_is_closed(rule: str) -> None:
    submit_at()
    agent()
    due = later(now(), 500)
    site = Site.objects.get(name=SITE) if rule == "broken site" else None
    compass = Experiment.objects.get(name="COMPASS")
    row = Breaker.objects.create(
        experiment=compass, rule=rule, scope=SITE if site else "", site=site, state="open", due=due, why="12 of 20"
    )
    wait = only(of_job())
    assert (wait.kind, wait.until, wait.who) == ("breaker", to_seconds(due), "manager")
    assert wait.how == f"pilotext sites close --breaker {row.pk} --why ..."
    Breaker.objects.update(state="closed")
    assert kinds(of_job()) == ["others-first"]


def test_a_breaker_for_other_types_of_jobs_keeps_nothing_back() -> None:
    submit_at(type="DDD filtering")
    agent()
    compass = Experiment.objects.get(name="COMPASS")
    Breaker.objects.create(
        experiment=compass, rule="conditions database", scope="", state="open", due=later(now(), 500)
    )
    assert kinds(of_job()) == ["others-first"]


def test_a_failed_job_waits_for_its_next_try_and_says_what_was_decided() -> None:
    submit_at()
    agent()
    fail(leased(), "conditions-db")
    wait = only(of_job())
    assert (wait.kind, wait.who, wait.until) == ("back-off", "server", to_seconds(Job.objects.get().not_before))
    assert "conditions-db, retry" in wait.what
    Job.objects.update(not_before=EPOCH)
    assert kinds(of_job()) == ["others-first"]


def test_a_job_keeps_away_from_the_node_where_it_failed() -> None:
    submit_at()
    agent()
    avoid({"wn1": later(now(), 500)})
    wait = only(of_job())
    assert wait.kind == "avoided"
    Agent.objects.create(name="a2", site=Site.objects.get(name=SITE), host="wn2")
    assert kinds(of_job()) == ["others-first"]


def test_a_job_whose_turn_has_not_come_says_how_many_are_before_it() -> None:
    submit_at(files=[raw(1, 1), raw(1, 2), raw(1, 3)])
    submit_at(name="urgent", priority=500)
    agent(slots=9)
    wait = only(of_job(Job.objects.filter(task__name="t1").order_by("pk")[2]))
    assert wait.kind == "others-first"
    assert "1 job of higher priority than 2000" in wait.what
    assert "2 jobs of its own task; the task has 50% of the places among 2 running tasks" in wait.what
    [urgent] = [wait for wait in of_job(Job.objects.get(task__name="urgent")) if wait.kind == "others-first"]
    assert urgent.what.startswith(
        "it is the next one of its task; the task has 50% of the places among 2 running tasks."
    )


def test_a_ready_job_waits_for_its_turn_since_its_task_began_and_its_back_off_is_over() -> None:
    submit_at()
    agent(slots=9)
    times = [earlier(now(), hours * 3600.0) for hours in (9, 5, 3)]
    Job.objects.update(created=times[0], changed=times[0])
    Task.objects.update(changed=times[1])
    assert only(of_job()).since == to_seconds(times[1])
    Job.objects.update(not_before=times[2])
    assert only(of_job()).since == to_seconds(times[2])


def test_a_job_at_work_says_where_and_a_silent_one_until_when_it_is_waited_for() -> None:
    submit_at()
    leased()
    assert kinds(of_job()) == ["attempt"]
    Attempt.objects.update(seen=earlier(now(), 1000))
    wait = only(of_job())
    assert (wait.kind, wait.until) == ("silent", to_seconds(Attempt.objects.get().lease_until))
    transact(lambda: move_job(Job.objects.get().pk, "cancel", WHY))
    assert of_job() == ()
    transact(lambda: move_job(Job.objects.get().pk, "resend", WHY))
    assert kinds(of_job())[0] == "earlier-attempt"


def test_a_job_in_manual_check_says_who_looks_into_it() -> None:
    submit_at()
    fail(leased(), "input-corrupt", "manual-check")
    wait = only(of_job())
    assert (wait.kind, wait.who) == ("person", "expert")
    assert "nobody investigates it yet" in wait.what
    transact(lambda: assign(Job.objects.get().pk, "igor", WHY))
    assert "igor investigates it" in only(of_job()).what
    assert kinds(of_task()) == ["person"]


def test_a_job_that_has_ended_does_not_wait() -> None:
    submit_at()
    succeed(leased())
    assert of_job() == ()


def test_a_file_on_tape_says_how_far_it_is() -> None:
    submit_at(staging=True)
    assert kinds(of_job()) == ["cycle"]
    url = "root://tape//cdr11-1.raw"
    compass = Experiment.objects.get(name="COMPASS")
    file = StagedFile.objects.create(url=url, experiment=compass, run=1)
    Job.objects.update(state="staging", staged_file=file)
    assert only(of_job()).what == f"{url} is to be asked for from tape"
    again = later(now(), 300)
    StagedFile.objects.update(tries=2, finding="the tape server does not answer", busy_until=again)
    wait = only(of_job())
    assert (wait.kind, wait.until) == ("staging", to_seconds(again))
    assert "2 of 3 tries: the tape server does not answer" in wait.what
    StagedFile.objects.update(state="requested", requested=from_seconds(1000.0), request="r7", busy_until=EPOCH)
    wait = only(of_job())
    assert (wait.since, wait.until) == (1000.0, 1000.0 + 2 * 86400)
    assert "request r7" in wait.what
    assert "1 job waits for files from tape" in only(of_task()).what


def test_a_full_staging_area_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    submit_at(staging=True)
    compass = Experiment.objects.get(name="COMPASS")
    StagedFile.objects.create(url="root://tape//x", experiment=compass, size=40_000_000_000_000, state="online")
    wait = only(of_job())
    assert (wait.kind, wait.who) == ("staging-room", "server")
    assert "40.0 of 30.0 TB" in wait.what
    assert kinds(of_task()) == ["staging-room"]


def test_a_job_says_when_the_cycle_is_dead_and_which_step_fails() -> None:
    submit_at()
    agent()
    run_once(())
    CycleStep.objects.create(name="archive", at=now(), failing_since=from_seconds(5.0), error="NotFoundError: no tape")
    assert [wait.what for wait in of_job()][1:] == ["step 'archive' of the cycle fails: NotFoundError: no tape"]
    CycleStep.objects.update(at=earlier(now(), SILENT_AFTER_S + 1), error="")
    assert "nothing advances" in of_job()[-1].what


# ---------------------------------------------------------------------------------------------------------------- runs


@pytest.mark.usefixtures("storage")
def test_a_run_says_which_chunks_its_merge_waits_for() -> None:
    submit_runs({1: 3}, merges=("mdst", "hist"))
    fail(leased(), "input-corrupt", "manual-check")
    leased()
    found = of_run()
    assert kinds(found["mdst"]) == ["chunks"] * 3
    by_person = next(wait for wait in found["mdst"] if wait.who == "expert")
    manual = Job.objects.get(state="manual")
    assert by_person.what == f"1 chunk is manual: job {manual.pk}"
    assert "runs merge-without t1 --run 1" in by_person.how
    assert kinds(found["hist"]) == [*["chunks"] * 3, "other-merge"]


def test_a_merged_run_waits_for_its_merge_jobs_then_its_copies(storage: MemoryStorage) -> None:
    submit_runs({1: 2})
    do_all(storage)
    run_once(tuple(step for step in STEPS if step.name == "merge"))
    wait = only(of_run()["mdst"])
    job = Job.objects.get(product="mdst")
    assert wait.what == f"1 merge job is ready: job {job.pk}"
    do_all(storage)
    run_once(tuple(step for step in STEPS if step.name in ("merged", "check")))
    again = later(now(), 60)
    Product.objects.update(tries=2, finding="no space", busy_until=again)
    wait = only(of_run()["mdst"])
    assert (wait.kind, wait.until) == ("copying", to_seconds(again))
    assert "2 of 10 tries failed, the last by: no space" in wait.what
    Product.objects.update(busy_until=EPOCH)
    cycle(2)
    assert of_run() == {"mdst": ()}
    assert of_task() == ()


def test_a_run_that_needs_a_decision_says_so(storage: MemoryStorage) -> None:
    submit_runs({1: 2})
    fail(leased(), "input-corrupt", "fail")
    do_all(storage)
    run_once(tuple(step for step in STEPS if step.name == "merge"))
    wait = only(of_run()["mdst"])
    assert (wait.kind, wait.who) == ("person", "expert")
    assert "1 of 2 chunks is not there" in wait.what
    assert "person" in kinds(of_task())


# --------------------------------------------------------------------------------------------------------------- tasks


def test_an_archive_that_cannot_be_named_is_told(storage: MemoryStorage) -> None:
    """The reason stood in the server's log alone, and the task hung in `archiving`."""
    submit_runs({1: 1})
    do_all(storage)
    cycle(1)
    do_all(storage)
    cycle(2)
    task = Task.objects.get()
    Task.objects.update(parameters={name: value for name, value in task.parameters.items() if name != "year"})
    transact(lambda: move_task(task.pk, "archive", WHY))
    wait = of_task()[0]
    assert (wait.kind, wait.who) == ("archive", "manager")
    assert "year" in wait.what


def test_an_archive_that_fails_says_by_what_and_when_it_is_tried_again(storage: MemoryStorage) -> None:
    submit_runs({1: 1})
    do_all(storage)
    cycle(1)
    do_all(storage)
    cycle(2)
    transact(lambda: move_task(Task.objects.get().pk, "archive", WHY))
    assert kinds(of_task())[0] == "cycle"
    again = later(now(), 60)
    for name in ("run.tar", "all.tar"):
        LogArchive.objects.create(
            task=Task.objects.get(),
            run=1 if name == "run.tar" else None,
            name=name,
            tries=3,
            finding="denied",
            busy_until=again,
        )
    wait = of_task()[0]
    assert (wait.kind, wait.until) == ("archive", to_seconds(again))
    assert "2 log archives are to be made; run.tar failed 3 of 10 times: denied" in wait.what
    LogArchive.objects.update(state="manual")
    assert kinds(of_task())[:2] == ["person", "person"]


def test_a_cancelled_task_says_what_has_not_stopped_yet() -> None:
    submit_at()
    leased()
    transact(lambda: move_task(Task.objects.get().pk, "cancel", WHY))
    wait = only(of_task())
    assert wait.kind == "stopping"
    assert "1 attempt of the cancelled task is still" in wait.what


def test_a_cancelled_task_says_that_its_merged_files_are_not_kept(storage: MemoryStorage) -> None:
    submit_runs({1: 1})
    do_all(storage)
    run_once(tuple(step for step in STEPS if step.name != "keep"))
    do_all(storage)
    run_once(tuple(step for step in STEPS if step.name != "keep"))
    assert kinds(of_run()["mdst"]) == ["copying"]
    transact(lambda: move_task(Task.objects.get().pk, "cancel", WHY))
    wait = only(of_task())
    assert (wait.kind, wait.who) == ("task-over", "manager")
    assert "1 product of runs is not kept: nothing of a cancelled task is merged" in wait.what
    assert "pilotext tasks resume t1 --why" in wait.how
    assert "task t1 is cancelled by maria: I have looked at it" in only(of_run()["mdst"]).what


def test_a_cancelled_task_whose_merged_files_are_all_kept_waits_for_nothing(storage: MemoryStorage) -> None:
    submit_runs({1: 1, 2: 1})
    do_all(storage)
    for _ in range(2):
        cycle(2)
        do_all(storage)
    cycle()
    assert Task.objects.get().state == "done"
    Task.objects.update(state="cancelled")
    assert of_task() == ()
    assert of_run() == {"mdst": ()}


# --------------------------------------------------------------------------------------------------------------- pages


def test_the_page_of_a_job_has_what_it_was_given_and_what_came_of_it() -> None:
    submit_at()
    succeed(leased())
    page = describe_job(Job.objects.get().pk)
    assert page.facts is not None
    assert (page.facts.priority, page.facts.memory_mb, page.facts.task_state) == (2000, 3000.0, "running")
    assert (page.facts.processed_events, page.facts.skipped_events) == (90, 10)
    assert page.facts.parameters["production"] == "prod"
    assert {(output.kind, output.state, output.attempt) for output in page.outputs} == {
        ("mdst", "valid", 1),
        ("hist", "valid", 1),
        ("dump", "valid", 1),
    }
    (attempt,) = page.attempts
    assert attempt.detail is not None
    assert page.waits == ()


def test_a_run_shows_its_events_and_the_chunk_that_skipped_some(storage: MemoryStorage) -> None:
    submit_runs({1: 2})
    do_all(storage)
    first = Job.objects.filter(product="").order_by("pk")[0]
    Job.objects.filter(product="").update(events=100)
    Job.objects.filter(pk=first.pk).update(events_done=100, events_skipped=6)
    cycle(1)
    do_all(storage)
    cycle(2)
    (row,) = list_runs("t1", run=None, state=None, after=0, limit=10).runs
    assert row.events is not None
    assert (row.events.catalogue, row.events.processed, row.events.skipped) == (200, 194, 6)
    page = describe_run(Task.objects.get().pk, 1)
    (chunk,) = page.chunks
    assert (chunk.job, chunk.processed, chunk.skipped) == (first.pk, 94, 6)
    assert [product.merge for product in page.products] == ["mdst"]


# ------------------------------------------------------------------------------------------------------ needs a person


def needs_person() -> bool:
    row = Task.objects.select_related("experiment").get()
    assert queried(lambda: waiting.needs_person(row)) <= MAX_QUERIES
    return waiting.needs_person(row)


def to_decide() -> int:
    (row,) = list_tasks()
    assert describe_task(row.task).task == row
    return row.to_decide


def test_a_task_needs_nobody_while_a_job_of_it_can_move() -> None:
    submit(files=[raw(1, 1), raw(1, 2)])
    assert not needs_person()
    fail(leased(), "input-corrupt", "manual-check")
    assert (needs_person(), to_decide()) == (False, 1)
    leased()
    assert not needs_person()


def test_a_task_whose_open_jobs_are_all_in_manual_check_needs_a_person() -> None:
    submit(files=[raw(1, 1), raw(1, 2)])
    succeed(leased())
    fail(leased(), "input-corrupt", "manual-check")
    Job.objects.filter(state="verifying").update(state="finished")
    assert (needs_person(), to_decide()) == (True, 1)


def test_a_paused_task_needs_a_person_when_its_attempts_have_ended() -> None:
    submit(files=[raw(1, 1), raw(1, 2)])
    given = leased()
    transact(lambda: move_task(Task.objects.get().pk, "pause", WHY))
    assert not needs_person()
    fail(given, "crash", "retry")
    assert (needs_person(), to_decide()) == (True, 0)


def test_a_task_that_nobody_started_needs_a_person_and_one_that_ended_nobody() -> None:
    submit(start=False)
    assert needs_person()
    transact(lambda: move_task(Task.objects.get().pk, "cancel", WHY))
    assert not needs_person()


def test_a_run_that_waits_for_a_decision_needs_a_person(storage: MemoryStorage) -> None:
    submit_runs({1: 2}, merges=("mdst", "hist"))
    do_all(storage)
    assert not needs_person(), "the published files are still compared"
    cycle()
    Job.objects.exclude(product="").update(state="finished")
    Product.objects.filter(merge="mdst").update(state="manual")
    assert (needs_person(), to_decide()) == (True, 1), "the histograms come after the mDST"
    Product.objects.filter(merge="mdst").update(state="merged")
    assert (needs_person(), to_decide()) == (False, 0)


def test_a_run_whose_merge_is_in_manual_check_needs_a_person(storage: MemoryStorage) -> None:
    submit_runs({1: 2, 2: 1}, merges=("mdst",))
    do_all(storage)
    cycle(2)
    Job.objects.filter(product="mdst", run=1).update(state="manual")
    assert not needs_person(), "the merge of the other run can be done"
    do_all(storage)
    cycle(3)
    assert set(Product.objects.values_list("run", "state")) == {(1, "merging"), (2, "kept")}
    assert (needs_person(), to_decide()) == (True, 1)


def test_a_run_with_a_chunk_in_manual_check_is_held_and_another_one_is_not(storage: MemoryStorage) -> None:
    submit_runs({1: 2, 2: 1}, merges=("mdst",))
    fail(leased(), "input-corrupt", "manual-check")
    do_all(storage)
    Job.objects.filter(state="verifying").update(state="finished")
    assert not needs_person(), "run 2 is merged by the cycle"
    Product.objects.filter(run=2).update(state="kept")
    assert needs_person()
