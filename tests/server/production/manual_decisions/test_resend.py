from __future__ import annotations

import pytest

from pilotext.api.schemas.jobs import BulkMove, JobFilter
from pilotext.server.database import transact
from pilotext.server.production.manual_decisions.jobs import move_job
from pilotext.server.production.manual_decisions.worklist import move_many
from pilotext.server.production.merging.groups import finish_merges
from pilotext.server.production.models import Job, MergeGroup, Output, Product, Task
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.transitions import Reason
from pilotext.server.times import EPOCH
from pilotext.storage.memory import MemoryStorage
from tests.server.merged import EVENTS, cycle, do, do_all, product, storage, submit_runs
from tests.server.support import fail, leased, raw, submit, succeed, the_job

__all__ = ["storage"]
pytestmark = pytest.mark.usefixtures("database")

WHY = Reason("maria", "new calibrations", "person")


def merged_run(chunks: int = 3, state: str = "checked") -> list[int]:
    """A run whose chunks have all succeeded and were merged; the ids of its jobs."""
    submit([raw(1, chunk) for chunk in range(chunks)], merges=["mdst"])
    for _ in range(chunks):
        succeed(leased())
    product = Product.objects.get()
    group = MergeGroup.objects.create(product=product, round=1, number=0, state="merged", job=_merge_job())
    Output.objects.filter(kind="mdst", state="valid").update(group=group)
    Product.objects.update(state=state)
    return list(Job.objects.filter(product="").order_by("pk").values_list("pk", flat=True))


def _merge_job() -> Job:
    return Job.objects.create(
        task=Task.objects.get(), type="merging mdst", product="mdst", file="1.0.1", run=1, state="finished", attempts=1
    )


def resend(job: int) -> list[int]:
    return transact(lambda: move_job(job, "resend", WHY))


def test_resend_of_one_chunk_of_a_merged_run_merges_the_run_anew() -> None:
    """Known problem 20 of the legacy system: the siblings stayed as they were, and the run was never merged again."""
    first, *_ = merged_run()
    resend(first)
    product = Product.objects.get()
    assert (product.state, product.round) == ("waiting", 2)
    assert Job.objects.get(pk=first).state == "ready"
    assert not Output.objects.filter(job=first, state="valid").exists()
    assert Output.objects.filter(job__state="finished", kind="mdst", state="valid").count() == 2


def test_a_run_of_which_one_chunk_was_sent_again_is_merged_with_all_its_chunks_once(storage: MemoryStorage) -> None:
    """Known problem 20 of the legacy system, over the machines themselves."""
    submit_runs({1: 3})
    do_all(storage)
    cycle(2)
    do_all(storage)
    cycle(2)
    assert product().state == "kept"
    first = Job.objects.filter(product="").order_by("pk")[0].pk
    resend(first)
    cycle()
    assert product().state == "waiting"
    do_all(storage)
    cycle(2)
    again = leased()
    assert [file.name for file in again.job.inputs] == [f"mDST-1-{chunk}-0-7.root" for chunk in range(3)]
    do(again, storage)
    cycle(3)
    assert (product().state, product().round, product().events) == ("kept", 2, 3 * EVENTS)
    assert Output.objects.filter(kind="mdst", state="valid", job__product="mdst").count() == 1


def test_resend_in_another_run_leaves_a_merged_run_alone() -> None:
    merged_run()
    submit([raw(2, 1)], name="t2")
    succeed(leased())
    resend(Job.objects.get(run=2).pk)
    assert (Product.objects.get().state, Product.objects.get().round) == ("checked", 1)


def test_a_chunk_that_was_left_out_is_waited_for_when_it_is_sent_again() -> None:
    """Known problem 28 of the legacy system: there was no merging without a chunk, and no way back either."""
    first, second, _ = merged_run()
    Product.objects.update(left_out=[first, second])
    Job.objects.filter(pk=first).update(state="failed")
    resend(first)
    assert Product.objects.get().left_out == [second]


def test_one_chunk_of_a_run_whose_chunk_files_were_removed_is_not_sent_alone() -> None:
    first, *_ = merged_run(state="cleaned")
    with pytest.raises(RefusalError, match="send its 2 other jobs again as well"):
        resend(first)
    assert Job.objects.get(pk=first).state == "finished"
    assert Product.objects.get().state == "cleaned"


def test_all_chunks_of_such_a_run_are_sent_together() -> None:
    merged_run(state="cleaned")
    asked = BulkMove("resend", "all of it", JobFilter(run=1, product=""))
    assert len(transact(lambda: move_many(asked, WHY)).moved) == 3
    assert Product.objects.get().state == "waiting"


def test_a_merge_that_had_succeeded_is_made_anew_from_its_files() -> None:
    merged_run()
    merge = Job.objects.get(product="mdst").pk
    assert resend(merge) == [merge]
    assert (Product.objects.get().state, Product.objects.get().round) == ("waiting", 2)
    assert Job.objects.get(pk=merge).state == "finished", "another job will do it"


def test_a_merge_that_waits_for_a_decision_goes_on_with_the_same_files() -> None:
    merged_run(state="manual")
    Job.objects.filter(product="mdst").update(state="manual")
    MergeGroup.objects.update(state="sent")
    resend(Job.objects.get(product="mdst").pk)
    finish_merges()
    assert (Product.objects.get().state, Product.objects.get().round) == ("merging", 1)
    assert Job.objects.get(product="mdst").state == "ready"


def test_a_merge_of_an_earlier_round_is_not_sent_again() -> None:
    merged_run()
    MergeGroup.objects.update(state="dissolved")
    with pytest.raises(RefusalError, match="has been merged again"):
        resend(Job.objects.get(product="mdst").pk)


def test_a_job_of_an_archived_task_is_not_sent_again() -> None:
    submit()
    succeed(leased())
    Task.objects.update(state="archived")
    with pytest.raises(RefusalError, match="its task t1 is archived"):
        resend(the_job().pk)


def test_what_failed_before_a_resend_does_not_count_after_it() -> None:
    submit(max_attempts=100)
    for _ in range(20):
        Job.objects.update(not_before=EPOCH)
        fail(leased(), "conditions-db")
    assert the_job().state == "manual"
    resend(the_job().pk)
    fail(leased(), "conditions-db")
    assert the_job().state == "ready"
