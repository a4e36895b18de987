"""Backups, made and restored as docs/operate.md says: what is known again, and what becomes of later work."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fixtures.servers.postgres import serving_postgres
from tests.support.hostile import SITE, WITHIN_S, hostile_server, page, submit, wait_for, wait_until_finished
from tests.support.pilotext_server import ROLES, ProductionServer

pytestmark = pytest.mark.timeout(600)

SCRIPTS = {
    "same": "echo the same > advout-1-1.txt",
    "other": "date +%s%N > advout-2-1.txt",
    "long": "sleep 600; echo late > advout-3-1.txt",
}


def shell(command: str, folder: Path) -> None:
    done = subprocess.run(["/bin/sh", "-ec", command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def stop_server(server: ProductionServer) -> None:
    """Stop web and cycle; agents go on."""
    whole = server.processes.pop(0)
    whole.send_signal(signal.SIGTERM)
    whole.wait(60)


@contextmanager
def database(kind: str, folder: Path) -> Iterator[tuple[dict[str, str], str, str]]:
    """Yield the settings of a server, and the commands of the document that back it up and restore it."""
    if kind == "sqlite":
        copy = "rm -f server.sqlite3-wal server.sqlite3-shm; cp backup.sqlite3 server.sqlite3"
        yield {}, 'umask 077; sqlite3 server.sqlite3 ".backup backup.sqlite3"', copy
        return
    with serving_postgres() as postgres:
        where = f"--host {postgres.root} --username postgres"
        shell(f"createdb {where} pilotext", folder)
        dump = f"pg_dump {where} --format=custom --file pilotext.dump pilotext"
        restore = f"pg_restore {where} --dbname pilotext pilotext.dump"
        again = f"dropdb {where} pilotext; createdb {where} pilotext; {restore}"
        yield {"DATABASE_URL": postgres.url("pilotext")}, dump, again


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_restored_server_knows_what_the_backup_did_and_later_work_does_no_harm(tmp_path: Path, kind: str) -> None:
    with (
        database(kind, tmp_path) as (settings, backup, restore),
        hostile_server(tmp_path, PILOTEXT_LEASE_S="30", **settings) as server,
    ):
        for chunk, (name, script) in enumerate(SCRIPTS.items(), 1):
            submit(server, name, script, chunk)
        for role in ROLES:  # a token that was made later would not be known
            server.token(role)
        shell(backup, tmp_path)
        submit(server, "later", "true", 4)
        for name in ("same", "other"):
            assert server.agent("--site", SITE, "--jobs", "1", name=f"first-{name}").wait(WITHIN_S) == 0
            wait_until_finished(server, name)
        long_agent = server.agent("--site", SITE, "--jobs", "1", "--stop-within", "0", name="first-long")
        wait_for(lambda: page(server, "long").job.state == "running", server)
        published = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
        assert set(published) == {"advout-1-1.txt", "advout-2-1.txt"}

        stop_server(server)
        shell(restore, tmp_path)
        server.start()
        server.wait_until_ready()
        assert {page(server, name).job.state for name in SCRIPTS} == {"ready"}
        assert "later" not in server.command("manager", "tasks").stdout, "it was submitted after the backup"
        assert long_agent.wait(WITHIN_S) == 0, "it was told that nobody knows its attempt, and had its one job"
        assert page(server, "long").attempts == ()

        assert server.command("manager", "tasks", "pause", "long", "--why", "not now").returncode == 0
        assert server.agent("--site", SITE, "--jobs", "2", name="second").wait(WITHIN_S) == 0
        wait_until_finished(server, "same")
        wait_for(lambda: page(server, "other").job.state == "manual", server)
        (attempt,) = page(server, "other").attempts
        assert (attempt.verdict, attempt.rule) == ("failure", "stage-out-exists")
        assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == published
