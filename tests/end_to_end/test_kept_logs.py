"""Log archives whose storage is a real XRootD server that is down: kept on the node, and delivered when it is back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.servers.xrootd import XrdServer
from pilotext.model.report import Report
from pilotext.serialization.json import from_json
from pilotext.storage.base import adler32_of
from tests.support.jobs import job_document
from tests.support.report_server import ReportServer, report_server
from tests.support.xrootd_server import serving

TOKEN = "t0ken-of-this-attempt"
LIMITS = {"transfer_tries": 2, "transfer_wait_s": 0.1, "transfer_stall_s": 5}


@pytest.fixture
def eos() -> Iterator[XrdServer]:
    with serving() as server:
        yield server


@pytest.fixture
def home() -> Iterator[ReportServer]:
    with report_server() as server:
        yield server


def run(folder: Path, eos: XrdServer, home: ReportServer, script: str, path: str = "/jobs/1") -> int:
    """Run a job that writes `out.txt`, whose outputs and logs go to EOS; return its exit status."""
    document = job_document(
        command=["/bin/bash", "-c", script],
        outputs=[{"name": "out.txt", "destinations": [eos.url("/eos/compass/out/")]}],
        log={"destinations": [eos.url("/eos/compass/logs/")], "name": "log.tgz"},
        report={"url": home.url(path), "token": TOKEN},
        limits=LIMITS,
    )
    (folder / "job.json").write_text(json.dumps(document))
    return command(folder, "run", str(folder / "job.json"), "--workdir", str(folder / "work"))


def command(folder: Path, *words: str) -> int:
    environment = {"PILOTEXT_KEPT": str(folder / "kept"), "PILOTEXT_SPOOL": str(folder / "spool")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "pilotext", *words],
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), **environment},
        cwd=folder,
        check=False,
    ).returncode


def reported(home: ReportServer) -> list[Report]:
    return [from_json(request.body, Report) for request in home.requests]


def published(eos: XrdServer) -> dict[str, Path]:
    return {path.name: path for path in (eos.store / "eos/compass").rglob("*") if path.is_file()}


def assert_log_is_there(report: Report, eos: XrdServer) -> None:
    archive = published(eos)["log.tgz"]
    assert report.log is not None
    assert report.log.url == eos.url("/eos/compass/logs/log.tgz")
    assert (report.log.size, report.log.adler32) == (archive.stat().st_size, adler32_of(archive))
    with tarfile.open(archive) as packed:
        assert any(name.endswith("/payload.stdout") or "stdout" in name for name in packed.getnames())


@pytest.mark.fault("report", "EOS away: the archive of a failed job")
def test_the_logs_of_a_failed_job_are_delivered_later(tmp_path: Path, eos: XrdServer, home: ReportServer) -> None:
    eos.stop()
    assert run(tmp_path, eos, home, "echo bad; exit 3") == 66
    (failed,) = reported(home)
    assert (failed.state, failed.log) == ("failed", None), "a failure is reported at once"
    assert failed.kept is not None
    assert failed.kept.log_only
    assert command(tmp_path, "outputs", "--flush") == 1, "EOS is away still"
    eos.start()
    assert command(tmp_path, "outputs", "--flush") == 0
    _, later = reported(home)
    assert (later.state, later.verdict.code, later.kept) == ("failed", failed.verdict.code, None)
    assert_log_is_there(later, eos)
    assert set(published(eos)) == {"log.tgz"}, "a failed job publishes nothing else"
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.fault("stage-out", "EOS away: outputs and archive of a good job")
def test_the_logs_of_kept_outputs_are_published_with_them(tmp_path: Path, eos: XrdServer, home: ReportServer) -> None:
    eos.stop()
    assert run(tmp_path, eos, home, "echo good > out.txt") == 68
    assert home.requests == []
    eos.start()
    assert command(tmp_path, "outputs", "--flush") == 0
    (report,) = reported(home)
    assert (report.state, report.verdict.verdict, report.kept) == ("done", "success", None)
    assert_log_is_there(report, eos)
    assert set(published(eos)) == {"out.txt", "log.tgz"}
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.fault("stage-out", "job cancelled, or server away, while its kept outputs are uploaded")
@pytest.mark.parametrize(("status", "left"), [(410, 0), (503, 1)])
def test_kept_outputs_are_published_only_if_the_server_says_so_once_they_are_uploaded(
    tmp_path: Path, eos: XrdServer, home: ReportServer, status: int, left: int
) -> None:
    eos.stop()
    assert run(tmp_path, eos, home, "echo good > out.txt", "/api/v1/attempts/1/report") == 68
    assert len(home.heartbeats) == 1, "it says that they are kept"
    eos.start()
    home.heartbeat_statuses = [200, status]
    assert command(tmp_path, "outputs", "--flush") == 1
    assert (len(home.heartbeats), home.requests) == (3, [])
    assert published(eos) == {}
    assert len(list((tmp_path / "kept").glob("*/kept.json"))) == left


@pytest.mark.fault("stage-out", "archive of kept outputs changed, or not wanted by its storage")
@pytest.mark.parametrize("harm", ["changed", "refused"])
def test_outputs_are_published_without_an_archive_that_cannot_be(
    tmp_path: Path, eos: XrdServer, home: ReportServer, harm: str
) -> None:
    eos.stop()
    assert run(tmp_path, eos, home, "echo good > out.txt") == 68
    (archive,) = (tmp_path / "kept").glob("*/log.tgz")
    if harm == "changed":
        archive.write_bytes(b"forged")
    else:
        (eos.store / "eos/compass/logs/log.tgz").mkdir(parents=True)
    eos.start()
    assert command(tmp_path, "outputs", "--flush") == 0
    (report,) = reported(home)
    assert (report.verdict.verdict, report.log) == ("success", None)
    assert [finding.name for finding in report.findings] == ["log-not-delivered"]
    assert set(published(eos)) == {"out.txt"}
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.fault("report", "kept archive of a failed job changed by another payload")
def test_a_changed_archive_of_a_failed_job_is_not_delivered(tmp_path: Path, eos: XrdServer, home: ReportServer) -> None:
    eos.stop()
    assert run(tmp_path, eos, home, "exit 3") == 66
    (archive,) = (tmp_path / "kept").glob("*/log.tgz")
    archive.write_bytes(b"forged")
    eos.start()
    assert command(tmp_path, "outputs", "--flush") == 1
    assert published(eos) == {}
    assert len(home.requests) == 1, "nothing new is known of the job"
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.fault("report", "log storage away while the outputs are published")
def test_the_logs_of_a_published_job_wait_alone(tmp_path: Path, eos: XrdServer, home: ReportServer) -> None:
    with serving() as other:
        document = job_document(
            command=["/bin/bash", "-c", "echo good > out.txt"],
            outputs=[{"name": "out.txt", "destinations": [eos.url("/eos/compass/out/")]}],
            log={"destinations": [other.url("/eos/compass/logs/")], "name": "log.tgz"},
            report={"url": home.url("/jobs/1"), "token": TOKEN},
            limits=LIMITS,
        )
        (tmp_path / "job.json").write_text(json.dumps(document))
        eos.stop()
        other.stop()
        assert command(tmp_path, "run", str(tmp_path / "job.json"), "--workdir", str(tmp_path / "work")) == 68
        eos.start()
        assert command(tmp_path, "outputs", "--flush") == 1, "the archive waits"
        assert set(published(eos)) == {"out.txt"}
        other.start()
        assert command(tmp_path, "outputs", "--flush") == 0
        first, second = reported(home)
        assert (first.state, first.log, first.outputs) == ("done", None, second.outputs)
        assert second.log is not None
        assert second.log.url == other.url("/eos/compass/logs/log.tgz")
        assert set(published(other)) == {"log.tgz"}
