"""Jobs over local folders, as real processes: for faults that have nothing to do with a storage."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from fixtures.servers.xrootd import XrdServer
from pilotext.formats.date_raw_writer import make_raw
from tests.end_to_end.conftest import CASTOR, EOS, EVENTS, RAW, Ended, production_job, read_report
from tests.support.processes import processes_below


@dataclass(frozen=True)
class Store:
    """A folder that answers like a server."""

    root: Path

    def url(self, path: str) -> str:
        return f"file://{self.root}{path.partition('?')[0]}"


@dataclass
class Local:
    """A folder with a raw file, one for what is published, and a job between them."""

    folder: Path
    raw: Path
    job: dict[str, Any] = field(default_factory=dict)

    @property
    def workdir(self) -> Path:
        return self.folder / "work"

    def published(self) -> set[str]:
        store = self.folder / "eos"
        return {path.name for path in store.rglob("*") if path.is_file()}

    def command(self) -> list[str]:
        path = self.folder / "job.json"
        path.write_text(json.dumps(self.job))
        return [sys.executable, "-P", "-m", "pilotext", "run", str(path), "--workdir", str(self.workdir)]

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def end(self, wrapper: subprocess.Popen[bytes]) -> Ended:
        stdout, stderr = wrapper.communicate(timeout=120)
        assert (self.workdir / "job.report.json").exists(), stderr.decode()
        report = read_report(self.workdir)
        return Ended(wrapper.returncode, stdout.decode("ascii"), stderr.decode("ascii"), report, self.workdir)

    def run(self) -> Ended:
        return self.end(self.start())

    def bash(self, script: str, **fields: Any) -> None:
        """Make the job a `shell` job of this script, without inputs and outputs."""
        for name in ("setup", "inputs", "outputs", "law"):
            self.job.pop(name, None)
        self.job |= {"type": "shell", "kind": "tool", "command": ["/bin/bash", "-c", script], **fields}

    def ddd(self, *command: str) -> None:
        """Make the job a filter of the raw file into `out.raw`."""
        output = {"name": "out.raw", "kind": "dump", "check": "raw", "destinations": [f"file://{self.folder}/eos/"]}
        self.job |= {"type": "DDD filtering", "kind": "decoding", "command": [*command], "outputs": [output]}
        self.job.pop("law", None)


@pytest.fixture
def local(open_folder: Path) -> Iterator[Local]:
    raw = open_folder / "castor" / CASTOR.lstrip("/") / RAW
    raw.parent.mkdir(parents=True)
    (open_folder / "eos" / EOS.lstrip("/")).mkdir(parents=True)
    make_raw(raw, run=275772, events=EVENTS)
    castor, eos = (cast("XrdServer", Store(open_folder / name)) for name in ("castor", "eos"))
    yield Local(open_folder, raw, production_job(castor, eos, raw))
    assert processes_below(open_folder) == [], "a process outlived its job"


def assert_failed(local: Local, ended: Ended, rule: str, cause: str, status: int) -> None:
    """The job failed with this verdict, nothing but its log is published, and no process is left."""
    verdict = ended.report.verdict
    told = f"{verdict.code} {verdict.diag}"
    assert (verdict.verdict, verdict.rule, verdict.cause) == ("failure", rule, cause), told
    assert (ended.status, ended.report.exit_status, ended.report.state) == (status, status, "failed")
    assert local.published() <= {"job.log.tgz"}
    assert processes_below(local.folder) == []
