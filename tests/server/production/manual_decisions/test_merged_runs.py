"""Chunks that the merges of a run miss are sent again by one decision."""

from __future__ import annotations

import pytest

from pilotext.server.database import transact
from pilotext.server.production.manual_decisions.jobs import move_job
from pilotext.server.production.manual_decisions.merged_runs import move_product
from pilotext.server.production.models import AuditEntry, Job, Output, Product
from pilotext.server.production.refusal import RefusalError
from pilotext.storage.memory import MemoryStorage
from tests.server.merged import EVENTS, cycle, do_all, product, storage, submit_runs
from tests.server.support import WHY, fail, leased

__all__ = ["storage"]
pytestmark = pytest.mark.usefixtures("database")


def decide(word: str) -> list[int]:
    return transact(lambda: move_product(product().pk, word, WHY))


def fail_one(word: str = "fail") -> int:
    """Fail a chunk, and decide on it; return its job."""
    given = leased()
    fail(given, "input-corrupt", "manual-check")
    if word:
        transact(lambda: move_job(given.job.job, word, WHY))
    return given.job.job


def states(run: int) -> list[str]:
    return list(Job.objects.filter(run=run, product="").order_by("pk").values_list("state", flat=True))


def merge_the_rest(storage: MemoryStorage) -> None:
    do_all(storage)
    cycle()
    do_all(storage)
    cycle(2)


def test_all_missing_chunks_of_a_run_are_sent_again_and_merged(storage: MemoryStorage) -> None:
    submit_runs({1: 4})
    failed, manual = fail_one(), fail_one("")
    cancelled = Job.objects.filter(state="ready").order_by("pk")[0].pk
    transact(lambda: move_job(cancelled, "cancel", WHY))
    do_all(storage)
    cycle()
    assert decide("resend-missing") == [product().pk]
    assert states(1) == ["ready", "ready", "ready", "finished"]
    told = AuditEntry.objects.filter(subject="job", after="ready", who="maria", why=WHY.why)
    assert set(told.values_list("subject_id", flat=True)) == {failed, manual, cancelled}
    merge_the_rest(storage)
    assert (product().state, product().events) == ("kept", 4 * EVENTS)


def test_chunks_that_were_left_out_of_a_merged_run_come_back(storage: MemoryStorage) -> None:
    submit_runs({1: 3})
    left_out = fail_one()
    do_all(storage)
    cycle()
    decide("merge-without")
    cycle()
    do_all(storage)
    cycle(2)
    assert (product().events, product().left_out) == (2 * EVENTS, [left_out])
    assert decide("resend-missing") == [product().pk]
    merge_the_rest(storage)
    assert (product().state, product().events, product().left_out) == ("kept", 3 * EVENTS, [])


def test_a_finished_chunk_without_a_file_to_merge_is_sent_again_and_its_siblings_are_not(
    storage: MemoryStorage,
) -> None:
    submit_runs({1: 2})
    do_all(storage)
    Output.objects.filter(job__chunk=0, kind="mdst").delete()
    cycle()
    assert product().state == "manual"
    assert decide("resend-missing") == [product().pk]
    assert states(1) == ["ready", "finished"]


def test_chunks_of_other_runs_stay_as_they_are(storage: MemoryStorage) -> None:
    submit_runs({1: 1, 2: 1})
    fail_one()
    fail_one()
    do_all(storage)
    mine = Product.objects.get(run=2)
    assert transact(lambda: move_product(mine.pk, "resend-missing", WHY)) == [mine.pk]
    assert (states(1), states(2)) == (["failed"], ["ready"])


def test_a_run_that_misses_nothing_is_refused_also_when_its_chunk_files_were_removed(storage: MemoryStorage) -> None:
    submit_runs({1: 2})
    merge_the_rest(storage)
    for state in ("kept", "cleaned"):
        Product.objects.update(state=state)
        with pytest.raises(RefusalError, match="no chunk is missing in the mdst of run 1"):
            decide("resend-missing")
    assert states(1) == ["finished", "finished"]


def test_a_missing_chunk_of_a_run_whose_other_chunk_files_were_removed_is_refused(storage: MemoryStorage) -> None:
    submit_runs({1: 2})
    fail_one()
    do_all(storage)
    Product.objects.update(state="cleaned")
    with pytest.raises(RefusalError, match=r"cannot be sent again: the chunk files of run 1 were removed"):
        decide("resend-missing")
    assert states(1) == ["failed", "finished"]
