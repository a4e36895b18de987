"""Several input files for one job: how they are joined, what the job gets, what becomes of its events."""

from __future__ import annotations

from typing import Any

import pytest

from pilotext.cli.jobs.show import job_page
from pilotext.errors import UsageError
from pilotext.server.production.models import Job, JobInput, Output, Task
from pilotext.server.production.statistics.jobs import describe_job
from pilotext.server.production.statistics.runs import describe_run
from pilotext.server.production.submission.plan import describe, preview
from pilotext.storage.memory import MemoryStorage
from pilotext.worker.job_checks import check
from tests.server.merged import ON_MEMORY, cycle, do, do_all, product, storage
from tests.server.several_inputs import JOINING, joining, planned, raw, submit
from tests.server.support import fail, leased

__all__ = ["joining", "storage"]

GENERATION = {"type": "MC generation from a template", "generate": {"jobs": 2, "events": 1}, "merges": None}
KNOWN = {"size": 400, "adler32": "0a0b0c0d", "events": 50}


def names(**fields: object) -> list[list[str]]:
    made = planned(fields.pop("chunks", {1: 5, 2: 1}), **fields)  # type: ignore[arg-type]
    return [[file.file.rpartition("/")[2] for file in job.inputs] for job in made.jobs]


def test_the_files_of_a_run_are_joined_in_the_order_of_their_chunks() -> None:
    assert names() == [
        ["cdr1-1.raw", "cdr2-1.raw"],
        ["cdr3-1.raw", "cdr4-1.raw"],
        ["cdr5-1.raw"],
        ["cdr1-2.raw"],
    ]
    assert len(names(inputs_per_job=None)) == 6


def test_jobs_have_as_many_files_as_their_bytes_allow() -> None:
    assert [len(job) for job in names(inputs_per_job={"bytes": 1200}, known=KNOWN)] == [3, 2, 1]
    assert [len(job) for job in names(inputs_per_job={"bytes": 1200, "files": 2}, known=KNOWN)] == [2, 2, 1, 1]
    assert [len(job) for job in names(inputs_per_job={"bytes": 100}, known=KNOWN)] == [1] * 6, "larger than the limit"


def test_a_file_of_unknown_size_is_in_no_job_that_is_limited_by_bytes() -> None:
    made = planned({1: 2}, known={"events": 50}, inputs_per_job={"bytes": 1200})
    assert made.jobs == ()
    assert {entry.why for entry in made.refused} == {
        "the catalogue does not know its size, and `inputs_per_job` limits the bytes of a job."
    }


def test_the_preview_names_all_inputs_and_the_outputs_of_the_first() -> None:
    made = planned({1: 3}, known=KNOWN)
    jobs = list(preview(made, JOINING))
    for job in jobs:
        check(job)
    assert [job.command for job in jobs] == [("reco", "cdr1-1.raw", "cdr2-1.raw"), ("reco", "cdr3-1.raw")]
    assert [job.outputs[0].published_name for job in jobs] == ["mDST-1-1-0-7.root", "mDST-1-3-0-7.root"]
    assert describe(JOINING, made).jobs == 2
    assert len(made.names.of_job(1)) > 0
    assert set(made.names.of_job(0)).isdisjoint(made.names.of_job(1))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"type": "test production"}, r"the command of 'test production' does not name all inputs.* '\{inputs\}'"),
        ({"inputs_per_job": {"files": 0}}, "files"),
        ({"inputs_per_job": {"bytes": 0}}, "bytes"),
        (
            {"files": {}, "generate": {"jobs": 2, "events": 1}, "type": "MC generation from a template"},
            "have no inputs",
        ),
    ],
)
def test_what_cannot_have_several_inputs_is_told(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        planned({1: 2}, **fields)


@pytest.mark.usefixtures("database", "joining")
def test_a_job_stages_in_all_of_its_files_again_in_each_attempt() -> None:
    submit({1: 3}, known=KNOWN)
    assert list(Job.objects.order_by("pk").values_list("file", "files", "size", "adler32", "events")) == [
        (raw(1), 2, 800, "", 100),
        (raw(3), 1, 400, "0a0b0c0d", 50),
    ]
    given = leased()
    assert [(file.name, file.size, file.adler32, file.events) for file in given.job.inputs] == [
        ("cdr1-1.raw", 400, "0a0b0c0d", 50),
        ("cdr2-1.raw", 400, "0a0b0c0d", 50),
    ]
    assert [file.sources[0].endswith(raw(number)) for number, file in enumerate(given.job.inputs, 1)] == [True, True]
    fail(given)
    Job.objects.filter(pk=given.job.job).update(state="ready", not_before="1970-01-01T00:00Z")
    assert leased().job.inputs == given.job.inputs
    assert JobInput.objects.count() == 2, "the job of one file has no such rows"


@pytest.mark.usefixtures("database", "joining")
def test_the_outputs_of_joined_files_are_merged_and_the_events_of_all_files_are_promised(
    storage: MemoryStorage,
) -> None:
    submit({1: 4}, known=KNOWN, merges=["mdst"], parameters=ON_MEMORY)
    assert do_all(storage) == 2
    cycle()
    merge = leased()
    assert [file.name for file in merge.job.inputs] == ["mDST-1-1-0-7.root", "mDST-1-3-0-7.root"]
    do(merge, storage)
    cycle(4)
    assert product().state in ("kept", "cleaned")
    events = describe_run(Task.objects.get().pk, 1).run.events
    assert events is not None
    assert (events.catalogue, events.processed, events.merged) == (200, 200, {"mdst": 200})


@pytest.mark.usefixtures("database", "joining")
def test_a_run_with_fewer_events_than_its_joined_files_have_waits_for_a_decision(storage: MemoryStorage) -> None:
    submit({1: 4}, known={**KNOWN, "events": 60}, merges=["mdst"], parameters=ON_MEMORY)
    do_all(storage)
    cycle()
    do(leased(), storage)
    cycle(2)
    assert product().state == "manual"
    assert "100 events were seen, the catalogue promises 120" in product().finding
    assert [(each.catalogue, each.processed) for each in describe_run(Task.objects.get().pk, 1).chunks] == [
        (120, 100),
        (120, 100),
    ]


@pytest.mark.usefixtures("database", "joining")
def test_a_missing_job_of_several_files_holds_the_merge(storage: MemoryStorage) -> None:
    submit({1: 4}, known=KNOWN, merges=["mdst"], parameters=ON_MEMORY)
    do(leased(), storage)
    lost = leased()
    fail(lost, "crash", "fail")
    cycle()
    assert f"1 of 2 chunks is not there (job {lost.job.job})" in product().finding
    assert Output.objects.filter(kind="mdst").count() == 1


@pytest.mark.usefixtures("database", "joining")
def test_the_page_of_a_job_lists_all_of_its_files() -> None:
    submit({1: 3}, known=KNOWN)
    several, one = (describe_job(pk) for pk in Job.objects.order_by("pk").values_list("pk", flat=True))
    assert [row.file for row in several.inputs] == [raw(1), raw(2)]
    assert one.inputs == ()
    text = job_page(several)
    assert f"{raw(1)} and 1 more file" in text
    assert f"reads {raw(2)}: 400 B, adler32 0a0b0c0d, 50 events" in text
    assert "reads" not in job_page(one)


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"events": 2**30}, "its job would have 2147483648 events by the catalogue, and may have 2147483647."),
        ({"events": 2**31}, "its job would have 2147483648 events by the catalogue, and may have 2147483647."),
        ({"size": 2**62}, f"its job would have {2**63} bytes by the catalogue, and may have {2**63 - 1}."),
    ],
)
def test_files_of_more_events_or_bytes_than_a_job_may_have_are_left_out(known: dict[str, int], words: str) -> None:
    made = planned({1: 2, 2: 1}, known=known)
    assert {entry.why for entry in made.refused} == {words}
    assert next(each.why for each in describe(JOINING, made).refused) == words
    assert [job.run for job in made.jobs] == ([] if 2**31 in known.values() else [2])
