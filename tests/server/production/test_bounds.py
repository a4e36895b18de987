"""Bounds of what agents, reports and submissions may take; and the names by which callers sign."""

from __future__ import annotations

import os
import socket
import sqlite3
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec
import pytest
from django.db import connection
from msgspec.structs import replace

from pilotext.api.schemas.agents import AgentRegistration
from pilotext.api.schemas.attempts import OUTPUTS_KEPT, Heartbeat
from pilotext.api.schemas.audit import AuditQuery
from pilotext.errors import StorageError, UsageError
from pilotext.model.report import Report, Transfer
from pilotext.model.verdict import Evidence, Match
from pilotext.server.api.auth import Caller
from pilotext.server.database import check_connections, transact
from pilotext.server.production import models
from pilotext.server.production.access.people import make_groups, set_user
from pilotext.server.production.access.tokens import issue
from pilotext.server.production.dispatch.agents import register
from pilotext.server.production.dispatch.dispatcher import Asker, Dispatcher
from pilotext.server.production.dispatch.leases import heartbeat
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.reports.sanitize import MAX_KEPT_BYTES, fitted
from pilotext.server.production.statistics.audit import list_audit_entries
from pilotext.server.production.submission import listing
from pilotext.server.production.submission.listing import list_for_others
from pilotext.server.production.transitions import Reason
from pilotext.server.times import earlier, now
from tests.server.support import leased, raw, report_of, send, site, submit
from tests.support.pilotext_server import COMMAND

# -------------------------------------------------------------------------------------------------------------- agents


def agent_of(name: str, slots: int) -> models.Agent:
    number = transact(lambda: register(AgentRegistration(name, site().name, slots=slots), site(), "cern-agents"))
    return models.Agent.objects.get(pk=number)


@pytest.mark.usefixtures("database")
def test_an_agent_leases_no_more_jobs_than_it_has_slots() -> None:
    submit([raw(1, number) for number in range(1, 6)])
    small, other = agent_of("small", 2), agent_of("other", 1)
    dispatcher = Dispatcher()
    given = [dispatcher.give(Asker(site(), "wn1", small)) for _ in range(4)]
    assert [lease is not None for lease in given] == [True, True, False, False]
    assert dispatcher.give(Asker(site(), "wn1", other)) is not None, "another agent has slots of its own"
    assert given[0] is not None
    send(given[0], report_of(given[0]))
    assert dispatcher.give(Asker(site(), "wn1", small)) is not None, "a slot is free again"
    models.Attempt.objects.filter(agent=small).update(seen=earlier(now(), 3600))
    assert dispatcher.give(Asker(site(), "wn1", small)) is not None, "silent ones are those of a killed agent"


@pytest.mark.usefixtures("database")
def test_an_attempt_whose_outputs_wait_for_their_storage_holds_no_slot() -> None:
    submit([raw(1, number) for number in range(1, 4)])
    small, dispatcher = agent_of("small", 1), Dispatcher()
    given = dispatcher.give(Asker(site(), "wn1", small))
    assert given is not None
    heartbeat(given.attempt, given.token, Heartbeat("stage-out"))
    assert dispatcher.give(Asker(site(), "wn1", small)) is None
    heartbeat(given.attempt, given.token, Heartbeat(OUTPUTS_KEPT))
    assert dispatcher.give(Asker(site(), "wn1", small)) is not None


@pytest.mark.usefixtures("database")
def test_requests_at_once_get_no_more_either() -> None:
    submit([raw(1, number) for number in range(1, 9)])
    agent, dispatcher = agent_of("a1", 2), Dispatcher()

    def ask(_: int) -> bool:
        try:
            return dispatcher.give(Asker(site(), "wn1", agent)) is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) == 2


@pytest.mark.usefixtures("database")
def test_an_agent_does_not_sign_as_a_person_of_its_name() -> None:
    submit()
    agent_of("maria", 1)
    transact(lambda: register(AgentRegistration("maria", site().name, state="draining"), site(), "node"))
    signed = models.AuditEntry.objects.filter(subject="agent").values_list("who", flat=True)
    assert set(signed) == {"agent:maria"}
    names = {Caller("maria", role).who for role in ("viewer", "expert", "manager", "agent")}
    assert names == {"person:maria", "pilot:maria"}


@pytest.mark.usefixtures("database")
def test_lines_are_found_by_a_name_with_or_without_its_kind() -> None:
    for who in ("maria", "person:maria", "agent:maria", "person:igor"):
        models.AuditEntry.objects.create(who=who, subject="test", subject_id=1)
    found = {
        who: list_audit_entries(AuditQuery(task=None, who=who, before=None, limit=10)).events
        for who in ("maria", "agent:maria", "eva")
    }
    assert [line.who for line in found["maria"]] == ["agent:maria", "person:maria", "maria"]
    assert [line.who for line in found["agent:maria"]] == ["agent:maria"]
    assert found["eva"] == ()


@pytest.mark.usefixtures("database")
def test_a_token_does_not_sign_by_the_name_of_a_user_who_has_not_got_it() -> None:
    make_groups()
    set_user("igor", "expert", Reason("boss", "he is new", "person"))
    with pytest.raises(UsageError, match="name of a user"):
        issue("igor", "manager")
    assert issue("igor", "expert", user="igor")
    assert issue("igor", "agent"), "agents sign by another kind of name"


# ------------------------------------------------------------------------------------------------------------- reports


def talkative(report: Report) -> Report:
    """The same with 12 MB of evidence."""
    seen = Evidence("r", "stdout", 1, 0, "x" * 19_000, before=("y" * 500,) * 20)
    also = tuple(Match(f"rule-{number}", "COMPASS-1241", "retry", 3, (seen,) * 3) for number in range(140))
    return replace(report, verdict=replace(report.verdict, also=also, evidence=(seen,)))


@pytest.mark.usefixtures("database")
def test_megabytes_of_evidence_are_cut_and_the_verdict_and_the_outputs_stay() -> None:
    submit()
    given = leased()
    report = talkative(report_of(given))
    assert len(msgspec.json.encode(report)) > 10 * MAX_KEPT_BYTES
    assert send(given, report).accepted
    kept = models.AttemptReport.objects.get()
    assert len(kept.report) <= MAX_KEPT_BYTES
    read = msgspec.json.decode(kept.report, type=Report)
    assert (read.outputs, read.verdict.counters) == (report.outputs, report.verdict.counters)
    assert read.verdict.evidence
    assert [match.rule for match in read.verdict.also[:3]] == ["rule-0", "rule-1", "rule-2"]
    assert send(given, report).accepted, "the same report again has the same answer"
    with pytest.raises(RefusalError, match="another final report"):
        send(given, talkative(report_of(given, cause="crash", action="retry")))


@pytest.mark.usefixtures("database")
def test_a_usual_report_is_kept_as_it_came_and_one_without_measure_is_refused() -> None:
    submit()
    given = leased()
    usual = report_of(given)
    assert fitted(usual) is usual
    endless = tuple(Transfer("x" * 1000, None, 1, "00000001", 1.0) for _ in range(2000))
    with pytest.raises(RefusalError, match="outputs"):
        send(given, replace(usual, outputs=endless))
    assert not models.AttemptReport.objects.exists()
    assert send(given, usual).accepted


# ------------------------------------------------------------------------------------------------------------- folders


def test_the_server_does_not_list_its_own_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared, other = tmp_path / "shared", tmp_path / "other"
    for folder in (shared, other):
        folder.mkdir()
        (folder / "a.raw").touch()
    (shared / "link").symlink_to(other)
    monkeypatch.delenv(listing.LISTABLE_FOLDERS, raising=False)
    for url in ("file:///etc/", "file:///proc/self/fd/", f"file://{shared}/", "memory://x/", "/etc/"):
        with pytest.raises(UsageError, match=listing.LISTABLE_FOLDERS):
            list_for_others(url)
    monkeypatch.setenv(listing.LISTABLE_FOLDERS, str(shared))
    assert list_for_others(f"file://{shared}/") == (f"file://{shared}/a.raw",)
    for url in (f"file://{other}/", f"file://{shared}/../other/", f"file://{shared}/link/", f"file://{shared}-not/"):
        with pytest.raises(UsageError, match=listing.LISTABLE_FOLDERS):
            list_for_others(url)


def test_servers_that_are_dead_hold_few_threads_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "SERVER_WITHIN_S", 1.0)
    with ExitStack() as stack:
        dead = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        url = f"root://127.0.0.1:{dead.getsockname()[1]}//x/"
        pool = stack.enter_context(ThreadPoolExecutor(8))
        told = [pool.submit(list_for_others, url) for _ in range(8)]
        problems = [each.exception() for each in told]
    assert sum(isinstance(problem, RefusalError) for problem in problems) == 8 - listing.MAX_AT_ONCE
    assert sum(isinstance(problem, StorageError) for problem in problems) == listing.MAX_AT_ONCE


# ------------------------------------------------------------------------------------------------------------ database


def test_a_database_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite3"
    with closing(sqlite3.connect(path)) as old:
        old.execute("PRAGMA journal_mode=WAL")
    path.chmod(0o644)
    for name in ("old.sqlite3", "new.sqlite3"):
        done = subprocess.run(
            ["/bin/sh", "-c", 'umask 022; exec "$@"', "sh", *COMMAND, "server", "migrate"],
            env={**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path / name}"},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
    assert {"old.sqlite3", "new.sqlite3"} <= set(modes)
    assert set(modes.values()) == {0o600}, modes


def test_migrations_at_once_are_done_one_after_the_other(tmp_path: Path) -> None:
    env = {**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path / 'new.sqlite3'}"}
    started = [
        subprocess.Popen([*COMMAND, "server", "migrate"], env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for _ in range(3)
    ]
    told = [each.communicate()[1].decode() for each in started]
    assert [each.returncode for each in started] == [0, 0, 0], told


@pytest.mark.usefixtures("database")
def test_a_web_process_wants_no_more_connections_than_there_are() -> None:
    check_connections(5)
    if connection.vendor == "sqlite":
        check_connections(5000)
        return
    with pytest.raises(UsageError, match="max_connections"):
        check_connections(5000)


def test_no_password_stands_on_the_command_line(tmp_path: Path) -> None:
    for url in ("postgresql://me:swordfish@127.0.0.1:1/x", "postgresql://127.0.0.1:1/x?password=swordfish"):
        words = [*COMMAND, "server", "migrate", "--database", url]
        told = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert told.returncode == 64
        assert "command line" in told.stderr
        assert "swordfish" not in told.stderr
