"""A whole production with real parts, from raw files on tape to merged, checked and archived mDSTs, by itself."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end import whole_production_checks as checks
from tests.end_to_end import whole_production_neighbours as neighbours
from tests.end_to_end import whole_production_outages as outages
from tests.end_to_end import whole_production_page_files as page_files
from tests.end_to_end import whole_production_pages as web_pages
from tests.end_to_end.whole_production import NODES, PERSON, PILOTS, TASK, Production, Scale
from tests.end_to_end.whole_production_faults import (
    ASKED_ABOUT,
    FAULTS,
    HELD,
    RUNS,
    TRUNCATED,
    events_of,
)
from tests.end_to_end.whole_production_parts import prepare, producing

BEFORE_THE_OUTAGES = 4
"""Jobs that have finished then."""


@pytest.fixture(params=["sqlite", "postgresql"])
def production(request: pytest.FixtureRequest, tmp_path: Path, open_folder: Path) -> Iterator[Production]:
    with producing(tmp_path, open_folder, Scale(request.param)) as made:
        yield made


@pytest.mark.long(250)
@pytest.mark.timeout(3600)
@pytest.mark.fault("production", "a dozen failures of different classes, an agent killed, one raw file cut on tape")
@pytest.mark.fault("production", "EOS and the tape server are away for longer than any retry")
def test_a_whole_production_ends_by_itself_but_for_one_decision(production: Production) -> None:
    assert len({fault.cause for fault in FAULTS}) >= 12
    server = production.server
    task = prepare(production)
    neighbours.finish_earlier_task(production)
    submitted = server.command("manager", "submit", str(task))
    assert submitted.returncode == 0, submitted.stderr
    neighbours.cancel_dropped_task(production)
    before = neighbours.look_at_neighbours(production)
    production.begin()
    killed: list[str] = []

    def meanwhile() -> None:
        if not killed and (name := production.agent_that_waits_for_it()):
            killed.append(name)
            production.kill_agent(name)

    def only_decisions_are_missing() -> bool:
        states = Counter(row.state for row in production.jobs())
        kept = Counter(row.run for row in production.products() if row.state == "kept")
        return not states.keys() - {"finished", "manual"} and kept == {run: 3 for run in RUNS if run != HELD}

    def some_are_finished() -> bool:
        return bool(killed) and sum(row.state == "finished" for row in production.jobs()) >= BEFORE_THE_OUTAGES

    production.wait_until(some_are_finished, meanwhile)
    outages.lose_both_storages(production)
    production.wait_until(only_decisions_are_missing)
    outages.outages_cost_nothing_but_time(production)
    web_pages.counters_equal_the_database(production)
    decide(production)
    production.wait_until(lambda: production.task_state() == "done")

    production.drain_agents()
    rows, pages = production.products(), production.pages()
    checks.products_hold_the_good_events(production, rows)
    checks.every_attempt_is_explained(pages, set(NODES))
    checks.every_fault_was_understood(production, pages)
    done_by = Counter(each.agent for page in pages for each in page.attempts if each.state == "finished")
    assert done_by.keys() == {*NODES, PILOTS}, done_by
    production.wait_until(lambda: production.raws_on_disk() == 0)
    checks.tapes_were_given_back(production)
    checks.chunk_files_are_still_there(production)
    web_pages.counters_equal_the_database(production)
    page_files.files_equal_the_storage(production)

    put_away = server.command("manager", "tasks", "archive", TASK, "--why", "validated")
    assert put_away.returncode == 0, put_away.stderr
    production.wait_until(lambda: production.task_state() == "archived")
    checks.only_what_is_kept_is_left(production, production.products())
    checks.the_archives_hold_the_log_of_every_report(production, pages)
    checks.every_file_is_what_its_record_says(production)
    neighbours.nothing_of_them_has_changed(production, before)
    web_pages.counters_equal_the_database(production)
    production.stop()
    checks.nothing_is_left_running(production)


def decide(production: Production) -> None:
    """What waits for somebody, with all that he needs to decide on it; one chunk is sent again, one is left out."""
    held = {(row.run, row.chunk): row for row in production.jobs() if row.state == "manual"}
    assert held.keys() == {TRUNCATED, ASKED_ABOUT}
    assert f"catalogue promises {events_of(TRUNCATED)}" in held[TRUNCATED].diag
    assert {row.state for row in production.products() if row.run == HELD} == {"waiting"}
    asked = production.server.command("expert", "jobs", "manual", "--task", TASK, "--json")
    items = json.loads(asked.stdout)["items"]
    assert {item["job"]: bool(item["remedy"]) for item in items} == {row.job: True for row in held.values()}

    why = "seen once: the options are right"
    again = production.server.command("expert", "jobs", "resend", str(held[ASKED_ABOUT].job), "--why", why)
    assert again.returncode == 0, again.stderr
    production.wait_until(lambda: production.job_at(ASKED_ABOUT).state == "finished")
    cut = "the end of this file was never written to tape"
    assert len(production.merge_without(HELD, cut)) == 3
    for place, reason in ((ASKED_ABOUT, why), (TRUNCATED, cut)):
        page = production.page_at(place)
        assert [event.why for event in page.events if event.who == PERSON] == [reason], page
