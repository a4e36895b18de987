"""Jobs under a real pilot, all at once: a pilot mostly waits, after a failure for two minutes, whatever its options.

What came of each is plain data in a file, which one process makes for all those of a parallel test run. It is begun
together with the first tests, so that the tests of the pilot need not wait for it.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from fixtures.servers.xrootd import XrdServer
from pilotext.formats.date_raw_writer import make_raw
from tests.end_to_end.conftest import CASTOR, EOS, EVENTS, RAW, production_job
from tests.support.jobs import CHECKOUT
from tests.support.panda_server import PandaServer
from tests.support.pilot import Pilot, Release, installed_release, panda_job
from tests.support.processes import children_of

LONGEST_S = 420.0
"""A bound against hanging: a stopped old pilot says so after 205 s on an idle machine."""

Document = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a pilot told its server, and what was left on disk and on the storage when it had said its last word."""

    updates: list[dict[str, Any]]
    reports: list[Document]
    stdout: str
    stderr: str
    report: Document
    published: list[str]
    survivors: list[str]

    @property
    def final(self) -> dict[str, Any]:
        """The last update, its numbers as numbers: old pilots send everything as text."""
        numbers = ("pilotErrorCode", "exeErrorCode", "transExitCode")
        return self.updates[-1] | {name: int(self.updates[-1][name]) for name in numbers}

    @property
    def metadata(self) -> Document:
        """What pilotext says of the job in the pilot's metadata; empty when the pilot sent none."""
        told: Document = json.loads(self.updates[-1].get("metaData") or "{}").get("pilotext", {})
        return told


def by_url(job: Document, server: PandaServer) -> str:
    server.files["588.json"] = json.dumps(job).encode()
    return f"--job-url {server.url}/jobs/588.json"


@dataclass(frozen=True)
class Case:
    """A mode of the stand-in, what happens meanwhile, and how the job parameters look."""

    mode: str = ""
    change: Callable[[Document, XrdServer], None] = lambda _job, _castor: None
    parameters: Callable[[Document, PandaServer], str] = by_url
    command: Callable[[int], str] = lambda _update: "NULL"
    meanwhile: Callable[[Pilot], None] = lambda _pilot: None
    environment: dict[str, str] = field(default_factory=lambda: {"PILOTEXT_HOME": str(CHECKOUT)})


@dataclass(frozen=True)
class Storage:
    """Two servers, and a raw file on the first."""

    castor: XrdServer
    eos: XrdServer
    raw: Path


def to_a_storage_that_takes_nothing(job: Document, castor: XrdServer) -> None:
    job["outputs"][1]["destinations"] = [castor.url("/castor/cern.ch/compass/histos/")]


def stop_the_pilot(pilot: Pilot) -> None:
    wait_for_events(pilot)
    pilot.signal(signal.SIGTERM)


def kill_the_wrapper(pilot: Pilot) -> None:
    wait_for_events(pilot)
    ours = [pid for pid, words in processes_in(pilot.workdir).items() if "pilotext run" in words]
    (wrapper,) = [pid for pid in ours if psutil.Process(pid).ppid() not in ours]  # the subreaper looks the same
    os.kill(wrapper, signal.SIGKILL)


CASES = {
    "good": Case(),
    "latin-1 flood": Case("latin1,flood=20000"),
    "no memory": Case("tlattice"),
    "killed payload": Case("killed=3"),
    "failing stage-out": Case(change=to_a_storage_that_takes_nothing),
    "stopped by the server": Case("hang=3,unbuffered", command=lambda update: "tobekilled" if update > 2 else "NULL"),
    "stopped by the batch system": Case("hang=3,unbuffered", meanwhile=stop_the_pilot),
    "killed wrapper": Case("hang=3,unbuffered", meanwhile=kill_the_wrapper),
    "no pilotext": Case(environment={"PILOTEXT_HOME": "/cvmfs/nowhere"}),
}


@contextmanager
def outcomes_beforehand(folder: Path) -> Iterator[None]:
    """Have a process of its own make the file of `shared_outcomes` in this folder, and end that with the block."""
    code = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); from {__name__} import shared_outcomes as make; "
    code += f"from pathlib import Path; make(Path({str(folder)!r}))"
    with (folder / "pilots.log").open("wb") as log:
        spool = {"PILOTEXT_SPOOL": str(folder / "pilots.spool")}
        words = [sys.executable, "-P", "-c", code]
        process = psutil.Popen(words, env={**os.environ, **spool}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield
    finally:
        for each in [*children_of(process, recursive=True), process]:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()


def shared_outcomes(folder: Path) -> dict[str, Outcome]:
    """Return the outcome of every case by its name; the first process that asks for this folder makes them, for all."""
    kept = folder / "pilots.json"
    with (folder / "pilots.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            made = {name: asdict(outcome) for name, outcome in run_all(installed_release()).items()}
            kept.write_text(json.dumps(made))
    return {name: Outcome(**outcome) for name, outcome in json.loads(kept.read_text()).items()}


def run_all(release: Release) -> dict[str, Outcome]:
    """Run every case under a pilot of its own, over two real XRootD servers that they share."""
    with _open_folder() as folder:
        castor = XrdServer(folder / "castor", [("/castor/cern.ch/compass", "r/o")], name="castor")
        eos = XrdServer(folder / "eos", [(EOS, "r/w")], name="eos")
        raw = castor.store / CASTOR.lstrip("/") / RAW
        raw.parent.mkdir(parents=True)
        make_raw(raw, run=275772, events=EVENTS)
        with castor, eos, ThreadPoolExecutor(len(CASES)) as pool:
            futures = {
                name: pool.submit(_run, release, case, folder / name.replace(" ", "-"), Storage(castor, eos, raw))
                for name, case in CASES.items()
            }
            return {name: future.result() for name, future in futures.items()}


def _run(release: Release, case: Case, folder: Path, storage: Storage) -> Outcome:
    server = PandaServer(case.command)
    own = f"{EOS}/{folder.name}"
    job = production_job(storage.castor, storage.eos, storage.raw, case.mode, wall_s=300)
    job = json.loads(json.dumps(job).replace(f"/{EOS}/", f"/{own}/"))
    job["report"] = {"url": f"{server.url}/report", "token": "of-this-attempt"}
    case.change(job, storage.castor)
    server.files["pilotext-trf"] = (CHECKOUT / "bin/pilotext-trf").read_bytes()
    server.jobs.append(panda_job(release.transformation(server.url), case.parameters(job, server)))
    with server, Pilot(release, folder, server.port, case.environment) as pilot:
        case.meanwhile(pilot)
        if not server.final.wait(LONGEST_S):
            raise TimeoutError(f"the pilot did not end its job; its last words: {pilot.log.read_text()[-2000:]}")
        survivors = _survivors(pilot.workdir)
        outcome = Outcome(
            updates=server.updates,
            reports=server.reports,
            stdout=(pilot.workdir / "payload.stdout").read_bytes().decode("ascii"),
            stderr=(pilot.workdir / "payload.stderr").read_bytes().decode("ascii"),
            report=_report(pilot.workdir),
            published=sorted(path.name for path in (storage.eos.store / own.lstrip("/")).rglob("*") if path.is_file()),
            survivors=survivors,
        )
        server.looked_at.set()
        return outcome


def _report(workdir: Path) -> Document:
    path = workdir / "job.report.json"
    report: Document = json.loads(path.read_bytes()) if path.exists() else {}
    return report


def _survivors(workdir: Path) -> list[str]:
    """Processes of the job; those that a pilot told to end have their grace to do so, since it reports before."""
    end = time.monotonic() + 30
    while (left := processes_in(workdir)) and time.monotonic() < end:
        time.sleep(0.1)
    return list(left.values())


def processes_in(workdir: Path) -> dict[int, str]:
    """Command lines of the processes that work in the folder, by their pid."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == workdir:
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it has ended meanwhile
    return found


def wait_for_events(pilot: Pilot) -> None:
    """Until the payload is among its events and the report on disk says so."""
    end = time.monotonic() + 120
    stdout, report = pilot.workdir / "payload_stdout.txt", pilot.workdir / "job.report.json"
    while not (stdout.exists() and stdout.stat().st_size and json.loads(report.read_bytes())["phase"] == "payload"):
        if time.monotonic() > end:
            raise TimeoutError(f"the payload was not started: {pilot.log.read_text()[-2000:]}")
        time.sleep(0.05)


@contextmanager
def _open_folder() -> Iterator[Path]:
    """A folder that the servers' own user can reach."""
    with tempfile.TemporaryDirectory(prefix="pilotext-test-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name).resolve()
