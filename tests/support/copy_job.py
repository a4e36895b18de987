"""Small jobs whose only work is to move one file in and one file out, and what must be true after each."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pilotext.model.report import Report
from pilotext.serialization.json import from_json
from pilotext.worker.report_files import PILOT_ERROR_NAME, PILOT_METADATA_NAME, REPORT_NAME
from tests.support.jobs import job_document
from tests.support.processes import command_of, processes_below
from tests.support.xrootd_server import XrdServer

FOLDER = "/eos/compass/dvcs"
SIZE = 16 << 20
"""Bytes of a file that has a middle: a client has no more than 4 MB on the way at any moment."""

MIDDLE = 6 << 20
LONGEST_S = 150
"""A job that lasts longer hangs, for a test."""

CONTENT = random.Random(588).randbytes(SIZE)
SMALL = CONTENT[: 1 << 20]

OF_TIDYING = ("left behind", "perhaps left behind", "not looked for leftovers")

SMALL_DISK = """
mount -t tmpfs -o "size=$1m" tmpfs "$2" || exit
work=$2 kept=$3
shift 3
"$@"
status=$?
cp -r "$work" "$kept"
exit "$status"
"""


@dataclass
class CopyJob:
    """A job that copies `in.bin` to `out.bin`, from and to files of this machine until a test says otherwise."""

    folder: Path
    content: bytes = SMALL
    fields: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.workdir = self.reported_in = self.folder / "work"
        self.prefix: list[str] = []
        self.published = self.folder / "published"
        self.source = self.folder / "in.bin"
        self.source.write_bytes(self.content)
        self.sources = [f"file://{self.source}"]
        self.destinations = [f"file://{self.published}/"]
        self.outputs: list[dict[str, Any]] = []
        """If they are not the one file at the destinations."""
        self.catalogue: dict[str, Any] = {"size": len(self.content), "adler32": adler32(self.content)}
        self.limits: dict[str, float] = {"transfer_stall_s": 30, "transfer_tries": 2, "transfer_wait_s": 0.1}

    def on_small_disk(self, megabytes: int) -> None:
        """Give the job a work directory on a disk of its own; what it leaves there is kept in `kept`."""
        self.workdir.mkdir()
        kept = self.folder / "kept"
        self.prefix = ["unshare", "--map-root-user", "--mount", "/bin/bash", "-c", SMALL_DISK, "bash"]
        self.prefix += [str(megabytes), str(self.workdir), str(kept)]
        self.reported_in = kept

    def start(self) -> subprocess.Popen[bytes]:
        """The wrapper as a process whose descendants `survivors` can tell."""
        document = job_document(
            command=["/bin/cp", "in.bin", "out.bin"],
            inputs=[{"name": "in.bin", "sources": self.sources, **self.catalogue}],
            outputs=self.outputs or [{"name": "out.bin", "destinations": self.destinations}],
            limits=self.limits,
            **self.fields,
        )
        path = self.folder / "job.json"
        path.write_text(json.dumps(document))
        return subprocess.Popen(
            [*self.prefix, sys.executable, "-P", "-m", "pilotext", "run", str(path), "--workdir", str(self.workdir)],
            env={**os.environ, "PYTHONPATH": str(Path.cwd()), **self.environment},
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def run(self) -> Report:
        return self.end(self.start())

    def end(self, process: subprocess.Popen[bytes]) -> Report:
        """The report of a job that is over within reasonable time and has left no process."""
        _, stderr = process.communicate(timeout=LONGEST_S)
        assert all(line.startswith("ERROR: COMPASS-") for line in stderr.decode().splitlines()), "more than pilots want"
        report = self.report()
        assert report.exit_status == process.returncode
        assert self.survivors() == []
        return report

    def report(self) -> Report:
        report = from_json((self.reported_in / REPORT_NAME).read_bytes(), Report)
        error = json.loads((self.reported_in / PILOT_ERROR_NAME).read_bytes())
        assert error == {"error_code": report.verdict.number, "error_diag": report.verdict.diag}
        assert json.loads((self.reported_in / PILOT_METADATA_NAME).read_bytes())["pilotext"]["phase"] == report.phase
        return report

    def phase(self) -> str:
        """The phase that the report on disk names, empty while there is none."""
        path = self.workdir / PILOT_METADATA_NAME  # the last of the three to be written
        return str(json.loads(path.read_bytes())["pilotext"]["phase"]) if path.exists() else ""

    def survivors(self) -> list[str]:
        """Processes that work in our folder, as all of a job's do."""
        return [" ".join(command_of(process)) for process in processes_below(self.folder)]

    def left_in_workdir(self) -> set[str]:
        """What a failed transfer could have left there."""
        return {path.name for path in self.reported_in.iterdir() if path.name == "in.bin" or path.name.startswith(".")}


def adler32(data: bytes) -> str:
    return f"{zlib.adler32(data):08x}"


def outcome(report: Report) -> tuple[int, str | None, str | None, str | None]:
    """Exit status, code, cause and action."""
    verdict = report.verdict
    return report.exit_status, verdict.code, verdict.cause, verdict.action


def faults(report: Report) -> list[str]:
    """The classes of the tries that failed, in order."""
    return [each.fault for each in report.tries]


def transfers(report: Report) -> list[str]:
    """The same, without those of tidying up."""
    return [each.fault for each in report.tries if not each.message.startswith(OF_TIDYING)]


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The process, which a test that fails does not leave behind."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def aim(job: CopyJob, phase: str, port: int, *, folder: str = FOLDER, host: str = "127.0.0.1") -> None:
    """Make the job read from, or write to, the XRootD server at this port."""
    if phase == "stage-in":
        job.sources = [f"root://{host}:{port}/{folder}/in.bin"]
    else:
        job.destinations = [f"root://{host}:{port}/{folder}/"]


def put(server: XrdServer, content: bytes, folder: str = FOLDER) -> Path:
    """Place the job's input on a server."""
    path = server.store / folder[1:] / "in.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    server.give_to_server()
    return path


def stored(server: XrdServer) -> dict[str, bytes]:
    """Everything in the folder of the outputs, also what has a temporary name."""
    files = [path for path in (server.store / FOLDER[1:]).rglob("*") if path.is_file()]
    return {path.name: path.read_bytes() for path in files if path.name != "in.bin"}


def named(files: dict[str, bytes]) -> set[str]:
    """The names that are meant for others."""
    return {name for name in files if not name.startswith(".")}
