"""Two real XRootD servers, a raw file on one of them, and the whole command as a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fixtures.servers.xrootd import XrdServer
from pilotext.formats.date_raw_writer import make_raw
from pilotext.model.report import Report
from pilotext.serialization.json import from_json
from tests.support.jobs import CHECKOUT, PAYLOADS

pytest.register_assert_rewrite("tests.end_to_end.whole_production_checks")

CASTOR = "/castor/cern.ch/compass/data/2016/raw/W14"
EOS = "/eos/experiment/compass"
EVENTS = 60
RAW = "cdr12019-275772.raw"
MDST = "mDST-275772-12019-0-7.root"
HISTOGRAMS = "275772-12019-0.root"
REPORT_SCHEMA = json.loads((CHECKOUT / "docs/report.schema.json").read_text())
DUMP = "evtdump0-12019-275772.raw"


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all processes of a parallel test run have in common."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session", autouse=True)
def _pilots_beforehand(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Begin with the jobs under a real pilot, which take minutes, if their tests are to run; one process does it."""
    of_pilots = any(item.path.name == "test_real_pilot.py" for item in request.session.items)
    if not of_pilots or os.environ.get("PYTEST_XDIST_WORKER", "gw0") != "gw0":
        yield
        return
    from tests.end_to_end.pilot_cases import outcomes_beforehand

    with outcomes_beforehand(shared_folder(tmp_path_factory)):
        yield


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the server's own user can reach; pytest's are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="pilotext-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def storing_chunks(folder: Path, run: int, chunks: Iterable[int]) -> Iterator[XrdServer]:
    """Serve a raw file of 20 events for each chunk of a run, and a place for outputs."""
    server = XrdServer(folder, [("/castor/cern.ch/compass", "r/w"), (EOS, "r/w")])
    raws = server.store / CASTOR.lstrip("/")
    raws.mkdir(parents=True)
    for chunk in chunks:
        make_raw(raws / f"cdr{chunk}-{run}.raw", run=run, events=20)
    with server:
        yield server


def coral_by_chunk(modes: Mapping[int, str]) -> str:
    """Return a program that is the stand-in for CORAL, with these modes for some chunks."""
    cases = "\n".join(f"    cdr{chunk}-*) export PILOTEXT_STANDIN={mode} ;;" for chunk, mode in modes.items())
    return f'#!/bin/bash\ncase "$TMPRAWFILE" in\n{cases}\nesac\nexec "{PAYLOADS / "coral.exe"}" "$@"\n'


@dataclass
class Ended:
    """How a run of the command ended, with its report."""

    status: int
    stdout: str
    stderr: str
    report: Report
    workdir: Path


@dataclass
class Grid:
    """A CASTOR-like server with one raw file, an EOS-like one, and jobs that use both."""

    castor: XrdServer
    eos: XrdServer
    folder: Path
    raw: Path
    job: dict[str, Any] = field(default_factory=dict)

    @property
    def workdir(self) -> Path:
        return self.folder / "work"

    def published(self) -> dict[str, Path]:
        """Every file on the EOS-like server, by its name."""
        return {path.name: path for path in self.eos.store.rglob("*") if path.is_file()}

    def write_job(self) -> Path:
        path = self.folder / "job.json"
        path.write_text(json.dumps(self.job))
        return path

    def command(self) -> list[str]:
        return [sys.executable, "-P", "-m", "pilotext", "run", str(self.write_job()), "--workdir", str(self.workdir)]

    def run(self) -> Ended:
        ended = subprocess.run(self.command(), capture_output=True, timeout=120, check=False)
        return self.ended(ended.returncode, ended.stdout, ended.stderr)

    def ended(self, status: int, stdout: bytes, stderr: bytes) -> Ended:
        assert (self.workdir / "job.report.json").exists(), stderr.decode()
        return Ended(status, stdout.decode("ascii"), stderr.decode("ascii"), read_report(self.workdir), self.workdir)


def read_report(workdir: Path) -> Report:
    """The report on disk, decoded by its own types, after a look at the two files for the pilot."""
    report = from_json((workdir / "job.report.json").read_bytes(), Report)
    jsonschema.validate(json.loads((workdir / "job.report.json").read_bytes()), REPORT_SCHEMA)
    error = json.loads((workdir / "payload_error_report.json").read_bytes())
    assert error == {"error_code": report.verdict.number, "error_diag": report.verdict.diag}
    assert error["error_diag"].isascii()
    assert len(error["error_diag"]) <= 256
    assert "\n" not in error["error_diag"]
    metadata = json.loads((workdir / "jobReport.json").read_bytes())
    assert metadata["pilotext"]["code"] == report.verdict.code
    return report


def production_job(castor: XrdServer, eos: XrdServer, raw: Path, mode: str = "", **limits: float) -> dict[str, Any]:
    """A `mass production` job on the stand-in CORAL, as the server would make it."""
    data = raw.read_bytes()
    return {
        "format": 1,
        "experiment": "COMPASS",
        "type": "mass production",
        "kind": "reconstruction",
        "task": "dvcs2016P09t1",
        "job": 588,
        "attempt": 2,
        "run": 275772,
        "chunk": 12019,
        "setup": str(PAYLOADS / "setup.sh"),
        "command": [str(PAYLOADS / "coral.exe"), str(PAYLOADS / "template.opt")],
        "environment": {
            "TMPRAWFILE": RAW,
            "TMPMDSTFILE": MDST,
            "TMPHISTFILE": HISTOGRAMS,
            "prodSlt": "0",
            "COMPASS_PROD_NAME": "dvcs2016P09t1",
            "PILOTEXT_STANDIN": mode,
        },
        "inputs": [
            {
                "name": RAW,
                "sources": [castor.url(f"{CASTOR}/{RAW}?svcClass=compasscdr")],
                "size": len(data),
                "adler32": f"{zlib.adler32(data):08x}",
                "events": EVENTS,
            }
        ],
        "outputs": [
            {"name": MDST, "kind": "mdst", "check": "root", "destinations": [eos.url(f"{EOS}/mDST.chunks/")]},
            {"name": HISTOGRAMS, "kind": "hist", "check": "root", "destinations": [eos.url(f"{EOS}/TRAFDIC/")]},
            {
                "name": "testevtdump.raw",
                "as": DUMP,
                "kind": "dump",
                "check": "raw",
                "when_empty": "placeholder",
                "destinations": [eos.url(f"{EOS}/evtdump/slot0/")],
            },
        ],
        "log": {"destinations": [eos.url(f"{EOS}/PanDALogs/")], "name": "job.log.tgz"},
        "law": "events_processed + events_skipped == raw_events",
        "limits": {
            "wall_s": 100,
            "memory_mb": 4000,
            "grace_s": 1,
            "transfer_stall_s": 5,
            "transfer_wait_s": 0.1,
            "stage_out_s": 0,
            **limits,
        },
    }


@pytest.fixture
def grid(open_folder: Path) -> Iterator[Grid]:
    castor = XrdServer(open_folder / "castor", [("/castor/cern.ch/compass", "r/o")], name="castor")
    eos = XrdServer(open_folder / "eos", [(EOS, "r/w")], name="eos")
    raw_folder = castor.store / CASTOR.lstrip("/")
    raw_folder.mkdir(parents=True)
    raw = raw_folder / RAW
    make_raw(raw, run=275772, events=EVENTS)
    with castor, eos:
        grid = Grid(castor, eos, open_folder, raw)
        grid.job = production_job(castor, eos, raw)
        yield grid
