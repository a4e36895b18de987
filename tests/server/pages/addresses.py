"""One table of all addresses of the pages: what each answers, and to whom. A page without a row fails the tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ROLES = ("viewer", "expert", "manager")
"""From the least to the mightiest: each may what the one before may."""


@dataclass(frozen=True)
class Address:
    """An address by its path, in which numbers of a task or a job are left open.

    `get` is what it answers to GET: a page, data such as JSON, a feed that asks for a token, another address, that a
    file is not there yet, or nothing. `sees` is the least role that may ask so, and `changes` the least role that may
    send a form; None: nobody.
    """

    path: str
    get: Literal["page", "data", "feed", "elsewhere", "unavailable", "nothing"] = "page"
    sees: str = "viewer"
    changes: str | None = None
    form: tuple[tuple[str, str], ...] = ()
    """Fields of a form that would change something; none where that needs more, or changes one's own browser only."""


def _decision(path: str, word: str, role: str) -> Address:
    return Address(path, "nothing", changes=role, form=(("to", word), ("why", "seen in the log")))


ADDRESSES = {
    "overview": Address("/"),
    "tasks": Address("/tasks"),
    "task": Address("/tasks/{task}"),
    "task-file": Address("/tasks/{task}/file"),
    "task-decide": _decision("/tasks/{task}/decide", "pause", "manager"),
    "run": Address("/tasks/{run_task}/runs/{run}"),
    "run-decide": Address("/tasks/{run_task}/runs/{run}/decide", "nothing", changes="expert"),
    "run-urls": Address("/tasks/{run_task}/runs/{run}/urls.txt", "data"),
    "jobs": Address("/jobs"),
    "jobs-json": Address("/jobs.json", "data"),
    "jobs-csv": Address("/jobs.csv", "data"),
    "job": Address("/jobs/{job}"),
    "job-decide": _decision("/jobs/{job}/decide", "resend", "expert"),
    "job-note": Address("/jobs/{job}/note", "nothing", changes="expert", form=(("why", "seen in the log"),)),
    "job-assign": Address("/jobs/{job}/assign", "nothing", changes="expert", form=(("whom", "me"),)),
    "compare": Address("/jobs/{job}/compare?a=1&b=1"),
    "log": Address("/jobs/{job}/attempts/1/log"),
    "log-text": Address("/jobs/{running}/attempts/1/log/stdout"),
    "log-raw": Address("/jobs/{running}/attempts/1/log/stdout/raw", "unavailable"),
    "manual": Address("/manual"),
    "manual-jobs": Address("/manual/jobs"),
    "manual-decide": Address(
        "/manual/decide?state=manual&to=resend",
        sees="expert",
        changes="expert",
        form=(("state", "manual"), ("to", "resend"), ("why", "seen in the logs")),
    ),
    "product-decide": _decision("/products/{product}/decide", "accept", "expert"),
    "failures": Address("/failures"),
    "failures-csv": Address("/failures.csv", "data"),
    "failed-attempts": Address("/failures/attempts?since=520w"),
    "breaker-decide": _decision("/breakers/{breaker}/decide", "close", "manager"),
    "periods": Address("/periods"),
    "period": Address("/period?year=2016&period=P09"),
    "plots": Address("/plots"),
    "plot": Address("/plots/states"),
    "plot-csv": Address("/plots/states/hours.csv", "data"),
    "attempts": Address("/attempts?since=520w"),
    "sites": Address("/sites"),
    "site": Address("/sites/{site}"),
    "site-settings": Address("/sites/{site}/settings"),
    "site-decide": _decision("/sites/{site}/decide", "close", "manager"),
    "site-limit": Address(
        "/sites/{site}/limit", "nothing", changes="manager", form=(("most", "17"), ("why", "slow storage"))
    ),
    "factory": Address("/factory"),
    "notices": Address("/notices"),
    "notices-atom": Address("/notices.atom", "feed"),
    "trail": Address("/trail"),
    "trail-csv": Address("/trail.csv", "data"),
    "submit": Address("/submit", sees="manager", changes="manager"),
    "account": Address("/account", changes="viewer", form=(("role", "viewer"), ("days", "1"))),
    "theme": Address("/account/theme", "nothing", changes="viewer"),
    "token-revoke": Address("/account/tokens/{token}/revoke", "nothing", changes="viewer"),
    "people": Address(
        "/people",
        sees="manager",
        changes="manager",
        form=(("name", "a-viewer"), ("role", "expert"), ("why", "she has learned the rules")),
    ),
    "server": Address("/server"),
    "rules": Address("/rules"),
    "rules-try": Address("/rules/try", sees="expert", changes="expert"),
    "rule": Address("/rules/COMPASS/calibration-failed"),
    "search": Address("/search?q={job}", "elsewhere"),
}
"""Addresses by the name that `urls.py` gives them."""

PUBLIC = ("login", "logout")
"""Addresses for people who have not logged in."""


def pages() -> list[str]:
    """Return the paths of all that is a page."""
    return [each.path for each in ADDRESSES.values() if each.get == "page"]


def may(role: str, least: str | None) -> bool:
    """Whether this role is the least one or a mightier one."""
    return least is not None and ROLES.index(role) >= ROLES.index(least)
