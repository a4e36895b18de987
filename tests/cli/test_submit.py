from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from pilotext.cli.main import main
from pilotext.model import Job
from pilotext.worker.jobcheck import check

TASKS = Path(__file__).resolve().parents[2] / "fixtures" / "tasks"
JOBS = {
    "mass-production.yaml": (3, ["mdst", "hist", "dump"]),
    "runs-of-the-catalogue.yaml": (2, ["mdst", "hist"]),
    "ddd-filtering.yaml": (1, ["dump"]),
    "na62-reconstruction.yaml": (2, ["reco"]),
}


def test_every_example_of_a_task_is_looked_at() -> None:
    assert {path.name for path in TASKS.glob("*.yaml")} == set(JOBS)


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


def test_what_is_refused_is_told_and_is_no_success(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = (TASKS / "ddd-filtering.yaml").read_text().replace("cdr13040-275772.raw", "README")
    (tmp_path / "task.yaml").write_text(text)
    assert main(["submit", str(tmp_path / "task.yaml"), "--dry-run"]) == 64
    assert "1 inputs refused" in capfd.readouterr().out
