from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotext.errors import UsageError
from pilotext.profile import load_experiment
from pilotext.server.production.models import AuditEntry, Job, Product, Task
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.submission.document import WholeTask, from_plain, read_task
from pilotext.server.production.submission.listing import list_folder
from pilotext.server.production.submission.naming import key_of, values_of
from pilotext.server.production.submission.plan import Plan, make_plan, preview
from pilotext.server.production.submission.store import store
from pilotext.worker.job_checks import check
from tests.server.support import PARAMETERS, leased, raw, submit, task_document

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
        ({"generate": {"jobs": 1, "events": 1}}, "has both `files` and `generate`"),
        ({"files": {}, "generate": {"jobs": 1, "events": 1}}, "'mass production' does not generate events"),
        ({"files": {}, "generate": {"jobs": 0, "events": 1}}, r"jobs"),
        ({"type": "MC generation from a template"}, "reads no files. Say how many jobs there are"),
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


def test_a_folder_gives_its_files(tmp_path: Path) -> None:
    for name in ("cdr2-1.raw", "cdr1-1.raw", "README"):
        (tmp_path / name).touch()
    made = planned(files={"folder": [f"file://{tmp_path}/"]})
    assert [job.chunk for job in made.jobs] == [1, 2]
    assert [entry.file for entry in made.refused] == [f"file://{tmp_path}/README"]


GENERATION: dict[str, object] = {
    "type": "MC generation from a template",
    "merges": None,
    "generate": {"jobs": 3, "events": 500, "run": 7, "seed": 1001},
}


def test_a_task_without_files_has_as_many_jobs_as_it_says() -> None:
    made = planned(**GENERATION)
    assert [(job.run, job.chunk, job.file.events) for job in made.jobs] == [(7, 1, 500), (7, 2, 500), (7, 3, 500)]
    assert made.refused == ()
    jobs = list(preview(made, COMPASS))
    for job in jobs:
        check(job)
    assert [job.command[3] for job in jobs] == ["1001", "1002", "1003"]
    published = [
        url
        for job in jobs
        for url in made.names.forms.print(values_of(COMPASS, made.facts, f"generated-7-{job.chunk}"))
    ]
    assert [url.rpartition("/")[2] for url in published] == [f"mcr0000{n}-7_run000.tgeant" for n in (1, 2, 3)]


@pytest.mark.usefixtures("database")
def test_a_generated_job_is_given_out_with_its_seed() -> None:
    submit((), **GENERATION)
    assert not submit((), **GENERATION).created
    given = [leased().job for _ in range(3)]
    assert sorted((job.chunk, job.command[3]) for job in given) == [(1, "1001"), (2, "1002"), (3, "1003")]
    assert {job.inputs for job in given} == {()}
    assert set(Job.objects.values_list("state", "run", "events")) == {("sent", 7, 500)}


@pytest.mark.usefixtures("database")
def test_generated_jobs_of_other_seeds_are_another_task_with_names_of_its_own() -> None:
    submit((), **GENERATION)
    other = {**GENERATION, "generate": {"jobs": 3, "events": 500, "run": 7, "seed": 2001}}
    with pytest.raises(RefusalError, match="another task 't1' already"):
        submit((), **other)
    with pytest.raises(RefusalError, match="belong to"):
        submit((), **{**other, "name": "t2", "parameters": PARAMETERS})


@pytest.mark.usefixtures("database")
def test_a_task_is_stored_with_its_jobs_and_products() -> None:
    done = submit([raw(1, 1), raw(1, 2), raw(2, 1)], merges=None)
    assert (done.created, done.jobs) == (True, 3)
    assert set(Job.objects.values_list("run", "chunk", "state")) == {(1, 1, "ready"), (1, 2, "ready"), (2, 1, "ready")}
    products = {(run, merge) for run in (1, 2) for merge in ("mdst", "hist", "dump")}
    assert set(Product.objects.values_list("run", "merge")) == products
    assert list(AuditEntry.objects.filter(subject="task").values_list("after", flat=True)) == [
        "draft",
        "ready",
        "running",
    ]


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
    whole = from_plain({"task": {**task_document(), "files": {"runs": [5]}}})
    experiment = load_experiment("COMPASS")
    plan = make_plan(experiment, whole, lambda _: ())
    with pytest.raises(RefusalError, match="no jobs"):
        store(experiment, whole.task, plan, "tester")
    assert Task.objects.count() == 0


@pytest.mark.usefixtures("database")
def test_a_task_that_shall_wait_is_not_given_out() -> None:
    submit(start=False)
    assert Task.objects.get().state == "ready"


# --------------------------------------------------------------------- every value that a later step needs is there

RUN = raw(1, 11)


def without(*names: str, **more: object) -> dict[str, object]:
    return {name: value for name, value in {**PARAMETERS, **more}.items() if name not in names}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        # The logs go to a folder of the year: without it the task ran, merged, and was never archived.
        ({"parameters": without("year")}, "Give `year` among the task's parameters"),
        ({"parameters": without("year"), "merges": []}, "Give `year` among the task's parameters"),
        ({"parameters": {**PARAMETERS, "path": "generalprod"}}, "`path` must be empty or end with a slash; it is"),
        ({"parameters": {**PARAMETERS, "year": 16}}, "`year` must be a year of four digits"),
        ({"parameters": {**PARAMETERS, "eos_server": "root://eos.cern.ch"}}, "cannot be published at: .* double slash"),
        (
            {"parameters": {**PARAMETERS, "tape_server": "cta://eos.cern.ch/"}},
            "there is no storage back-end for the scheme `cta`",
        ),
    ],
)
def test_what_a_later_step_would_lack_is_told_at_submission(fields: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        planned(RUN, **{"merges": None, **fields})


def test_every_value_that_the_shipped_profiles_ask_for_is_missed_before_a_job_runs() -> None:
    """Whatever parameter is left out, a task is refused, or nothing that it publishes needs it."""
    needed = {"production", "path", "soft", "year"}
    for name in COMPASS.parameters:
        parameters = without(name)
        if name in needed:
            with pytest.raises(UsageError, match=f"`{name}`"):
                planned(RUN, merges=None, parameters=parameters)
        else:
            assert planned(RUN, merges=None, parameters=parameters).jobs


def with_catalogue(*entries: dict[str, object], files: tuple[str, ...] = (RUN,), **fields: object) -> Plan:
    return plan(from_plain({"task": {**task_document(files), **fields}, "catalogue": list(entries)}))


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"adler32": "xyz"}, "'xyz', which is not an adler32"),
        ({"adler32": "0a0b0c0"}, "that has 8 hexadecimal digits"),
        ({"size": 0}, "has 0 bytes"),
        ({"events": -1}, "has -1 events"),
    ],
)
def test_a_catalogue_entry_that_cannot_be_true_refuses_its_file(entry: dict[str, object], why: str) -> None:
    made = with_catalogue({"file": RUN, **entry})
    assert made.jobs == ()
    assert why in made.refused[0].why


def test_a_good_entry_is_taken_with_its_checksum_in_small_letters() -> None:
    made = with_catalogue({"file": RUN, "adler32": "0A0B0C0D", "size": 5, "events": 1})
    assert (made.jobs[0].file.adler32, made.refused) == ("0a0b0c0d", ())


def test_a_catalogue_that_knows_none_of_the_files_is_refused_and_one_that_lacks_some_is_told() -> None:
    with pytest.raises(UsageError, match=r"the catalogue knows none of the task's files \(1\).* 'cdr5-5.raw'"):
        with_catalogue({"file": raw(5, 5)})
    made = with_catalogue({"file": RUN}, files=(RUN, raw(1, 12)))
    assert made.warnings == (f"the catalogue does not know 1 of the files, such as {raw(1, 12)}.",)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"year": 2017}, "2 files lie in a folder of year '2016', and the task says year '2017'."),
        ({"period": "W15"}, "2 files lie in a folder of period 'W14', and the task says period 'W15'."),
    ],
)
def test_a_year_or_period_that_does_not_fit_the_files_is_told(parameters: dict[str, object], words: str) -> None:
    files = (raw(1, 1), f"root://eosctacompass.cern.ch/{raw(1, 2)}")
    assert planned(*files, parameters={**PARAMETERS, **parameters}).warnings == (words,)
    assert planned(*files, parameters={**PARAMETERS, "period": "W14"}).warnings == ()


@pytest.mark.parametrize(
    "file", ["castor/2016/cdr1-1.raw", "root://host/x/cdr1-1.raw", "/a{b}/cdr1-1.raw", "/\n/cdr1-1.raw"]
)
def test_an_input_that_no_worker_could_ask_for_is_refused(file: str) -> None:
    made = planned(file)
    assert (made.jobs, len(made.refused)) == ((), 1)


def test_two_inputs_whose_outputs_would_have_one_name_are_not_both_taken() -> None:
    raws = [f"root://h//na62/na62raw_15-0{number}-008252-0001.dat" for number in (1, 2)]
    task = {"experiment": "NA62", "name": "n", "type": "reconstruction", "files": {"these": raws}}
    na62 = load_experiment("NA62")
    made = make_plan(na62, from_plain({"task": {**task, "parameters": {"revision": "v1"}}}), list_folder)
    assert len(made.jobs) == 1
    assert "na62reco_008252-15-0001.root, as that of another file of this task" in made.refused[0].why


TEXTS = st.text(st.sampled_from("ab01-._ +é"), min_size=1, max_size=8).filter(lambda text: text != "..")


@given(
    st.dictionaries(st.sampled_from(["production", "soft", "path", "template"]), TEXTS),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.sampled_from(["mass production", "test production", "MC reconstruction", "DDD filtering"]),
)
def test_the_names_that_a_task_owns_are_those_that_its_jobs_publish(
    parameters: dict[str, str], run: int, chunk: int, kind: str
) -> None:
    """Forms print names fast; whatever they print is what the whole job says that a worker gets."""
    path = parameters.get("path", "generalprod").rstrip("/")
    values = {**PARAMETERS, "prodslt": run % 3, **parameters, "path": f"{path}/"}
    file = f"root://h//mcr{chunk:05d}-{run}_run000.tgeant" if kind == "MC reconstruction" else raw(run, chunk)
    made = planned(file, type=kind, merges=None, parameters=values)
    job = next(preview(made, COMPASS))
    urls = [f"{to}{output.published_name}" for output in job.outputs for to in output.destinations]
    assert made.names.forms.print(values_of(COMPASS, made.facts, made.jobs[0].file.file)) == urls
    assert list(made.names.of_job(0)) == [key_of(url) for url in urls]


@given(st.sampled_from(["root", "roots", "ROOT"]), st.sampled_from(["h.cern.ch", "H.CERN.ch", "me@h.cern.ch"]),
       st.sampled_from(["", ":1094"]), st.lists(st.sampled_from(["a", "b", ".", "", "c/../c"]), max_size=4),
       st.sampled_from(["", "?svcClass=x"]))  # fmt: skip
def test_all_spellings_of_a_name_have_one_key(scheme: str, host: str, port: str, folders: list[str], more: str) -> None:
    plain = "/".join(part for part in [*(f for f in folders if f in ("a", "b")), "name"])
    whole = [part if part in ("a", "b") else "." if part == "c/../c" else part for part in folders]
    url = f"{scheme}://{host}{port}//{'/'.join([*whole, 'name'])}{more}"
    assert key_of(url) == key_of(f"root://h.cern.ch//{plain}")
    assert key_of(url) != key_of(f"root://h.cern.ch:1095//{plain}")
    assert key_of(url) != key_of(f"root://h.cern.ch//{plain}x")
