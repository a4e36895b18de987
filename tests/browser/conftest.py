"""A server with a small made production and a browser, one of each for the tests of a process."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from fixtures.demo.browser import chromium_path
from fixtures.demo.database import ACCOUNTS, served
from fixtures.servers.ports import free_port
from tests.support.jobs import CHECKOUT

JOBS = 120
PASSWORD = "to look at a made production"
PATIENCE_MS = 20_000.0
"""For the browser to do something; the machine may be busy."""

_MAKE = """
import sys
from fixtures.demo.database import ACCOUNTS, make_database
make_database(sys.argv[1], int(sys.argv[2]), dict.fromkeys(ACCOUNTS, sys.argv[3]))
"""
_WATCH = """
document.addEventListener("securitypolicyviolation", event =>
    console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""

Opener = Callable[..., Page]
"""Opens a tab for somebody with a role: `opener("viewer")`; further words are options of the browser's context."""


@pytest.fixture(scope="session")
def made_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with a made production, which is made once for all processes of a test run."""
    own = tmp_path_factory.getbasetemp()
    folder = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with (folder / "made-database.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = folder / "made.sqlite3"
        if not path.exists():
            making = folder / "making.sqlite3"
            words = [sys.executable, "-c", _MAKE, f"sqlite:///{making}", str(JOBS), PASSWORD]
            subprocess.run(words, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, check=True)
            making.rename(path)
    return path


@pytest.fixture(scope="package")
def database_copy(made_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the made production, which tests change."""
    return Path(shutil.copyfile(made_database, tmp_path_factory.mktemp("web") / "copy.sqlite3"))


@pytest.fixture(scope="package")
def server(database_copy: Path) -> Iterator[str]:
    """URL of a web server on the copy of the made production."""
    with served(f"sqlite:///{database_copy}", free_port(), database_copy.with_name("web.log")) as url:
        yield url


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. Not for the whole session: while it is open, Django refuses to be used in this thread."""
    with sync_playwright() as playwright:
        words = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=words)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def sessions(chromium: Browser, server: str) -> dict[str, list[dict[str, str]]]:
    """Cookies of somebody of each role, who has logged in by the form."""
    found: dict[str, list[dict[str, str]]] = {}
    for name, role in ACCOUNTS.items():
        context = chromium.new_context(base_url=server)
        log_in(context.new_page(), name)
        found[role] = [{"name": one["name"], "value": one["value"], "url": server} for one in context.cookies()]
        context.close()
    return found


def log_in(page: Page, name: str) -> None:
    """Log in by the form, and go to the tasks."""
    page.goto("/tasks")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/tasks")


@pytest.fixture
def opener(chromium: Browser, server: str, sessions: dict[str, list[dict[str, str]]]) -> Iterator[Opener]:
    """Open tabs; at the end of a test, a violation of the policy or an error on the console of any of them fails it."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def open_tab(role: str, **options: object) -> Page:
        context = chromium.new_context(base_url=server, **options)  # type: ignore[arg-type]
        context.add_cookies(sessions[role])  # type: ignore[arg-type]  # a TypedDict that is not public
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(_WATCH)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield open_tab
    for context in contexts:
        context.close()
    assert not errors


@pytest.fixture(scope="package")
def numbers(made_database: Path) -> dict[str, int]:
    """Numbers of objects that the open parts of addresses stand for."""
    query = {
        "breaker": "id from production_breaker where state = 'open'",
        "job": "id from production_job where state = 'manual'",
        "run": "run from production_product where state = 'manual'",
        "run_task": "task_id from production_product where state = 'manual'",
        "running": "id from production_job where state = 'running' and attempts = 1",
        "site": "id from production_site where closed = ''",
        "task": "id from production_task where state = 'running'",
    }
    with sqlite3.connect(made_database) as connection:
        rows = {name: f"select {text} order by id limit 1" for name, text in query.items()}
        found = {name: connection.execute(text).fetchone()[0] for name, text in rows.items()}
    connection.close()
    return found


@pytest.fixture(scope="session")
def axe() -> str:
    """The script that checks accessibility; bin/prepare test installs it."""
    return Path(sys.prefix, "share/browser/node_modules/axe-core/axe.min.js").read_text()


def check_axe(page: Page, axe: str, *rules: str) -> list[str]:
    """Return what axe finds wrong on a page, by all rules or by these."""
    options: dict[str, object] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = {"type": "rule", "values": rules}
    page.evaluate(axe)
    found = page.evaluate("options => axe.run(document, options).then(result => result.violations)", options)
    return [f"{one['id']}: {json.dumps([node['html'] for node in one['nodes']][:3])}" for one in found]
