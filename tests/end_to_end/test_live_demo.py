"""The demo with a live production: real processes, which run to the end of it and end with the demo."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from fixtures.demo.live import RUNS
from fixtures.servers.ports import free_ports
from pilotext.server.boot import boot
from tests.support.jobs import CHECKOUT
from tests.support.processes import children_of, command_of, is_alive

boot()

from tests.end_to_end.reader import Reader, counts_of, table_of, tiles_of  # noqa: E402  needs boot

SCRIPT = CHECKOUT / "fixtures/demo/serve.py"
RESTS = "nothing of the live production moves"
ENDED_WITHIN_S = 60.0
JOB_WITHIN_S = 180.0
POLL_S = 0.1
PAUSE = ["sleep", "600"]
"""Command of the stand-ins in a demo with a pause of 600 s."""


@dataclass
class Demo:
    """A demo that runs, by its process, and what it has printed so far."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def wait_for(self, words: str) -> str:
        """Return the line with these words."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.strip())
            if words in line:
                return line.strip()
        raise AssertionError(f"the demo ended before it said {words!r}: {self.lines}")

    def url(self, which: str) -> str:
        line = next(line for line in self.lines if f"the {which} production" in line and "http" in line)
        return line.split()[1].rstrip("/")

    def password(self, name: str) -> str:
        return next(line.split()[-1] for line in self.lines if f" {name} " in line)

    def below(self) -> list[psutil.Process]:
        """Return the processes that the demo has started, and those that they have started."""
        return children_of(psutil.Process(self.process.pid), recursive=True)

    def wait_for_a_job(self) -> psutil.Process:
        """Return the process of a stand-in in its pause, once there is one."""
        deadline = time.monotonic() + JOB_WITHIN_S
        while True:
            if stand_ins := [each for each in self.below() if command_of(each) == PAUSE]:
                return stand_ins[0]
            assert self.process.poll() is None, f"the demo ended before a job ran: {self.lines}"
            assert time.monotonic() < deadline, f"no job ran within {JOB_WITHIN_S:g} s"
            time.sleep(POLL_S)

    def end(self, number: signal.Signals, *more: psutil.Process) -> None:
        """Send a signal; the demo and all that it has started must end, `more` among them."""
        below = self.below()
        assert any("xrootd" in " ".join(command_of(each)) for each in below), below
        assert set(more) <= set(below), (more, below)
        self.process.send_signal(number)
        assert self.process.wait(ENDED_WITHIN_S) == 0, self.lines
        left = [each for each in below if is_alive(each)]
        assert not left, [command_of(each) for each in left]


@contextmanager
def demo(folder: Path, *words: str) -> Iterator[Demo]:
    """Run the demo; whatever a test leaves of it is ended."""
    command = [sys.executable, "-P", str(SCRIPT), "--pause", "0", "--port", str(free_ports(2)[0]), *words]
    env = {**os.environ, "TMPDIR": str(folder)}
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield Demo(process)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.communicate(timeout=ENDED_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


@pytest.mark.long(60)
@pytest.mark.timeout(600)
def test_a_live_production_runs_to_its_end_beside_the_made_one(open_folder: Path, tmp_path: Path) -> None:
    made = f"sqlite:///{tmp_path / 'made.sqlite3'}"
    with demo(open_folder, "--live", "--chunks", "2", "--jobs", "30", "--database", made) as running:
        assert counts_of(running.wait_for(RESTS).rpartition(": ")[2]) == {"finished": 3, "manual": 1}
        reader = Reader(running.url("live"), "vera", running.password("vera"))
        assert tiles_of(reader.read("/"))["job to decide"] == 1
        assert tiles_of(reader.read("/"))["failed in 24 hours"] == 2
        (row,) = table_of(reader.read("/tasks"), "Tasks with")
        assert (row["Jobs"], row["finished"], row["manual"]) == ("4", "3", "1")
        first, second = table_of(reader.read("/tasks/1"), "Runs with", "Chunks")
        assert [int(first["Run"]), int(second["Run"])] == list(RUNS)
        assert {first[merge] for merge in ("mdst", "hist", "dump")} == {"kept"}
        assert second["Held by"] == "1 chunk in manual check"
        failed = {row["Code"]: row["Attempts"] for row in table_of(reader.read("/tasks/1"), "Failed attempts")}
        assert failed == {"COMPASS-1241": "1", "COMPASS-1235": "1"}
        assert len(table_of(Reader(running.url("made"), "egon", running.password("egon")).read("/tasks"), "Tasks")) > 1
        running.end(signal.SIGTERM)
    assert not list(open_folder.iterdir())


@pytest.mark.long(30)
@pytest.mark.timeout(600)
def test_the_demo_can_end_with_its_live_production(open_folder: Path) -> None:
    with demo(open_folder, "--live", "--chunks", "1", "--jobs", "0", "--until-done") as running:
        running.wait_for(RESTS)
        assert running.process.wait(ENDED_WITHIN_S) == 0
    assert not list(open_folder.iterdir())


@pytest.mark.long(20)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_demo_while_its_jobs_run(number: signal.Signals, open_folder: Path) -> None:
    with demo(open_folder, "--live", "--jobs", "0", "--pause", "600") as running:
        running.wait_for("maria")
        running.end(number, running.wait_for_a_job())
    assert not list(open_folder.iterdir())


def test_a_demo_whose_port_is_taken_says_so_and_leaves_nothing(open_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with demo(open_folder, "--live", "--jobs", "0", "--port", str(taken.getsockname()[1])) as running:
            running.wait_for("Choose another one by --port.")
            assert running.process.wait(ENDED_WITHIN_S) == 1
    assert not list(open_folder.iterdir())


@pytest.mark.parametrize("words", [("--until-done",), ("--jobs", "0")])
def test_without_a_live_production_there_is_nothing_to_wait_for(words: tuple[str, ...], open_folder: Path) -> None:
    with demo(open_folder, *words) as running:
        assert re.search("need --live", running.wait_for("bin/demo"))
        assert running.process.wait(ENDED_WITHIN_S) == 64
