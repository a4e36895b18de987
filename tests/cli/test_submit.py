from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from pilotext.cli.main import main
from pilotext.model.job import Job
from pilotext.server.production.submission.document import read_task
from pilotext.storage.registry import why_unusable
from pilotext.worker.job_checks import check

TASKS = Path(__file__).resolve().parents[2] / "fixtures" / "tasks"
JOBS = {
    "mass-production.yaml": (3, ["mdst", "hist", "dump"]),
    "runs-of-the-catalogue.yaml": (2, ["mdst", "hist"]),
    "run-list.yaml": (3, ["mdst", "hist", "dump"]),
    "ddd-filtering.yaml": (1, ["dump"]),
    "na62-reconstruction.yaml": (2, ["reco"]),
    "mc-generation.yaml": (200, []),
}


IN_A_CHAIN = "mc-reconstruction.yaml"
"""Only a server knows its jobs: tests/server/production/submission/test_chains.py."""


def test_every_example_of_a_task_is_looked_at() -> None:
    assert {path.name for path in TASKS.glob("*.yaml")} == {*JOBS, IN_A_CHAIN}


@pytest.mark.parametrize("name", JOBS)
def test_the_examples_of_tasks_are_whole_jobs(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    jobs, merges = JOBS[name]
    assert main(["submit", str(TASKS / name), "--dry-run", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (len(told["jobs"]), told["refused"], told["merges"]) == (jobs, [], merges)
    for plain in told["jobs"]:
        check(msgspec.convert(plain, Job))


def test_a_dry_run_shows_the_jobs_to_people(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", str(TASKS / "mass-production.yaml"), "--dry-run"]) == 0
    told = capfd.readouterr().out
    assert "cdr13040-275772.raw" in told
    assert "3 jobs, 2 runs, merges: mdst, hist, dump" in told
    assert "names to publish under, and the log archive of each attempt; their owners were not checked" in told


def test_what_is_refused_is_told_and_is_no_success(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = (TASKS / "ddd-filtering.yaml").read_text().replace("cdr13040-275772.raw", "README")
    (tmp_path / "task.yaml").write_text(text)
    assert main(["submit", str(tmp_path / "task.yaml"), "--dry-run"]) == 64
    assert "1 input refused" in capfd.readouterr().out


def test_a_dry_run_shows_one_whole_job_with_every_place(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", str(TASKS / "mass-production.yaml"), "--dry-run"]) == 0
    told = capfd.readouterr().out
    eos, tape = "root://eoscompass.cern.ch//eos/experiment/compass", "root://eosctacompass.cern.ch//castor/cern.ch"
    for line in (
        "command      /cvmfs/compass.cern.ch/generalprod/testcoral/dvcs2016P09t1_mu+/coral.exe",
        "source       root://eosctacompass.cern.ch//castor/cern.ch/compass/data/2016/raw/W14/cdr13040-275772.raw",
        f"mdst         {eos}/generalprod/testcoral/dvcs2016P09t1_mu+/mDST.chunks/mDST-275772-13040-0-7.root",
        f"merged mdst  {eos}/generalprod/testcoral/dvcs2016P09t1_mu+/mDST/mDST-275772-0-7.root",
        f"kept mdst    {tape}/compass/generalprod/testcoral/oracle_dst/dvcs2016P09t1_mu+/mDST/mDST-275772-0-7.root",
        f"log archive  {tape}/user/n/na58dst1/prodlogs/2016/dvcs2016P09t1_logFiles.tar",
    ):
        assert line in told
    assert "their owners were not checked: no --server" in told


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (", year: 2016", "", "year"),
        ("generalprod/testcoral/", "generalprod/testcoral", "end with a slash"),
        ("W14.csv", "other.csv", "the catalogue knows none of the task's files (3)"),
    ],
)
def test_a_task_that_would_never_end_is_refused_by_its_dry_run(
    old: str, new: str, words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = (TASKS / "mass-production.yaml").read_text()
    (tmp_path / "task.yaml").write_text(text.replace("{list: W14.txt}", "{list: list}").replace(old, new))
    (tmp_path / "list").write_text((TASKS / "W14.txt").read_text())
    (tmp_path / "W14.csv").write_text((TASKS / "W14.csv").read_text())
    (tmp_path / "other.csv").write_text("file,events\ncdr1-1.raw,5\n")
    assert main(["submit", str(tmp_path / "task.yaml"), "--dry-run"]) == 64
    assert words in capfd.readouterr().err


def test_a_warning_is_told_and_refuses_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = (TASKS / "ddd-filtering.yaml").read_text().replace("year: 2016", "year: 2017")
    (tmp_path / "task.yaml").write_text(text)
    assert main(["submit", str(tmp_path / "task.yaml"), "--dry-run"]) == 0
    assert "warning: 1 file lies in a folder of year '2016', and the task says year '2017'." in capfd.readouterr().out


RECO = """experiment: NA62
name: reco
type: reconstruction
parameters: {revision: v1}
"""


def offline(folder: Path, more: str) -> int:
    path = folder / "task.yaml"
    path.write_text(RECO + more)
    return main(["submit", str(path), "--dry-run"])


@pytest.mark.parametrize("more", ["", "files: {}\n"])
def test_a_task_without_files_is_refused(more: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert offline(tmp_path, more) == 64
    assert "Give `files` with `these`, `list`, `folder`, `runs` or `outputs_of`" in capfd.readouterr().err


@pytest.mark.parametrize("more", ["parent: earlier\n", "files: {outputs_of: {task: earlier}}\n"])
def test_outputs_of_another_task_are_known_to_the_server_alone(
    more: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert offline(tmp_path, more) == 64
    said = capfd.readouterr().err
    assert "only the server knows the outputs of earlier" in said
    assert "PILOTEXT_SERVER" in said


def test_a_dry_run_of_a_task_without_jobs_is_no_success(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list").write_text("# nothing yet\n")
    assert offline(tmp_path, "files: {list: list}\n") == 64
    assert "refused: the task has no jobs" in capfd.readouterr().out


def test_a_relative_file_is_beside_the_task_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list").write_text("file:raw/b.raw\nfile:///abs/c.raw\n")
    path = tmp_path / "task.yaml"
    path.write_text(
        RECO + "files: {these: [file:../a.raw, raw/plain.raw, 'root://h//d.raw'], list: list, folder: [file:raw/]}\n"
    )
    monkeypatch.chdir("/")
    whole = read_task(path)
    assert whole.task.files.these == (f"file://{tmp_path.parent}/a.raw", "raw/plain.raw", "root://h//d.raw")
    assert whole.listed == (f"file://{tmp_path}/raw/b.raw", "file:///abs/c.raw")
    assert whole.task.files.folder == (f"file://{tmp_path}/raw/",)


def test_a_relative_file_elsewhere_is_refused_for_what_it_is() -> None:
    assert "its path is relative" in why_unusable("file:raw/a.raw")
    assert "has no scheme" in why_unusable("raw/a.raw")
