"""Reports of whole runs over real HTTP: they arrive, or wait in the spool, whatever the server or the node does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pilotext.model.log_index import Index
from pilotext.model.report import Report
from pilotext.serialization.json import from_json
from pilotext.serialization.schema import schema_text
from tests.support.jobs import job_document
from tests.support.report_server import dead_url, report_server

TOKEN = "token-of-this-attempt"
COMMAND = [sys.executable, "-P", "-m", "pilotext"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "PILOTEXT_SPOOL": str(tmp_path / "spool")}


def command(tmp_path: Path, url: str, **fields: Any) -> list[str]:
    job = tmp_path / f"job-{fields.get('job', 1)}.json"
    fields = {"report": {"url": url, "token": TOKEN}, **fields}
    job.write_text(json.dumps(job_document(**fields)))
    return [*COMMAND, "run", str(job), "--workdir", str(tmp_path / f"work-{fields.get('job', 1)}")]


def run(words: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=150, check=False)


def waiting(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "spool").glob("*.json"))


def test_a_report_arrives_and_fulfils_the_published_schema(tmp_path: Path, environment: dict[str, str]) -> None:
    with report_server() as server:
        assert run(command(tmp_path, server.url()), environment).returncode == 0
    (request,) = server.requests
    assert request.authorization == f"Bearer {TOKEN}"
    jsonschema.Draft202012Validator(json.loads(schema_text("report"))).validate(json.loads(request.body))
    on_disk = (tmp_path / "work-1/job.report.json").read_bytes()
    assert from_json(request.body, Report) == from_json(on_disk, Report)
    assert waiting(tmp_path) == []


@pytest.mark.parametrize(
    ("program", "status"),
    [
        pytest.param("/bin/true", 0, marks=pytest.mark.fault("report", "server down for the whole of a good job")),
        pytest.param("/bin/false", 66, marks=pytest.mark.fault("report", "server down for the whole of a failed job")),
    ],
)
def test_a_server_that_is_down_changes_no_status_and_the_next_run_sends_the_report(
    tmp_path: Path, environment: dict[str, str], program: str, status: int
) -> None:
    with report_server() as server:
        pass
    ended = run(command(tmp_path, server.url(), command=[program]), environment)
    assert ended.returncode == status
    assert TOKEN not in ended.stdout + ended.stderr
    report = from_json((tmp_path / "work-1/job.report.json").read_bytes(), Report)
    assert [finding.name for finding in report.findings] == ["report-not-delivered"]
    assert len(waiting(tmp_path)) == 1
    with report_server(port=server.port) as back:
        assert run(command(tmp_path, back.url(), job=2), environment).returncode == 0
    assert [from_json(request.body, Report).job.job for request in back.requests] == [2, 1], "its own first"
    assert waiting(tmp_path) == []


def test_a_run_does_not_wait_for_the_servers_of_earlier_ones(tmp_path: Path, environment: dict[str, str]) -> None:
    run(command(tmp_path, dead_url()), environment)
    with report_server() as server:
        assert run(command(tmp_path, server.url(), job=2), environment).returncode == 0
    assert len(server.requests) == 1
    assert len(waiting(tmp_path)) == 1


@pytest.mark.fault("report", "server refuses the report of a good job")
def test_a_refused_report_is_no_failure_of_the_job_and_is_set_aside(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    with report_server(409) as server:
        assert run(command(tmp_path, server.url()), environment).returncode == 0
    assert waiting(tmp_path) == []
    assert len(list((tmp_path / "spool/aside").glob("*.json"))) == 1


def stopped_while_sending(
    tmp_path: Path, environment: dict[str, str], end: Callable[[subprocess.Popen[str]], None]
) -> tuple[int, Report]:
    """How a run ends that is ended while the server thinks about its answer, and what the server then gets."""
    with report_server() as server:
        server.answer_after = threading.Event()
        wrapper = subprocess.Popen(
            command(tmp_path, server.url()), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        server.wait_for_requests(1)
        assert len(waiting(tmp_path)) == 1, "it waits in the spool until the server has taken it"
        end(wrapper)
        wrapper.communicate(timeout=60)
        server.answer_after.set()
        server.answer_after = None
        flushed = run([*COMMAND, "report", "--flush", "--json"], environment)
        assert json.loads(flushed.stdout)["sent"] == ["test-1-1"]
        return wrapper.returncode, from_json(server.requests[-1].body, Report)


@pytest.mark.fault("report", "wrapper killed while sending")
def test_a_wrapper_killed_while_it_sends_leaves_its_report_for_the_next(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    status, report = stopped_while_sending(tmp_path, environment, lambda wrapper: wrapper.kill())
    assert (status, report.state) == (-signal.SIGKILL, "done")


@pytest.mark.fault("report", "wrapper told to stop while sending")
def test_a_wrapper_told_to_stop_while_it_sends_keeps_its_report_and_its_status(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    status, report = stopped_while_sending(tmp_path, environment, lambda wrapper: wrapper.terminate())
    assert (status, report.state) == (0, "done")


def told_to_stop(words: list[str], environment: dict[str, str], started: Path) -> int:
    """The exit status of a run that gets SIGTERM while its payload runs."""
    with subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as wrapper:
        while not started.exists():
            assert wrapper.poll() is None
        wrapper.terminate()
        return wrapper.wait(timeout=60)


@pytest.mark.fault("payload", "told to stop")
def test_a_job_told_to_stop_sends_its_report_once_and_tells_the_pilot_the_same(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    with report_server() as server:
        sleeps = ["/bin/sh", "-c", "touch started; exec sleep 600"]
        log = {"destinations": [f"file://{tmp_path}/logs/"], "name": "log.tgz"}
        words = command(tmp_path, server.url(), command=sleeps, log=log)
        assert told_to_stop(words, environment, tmp_path / "work-1/started") == 69
        (request,) = server.requests
    report = from_json(request.body, Report)
    assert (report.verdict.rule, report.exit_status) == ("evicted", 69)
    pilots = json.loads((tmp_path / "work-1/payload_error_report.json").read_text())
    assert pilots["error_code"] == report.verdict.number
    assert waiting(tmp_path) == []


@pytest.mark.fault("payload", "told to stop while the server is away")
def test_a_job_told_to_stop_spools_its_report_where_the_server_is_away(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    words = command(tmp_path, dead_url(), command=["/bin/sh", "-c", "touch started; exec sleep 600"])
    assert told_to_stop(words, environment, tmp_path / "work-1/started") == 69
    (path,) = waiting(tmp_path)
    assert json.loads(path.read_bytes())["report"]["verdict"]["rule"] == "evicted"


def test_the_token_of_a_job_file_is_nowhere_where_the_payload_can_read_it(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    places = f"{tmp_path}/job-1.json {tmp_path}/work-1/* /proc/*/environ /proc/*/cmdline"
    look = f"cat {places} 2>/dev/null | grep -c {TOKEN[:-1]}[t]"
    with report_server() as server:
        ended = run(command(tmp_path, server.url(), command=["/bin/sh", "-c", f"{look} > found; true"]), environment)
    assert ended.returncode == 0
    assert (tmp_path / "work-1/found").read_text() == "0\n"
    assert server.requests[0].authorization == f"Bearer {TOKEN}"
    assert json.loads((tmp_path / "job-1.json").read_text())["report"]["token"] == ""


@pytest.mark.fault("payload", "secrets in the logs")
def test_secrets_stand_in_nothing_that_leaves_the_node(tmp_path: Path, environment: dict[str, str]) -> None:
    shout = 'echo "$CDB_PASSWORD in https://u:url-password@db/x"; echo "terminate called: $CDB_PASSWORD" >&2; exit 3'
    with report_server() as server:
        words = command(
            tmp_path,
            server.url(),
            command=["/bin/sh", "-c", shout],
            environment={"CDB_PASSWORD": "correct-horse"},
            log={"destinations": [f"file://{tmp_path}/logs/"], "name": "log.tgz"},
        )
        ended = run(words, environment)
    assert ended.returncode == 66
    unpacked = subprocess.run(
        ["tar", "-xzOf", str(tmp_path / "logs/log.tgz")], capture_output=True, text=True, check=True
    ).stdout
    assert "in https://u:************@db/x" in unpacked
    reports = "".join(path.read_text() for path in (tmp_path / "work-1").glob("*eport*.json"))
    (request,) = server.requests
    everything = (ended.stdout, ended.stderr, unpacked, reports, request.body.decode())
    for secret in ("correct-horse", "url-password", TOKEN):
        assert not [text for text in everything if secret in text], secret


@pytest.mark.fault("payload", "flood of log, failed")
def test_a_failed_job_with_an_endless_log_delivers_begin_end_and_reason(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    flood = "yes 0123456789abcdef | head -c 5100000"
    reason = "** TLattice::TLattice: Cannot Allocate 132503040 Bytes in Memory!"
    words = command(
        tmp_path,
        "http://127.0.0.1:9/nobody",
        report=None,
        type="mass production",
        kind="reconstruction",
        command=["/bin/sh", "-c", f"(echo begin; {flood}; echo '{reason}'; {flood}; echo end) >&2; exit 1"],
        log={"destinations": [f"file://{tmp_path}/logs/"], "name": "log.tgz", "max_bytes": 400_000},
    )
    assert run(words, environment).returncode == 66
    with tarfile.open(tmp_path / "logs/log.tgz") as archive:
        contents = {member.name.partition("/")[2]: archive.extractfile(member) for member in archive}
        stderr, index = (contents[name] for name in ("payload_stderr.txt", "INDEX.json"))
        assert stderr is not None
        assert index is not None
        kept = stderr.read()
        (told,) = [one for one in from_json(index.read(), Index).members if one.name == "payload_stderr.txt"]
    report = from_json((tmp_path / "work-1/job.report.json").read_bytes(), Report)
    evidence = report.verdict.evidence[0]
    assert evidence.text == reason
    assert (kept.startswith(b"begin\n"), kept.endswith(b"end\n"), len(kept) < 410_000) == (True, True, True)
    (part,) = [part for part in told.parts if part.start <= evidence.offset < part.end]
    place = part.at + evidence.offset - part.start
    assert kept[place:].startswith(reason.encode()), "the report's positions find it by the index"
    assert part.first_line is not None
    assert part.first_line + kept[part.at : place].count(b"\n") == evidence.line


@pytest.mark.fault("report", "log archive's storage refuses it")
def test_an_archive_that_cannot_be_delivered_is_no_verdict_on_the_job(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "logs").write_text("in the way of the folder")
    with report_server() as server:
        log = {"destinations": [f"file://{tmp_path}/logs/"], "name": "log.tgz"}
        assert run(command(tmp_path, server.url(), log=log), environment).returncode == 0
    (request,) = server.requests
    report = from_json(request.body, Report)
    assert (report.state, [finding.name for finding in report.findings]) == ("done", ["log-not-delivered"])
    assert (tmp_path / "work-1/log.tgz").exists(), "it stays on the node"
