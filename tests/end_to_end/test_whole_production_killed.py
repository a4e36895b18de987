"""Parts of a whole production are killed at random moments; it comes to the same merged and kept files."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pilotext.api.schemas.jobs import JobPage
from tests.end_to_end import whole_production_checks as checks
from tests.end_to_end.whole_production import NODES, TASK, Production, Scale
from tests.end_to_end.whole_production_faults import CHUNKS, FAULTS, FIRST, HELD, KILLED_AGENT, RUNS, TRUNCATED
from tests.end_to_end.whole_production_kills import Killer
from tests.end_to_end.whole_production_parts import prepare, producing

from pilotext.server.production.models import Attempt, AttemptReport, Output, Product  # isort: skip  needs the boot

KILLS = 20 if os.environ.get("PILOTEXT_SOAK") else 2
LATE = KILLS * 3 // 20
"""So many of them while the run that was held is merged, and again while the task is put away."""

_FAULTS = tuple(fault for fault in FAULTS if fault.place != KILLED_AGENT)
_LARGE, _SMALL = (RUNS, CHUNKS), ((FIRST, HELD), CHUNKS[:4])


@pytest.fixture(params=["sqlite", "postgresql"])
def production(
    request: pytest.FixtureRequest, tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Production]:
    monkeypatch.setenv("PILOTEXT_TEST_ACKNOWLEDGED", str(tmp_path / "acknowledged"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    runs, chunks = _LARGE if KILLS > 2 else _SMALL
    scale = Scale(request.param, runs, chunks, _FAULTS)
    with producing(tmp_path, open_folder, scale, "tests.support.telling_agent") as made:
        yield made


@pytest.mark.long(120)
@pytest.mark.timeout(3600)
@pytest.mark.fault("production", "web, cycle, agents, pilots and connections are killed at random moments")
def test_whatever_is_killed_the_same_files_are_merged_and_kept(production: Production) -> None:
    server = production.server
    submitted = server.command("manager", "submit", str(prepare(production)))
    assert submitted.returncode == 0, submitted.stderr
    production.begin()
    killer = Killer(production)
    kill(production, killer.kill, KILLS - 2 * LATE)

    def only_decisions_are_missing() -> bool:
        states = Counter(row.state for row in production.jobs())
        kept = Counter(row.run for row in production.products() if row.state == "kept")
        return not states.keys() - {"finished", "manual"} and kept == {
            run: 3 for run in production.scale.runs if run != HELD
        }

    production.wait_until(only_decisions_are_missing)
    again = [row.job for row in production.jobs() if row.state == "manual" and (row.run, row.chunk) != TRUNCATED]
    for job in again:
        sent = server.command("expert", "jobs", "resend", str(job), "--why", "it may have been the kill")
        assert sent.returncode == 0, sent.stderr
    good = len(production.places) - 1
    production.wait_until(
        lambda: good == sum(row.state == "finished" for row in production.jobs() if row.chunk is not None)
    )
    assert len(production.merge_without(HELD, "the end of this file was never written to tape")) == 3
    kill(production, killer.kill, LATE)
    production.wait_until(lambda: production.task_state() == "done")

    production.drain_agents()
    rows, pages = production.products(), production.pages()
    checks.products_hold_the_good_events(production, rows)
    checks.every_attempt_is_explained(pages, set(NODES))
    no_job_ran_twice_at_once(production, pages)
    no_acknowledged_report_is_lost(production)
    no_merge_misses_or_doubles_a_chunk(production)
    checks.chunk_files_are_still_there(production)
    production.wait_until(lambda: production.raws_on_disk() == 0)

    put_away = server.command("manager", "tasks", "archive", TASK, "--why", "validated")
    assert put_away.returncode == 0, put_away.stderr
    kill(production, killer.kill_server, LATE, within_s=1.0)
    production.wait_until(lambda: production.task_state() == "archived")
    checks.only_what_is_kept_is_left(production, production.products())
    checks.the_archives_hold_the_log_of_every_report(production, pages)
    production.stop()
    checks.nothing_is_left_running(production)
    print(f"killed: {Counter(killer.killed)}, attempts: {sum(len(page.attempts) for page in pages)}")


def kill(production: Production, one: Callable[[], None], times: int, within_s: float = 6.0) -> None:
    """Each of these kills at a moment of chance within so many seconds."""
    for _ in range(times):
        end = time.monotonic() + random.uniform(0.1, within_s)
        while time.monotonic() < end:
            production.let_time_pass()
            time.sleep(0.1)
        one()


def no_job_ran_twice_at_once(production: Production, pages: list[JobPage]) -> None:
    """By the locks that programs hold while they run, and by what the server knows."""
    twice = production.marks / "twice"
    assert not twice.exists(), twice.read_text()
    for page in pages:
        finished = [attempt for attempt in page.attempts if attempt.state == "finished"]
        cut = (page.job.run, page.job.chunk) == TRUNCATED
        assert len(finished) == (0 if cut else 1), page
        assert page.job.state == ("failed" if cut else "finished")


def no_acknowledged_report_is_lost(production: Production) -> None:
    acknowledged = (production.server.folder / "acknowledged").read_text().splitlines()
    assert acknowledged
    for line in acknowledged:
        job, attempt, accepted = line.split()
        kept = AttemptReport.objects.get(pk=int(attempt))
        state = Attempt.objects.values_list("state", flat=True).get(pk=int(attempt), job=int(job))
        assert kept.late == (accepted != "True"), line
        assert kept.late or state in ("finished", "failed"), (line, state)
    spools = [path for node in NODES for path in (production.server.folder / node / "spool").glob("*")]
    assert not spools, spools


def no_merge_misses_or_doubles_a_chunk(production: Production) -> None:
    """Each product was merged from one valid file of each good chunk."""
    for product in Product.objects.all():
        inputs = Output.objects.filter(group__product=product, group__round=product.round, state="valid")
        chunks = list(inputs.order_by("job__chunk").values_list("job__chunk", flat=True))
        good = [chunk for run, chunk in production.places if run == product.run and (run, chunk) != TRUNCATED]
        assert chunks == good, (product.run, product.merge)
