"""A whole production with real parts, from raw files on tape to merged, checked and archived mDSTs, by itself."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from fixtures.servers.tape import TapeServer
from fixtures.servers.xrootd import XrdServer
from pilotext.engines.client import Client
from pilotext.formats import rootfile
from pilotext.messages import JobList, JobPage, JobRow, Move, Moved, ProductList, ProductRow, TaskList
from tests.end_to_end.whole_production import (
    BAD_MERGE,
    CAUSES,
    CHUNKS,
    KILLED_AGENT,
    RUNS,
    TRUNCATED,
    Production,
    events_of,
    host_names,
)
from tests.support.pilotext_server import production_server

SITE = "CERN_COMPASS_PROD"
WITHIN_S = 1200.0


@pytest.fixture
def production(tmp_path: Path, open_folder: Path) -> Iterator[Production]:
    for name in ("tape", "eos"):
        (open_folder / name).mkdir()
    more = [("/castor/cern.ch/compass/gen", "r/w"), ("/castor/cern.ch/user", "r/w")]
    tape = TapeServer(open_folder / "tape", "/castor/cern.ch/compass/data", more=more)
    eos = XrdServer(open_folder / "eos", [("/eos/experiment/compass", "r/w")], name="eos")
    with tape, eos, production_server(tmp_path, PILOTEXT_LEASE_S="20") as server:
        yield Production(server, tape, eos)


def all_jobs(viewer: Client) -> tuple[JobRow, ...]:
    return viewer.get("/api/v1/jobs", JobList, {"limit": 1000}).jobs


def products(viewer: Client) -> tuple[ProductRow, ...]:
    return viewer.get("/api/v1/products", ProductList).products


def wait_until(what: Callable[[], bool], production: Production, meanwhile: Callable[[], None]) -> None:
    end = time.monotonic() + WITHIN_S
    while not what():
        assert time.monotonic() < end, production.server.log()
        meanwhile()
        time.sleep(0.5)


@pytest.mark.timeout(3600)
@pytest.mark.fault("production", "a dozen failures of different classes, an agent killed, one raw file cut on tape")
def test_a_whole_production_ends_by_itself_but_for_one_decision(production: Production) -> None:
    server = production.server
    submitted = server.command("manager", "submit", str(production.prepare()))
    assert submitted.returncode == 0, submitted.stderr
    names = list(host_names())
    for name in names:
        production.start_agent(name, SITE)
    viewer, expert = server.client("viewer"), server.client("expert")

    killed: list[str] = []

    def meanwhile() -> None:
        production.hurry()
        if not killed and (name := production.kill_the_agent_that_waits_for_it()):
            killed.append(name)
            production.start_agent("wn4", SITE)

    def only_a_decision_is_missing() -> bool:
        states = Counter(row.state for row in all_jobs(viewer))
        at_work = {state for state in states if state not in ("finished", "manual")}
        kept = [row.run for row in products(viewer) if row.state == "kept"]
        return not at_work and states["manual"] == 1 and Counter(kept) == {RUNS[0]: 3, RUNS[1]: 3}

    wait_until(only_a_decision_is_missing, production, meanwhile)
    assert killed
    (held,) = (row for row in all_jobs(viewer) if row.state == "manual")
    assert (held.run, held.chunk, held.cause) == (*TRUNCATED, "input-corrupt")
    assert f"catalogue promises {events_of(TRUNCATED[1])}" in held.diag
    assert {row.state for row in products(viewer) if row.run == RUNS[2]} == {"waiting"}
    one_of_it = next(row for row in products(viewer) if row.run == RUNS[2])
    decision = Move("merge-without", "the end of this file was never written to tape")
    moved = expert.post(f"/api/v1/products/{one_of_it.product}/move", decision, Moved).moved
    assert len(moved) == 3

    def task_is(state: str) -> Callable[[], bool]:
        return lambda: viewer.get("/api/v1/tasks", TaskList).tasks[0].state == state

    wait_until(task_is("done"), production, meanwhile)
    assert_the_products_hold_the_good_events(production, products(viewer))
    pages = [viewer.get(f"/api/v1/jobs/{row.job}", JobPage) for row in all_jobs(viewer)]
    assert_every_attempt_is_explained(pages)
    assert_every_failure_was_understood(pages)
    assert_tapes_were_given_back(production)

    assert server.command("manager", "tasks", "archive", "dvcs2016P09t1", "--why", "validated").returncode == 0
    wait_until(task_is("archived"), production, meanwhile)
    assert_only_what_is_kept_is_left(production, products(viewer))


def assert_the_products_hold_the_good_events(production: Production, rows: tuple[ProductRow, ...]) -> None:
    for run in RUNS:
        good = sum(events_of(chunk) for chunk in CHUNKS if (run, chunk) != TRUNCATED)
        of_run = {row.merge: row for row in rows if row.run == run}
        assert {row.state for row in of_run.values()} == {"kept"}
        assert of_run["mdst"].events == good
        assert of_run["mdst"].left_out == of_run["dump"].left_out
        assert len(of_run["mdst"].left_out) == (run == TRUNCATED[0])
        (merged,) = of_run["mdst"].files
        assert merged.inputs == len(CHUNKS) - len(of_run["mdst"].left_out)
        kept = production.tape.store / merged.kept.partition("//castor/")[2].join(("castor/", ""))
        assert rootfile.check(kept).trees == {"phast": good}


def assert_every_attempt_is_explained(pages: list[JobPage]) -> None:
    """Each job's audit trail is a chain without a gap, in which each attempt begins and ends with a reason."""
    for page in pages:
        moves = [event for event in page.events if event.before != event.after]
        assert all(one.after == other.before for one, other in pairwise(moves)), page
        assert all(event.who and event.why for event in page.events), page
        assert all(one.ended is not None and one.ended <= other.leased for one, other in pairwise(page.attempts)), page
        for attempt in page.attempts:
            told = [event.why for event in moves if event.why.startswith(f"attempt {attempt.number}")]
            begins = [why for why in told if why.startswith(f"attempt {attempt.number} for {attempt.agent} at {SITE}")]
            assert len(begins) == 1, (page, attempt)
            assert len(told) >= 2, (page, attempt)
            assert attempt.state in ("finished", "failed", "lost")
            assert attempt.decision or attempt.state == "finished", (page, attempt)


def assert_every_failure_was_understood(pages: list[JobPage]) -> None:
    jobs = {(page.job.run, page.job.chunk): page for page in pages if not page.job.product}
    for place, page in jobs.items():
        first, *others = page.attempts
        if place == KILLED_AGENT:
            assert [each.state for each in page.attempts] == ["lost", "finished"]
        elif place == TRUNCATED:
            assert {each.cause for each in page.attempts} == {CAUSES[place]}
            assert page.job.state == "failed"
        elif place in CAUSES:
            assert (first.state, first.cause) == ("failed", CAUSES[place]), page
            assert [each.state for each in others] == ["finished"], page
        else:
            assert [each.state for each in page.attempts] == ["finished"], page
    merges = {(page.job.run, page.job.product): page for page in pages if page.job.product}
    assert len(merges) == 3 * len(RUNS)
    assert [each.state for each in merges[BAD_MERGE, "mdst"].attempts] == ["failed", "finished"]


def assert_tapes_were_given_back(production: Production) -> None:
    """As often as a file was asked for, it was given back."""
    asked: Counter[str] = Counter()
    for call in production.tape.calls:
        program, *words = call.split()
        if program != "tape-prep":
            continue
        verb = next(word for word in words if word in ("stage", "evict", "cancel", "query"))
        paths = words[words.index(verb) + 1 :]
        if verb != "query":
            asked.update({path: 1 if verb == "stage" else -1 for path in paths if path.startswith("/castor")})
    raws = {path: count for path, count in asked.items() if path.endswith(".raw")}
    assert len(raws) == len(RUNS) * len(CHUNKS)
    assert set(raws.values()) == {0}, raws


def assert_only_what_is_kept_is_left(production: Production, rows: tuple[ProductRow, ...]) -> None:
    left = {path.name for path in production.eos.store.rglob("*") if path.is_file()}
    merged = {file.name for row in rows for file in row.files}
    assert left == merged | {f"dvcs.{run}.tar.gz" for run in RUNS}
    kept = {path.name for path in production.tape.store.rglob("*") if path.is_file() and "data" not in path.parts}
    assert kept == merged | {"dvcs_logFiles.tar"}
