from __future__ import annotations

import pytest
from msgspec.structs import replace

from pilotext.errors import UsageError
from pilotext.model.job import Input, Job
from pilotext.profile import load_experiment
from pilotext.profile.job_builder import (
    AttemptFacts,
    FileFacts,
    Generate,
    TaskFacts,
    check_task,
    merge_job,
    merged_name,
    parse_input,
    production_job,
)
from pilotext.worker.job_checks import check

COMPASS = load_experiment("COMPASS")
RAW = "/castor/cern.ch/compass/data/2016/raw/W14/cdr13040-275772.raw"
PARAMETERS: dict[str, str | int | float] = {
    "production": "dvcs2016P09t1",
    "path": "generalprod/testcoral/",
    "soft": "dvcs2016P09t1_mu+",
    "year": 2016,
    "template": "template_mu+.opt",
}


def production(job_type: str = "mass production", file: str = RAW, attempt: int = 1, **more: str) -> Job:
    task = TaskFacts("dvcs2016P09t1", job_type, {**PARAMETERS, **more})
    facts = AttemptFacts(588, attempt, job_type, run=275772, chunk=13040)
    return production_job(COMPASS, task, FileFacts(file, events=18643), facts)


def test_a_raw_file_becomes_the_job_that_the_worker_takes() -> None:
    job = production()
    check(job)
    base = "/cvmfs/compass.cern.ch/generalprod/testcoral/dvcs2016P09t1_mu+"
    assert job.command == (f"{base}/coral.exe", f"{base}/template_mu+.opt")
    assert job.setup == f"{base}/coral/setup.sh"
    assert job.environment["TMPMDSTFILE"] == "mDST-275772-13040-0-7.root"
    assert job.environment["prodSlt"] == "0"
    assert job.inputs == (Input("cdr13040-275772.raw", (f"root://eosctacompass.cern.ch/{RAW}",), events=18643),)
    eos = "root://eoscompass.cern.ch//eos/experiment/compass/generalprod/testcoral/dvcs2016P09t1_mu+"
    assert [(file.published_name, *file.destinations) for file in job.outputs] == [
        ("mDST-275772-13040-0-7.root", f"{eos}/mDST.chunks/"),
        ("275772-13040-0.root", f"{eos}/TRAFDIC/"),
        ("evtdump0-13040-275772.raw", f"{eos}/evtdump/slot0/"),
    ]
    assert job.outputs[2].when_empty == "placeholder"
    assert [file.check for file in job.outputs] == ["root", "root", "raw"]  # agents of former versions know no `date`
    assert job.software == "dvcs2016P09t1_mu+"
    assert job.law == "events_processed + events_skipped == raw_events"


@pytest.mark.parametrize(
    ("job_type", "file"),
    [
        ("test production", RAW),
        ("mass production", RAW),
        ("technical production", RAW),
        ("DDD filtering", RAW),
        ("MC reconstruction", "root://eos.cern.ch//eos/mc/mcr13040-275772_run000.tgeant"),
        ("MC generation", "mcr13040-275772.xml"),
    ],
)
def test_every_type_of_compass_becomes_a_job(job_type: str, file: str) -> None:
    check(production(job_type, file))


@pytest.mark.parametrize("kind", ["mdst", "hist"])
def test_monte_carlo_lies_in_one_tree_of_folders(kind: str) -> None:
    """Known problem 29 of the legacy system: the histograms of one kind of job lay outside `mc/`."""
    job = production("MC reconstruction", "root://eos.cern.ch//eos/mcr13040-275772_run000.tgeant")
    (folder,) = next(output.destinations for output in job.outputs if output.kind == kind)
    assert "/compass/mc/generalprod/" in folder


def test_another_attempt_takes_the_next_conditions_database() -> None:
    servers = [production(attempt=attempt).environment["CDBSERVER"] for attempt in (1, 2, 3)]
    assert sorted(servers[:2]) == ["compassvm23.cern.ch", "compassvm24.cern.ch"]
    assert servers[2] == servers[0]


def test_a_file_given_as_a_url_is_read_from_there() -> None:
    url = "root://mirror.example//data/cdr13040-275772.raw?svcClass=x"
    assert production(file=url).inputs[0].sources == (url,)
    assert production(file=url).inputs[0].name == "cdr13040-275772.raw"


def test_a_file_of_another_form_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'cdrpccoeb01-275772-7.1.raw' has not the form"):
        parse_input(COMPASS, "mass production", "/castor/x/cdrpccoeb01-275772-7.1.raw")


def test_a_dash_or_cdr_in_a_folder_does_not_matter() -> None:
    assert parse_input(COMPASS, "mass production", "/cdr-7/raw-x/cdr12-34.raw") == {"chunk": 12, "run": 34}


def test_a_missing_parameter_is_named() -> None:
    task = TaskFacts("x", "mass production", {"production": "p", "path": "x/"})
    with pytest.raises(UsageError, match="Give `soft` among the task's parameters"):
        production_job(COMPASS, task, FileFacts(RAW), AttemptFacts(1, 1, "mass production", 275772, 13040))


def test_an_unknown_parameter_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'prodslt'"):
        check_task(COMPASS, TaskFacts("x", "mass production", {"prodslot": 0}))


CHUNKS = [Input(f"mDST-275772-{n}-0-7.root", (f"root://eos//x/mDST-275772-{n}-0-7.root",), events=5) for n in (1, 2)]


@pytest.mark.parametrize(
    ("merge", "number", "name"),
    [
        ("mdst", 0, "mDST-275772-0-7.root"),
        ("mdst", 23, "mDST-275772-0-7.root.023"),
        ("hist", 1, "histsum-275772-0-7.root.001"),
        ("dump", 0, "evtdump0-275772.raw"),
    ],
)
def test_the_first_merged_file_of_a_run_has_no_suffix(merge: str, number: int, name: str) -> None:
    task = TaskFacts("t", "mass production", PARAMETERS)
    assert merged_name(COMPASS, task, merge, run=275772, number=number) == name
    facts = AttemptFacts(9, 1, COMPASS.merges[merge].type, run=275772)
    job = merge_job(COMPASS, task, CHUNKS, facts, merge=merge, number=number)
    check(job)
    assert job.outputs[0].name == name
    assert job.command[-2:] == ("mDST-275772-1-0-7.root", "mDST-275772-2-0-7.root")


def test_a_merged_file_may_have_the_name_of_its_task() -> None:
    named = replace(COMPASS, names={**COMPASS.names, "merged mdst": "{experiment}-{task}-{run}.root"})
    assert merged_name(named, TaskFacts("t", "mass production"), "mdst", run=7, number=0) == "COMPASS-t-7.root"


def test_more_memory_is_a_limit_of_the_job() -> None:
    facts = AttemptFacts(1, 2, "mass production", 275772, 13040, memory_mb=4500.0)
    job = production_job(COMPASS, TaskFacts("t", "mass production", PARAMETERS), FileFacts(RAW), facts)
    assert job.limits.memory_mb == 4500.0
    assert production().limits.memory_mb == 3000


def test_another_experiment_needs_no_python() -> None:
    na62 = load_experiment("NA62")
    file = "root://eosna62.cern.ch//eos/raw/na62raw_1567412345-01-010001-0007.dat"
    parsed = parse_input(na62, "reconstruction", file)
    assert parsed == {"burst": 1567412345, "chunk": 1, "run": 10001, "part": 7}
    task = TaskFacts("r", "reconstruction", {"revision": "v3.1"})
    job = production_job(na62, task, FileFacts(file), AttemptFacts(1, 1, "reconstruction", run=10001))
    check(job)
    assert job.outputs[0].name == "na62reco_010001-1567412345-0007.root"
    assert job.setup == "/cvmfs/na62.cern.ch/offline/v3.1/scripts/env.sh"


GENERATION = "MC generation from a template"


def generation(generate: Generate | None, file: str = "generated-7-3") -> Job:
    task = TaskFacts("mc1", GENERATION, {**PARAMETERS, "template": "dvcs.xml"}, generate=generate)
    facts = AttemptFacts(12, 1, GENERATION, run=7, chunk=3)
    return production_job(COMPASS, task, FileFacts(file, events=500), facts)


def test_a_job_that_generates_events_reads_no_file_and_has_a_seed_of_its_own() -> None:
    job = generation(Generate(jobs=10, events=500, run=7, seed=1001))
    check(job)
    assert job.inputs == ()
    assert job.command[3:5] == ("1003", "500")
    assert job.command[6] == "mcr00003-7.xml"
    assert [file.published_name for file in job.outputs] == ["mcr00003-7_run000.tgeant"]


def test_a_job_that_generates_events_needs_a_task_that_says_how_many() -> None:
    with pytest.raises(UsageError, match=r"does not say how many events.* Add `generate`"):
        generation(None)
    with pytest.raises(UsageError, match="has not the form 'generated-"):
        generation(Generate(jobs=1, events=1), "mcr00003-7.xml")
