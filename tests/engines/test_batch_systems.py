"""HTCondor, PBS, Grid Engine and LSF: their commands are stubs here, which print what the manuals say of real ones.

Slurm is real, in `tests/end_to_end/test_factory_production.py`. The submit description of HTCondor was read by its own
parser (htcondor 25.14, `Submit`).
"""

from __future__ import annotations

import getpass
import os
import shlex
from pathlib import Path

import pytest

from pilotext.engines.base import BatchCommands, BatchJob, CommandEngine, CommandOutput, Order
from pilotext.engines.factory import COMMANDS
from pilotext.engines.settings import LabelSettings
from pilotext.errors import BatchError
from tests.engines.factory_files import label

NAME = "f1.short"
ME = getpass.getuser()

CONDOR = """\
[
{ "ClusterId": 12, "JobStatus": 2, "ProcId": 0 },
{ "ClusterId": 12, "JobStatus": 1, "ProcId": 1 },
{ "ClusterId": 13, "JobStatus": 5, "ProcId": 0 },
{ "ClusterId": 11, "JobStatus": 4, "ProcId": 0 },
{ "ClusterId": 11, "JobStatus": 3, "ProcId": 1 }
]
"""

PBS = f"""\
Job Id: 12.pbs01
    Job_Name = {NAME}
    Job_Owner = {ME}@submit01.example.org
    job_state = R
    queue = workq
    Variable_List = PBS_O_HOME=/home/prod,
\tPBS_O_WORKDIR=/home/prod,PBS_O_QUEUE=workq
    etime = Sun Nov 29 20:00:00 2026

Job Id: 13.pbs01
    Job_Name = {NAME}
    Job_Owner = {ME}@submit01.example.org
    job_state = Q

Job Id: 14.pbs01
    Job_Name = {NAME}
    Job_Owner = another@submit01.example.org
    job_state = Q

Job Id: 15.pbs01
    Job_Name = f1.short2
    Job_Owner = {ME}@submit01.example.org
    job_state = Q

Job Id: 16.pbs01
    Job_Name = {NAME}
    Job_Owner = {ME}@submit01.example.org
    job_state = C
"""

GRID_ENGINE = f"""\
<?xml version='1.0'?>
<job_info  xmlns:xsd="http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas/qstat/qstat.xsd">
  <queue_info>
    <job_list state="running">
      <JB_job_number>12</JB_job_number>
      <JB_name>{NAME}</JB_name>
      <JB_owner>{ME}</JB_owner>
      <state>r</state>
      <slots>1</slots>
      <tasks>1</tasks>
    </job_list>
  </queue_info>
  <job_info>
    <job_list state="pending">
      <JB_job_number>12</JB_job_number>
      <JB_name>{NAME}</JB_name>
      <state>qw</state>
      <tasks>2</tasks>
    </job_list>
    <job_list state="pending">
      <JB_job_number>13</JB_job_number>
      <JB_name>another</JB_name>
      <state>qw</state>
    </job_list>
  </job_info>
</job_info>
"""

LSF = "12|1|RUN\n12|2|PEND\n12|3|DONE\n13|4|SSUSP\n"

ANSWERS = {
    "htcondor": (CONDOR, [("12.0", False, "12_0"), ("12.1", True, "12_1"), ("13.0", True, "13_0")]),
    "pbs": (PBS, [("12.pbs01", False, "12"), ("13.pbs01", True, "13")]),
    "gridengine": (GRID_ENGINE, [("12.1", False, "12_1"), ("12.2", True, "12_2")]),
    "lsf": (LSF, [("12[1]", False, "12_1"), ("12[2]", True, "12_2"), ("13[4]", False, "13_4")]),
}
NONE = {
    "htcondor": (CommandOutput(0, ""), CommandOutput(0, "[\n]\n")),
    "pbs": (CommandOutput(0, ""),),
    "gridengine": (CommandOutput(0, "<job_info><queue_info/><job_info/></job_info>"),),
    "lsf": (
        CommandOutput(255, "", f"Job <{NAME}> is not found\n"),
        CommandOutput(255, "", "No unfinished job found\n"),
    ),
}
NO_ANSWER = {
    "htcondor": (CommandOutput(1, "", "-- Failed to fetch ads from: <10.0.0.1:9618>"), CommandOutput(0, "{}..")),
    "pbs": (CommandOutput(111, "", "Connection refused\nqstat: cannot connect to server"), CommandOutput(0, "usage:")),
    "gridengine": (CommandOutput(1, "", "error: commlib error: got select error"), CommandOutput(0, "")),
    "lsf": (CommandOutput(255, "", "LSF is down. Please wait ..."), CommandOutput(0, "Cannot connect to LSF.")),
}
SUBMIT = {
    "htcondor": ("condor_submit", 1),
    "pbs": ("qsub", 3),
    "gridengine": ("qsub", 1),
    "lsf": ("bsub", 1),
}
CANCEL = {"htcondor": "condor_rm", "pbs": "qdel", "gridengine": "qdel", "lsf": "bkill"}
QUERY = {"htcondor": "condor_q", "pbs": "qstat", "gridengine": "qstat", "lsf": "bjobs"}


def commands_of(system: str) -> BatchCommands:
    return COMMANDS[system]()


@pytest.mark.parametrize("system", ANSWERS)
def test_batch_jobs_are_read_with_their_state(system: str) -> None:
    text, expected = ANSWERS[system]
    found = commands_of(system).jobs(CommandOutput(0, text), NAME)
    assert found == [BatchJob(number, queued=queued, id=id_) for number, queued, id_ in expected]


@pytest.mark.parametrize(("system", "answer"), [(name, each) for name, answers in NONE.items() for each in answers])
def test_an_answer_without_batch_jobs_is_none(system: str, answer: CommandOutput) -> None:
    assert commands_of(system).jobs(answer, NAME) == []


@pytest.mark.parametrize(
    ("system", "answer"), [(name, each) for name, answers in NO_ANSWER.items() for each in answers]
)
def test_what_is_no_answer_is_unknown(system: str, answer: CommandOutput) -> None:
    with pytest.raises(BatchError):
        commands_of(system).jobs(answer, NAME)


@pytest.fixture
def stubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for stub commands, first in the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def stub(folder: Path, name: str, *, out: str = "", err: str = "", status: int = 0) -> Path:
    """Make a stub of a command, which writes its words and its input to the file that is returned."""
    log = folder / f"{name}.log"
    (folder / f"{name}.out").write_text(out)
    (folder / f"{name}.err").write_text(err)
    lines = [
        f'printf "%s\\n" "$@" >> {shlex.quote(str(log))}; cat >> {shlex.quote(str(log))}',
        f"cat {folder}/{name}.out; cat {folder}/{name}.err >&2; exit {status}",
    ]
    (folder / name).write_text("\n".join(["#!/bin/sh", *lines, ""]))
    (folder / name).chmod(0o755)
    return log


def ordered(tmp_path: Path, system: str, options: tuple[str, ...] = ()) -> Order:
    asked: LabelSettings = label(system=system, wall_s=7200.0, warn_s=300.0, options=options)
    return Order(NAME, tmp_path / "short.sh", tmp_path / "output", asked, count=3)


@pytest.mark.parametrize("system", ANSWERS)
def test_batch_jobs_are_submitted_listed_and_cancelled(tmp_path: Path, stubs: Path, system: str) -> None:
    engine = CommandEngine(commands_of(system))
    command, times = SUBMIT[system]
    log = stub(stubs, command)
    done = engine.submit(ordered(tmp_path, system, ("+option",)))
    assert (done.jobs, done.message) == (3, "")
    said = log.read_text()
    assert said.count(NAME) >= times
    assert said.count(str(tmp_path / "short.sh")) == times
    assert "+option" in said
    text, expected = ANSWERS[system]
    stub(stubs, QUERY[system], out=text)
    assert [job.number for job in engine.jobs(NAME)] == [number for number, *_ in expected]
    cancelled = stub(stubs, CANCEL[system])
    engine.cancel([number for number, *_ in expected])
    assert cancelled.read_text().split() == [number for number, *_ in expected]
    engine.cancel([])


@pytest.mark.parametrize("system", ANSWERS)
def test_a_refusal_is_said_and_nothing_counts_as_submitted(tmp_path: Path, stubs: Path, system: str) -> None:
    stub(stubs, SUBMIT[system][0], err="no such queue\n", status=3)
    done = CommandEngine(commands_of(system)).submit(ordered(tmp_path, system))
    assert (done.jobs, done.message) == (0, "status 3: no such queue")


@pytest.mark.parametrize(
    ("system", "words"),
    [
        ("pbs", {"walltime=02:00:00"}),
        ("gridengine", {"h_rt=7200", "1-3", "-notify"}),
        ("lsf", {f"{NAME}[1-3]", "120", "TERM"}),
        ("htcondor", {"-terse", "+MaxRuntime", "queue"}),
    ],
)
def test_the_time_and_the_number_are_requested(tmp_path: Path, stubs: Path, system: str, words: set[str]) -> None:
    log = stub(stubs, SUBMIT[system][0])
    CommandEngine(commands_of(system)).submit(ordered(tmp_path, system))
    assert words <= set(log.read_text().split())
