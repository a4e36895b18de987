"""Runs on their way from chunks to what is kept for good."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from pilotext.api.schemas.attempts import Heartbeat
from pilotext.server.database import transact
from pilotext.server.production.cycle.runner import STEPS, run_once
from pilotext.server.production.dispatch.leases import heartbeat
from pilotext.server.production.manual_decisions.jobs import move_job
from pilotext.server.production.manual_decisions.merged_runs import move_product
from pilotext.server.production.merging import cross_check
from pilotext.server.production.models import AuditEntry, Job, MergeGroup, Output, Product, Task
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import JOB
from pilotext.server.production.transitions import advance, reopen
from pilotext.server.times import EPOCH
from pilotext.storage.memory import MemoryStorage
from tests.server.merged import EVENTS, chunks, cycle, do, do_all, product, storage, submit_runs
from tests.server.support import WHY, events, fail, leased, report_of, send

__all__ = ["storage"]
pytestmark = pytest.mark.usefixtures("database")
KEPT = "memory://tape//castor/cern.ch/compass/generalprod/oracle_dst/soft/mDST/mDST-1-0-7.root"


def task() -> Task:
    return Task.objects.get()


def decide(word: str) -> list[int]:
    return transact(lambda: move_product(product().pk, word, WHY))


def test_a_run_whose_merged_files_nobody_counted_has_no_number_of_events(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = profile_of("COMPASS")
    unchecked = {**experiment.merges, "mdst": replace(experiment.merges["mdst"], check=None)}
    submit_runs({1: 2})
    do_all(storage)
    cycle(2)
    do_all(storage)
    monkeypatch.setattr(cross_check, "profile_of", lambda _name: replace(experiment, merges=unchecked))
    Output.objects.update(events=None)
    cycle(3)
    assert (product().state, product().events) == ("kept", None)


def test_a_run_is_merged_checked_and_kept_and_its_task_done_by_itself(storage: MemoryStorage) -> None:
    submit_runs({1: 3}, merges=("mdst", "hist", "dump"))
    assert do_all(storage) == 3
    cycle(2)
    assert sorted(Job.objects.exclude(product="").values_list("product", flat=True)) == ["dump", "mdst"]
    assert product("hist").state == "waiting", "histograms come after the mDST is checked"
    while do_all(storage):
        cycle(2)
    assert {each.state for each in Product.objects.all()} == {"kept"}
    assert product().events == 3 * EVENTS
    assert storage.files[KEPT] == storage.files[Output.objects.get(name="mDST-1-0-7.root").url]
    assert task().state == "done"
    assert [after for _, after in events("product", product().pk)] == [
        "merging",
        "merged",
        "checked",
        "copying",
        "kept",
    ]


def test_a_run_is_not_merged_before_its_last_chunk_and_other_runs_do_not_wait_for_it(storage: MemoryStorage) -> None:
    submit_runs({1: 2, 2: 1})
    do(leased(), storage)
    do_all_but_one = leased()
    do(leased(), storage)
    cycle()
    assert (product(run=1).state, product(run=2).state) == ("waiting", "merging")
    do(do_all_but_one, storage)
    cycle()
    assert product(run=1).state == "merging"


def test_inputs_are_merged_in_the_order_of_their_chunks_whatever_came_first(storage: MemoryStorage) -> None:
    submit_runs({1: 12})
    leases = [leased() for _ in range(12)]
    for given in reversed(leases):
        do(given, storage)
    cycle()
    assert [file.name for file in leased().job.inputs] == [f"mDST-1-{chunk}-0-7.root" for chunk in range(12)]


def test_a_run_with_a_failed_chunk_waits_for_a_decision_and_is_merged_without_it(storage: MemoryStorage) -> None:
    """Known problem 28 of the legacy system: one chunk held its run for ever."""
    submit_runs({1: 3})
    fail(leased(), "input-corrupt", "manual-check")
    do_all(storage)
    cycle(2)
    assert product().state == "waiting", "somebody may still mend the chunk"
    bad = chunks()[0]
    transact(lambda: move_product(product().pk, "merge-without", WHY))
    cycle()
    assert product().left_out == [bad.pk]
    assert Job.objects.get(pk=bad.pk).state == "failed"
    do_all(storage)
    cycle(2)
    assert (product().state, product().events) == ("kept", 2 * EVENTS)
    assert f"without 1 of 3 chunks by decision (job {bad.pk})" in product().finding
    assert AuditEntry.objects.filter(subject="job", subject_id=bad.pk, who="maria", why=WHY.why).exists()
    assert task().state == "done"


def test_a_run_with_a_chunk_that_failed_for_good_is_on_the_list_of_decisions(storage: MemoryStorage) -> None:
    submit_runs({1: 2})
    transact(lambda: move_job(fail_one(), "fail", WHY))
    do_all(storage)
    cycle()
    assert product().state == "manual"
    assert "1 of 2 chunks is not there" in product().finding
    assert task().state == "running"


def fail_one() -> int:
    given = leased()
    fail(given, "input-corrupt", "manual-check")
    return given.job.job


def test_a_run_is_not_merged_without_chunks_that_are_still_at_work(storage: MemoryStorage) -> None:
    submit_runs({1: 2})
    fail_one()
    with pytest.raises(RefusalError, match="1 chunk of run 1 is not finished yet"):
        transact(lambda: move_product(product().pk, "merge-without", WHY))
    do_all(storage)
    with pytest.raises(RefusalError, match="Did you mean 'remerge'"):
        transact(lambda: move_product(product().pk, "remerg", WHY))


def test_a_held_run_goes_on_by_itself_when_its_chunk_was_resent_and_succeeds(storage: MemoryStorage) -> None:
    submit_runs({1: 2})
    bad = fail_one()
    transact(lambda: move_job(bad, "fail", WHY))
    do_all(storage)
    cycle()
    assert product().state == "manual"
    transact(lambda: move_job(bad, "resend", WHY))
    do_all(storage)
    cycle()
    do_all(storage)
    cycle(2)
    assert (product().state, product().events) == ("kept", 2 * EVENTS)


def test_resending_one_chunk_of_a_merged_run_merges_the_run_anew(storage: MemoryStorage) -> None:
    """Known problem 20 of the legacy system: the siblings stayed finished and the run was never merged again."""
    submit_runs({1: 3})
    do_all(storage)
    cycle()
    do_all(storage)
    cycle(2)
    assert task().state == "done"
    transact(lambda: move_job(chunks()[1].pk, "resend", WHY))
    cycle()
    assert (task().state, product().state) == ("running", "waiting")
    do(leased(), storage, events=EVENTS + 7)
    cycle()
    do_all(storage)
    cycle(2)
    assert (product().state, product().events, product().round) == ("kept", 3 * EVENTS + 7, 2)
    assert list(MergeGroup.objects.order_by("round").values_list("state", flat=True)) == ["dissolved", "merged"]
    assert task().state == "done"


def test_a_merge_of_an_earlier_round_that_is_at_work_is_stopped_before_the_next_one_begins(
    storage: MemoryStorage,
) -> None:
    submit_runs({1: 2})
    do_all(storage)
    cycle()
    old = leased()
    transact(lambda: reopen(Product.objects.all(), WHY))
    cycle()
    assert Job.objects.get(pk=old.job.job).state == "cancelled"
    assert product().state == "waiting", "two merges would write the same file"
    do(old, storage)
    cycle()
    new = leased()
    assert new.job.job != old.job.job
    (again,), (before,) = new.job.outputs, old.job.outputs
    assert replace(again, replaces=()) == before
    (published,) = (file for url, file in storage.files.items() if url.endswith(before.published_name))
    assert [file.size for file in again.replaces] == [len(published)], "the stopped merge published all the same"
    assert [file.name for file in new.job.inputs] == [file.name for file in old.job.inputs]


def test_a_run_whose_sums_differ_waits_for_a_decision_and_may_be_accepted(storage: MemoryStorage) -> None:
    submit_runs({1: 2})
    do_all(storage)
    cycle()
    do(leased(), storage, events=2 * EVENTS - 1)
    cycle()
    assert product().state == "manual"
    assert "the merged files hold 199 events, the chunks 200." in product().finding
    transact(lambda: move_product(product().pk, "accept", WHY))
    cycle()
    assert product().state == "kept"
    assert product().finding == "accepted: I have looked at it"


def test_a_run_whose_sums_differ_may_be_merged_anew(storage: MemoryStorage) -> None:
    submit_runs({1: 2})
    do_all(storage)
    cycle()
    do(leased(), storage, events=0)
    cycle()
    transact(lambda: move_product(product().pk, "remerge", WHY))
    cycle()
    do_all(storage)
    cycle(2)
    assert (product().state, product().events, product().round) == ("kept", 2 * EVENTS, 2)


def test_a_merge_has_to_stop_as_soon_as_one_of_its_chunks_is_sent_again(storage: MemoryStorage) -> None:
    submit_runs({1: 2})
    do_all(storage)
    cycle()
    given = leased()
    assert heartbeat(given.attempt, given.token, Heartbeat()).command == "go-on"
    transact(lambda: move_job(chunks()[0].pk, "resend", WHY))
    answer = heartbeat(given.attempt, given.token, Heartbeat("stage-out"))
    assert (answer.command, answer.why) == ("stop", "its run is merged again"), "before the next cycle"
    fail(given, "evicted")
    for _ in range(3):
        cycle()
        do_all(storage)
    cycle(2)
    assert (product().state, product().round) == ("kept", 2)


def test_chunks_that_processed_fewer_events_than_the_catalogue_promises_hold_their_run(storage: MemoryStorage) -> None:
    """Known problem 5 of the legacy system: nobody compared a truncated raw file with the catalogue."""
    submit_runs({1: 1})
    Job.objects.update(events=EVENTS + 1)
    do_all(storage)
    cycle()
    do_all(storage)
    cycle()
    assert product().state == "manual"
    assert "100 events were seen, the catalogue promises 101" in product().finding


def test_a_run_of_empty_dumps_is_finished_without_a_merge(storage: MemoryStorage) -> None:
    submit_runs({1: 2}, merges=("dump",))
    do_all(storage, empty_dump=True)
    cycle(2)
    assert product("dump").state == "kept"
    assert not Job.objects.exclude(product="").exists()


def test_an_empty_dump_is_no_input_and_is_not_counted(storage: MemoryStorage) -> None:
    submit_runs({1: 3}, merges=("dump",))
    do(leased(), storage, empty_dump=True)
    do_all(storage)
    cycle()
    given = leased()
    assert len(given.job.inputs) == 2
    do(given, storage)
    cycle(2)
    assert product("dump").state == "kept"


def test_a_merge_that_fails_for_good_is_decided_on_and_goes_on_when_it_is_resent(storage: MemoryStorage) -> None:
    submit_runs({1: 1})
    do_all(storage)
    cycle()
    given = leased()
    fail(given, "output-invalid", "fail")
    cycle()
    assert product().state == "manual"
    transact(lambda: move_job(given.job.job, "resend", WHY))
    cycle()
    assert product().state == "merging"
    do_all(storage)
    cycle(2)
    assert product().state == "kept"


def test_a_merge_that_crashed_is_tried_again_and_a_chunk_that_crashed_waits_for_a_decision(
    storage: MemoryStorage,
) -> None:
    submit_runs({1: 1, 2: 1})
    chunk = leased()
    fail(chunk, "crash", "manual-check")
    do_all(storage)
    cycle()
    merge = leased()
    fail(merge, "crash", "manual-check")
    states = Job.objects.in_bulk([chunk.job.job, merge.job.job])
    assert [states[given.job.job].state for given in (chunk, merge)] == ["manual", "ready"]
    assert merge.job.kind == "merging"
    Job.objects.update(not_before=EPOCH)
    fail(leased(), "crash", "manual-check")
    Job.objects.update(not_before=EPOCH)
    fail(leased(), "crash", "manual-check")
    assert Job.objects.get(pk=merge.job.job).state == "manual"


def test_a_merged_file_that_is_gone_before_it_is_kept_is_merged_anew_by_itself(storage: MemoryStorage) -> None:
    submit_runs({1: 1})
    do_all(storage)
    cycle()
    do_all(storage)
    del storage.files[Output.objects.get(job__product="mdst").url]
    cycle(2)
    assert (product().state, product().round) == ("merging", 2)
    do_all(storage)
    cycle(2)
    assert product().state == "kept"


def test_a_cycle_that_is_broken_off_after_any_step_ends_the_same(storage: MemoryStorage) -> None:
    submit_runs({1: 2, 2: 2}, merges=("mdst", "hist", "dump"))
    for round_ in range(60):
        run_once(STEPS[: round_ % (len(STEPS) + 1)])
        do_all(storage)
    assert {each.state for each in Product.objects.all()} == {"kept"}
    inputs = Output.objects.filter(job__product="", kind="mdst")
    assert inputs.filter(group=None).count() == 0
    assert sum(each.events or 0 for each in Product.objects.filter(merge="mdst")) == 4 * EVENTS
    assert MergeGroup.objects.count() == 6


def test_a_paused_task_begins_no_merge_and_a_cancelled_one_has_none(storage: MemoryStorage) -> None:
    """Known problem 19 of the legacy system: merges were sent for paused tasks and never looked at again."""
    submit_runs({1: 1})
    do_all(storage)
    Task.objects.update(state="paused")
    cycle()
    assert product().state == "waiting"
    Task.objects.update(state="cancelled")
    cycle()
    assert not Job.objects.exclude(product="").exists()


def test_no_move_is_made_without_a_line_in_the_audit_trail(storage: MemoryStorage) -> None:
    submit_runs({1: 1})
    do_all(storage)
    cycle()
    job = Job.objects.get(product="mdst")
    assert events("job", job.pk) == [("", "ready")]
    assert transact(lambda: advance(JOB, Job.objects.filter(pk=job.pk), ("manual",), "ready", WHY)) == []


def test_a_run_that_was_not_merged_cannot_be_accepted(storage: MemoryStorage) -> None:
    """Else it would be kept without a file, and its chunks be removed with its task."""
    submit_runs({1: 2})
    do(leased(), storage)
    fail(leased(), "crash", "fail")
    cycle()
    assert product().state == "manual"
    with pytest.raises(RefusalError, match="run 1 is not merged: 1 of 2 chunks is not there"):
        decide("accept")
    cycle(2)
    assert (product().state, task().state) == ("manual", "running")


def test_a_run_whose_merge_failed_for_good_cannot_be_accepted(storage: MemoryStorage) -> None:
    submit_runs({1: 1})
    do_all(storage)
    cycle()
    fail(leased(), "crash", "fail")
    cycle()
    assert product().state == "manual"
    with pytest.raises(RefusalError, match="is not merged: a merge job has failed"):
        decide("accept")
    assert product().state == "manual"


def test_a_chunk_that_is_accepted_after_its_run_was_merged_without_it_is_merged_too(storage: MemoryStorage) -> None:
    submit_runs({1: 2})
    do(leased(), storage)
    given = leased()
    published = report_of(given).outputs
    for file in published:
        storage.files[file.url or ""] = f"{file.name}: {EVENTS}".encode().ljust(file.size)
    send(given, replace(report_of(given, cause="crash", action="fail"), outputs=published))
    cycle()
    decide("merge-without")
    cycle()
    do_all(storage)
    cycle(2)
    assert (product().state, product().events, product().left_out) == ("kept", EVENTS, [given.job.job])
    assert task().state == "done"
    job = given.job.job
    assert job is not None
    assert transact(lambda: move_job(job, "accept", WHY)) == [job]
    assert (product().left_out, product().state, task().state) == ([], "waiting", "running")
    cycle()
    do_all(storage, events=2 * EVENTS)
    cycle(2)
    assert (product().round, Output.objects.filter(group__product=product(), group__round=3).count()) == (3, 2)


def test_a_job_of_an_archived_task_is_not_accepted(storage: MemoryStorage) -> None:
    submit_runs({1: 1})
    given = leased()
    send(given, replace(report_of(given, cause="crash", action="fail"), outputs=report_of(given).outputs))
    Task.objects.update(state="archived")
    with pytest.raises(RefusalError, match="its task t1 is archived"):
        transact(lambda: move_job(chunks()[0].pk, "accept", WHY))
    assert chunks()[0].state == "failed"


def test_a_run_whose_merge_the_profile_knows_no_more_keeps_no_others_waiting(storage: MemoryStorage) -> None:
    submit_runs({1: 1, 2: 1})
    do_all(storage)
    Product.objects.filter(run=1).update(merge="of old", state="manual")
    cycle()
    do_all(storage)
    cycle(2)
    assert product(run=2).state == "kept"
    assert product("of old").state == "manual"
    with pytest.raises(RefusalError, match="'of old'"):
        transact(lambda: move_product(product("of old").pk, "merge-without", WHY))
