"""One input file for several jobs, each with a range of its events: the ranges, their values, merge and balance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pilotext.cli.jobs.show import job_page
from pilotext.errors import UsageError
from pilotext.formats.date_raw_writer import make_raw
from pilotext.profile import load_experiment
from pilotext.profile.records import Experiment, InputFile, OutputFile, Success
from pilotext.server.production import profiles
from pilotext.server.production.job_builder import _same_jobs
from pilotext.server.production.models import Job, PublishedFile, StagedFile, Task
from pilotext.server.production.statistics.jobs import describe_job
from pilotext.server.production.statistics.runs import describe_run
from pilotext.server.production.submission.chains import plan_task
from pilotext.server.production.submission.document import from_plain
from pilotext.server.production.submission.listing import list_folder
from pilotext.server.production.submission.plan import Plan, make_plan, preview
from pilotext.server.production.submission.store import store
from pilotext.server.production.tape import requests, staging
from pilotext.storage.memory import MemoryStorage
from pilotext.worker.job_checks import check
from pilotext.worker.validation import check_inputs
from tests.server.merged import ON_MEMORY, cycle, do, do_all, product, storage
from tests.server.several_inputs import raw
from tests.server.support import PARAMETERS, fail, lease, leased, task_document

__all__ = ["storage"]

COMPASS = load_experiment("COMPASS")
NAME = "mDST-{run}-{chunk}-{range:02d}.root"


def splitting(name: str = NAME) -> Experiment:
    """Return COMPASS with a mass production that processes ranges of events."""
    outputs = (OutputFile(name=name, to=("{eos}/mDST.chunks/",), kind="mdst", check="root"),)
    changed = replace(
        COMPASS.job_types["mass production"],
        splits=True,
        command=("reco", "{raw}", "{events_before}", "{first_event}", "{events}"),
        outputs=outputs,
        success=Success(law="events_processed + events_skipped == {events}"),
    )
    return replace(COMPASS, job_types={**COMPASS.job_types, "mass production": changed})


SPLITTING = splitting()


@pytest.fixture
def ranges(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The server has this profile."""
    monkeypatch.setattr(profiles, "load_experiment", lambda _: SPLITTING)
    profiles.profile_of.cache_clear()
    yield
    profiles.profile_of.cache_clear()


def document(events: dict[int, int | None], **fields: Any) -> dict[str, Any]:
    """A task of chunks with so many events each."""
    task = {**task_document(list(map(raw, events))), "events_per_job": 100, **fields}
    known = [{"file": raw(chunk), "events": number, "size": 400} for chunk, number in events.items()]
    return {"task": task, "catalogue": known}


def planned(events: dict[int, int | None], **fields: Any) -> Plan:
    return make_plan(SPLITTING, from_plain(document(events, **fields)), list_folder)


def submit(events: dict[int, int | None], **fields: Any) -> None:
    whole = from_plain(document(events, **fields))
    store(SPLITTING, whole.task, make_plan(SPLITTING, whole, list_folder), "tester")


def test_the_ranges_of_a_file_are_all_of_its_events_once() -> None:
    made = planned({1: 250, 2: 100})
    jobs = list(preview(made, SPLITTING))
    for job in jobs:
        check(job)
    assert [job.command[1:] for job in jobs] == [
        ("cdr1-1.raw", "0", "1", "100"),
        ("cdr1-1.raw", "100", "101", "100"),
        ("cdr1-1.raw", "200", "201", "50"),
        ("cdr2-1.raw", "0", "1", "100"),
    ]
    assert [job.outputs[0].name for job in jobs][:3] == [f"mDST-1-1-0{number}.root" for number in (1, 2, 3)]
    assert jobs[2].law == "events_processed + events_skipped == 50"
    assert [(file.size, file.events) for file in jobs[2].inputs] == [(400, 250)], "the whole file is read"
    assert len(made.names.keys) == 4


def test_a_file_whose_events_are_not_known_is_no_job() -> None:
    made = planned({1: None, 2: 10, 3: 1_000_001})
    assert [job.file.file for job in made.jobs] == [raw(2)]
    assert [(entry.file, entry.why.partition(",")[0]) for entry in made.refused] == [
        (raw(1), "the catalogue does not know its events"),
        (raw(3), "its 1000001 events would be more than 10000 ranges: `events_per_job` is too small."),
    ]


def test_a_task_has_no_more_ranges_than_jobs_that_generate_events() -> None:
    files: dict[int, int | None] = dict.fromkeys(range(1, 202), 5000)
    with pytest.raises(
        UsageError, match="would have 1005000 jobs, and may have 1000000: `events_per_job` is too small"
    ):
        planned(files, events_per_job=1)
    assert len(planned(files, events_per_job=5000).jobs) == 201


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"events_per_job": None}, "process ranges of the events of a file. Say how many.*`events_per_job: 10000`"),
        ({"events_per_job": 0}, "events_per_job"),
        ({"type": "test production"}, "jobs of type 'test production' process whole files. Leave `events_per_job` out"),
        ({"inputs_per_job": {"files": 2}}, "t1 has `events_per_job` and `inputs_per_job`. Leave one"),
    ],
)
def test_what_cannot_be_split_is_told(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        planned({1: 250}, **fields)


def test_ranges_that_would_have_one_name_are_no_task() -> None:
    whole = from_plain(document({1: 250}))
    with pytest.raises(UsageError, match=r"two ranges of events would both be published as .*Put `\{range\}`"):
        make_plan(splitting("mDST-{run}-{chunk}.root"), whole, list_folder)


@pytest.mark.usefixtures("database", "ranges")
def test_a_range_is_the_same_in_each_attempt_and_has_its_names() -> None:
    submit({1: 250})
    rows = Job.objects.order_by("pk").values_list("file", "event_range", "size", "events")
    assert list(rows) == [(raw(1), number, 400, events) for number, events in ((1, 100), (2, 100), (3, 50))]
    jobs = set(Job.objects.values_list("pk", flat=True))
    assert set(PublishedFile.objects.exclude(job=None).values_list("job", flat=True)) == jobs
    given = leased()
    fail(given)
    Job.objects.filter(pk=given.job.job).update(state="ready", not_before="1970-01-01T00:00Z")
    again = leased()
    assert again.job.command == given.job.command
    assert [file.events for file in (*given.job.inputs, *again.job.inputs)] == [250, 250], "those of the whole file"


@pytest.mark.parametrize(
    ("real", "finding"), [(40, "raw-damaged"), (20, "raw-truncated"), (30, None)], ids=["more", "fewer", "as promised"]
)
def test_a_file_with_other_events_than_the_catalogue_promises_is_no_input_of_ranges(
    tmp_path: Path, real: int, finding: str | None
) -> None:
    make_raw(tmp_path / "cdr1-1.raw", run=1, events=real)
    for job in preview(planned({1: 30}, events_per_job=20), SPLITTING):
        found = check_inputs(job, COMPASS.file_checks, tmp_path).findings
        assert [each.name for each in found] == ([] if finding is None else [finding])
        assert all(f"holds {real} physics events; the catalogue promises 30" in each.text for each in found)


@pytest.mark.usefixtures("database", "ranges")
def test_the_parts_of_a_run_are_merged_in_the_order_of_its_events(storage: MemoryStorage) -> None:
    submit({2: 100, 1: 250}, merges=["mdst"], parameters=ON_MEMORY)
    for job in list(Job.objects.order_by("pk")):
        do(leased(), storage, events=job.events)
    cycle()
    merge = leased()
    assert [file.name for file in merge.job.inputs] == [
        *(f"mDST-1-1-0{number}.root" for number in (1, 2, 3)),
        "mDST-1-2-01.root",
    ]
    do(merge, storage)
    cycle(4)
    assert product().state in ("kept", "cleaned")
    events = describe_run(Task.objects.get().pk, 1).run.events
    assert events is not None
    assert (events.catalogue, events.processed, events.merged) == (350, 350, {"mdst": 350})


@pytest.mark.usefixtures("database", "ranges")
def test_a_range_with_other_events_than_it_should_have_holds_the_run(storage: MemoryStorage) -> None:
    submit({1: 250}, merges=["mdst"], parameters=ON_MEMORY)
    assert do_all(storage, events=100) == 3
    cycle()
    do(leased(), storage)
    cycle(2)
    assert product().state == "manual"
    assert "for mDST-1-1-03.root 100 events were seen, the catalogue promises 50" in product().finding
    odd = describe_run(Task.objects.get().pk, 1).chunks
    assert [(each.catalogue, each.processed) for each in odd] == [(50, 100)]


@pytest.mark.usefixtures("database", "ranges")
def test_the_page_of_a_range_says_which_events_it_has() -> None:
    submit({1: 250})
    last = describe_job(Job.objects.order_by("-pk").values_list("pk", flat=True)[0])
    assert last.facts is not None
    assert (last.facts.first_event, last.facts.catalogue_events) == (201, 50)
    assert "50 events of the file, from number 201 on" in job_page(last)


@pytest.mark.usefixtures("database", "ranges")
def test_all_ranges_of_a_file_wait_for_it_to_come_from_tape(storage: MemoryStorage) -> None:
    submit({1: 250}, staging=True, parameters=ON_MEMORY)
    storage.files[f"memory://tape/{raw(1)}"] = b"raw"
    storage.tape.add(f"memory://tape/{raw(1)}")
    staging.plan_staging()
    assert list(Job.objects.values_list("state", flat=True)) == ["staging"] * 3
    cycle()
    assert list(Job.objects.values_list("state", flat=True)) == ["ready"] * 3
    assert [each for operation, each in storage.calls if operation == "prepare"] == [f"memory://tape/{raw(1)}"]


@pytest.mark.usefixtures("database", "ranges")
def test_a_task_on_the_parts_of_another_knows_the_names_that_will_come() -> None:
    submit({1: 250})
    reader = {
        "experiment": "COMPASS",
        "name": "reader",
        "type": "test production",
        "files": {"outputs_of": {"task": "t1", "kind": "mdst"}},
        "parameters": {**PARAMETERS, "production": "reader", "soft": "reader"},
    }
    _, made = plan_task(SPLITTING, from_plain({"task": reader}), lambda _: ())
    names = [entry.file.rpartition("/")[2] for entry in made.refused]
    assert names == [f"mDST-1-1-0{number}.root" for number in (1, 2, 3)], "they are no raw files"
    with pytest.raises(UsageError, match="cannot be split into ranges"):
        plan_task(
            SPLITTING, from_plain({"task": {**reader, "type": "mass production", "events_per_job": 9}}), list_folder
        )


def on_tape(storage: MemoryStorage, files: int, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """Files of three ranges each on tape, so many of which may be on disk at once, and a task that reads them."""
    changed = replace(SPLITTING, staging=replace(SPLITTING.staging, files=limit))
    monkeypatch.setattr(profiles, "load_experiment", lambda _: changed)
    profiles.profile_of.cache_clear()
    submit(dict.fromkeys(range(1, files + 1), 250), staging=True, parameters=ON_MEMORY, merges=[])
    for chunk in range(1, files + 1):
        storage.files[f"memory://tape/{raw(chunk)}"] = b"raw"
        storage.tape.add(f"memory://tape/{raw(chunk)}")


@pytest.mark.usefixtures("database", "ranges")
def test_files_come_once_for_all_their_ranges_and_no_more_of_them_than_may_be_at_once(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_tape(storage, 4, monkeypatch, limit=1)
    for _ in range(40):
        cycle()
        assert StagedFile.objects.needed().count() <= 1
        if (given := lease()) is not None:
            do(given, storage, events=Job.objects.get(pk=given.job.job).events)
    asked = [each for operation, each in storage.calls if operation == "prepare"]
    assert sorted(asked) == [f"memory://tape/{raw(chunk)}" for chunk in range(1, 5)]
    assert set(Job.objects.values_list("state", flat=True)) == {"finished"}
    assert len([each for operation, each in storage.calls if operation == "release"]) == 4


@pytest.mark.usefixtures("database", "ranges")
def test_a_file_stays_for_ranges_that_are_still_to_be_planned_unless_their_task_is_paused(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_tape(storage, 1, monkeypatch, limit=2)
    cycle(2)
    Job.objects.update(state="defined")
    requests.release_files()
    assert StagedFile.objects.get().state == "online"
    Task.objects.update(state="paused")
    requests.release_files()
    assert StagedFile.objects.get().state == "released"
    Task.objects.update(state="running")
    cycle(2)
    assert list(Job.objects.values_list("state", flat=True)) == ["ready"] * 3


@pytest.mark.usefixtures("database")
def test_jobs_that_read_the_parts_of_another_task_are_merged_in_the_order_of_the_events(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = OutputFile(name="second-{run}-{chunk}-{range:02d}.root", to=("{eos}/second/",), kind="mdst", check="root")
    first = SPLITTING.job_types["mass production"]
    second = replace(
        first,
        splits=False,
        input=InputFile(form="part", sources=("{eos}/{file}",)),
        command=("x",),
        success=Success(),
        outputs=(made,),
    )
    whole = replace(
        SPLITTING, names={**SPLITTING.names, "part": NAME}, job_types={**SPLITTING.job_types, "second": second}
    )
    monkeypatch.setattr(profiles, "load_experiment", lambda _: whole)
    profiles.profile_of.cache_clear()
    submit({1: 300}, merges=[], parameters=ON_MEMORY)
    reader = {
        "experiment": "COMPASS",
        "name": "reader",
        "type": "second",
        "files": {"outputs_of": {"task": "t1", "kind": "mdst"}},
        "merges": ["mdst"],
        "staging": False,
        "parameters": {**ON_MEMORY, "production": "reader", "soft": "reader"},
    }
    asked, plan = plan_task(whole, from_plain({"task": reader}), lambda _: ())
    store(whole, asked.task, plan, "tester")
    for given in reversed([leased() for _ in range(3)]):
        do(given, storage, events=100)
        cycle()
    readers = list(Job.objects.filter(task__name="reader").order_by("pk").values_list("file", flat=True))
    assert [name.rpartition("-")[2] for name in readers] == ["03.root", "02.root", "01.root"], "as they have come"
    for _ in range(3):
        do(leased(), storage, events=100)
    cycle()
    assert [file.name for file in leased().job.inputs] == [f"second-1-1-0{number}.root" for number in (1, 2, 3)]
    profiles.profile_of.cache_clear()


@pytest.mark.usefixtures("database", "ranges")
def test_a_range_has_the_names_of_the_same_range_in_the_task_before() -> None:
    submit({1: 250})
    Task.objects.update(state="cancelled")
    Job.objects.update(state="cancelled")
    submit({1: 250}, name="t2", replaces="t1")
    first, second = (list(Job.objects.filter(task__name=name).order_by("pk")) for name in ("t1", "t2"))
    assert _same_jobs(second[1]) == [second[1].pk, first[1].pk]
