"""Batch systems: answers of their commands as they are, processes of this machine, and scripts."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pilotext.api.schemas.factories import BatchEnd
from pilotext.engines.base import BatchCommand, BatchJob, CommandEngine, CommandOutput, Order, run
from pilotext.engines.local import LocalEngine
from pilotext.engines.script import script_of
from pilotext.engines.slurm import SlurmCommands
from pilotext.errors import BatchError
from tests.engines.factory_files import SITE, factory_file, label

WITHIN_S = 30.0


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN_S
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_slurm_submits_an_array_with_a_warning(tmp_path: Path) -> None:
    order = Order("f1.short", tmp_path / "s.sh", tmp_path, label(slots=4, options=("--partition=main",)), count=7)
    [command] = SlurmCommands().submit(order)
    assert command.jobs == 7
    assert command.words[0] == "sbatch"
    assert {"--array=1-7", "--time=60", "--signal=B:TERM@300", "--cpus-per-task=4"} <= set(command.words)
    assert command.words[-2:] == ("--partition=main", str(tmp_path / "s.sh"))


def test_slurm_lists_pending_elements_of_arrays_and_what_runs() -> None:
    answer = CommandOutput(0, "12_1|RUNNING\n12_2|COMPLETING\n12_3|PENDING\n13_1|CONFIGURING\n")
    found = SlurmCommands().jobs(answer, "f1.short")
    assert found == [
        BatchJob("12_1", queued=False),
        BatchJob("12_2", queued=False),
        BatchJob("12_3", queued=True),
        BatchJob("13_1", queued=True),
    ]
    assert SlurmCommands().jobs(CommandOutput(0, ""), "f1.short") == []


@pytest.mark.parametrize(
    ("state", "end"),
    [
        ("PREEMPTED", "preempted"),
        ("NODE_FAIL", "node-failed"),
        ("TIMEOUT", "time-limit"),
        ("CANCELLED", "cancelled"),
        ("OUT_OF_MEMORY", "memory"),
        ("FAILED", "failed"),
        ("COMPLETED", "finished"),
        ("COMPLETING", None),
        ("SUSPENDED", None),
    ],
)
def test_slurm_says_how_a_batch_job_has_ended(state: str, end: BatchEnd | None) -> None:
    found = SlurmCommands().jobs(CommandOutput(0, f"12_1|{state}\n"), "f1.short")
    assert found == [BatchJob("12_1", queued=False, end=end)]
    assert "--states=all" in SlurmCommands().query("f1.short").words


SQUEUE = """#!/bin/sh
case "$*" in *"-j 12_2 "*) echo 2030-01-01T00:00:00 ;; *) echo 2030-01-01T00:00:00; echo 2031-01-01T00:00:00 ;; esac
"""
"""Prints what Slurm does for an element of the array 12, or for all of it: the last element has the number of all."""


def test_an_element_of_an_array_asks_slurm_for_its_own_end(tmp_path: Path) -> None:
    for name, text in {"squeue": SQUEUE, "program": '#!/bin/sh\necho "$@"\n'}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    fields = {"program": [str(tmp_path / "program")], "scratch": str(tmp_path / "scratch"), "system": "slurm"}
    script = tmp_path / "s.sh"
    file = factory_file(tmp_path, labels={"short": fields})
    script.write_text(script_of(file, "short", CommandEngine(SlurmCommands())))
    given = {"SLURM_JOB_ID": "12", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "2", "TZ": "UTC"}
    env = {**os.environ, **given, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["/bin/sh", str(script)], env=env, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert f"--until {datetime(2030, 1, 1, tzinfo=UTC).timestamp() - 300:.0f} " in done.stdout


@pytest.mark.parametrize(
    "answer",
    [
        CommandOutput(1, "", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"),
        CommandOutput(0, "slurm_load_jobs error"),
    ],
)
def test_slurm_that_does_not_answer_is_unknown(answer: CommandOutput) -> None:
    with pytest.raises(BatchError):
        SlurmCommands().jobs(answer, "f1.short")


def test_a_command_that_hangs_or_is_not_there_is_unknown() -> None:
    with pytest.raises(BatchError, match=r"did not answer within 0\.1 s"):
        run(BatchCommand(("sleep", "60")), within_s=0.1)
    with pytest.raises(BatchError, match="cannot be started"):
        run(BatchCommand(("no-such-command",)))


def test_commands_of_a_batch_system_get_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PILOTEXT_TOKEN", "PILOTEXT_TOKEN_FILE", "X509_USER_PROXY", "PGPASSWORD"):
        monkeypatch.setenv(name, "a-secret")
    monkeypatch.setenv("PILOTEXT_RULES", "rules")
    said = run(BatchCommand(("env",))).checked()
    assert "a-secret" not in said
    assert "PILOTEXT_RULES=rules" in said


def test_a_submission_that_fails_halfway_counts_what_was_accepted(tmp_path: Path) -> None:
    class Halfway(SlurmCommands):
        def submit(self, order: Order) -> list[BatchCommand]:
            refused = BatchCommand(("sh", "-c", "echo quota exceeded >&2; exit 1"))
            return [BatchCommand(("true",)), BatchCommand(("true",), jobs=2), refused, BatchCommand(("true",))]

    done = CommandEngine(Halfway()).submit(Order("n", tmp_path, tmp_path, label()))
    assert (done.jobs, done.message) == (3, "status 1: quota exceeded")


@pytest.fixture
def sleeper(tmp_path: Path) -> Path:
    script = tmp_path / "sleep.sh"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    return script


def test_local_processes_are_found_also_by_the_next_one_and_end(tmp_path: Path, sleeper: Path) -> None:
    first = LocalEngine(tmp_path)
    assert first.submit(Order("f1.short", sleeper, tmp_path, label(), count=3)).jobs == 3
    second = LocalEngine(tmp_path)
    assert [job.queued for job in second.jobs("f1.short")] == [False] * 3
    assert second.jobs("f1.shor") == []
    second.cancel([job.number for job in second.jobs("f1.short")[1:]])
    wait_for(lambda: len(first.jobs("f1.short")) == 1)
    first.cancel([job.number for job in first.jobs("f1.short")])
    wait_for(lambda: first.jobs("f1.short") == [])
    first.cancel(["f1.short:gone"])
    assert list((tmp_path / "local").iterdir()) == []


def test_a_script_that_cannot_be_started_is_said(tmp_path: Path, sleeper: Path) -> None:
    done = LocalEngine(tmp_path).submit(Order("f1.short", sleeper, tmp_path / "missing", label()))
    assert done.jobs == 0
    assert "cannot be started" in done.message
    assert LocalEngine(tmp_path).jobs("f1.short") == []


# ------------------------------------------------------------------------------------------------------------- scripts


def test_the_script_of_an_agent_names_its_token_by_a_file_and_its_end(tmp_path: Path) -> None:
    seen = tmp_path / "program"
    seen.write_text('#!/bin/sh\nprintf "%s\\n" "$@" "$PILOTEXT_TOKEN_FILE" "$PILOTEXT_SERVER" "$A" "$(pwd)"\n')
    seen.chmod(0o755)
    (tmp_path / "setup.sh").write_text("A=$A' and more'\n")
    fields = {"system": "local", "program": [str(seen)], "scratch": str(tmp_path / "scratch"), "slots": 2,
              "setup": str(tmp_path / "setup.sh"), "environment": {"A": "it's"}, "max_jobs_of_agent": 5}  # fmt: skip
    file = factory_file(tmp_path, labels={"short": fields})
    script = tmp_path / "s.sh"
    script.write_text(script_of(file, "short", LocalEngine(tmp_path)))
    began = time.time()
    done = subprocess.run(["/bin/sh", str(script)], capture_output=True, text=True, check=True)
    words = done.stdout.splitlines()
    options = dict(zip(words[2:-4:2], words[3:-4:2], strict=True))
    assert words[:2] == ["agent", "--verbose"]
    assert options["--site"] == SITE
    assert options["--slots"] == "2"
    assert options["--name"].startswith("f1.short.")
    assert -1 <= float(options["--until"]) - (began + 3600 - 300) < 60  # date(1) has no parts of a second
    assert options["--jobs"] == "5"
    work = str(tmp_path / f"scratch/pilotext-f1.short-{os.getuid()}")
    assert words[-4:] == [str(tmp_path / "token"), file.server, "it's and more", work]
    assert options["--workdir"] == work
    assert "a-token" not in done.stdout + script.read_text()


def test_a_pilot_gets_a_folder_of_its_own_the_warning_and_no_token(tmp_path: Path) -> None:
    pilot = tmp_path / "pilot"
    pilot.write_text('#!/bin/sh\ntrap "echo warned; exit 7" TERM\npwd\nenv\necho ready\nsleep 600 & wait\n')
    pilot.chmod(0o755)
    fields = {"system": "local", "pilot": [str(pilot), "-q", "A SITE"], "scratch": str(tmp_path / "scratch")}
    script = tmp_path / "s.sh"
    script.write_text(script_of(factory_file(tmp_path, labels={"p": fields}), "p", LocalEngine(tmp_path)))
    output = tmp_path / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(["/bin/sh", str(script)], stdout=file, start_new_session=True)
    wait_for(lambda: "ready" in output.read_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(WITHIN_S) == 7
    said = output.read_text()
    os.killpg(process.pid, signal.SIGKILL)  # the sleep that the pilot has left
    assert said.endswith("warned\n")
    assert "PILOTEXT_TOKEN" not in said
    named = sorted(line for line in said.splitlines() if line.startswith("HARVESTER_"))
    assert named == ["HARVESTER_ID=f1.p", f"HARVESTER_WORKER_ID={process.pid}"]
    assert list((tmp_path / "scratch").glob("*/*")) == []


def test_a_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    fields = {"system": "local", "program": ["true"], "scratch": str(tmp_path / "file")}
    (tmp_path / "file").touch()
    script = tmp_path / "s.sh"
    script.write_text(script_of(factory_file(tmp_path, labels={"p": fields}), "p", LocalEngine(tmp_path)))
    done = subprocess.run(["/bin/sh", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is not a folder of ours" in done.stderr
