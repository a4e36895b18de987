from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.errors import UsageError
from pilotext.profile import load_experiment
from pilotext.server.production.models import Event, Job, Product, Task
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.submission.document import WholeTask, from_plain, read_task
from pilotext.server.production.submission.listing import list_folder
from pilotext.server.production.submission.plan import Plan, make_plan, preview
from pilotext.worker.jobcheck import check
from tests.server.support import raw, submit, task_document

COMPASS = load_experiment("COMPASS")


def plan(whole: WholeTask) -> Plan:
    return make_plan(COMPASS, whole, list_folder)


def planned(*files: str, **fields: object) -> Plan:
    return plan(from_plain({"task": {**task_document(files), **fields}}))


def test_every_input_is_a_job_or_refused_with_its_reason() -> None:
    made = planned(raw(1, 1), "/castor/x/cdrpccoeb01-1-0.1.raw", raw(1, 2), raw(1, 1), "/elsewhere/cdr2-1.raw")
    assert [job.chunk for job in made.jobs] == [1, 2]
    assert [(entry.file, entry.why.split(" ")[0]) for entry in made.refused] == [
        ("/castor/x/cdrpccoeb01-1-0.1.raw", "'cdrpccoeb01-1-0.1.raw'"),
        (raw(1, 1), "it"),
        ("/elsewhere/cdr2-1.raw", "it"),
    ]


def test_the_preview_is_what_a_worker_gets() -> None:
    made = planned(raw(1, 1), raw(1, 2))
    jobs = list(preview(made, COMPASS))
    for job in jobs:
        check(job)
    assert [job.chunk for job in jobs] == [1, 2]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"type": "mass prodction"}, "Did you mean 'mass production'"),
        ({"type": "shell"}, "reads no files"),
        ({"sites": ["CERN_COMPASS_PRODD"]}, "Did you mean 'CERN_COMPASS_PROD'"),
        ({"merges": ["mdts"]}, "Did you mean 'mdst'"),
        ({"parameters": {"production": "p", "path": "x/"}}, "Give `soft` among the task's parameters"),
        ({"parameters": {"prodslot": 1}}, "Did you mean 'prodslt'"),
        ({"share": 0}, "share"),
        ({"naem": "x"}, "Did you mean `name`"),
        ({"name": "a/b"}, "name"),
    ],
)
def test_what_is_wrong_with_a_task_is_told(fields: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        planned(raw(1, 1), **fields)


def test_a_task_file_reads_the_lists_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"# two of them\n{raw(1, 1)}\n\n{raw(1, 2)}\n")
    (tmp_path / "known.csv").write_text(
        f"file,events,adler32\n{raw(1, 1)},100,0a0b0c0d\n{raw(1, 2)},0,\n{raw(7, 1)},5,\n"
    )
    (tmp_path / "task.yaml").write_text(
        "experiment: COMPASS\nname: t\ntype: mass production\ncatalogue: known.csv\n"
        "files: {list: list.txt, runs: [7]}\n"
        "parameters: {production: p, path: x/, soft: s, year: 2016}\n"
    )
    made = plan(read_task(tmp_path / "task.yaml"))
    assert [(job.run, job.chunk, job.file.events, job.file.adler32) for job in made.jobs] == [
        (1, 1, 100, "0a0b0c0d"),
        (7, 1, 5, None),
    ]
    assert [entry.why for entry in made.refused] == ["the catalogue says that it has 0 events."]
    assert made.staging


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("name\nx\n", "known.csv:1: the head"),
        ("file,events\nx\n", ":2: 1 columns"),
        ("file,events\nx,y\n", ":2: "),
    ],
)
def test_a_wrong_catalogue_is_told_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "known.csv").write_text(text)
    (tmp_path / "task.yaml").write_text(
        "experiment: COMPASS\nname: t\ntype: mass production\nfiles: {}\ncatalogue: known.csv\n"
    )
    with pytest.raises(UsageError, match=words):
        read_task(tmp_path / "task.yaml")


def test_a_folder_gives_its_files(tmp_path: Path) -> None:
    for name in ("cdr2-1.raw", "cdr1-1.raw", "README"):
        (tmp_path / name).touch()
    made = planned(files={"folder": [f"file://{tmp_path}/"]})
    assert [job.chunk for job in made.jobs] == [1, 2]
    assert [entry.file for entry in made.refused] == [f"file://{tmp_path}/README"]


@pytest.mark.usefixtures("database")
def test_a_task_is_stored_with_its_jobs_and_products() -> None:
    done = submit([raw(1, 1), raw(1, 2), raw(2, 1)], merges=None)
    assert (done.created, done.jobs) == (True, 3)
    assert set(Job.objects.values_list("run", "chunk", "state")) == {(1, 1, "ready"), (1, 2, "ready"), (2, 1, "ready")}
    products = {(run, merge) for run in (1, 2) for merge in ("mdst", "hist", "dump")}
    assert set(Product.objects.values_list("run", "merge")) == products
    assert list(Event.objects.filter(subject="task").values_list("after", flat=True)) == ["draft", "ready", "running"]


@pytest.mark.usefixtures("database")
def test_jobs_from_tape_wait_for_their_staging() -> None:
    submit(staging=None)
    assert Job.objects.get().state == "defined"


@pytest.mark.usefixtures("database")
def test_the_same_task_twice_is_one_task() -> None:
    """Known problem 7 of the legacy system: what was submitted twice was there twice."""
    first = submit([raw(1, 1)])
    again = submit([raw(1, 1)])
    assert (again.task, again.created, again.jobs) == (first.task, False, 1)
    assert (Task.objects.count(), Job.objects.count()) == (1, 1)


@pytest.mark.usefixtures("database")
def test_another_task_of_the_same_name_is_refused() -> None:
    submit([raw(1, 1)])
    with pytest.raises(RefusalError, match="another task 't1' already"):
        submit([raw(1, 2)])
    assert Job.objects.count() == 1


@pytest.mark.usefixtures("database")
def test_a_task_without_jobs_is_refused_and_leaves_nothing() -> None:
    with pytest.raises(RefusalError, match="no jobs"):
        submit([])
    assert Task.objects.count() == 0


@pytest.mark.usefixtures("database")
def test_a_task_that_shall_wait_is_not_given_out() -> None:
    submit(start=False)
    assert Task.objects.get().state == "ready"
