"""Measures the pages of the server on a made production: time, queries and bytes of each.

A page is asked for within this process, by a manager: everything but the socket. Below a page that refreshes itself
stands the question whether it has changed, which it has not. What counts is the ninety-fifth of a
hundred answers, the first of which finds the database's pages in no cache of this process.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

from fixtures.demo.database import ACCOUNTS, SEED, make_database
from fixtures.servers.postgres import serving_postgres
from pilotext.server.boot import boot, collect_garbage_less_often

if TYPE_CHECKING:
    from django.test import Client

MAX_MS = 200.0
MAX_QUERIES = 12
MAX_KB = 100.0
MAX_UNCHANGED_MS = 5.0
TARGETS = (
    f"Targets: at most {MAX_MS:.0f} ms, {MAX_QUERIES} queries and {MAX_KB:.0f} kB; for the question whether a page has "
    f"changed, {MAX_UNCHANGED_MS:.0f} ms of CPU."
)
MANAGER = next(name for name, role in ACCOUNTS.items() if role == "manager")
PAGES = {
    "overview": "/",
    "tasks": "/tasks",
    "a task": "/tasks/{task}",
    "parameters of a task": "/tasks/{task}/file",
    "a run": "/tasks/{of}/runs/{run}",
    "jobs": "/jobs",
    "jobs, newest first": "/jobs?order=newest",
    "jobs of a task in a state": "/jobs?task={name}&state=finished",
    "jobs of a site": "/jobs?site=BW_COMPASS_MCORE&state=failed",
    "a job": "/jobs/{job}",
    "a job that is ready": "/jobs/{ready}",
    "decide": "/manual",
    "decide, one by one": "/manual/jobs",
    "preview of a decision": "/manual/decide?state=manual&to=resend",
    "failures of a day": "/failures",
    "failures of a week": "/failures?since=7d",
    "failed attempts": "/failures/attempts",
    "attempts of a day": "/attempts",
    "attempts that run": "/attempts?by=running",
    "plots": "/plots",
    "a plot": "/plots/states",
    "periods": "/periods",
    "a period": "/period?year=2016&period=P09",
    "sites": "/sites",
    "a site": "/sites/1",
    "settings of a site": "/sites/1/settings",
    "trail": "/trail",
    "server": "/server",
}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks/pages", description=__doc__, epilog=TARGETS)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="production jobs to make (default: 1000000)")
    parser.add_argument("--kind", choices=["sqlite", "postgresql"], default="sqlite", help="(default: sqlite)")
    parser.add_argument("--database", help="a database that bin/demo has filled, instead")
    parser.add_argument("--times", type=int, default=100, help="that each page is asked for (default: 100)")
    parser.add_argument("--folder", type=Path, help="where the database lies (default: a temporary one)")
    options = parser.parse_args(words)
    with _database(options) as url:
        boot(url)
        return _measure(options.times)


@contextmanager
def _database(options: argparse.Namespace) -> Iterator[str]:
    if options.database:
        yield options.database
        return
    with tempfile.TemporaryDirectory(prefix="pilotext-benchmark-", dir=options.folder) as name:
        if options.kind == "sqlite":
            url = f"sqlite:///{name}/pages.sqlite3"
            make_database(url, options.jobs, dict.fromkeys(ACCOUNTS, name), seed=SEED)
            yield url
            return
        with serving_postgres() as server:
            make_database(server.url(), options.jobs, dict.fromkeys(ACCOUNTS, name), seed=SEED)
            yield server.url()


def _measure(times: int) -> int:
    """Print a row for each page; return 1 if one misses a target."""
    from django.contrib.auth.models import User  # noqa: PLC0415  needs Django to be set up
    from django.db import connection  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415

    from pilotext.server.production.models import Job, Product, Task  # noqa: PLC0415

    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.get(username=MANAGER))
    task = Task.objects.filter(state="running").order_by("-pk")[0]
    product = Product.objects.filter(state="waiting", task__state="running").order_by("pk")[0]
    ready = Job.objects.filter(state="ready", task__state="running").order_by("-pk")[0].pk
    job = Job.objects.filter(state="manual").order_by("pk")[0].pk
    print(
        f"{connection.vendor}, {Job.objects.count()} jobs; the middle, 95 % of {times} times, and CPU of this process"
    )
    client.get("/")  # imports the views, as the server does before its first answer
    collect_garbage_less_often()
    missed = 0
    for what, form in PAGES.items():
        path = form.format(task=task.pk, name=task.name, job=job, ready=ready, of=product.task_id, run=product.run)
        missed += _row(client, what, path, times, {})
        if stamp := client.get(path).headers.get("ETag"):
            missed += _row(client, "  unchanged", path, times, {"If-None-Match": stamp})
    return 1 if missed else 0


def _row(client: Client, what: str, path: str, times: int, headers: dict[str, str]) -> bool:
    """Print the row of a page; True if it misses a target."""
    from django.db import connection  # noqa: PLC0415  needs Django to be set up
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    with CaptureQueriesContext(connection) as queries:
        answer = client.get(path, headers=headers)
    assert answer.status_code == (304 if headers else 200), (path, answer.status_code)
    asked = len(queries)
    began = time.process_time()
    spent = sorted(_seconds(client, path, headers) for _ in range(times))
    cpu_ms = 1000 * (time.process_time() - began) / times
    slow, kb = 1000 * quantiles(spent, n=20)[-1], len(answer.content) / 1000
    wrong = slow > MAX_MS or asked > MAX_QUERIES or kb > MAX_KB or bool(headers and cpu_ms > MAX_UNCHANGED_MS)
    times_ms = "".join(f"{each:>8.1f} ms" for each in (1000 * spent[len(spent) // 2], slow, cpu_ms))
    print(f"{what:<28}{times_ms}{asked:>5} queries{kb:>8.1f} kB{'   missed' if wrong else ''}", flush=True)
    return wrong


def _seconds(client: Client, path: str, headers: dict[str, str]) -> float:
    began = time.perf_counter()
    client.get(path, headers=headers)
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
