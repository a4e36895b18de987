"""Pages that refresh themselves in a browser: what changes without a reload, what keeps them from it, what they say."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, Request, expect

from fixtures.demo.database import ACCOUNTS, served
from fixtures.servers.ports import free_port
from tests.browser.conftest import PATIENCE_MS, Opener, check_axe, log_in

EVERY_MS = 25_000
VIEWER = next(name for name, role in ACCOUNTS.items() if role == "viewer")


def open_page(page: Page, path: str) -> list[Request]:
    """Open a page whose clock the test moves; returns its polls, which come in later."""
    page.clock.install()
    page.goto(path)
    polls: list[Request] = []
    page.on("request", lambda request: polls.append(request) if request.resource_type == "fetch" else None)
    return polls


def poll(page: Page) -> int:
    """Let the time pass after which a page asks again; returns the status of the answer."""
    with page.expect_response(lambda answer: answer.request.resource_type == "fetch") as found:
        page.clock.run_for(EVERY_MS)
    return found.value.status


def move_a_job(database: Path, source: str, to: str) -> None:
    """Move a job of a running task in the database, as the server does it: with its line in the audit trail."""
    line = "at, who, actor, subject, subject_id, task, before, after, why"
    connection = sqlite3.connect(database, timeout=PATIENCE_MS / 1000)
    with connection:
        task = connection.execute("select id from production_task where state = 'running' order by id").fetchone()[0]
        query = "select id from production_job where task_id = ? and state = ? and product = '' order by id"
        job = connection.execute(query, (task, source)).fetchone()[0]
        connection.execute("update production_job set state = ? where id = ?", (to, job))
        values = ("2026-11-30 12:00:00", "cycle", "cycle", "job", job, task, source, to, "a test")
        connection.execute(f"insert into production_auditentry ({line}) values (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    connection.close()


def to_decide(page: Page) -> Locator:
    return page.locator(".tiles a").filter(has_text="to decide").locator("b")


def state_of(page: Page) -> Locator:
    return page.locator("#refresh")


def test_numbers_change_without_a_reload_and_nothing_else_is_disturbed(
    opener: Opener, database_copy: Path, axe: str
) -> None:
    page = opener("viewer")
    open_page(page, "/")
    number = int(to_decide(page).inner_text())
    page.evaluate("window.kept = document.querySelector('h1')")
    link = page.get_by_role("table", name="Failed attempts by code").get_by_role("link").first
    link.focus()
    height = page.evaluate("scrollTo(0, 120), scrollY")
    move_a_job(database_copy, "finished", "manual")
    assert poll(page) == 200
    expect(to_decide(page)).to_have_text(str(number + 1))
    assert page.evaluate("window.kept === document.querySelector('h1')"), "the page was not loaded again"
    assert page.evaluate("scrollY") == height > 0
    expect(link).to_be_focused()
    expect(state_of(page)).to_have_text(re.compile(r"^As of \d\d:\d\d:\d\d UTC$"))
    assert not check_axe(page, axe)


_COUNT_CHANGES = """() => {
    window.changes = 0;
    const all = {subtree: true, childList: true, attributes: true, characterData: true};
    new MutationObserver(some => changes += some.length).observe(document.getElementById("content"), all);
}"""


def test_an_unchanged_page_is_left_alone(opener: Opener) -> None:
    page = opener("viewer")
    open_page(page, "/sites")
    page.evaluate(_COUNT_CHANGES)
    page.locator("#refresh time").evaluate("element => element.textContent = 'before'")
    assert poll(page) == 304
    expect(state_of(page)).to_have_text(re.compile(r"^As of \d\d:\d\d:\d\d UTC$"))
    assert page.evaluate("changes") == 0


def test_what_was_opened_stays_open(opener: Opener, database_copy: Path) -> None:
    page = opener("viewer")
    open_page(page, "/manual")
    heading = page.locator("#content p.sub")
    before = heading.inner_text()
    page.get_by_text("Choose jobs").click()
    move_a_job(database_copy, "finished", "manual")
    assert poll(page) == 200
    expect(heading).not_to_have_text(before)
    expect(page.locator("details").first).to_have_attribute("open", "")


def test_nothing_is_refreshed_while_a_box_is_ticked(opener: Opener, database_copy: Path) -> None:
    page = opener("expert")
    polls = open_page(page, "/manual/jobs")
    boxes = page.get_by_role("checkbox")
    number = boxes.count()
    boxes.first.check()
    page.locator("h1").click()
    move_a_job(database_copy, "finished", "manual")
    page.clock.run_for(EVERY_MS)
    expect(state_of(page)).to_contain_text("paused while a form is in use")
    expect(boxes.first).to_be_checked()
    assert (boxes.count(), polls) == (number, [])
    boxes.first.uncheck()
    page.locator("h1").click()
    page.evaluate("document.activeElement.blur()")
    assert poll(page) == 200
    expect(boxes).to_have_count(number + 1)
    expect(state_of(page)).not_to_contain_text("paused")


def test_nothing_is_refreshed_while_a_form_is_half_typed_or_text_is_selected(opener: Opener) -> None:
    page = opener("viewer")
    polls = open_page(page, "/jobs")
    page.locator("details").evaluate("details => details.open = true")
    field = page.get_by_label("node")
    field.fill("wn1")
    page.evaluate("document.activeElement.blur()")
    page.clock.run_for(EVERY_MS)
    expect(state_of(page)).to_contain_text("paused while a form is in use")
    expect(field).to_have_value("wn1")
    field.fill("")
    page.evaluate("document.activeElement.blur(); getSelection().selectAllChildren(document.querySelector('h1'))")
    page.clock.run_for(EVERY_MS)
    expect(state_of(page)).to_contain_text("paused while text is selected")
    assert polls == []
    page.evaluate("getSelection().removeAllRanges()")
    assert poll(page) in (200, 304)


def test_a_hidden_page_does_not_ask_and_asks_at_once_when_it_is_seen(opener: Opener) -> None:
    page = opener("viewer")
    polls = open_page(page, "/sites")
    hide = "is => { Object.defineProperty(document, 'hidden', {value: is, configurable: true}); "
    hide += "document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide, True)
    page.clock.run_for(4 * EVERY_MS)
    assert polls == []
    with page.expect_response(lambda answer: answer.request.resource_type == "fetch"):
        page.evaluate(hide, False)


def test_without_script_a_page_says_of_when_it_is(opener: Opener) -> None:
    page = opener("viewer", java_script_enabled=False)
    page.goto("/")
    expect(state_of(page)).to_have_text(re.compile(r"^As of \d\d:\d\d:\d\d UTC$"))


def test_after_the_login_has_ended_the_page_says_so_and_keeps_its_content(opener: Opener) -> None:
    page = opener("viewer")
    open_page(page, "/")
    page.context.clear_cookies()
    page.clock.run_for(EVERY_MS)
    expect(state_of(page)).to_contain_text("not refreshed since: your login has ended; reload the page to log in")
    expect(page.locator("h1")).to_have_text("Overview")
    expect(page.get_by_label("Password")).to_have_count(0)


def test_a_page_whose_server_has_ended_says_so_asks_less_often_and_goes_on(
    chromium: Browser, made_database: Path, tmp_path: Path, axe: str
) -> None:
    """The browser itself writes failed requests on the console, so this page is no opener's."""
    database, port = tmp_path / "own.sqlite3", free_port()
    database.write_bytes(made_database.read_bytes())
    context = chromium.new_context(base_url=f"http://127.0.0.1:{port}")
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    with served(f"sqlite:///{database}", port, tmp_path / "web.log"):
        log_in(page, VIEWER)
        polls = open_page(page, "/")
    with page.expect_event("requestfailed"):
        page.clock.run_for(EVERY_MS)
    expect(state_of(page)).to_contain_text("not refreshed since: the server cannot be reached")
    expect(page.locator("h1")).to_have_text("Overview")
    assert not check_axe(page, axe)
    page.clock.run_for(EVERY_MS)
    assert len(polls) == 1, "the next one is later"
    with page.expect_event("requestfailed"):
        page.clock.run_for(EVERY_MS)
    page.route("**/*", lambda route: route.fulfill(status=304, headers={"Date": "Mon, 30 Nov 2026 12:34:56 GMT"}))
    page.clock.run_for(4 * EVERY_MS)
    expect(state_of(page)).to_have_text("As of 12:34:56 UTC")
    context.close()
