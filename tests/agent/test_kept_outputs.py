"""Outputs of good payloads whose storage is away for longer than any retry: kept on the node, and published."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fixtures.servers.xrootd import XrdServer
from pilotext.api.schemas.attempts import AttemptRow
from tests.support.hostile import SITE, WITHIN_S, hostile_server, page, submit, wait_for, wait_until_finished
from tests.support.pilotext_server import ProductionServer
from tests.support.xrootd_server import serving

pytestmark = pytest.mark.timeout(600)

AGENT = ("--site", SITE, "--keep-after", "1")
CONTENT = b"eight hours of work\n"
SCRIPT = "echo eight hours of work > advout-{chunk}-1.txt"


@contextmanager
def production(folder: Path) -> Iterator[tuple[ProductionServer, XrdServer]]:
    with serving() as eos:
        out, logs = eos.url("/eos/compass/out"), eos.url("/eos/compass/logs")
        with hostile_server(folder, out, logs, PILOTEXT_LEASE_S="60") as server:
            yield server, eos


def published(eos: XrdServer) -> dict[str, bytes]:
    """Return the files of EOS by name, but for the log archives."""
    return {path.name: path.read_bytes() for path in files(eos) if path.suffix != ".tgz"}


def files(eos: XrdServer) -> list[Path]:
    return [path for path in (eos.store / "eos/compass").rglob("*") if path.is_file()]


def log_is_there(server: ProductionServer, eos: XrdServer, task: str) -> bool:
    """Whether the server knows where the log archive of a task's job is, and it is there."""
    detail = attempt(server, task).detail
    names = [path.name for path in files(eos) if path.suffix == ".tgz"]
    return detail is not None and bool(detail.log) and detail.log.rpartition("/")[2] in names


def kept(server: ProductionServer) -> list[Path]:
    return list((server.folder / "agent/kept").glob("*/kept.json"))


def taken_over(server: ProductionServer) -> list[Path]:
    """What the agent has noted of outputs that it looks after."""
    return list((server.folder / "agent/kept/jobs").glob("*.json"))


def attempt(server: ProductionServer, task: str) -> AttemptRow:
    (only,) = page(server, task).attempts
    return only


@pytest.mark.fault("stage-out", "EOS away for longer than any retry; the agent is killed meanwhile")
def test_outputs_wait_without_a_slot_and_are_published_by_the_next_agent(tmp_path: Path) -> None:
    with production(tmp_path) as (server, eos):
        eos.stop()
        submit(server, "first", SCRIPT.format(chunk=1))
        submit(server, "second", SCRIPT.format(chunk=2), chunk=2)
        agent = server.agent(*AGENT)
        wait_for(lambda: len(taken_over(server)) == 2, server)  # with one slot: the second had it while the first waits
        assert kept(server)[0].parent.stat().st_mode & 0o077 == 0
        first = json.loads(min(kept(server)).read_bytes().partition(b"\n")[2])["files"][0]
        assert first["adler32"] == f"{zlib.adler32(CONTENT):08x}"
        agent.kill()
        agent.wait()
        assert {attempt(server, name).state for name in ("first", "second")} == {"running"}
        assert page(server, "first").job.state == "running", "nobody else is given it"
        agent = server.agent(*AGENT, "--idle", "1")
        eos.start()
        assert agent.wait(WITHIN_S) == 0, "it stays while outputs wait, and no longer"
        for task in ("first", "second"):
            wait_until_finished(server, task)
            assert len(page(server, task).attempts) == 1
            assert log_is_there(server, eos, task)
        assert published(eos) == {"advout-1-1.txt": CONTENT, "advout-2-1.txt": CONTENT}
        assert not kept(server)
        assert not list((server.folder / "agent/kept/jobs").iterdir())


@pytest.mark.fault("stage-out", "kept outputs changed by another payload, or their job cancelled")
def test_what_was_changed_or_is_not_wanted_any_more_is_never_published(tmp_path: Path) -> None:
    with production(tmp_path) as (server, eos):
        eos.stop()
        submit(server, "changed", SCRIPT.format(chunk=1))
        submit(server, "cancelled", SCRIPT.format(chunk=2), chunk=2)
        agent = server.agent(*AGENT, "--jobs", "2")
        wait_for(lambda: len(taken_over(server)) == 2, server)
        for document in kept(server):
            file = document.parent / "advout-1-1.txt"
            if file.exists():
                file.write_bytes(bytes(len(CONTENT)))
        done = server.command("manager", "tasks", "cancel", "cancelled", "--why", "wrong options")
        assert done.returncode == 0, done.stderr
        eos.start()
        assert agent.wait(WITHIN_S) == 0
        assert attempt(server, "changed").verdict == "failure", server.log()
        assert attempt(server, "changed").code == "ADV-3210"
        assert attempt(server, "cancelled").state == "cancelled"
        assert published(eos) == {}
        assert not kept(server)


@pytest.mark.fault("report", "EOS away: log archive of a failed job; the agent is killed meanwhile")
def test_the_log_of_a_failed_job_is_delivered_by_the_next_agent(tmp_path: Path) -> None:
    with production(tmp_path) as (server, eos):
        eos.stop()
        submit(server, "bad", "echo out of luck; exit 3")
        agent = server.agent(*AGENT, "--jobs", "1")
        wait_for(lambda: taken_over(server), server)
        wait_for(lambda: attempt(server, "bad").state == "failed", server)  # at once, and not when the log is delivered
        agent.kill()
        agent.wait()
        detail = attempt(server, "bad").detail
        assert detail is not None
        assert detail.log == ""
        eos.start()
        agent = server.agent(*AGENT, "--jobs", "0")
        wait_for(lambda: log_is_there(server, eos, "bad"), server)
        assert attempt(server, "bad").state == "failed"
        assert published(eos) == {}
        assert agent.wait(WITHIN_S) == 0
        assert not kept(server)
        assert not taken_over(server)
