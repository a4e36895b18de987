"""The cycle: everything the server does by itself, step by step, again and again.

A step is a function that advances what can be advanced, in short transactions, and returns how many things it moved.
It can be broken off anywhere and done again; several cycles may run at once. A step that fails is logged and
does not stop the others. To add one: write it in the package of its subject (merging/, tape/ …)
and name it in STEPS.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import close_old_connections, connection

from pilotext.server.production.cycle import status
from pilotext.server.production.cycle.breakers import watch_breakers
from pilotext.server.production.cycle.chains import take_inputs
from pilotext.server.production.cycle.cleaning import clean_logs, clean_products, finish_archiving
from pilotext.server.production.cycle.log_archives import make_archives, plan_archives
from pilotext.server.production.cycle.tasks import end_cancelled, finish_tasks, take_up_again
from pilotext.server.production.dispatch.agents import forget_agents
from pilotext.server.production.dispatch.leases import expire_leases
from pilotext.server.production.merging.cross_check import check_merged
from pilotext.server.production.merging.groups import dissolve_merges, finish_merges, start_merges
from pilotext.server.production.notices.mail import send_mails
from pilotext.server.production.notices.store import forget_notices
from pilotext.server.production.notices.watch import watch_factories, watch_failures, watch_rule_files
from pilotext.server.production.notices.webhook import send_to_webhooks
from pilotext.server.production.reports.verification import verify_outputs
from pilotext.server.production.statistics.hourly import count_hours
from pilotext.server.production.tape.archive import keep_products
from pilotext.server.production.tape.requests import check_files, poll_files, release_files, request_files
from pilotext.server.production.tape.staging import plan_staging, ready_without_staging

log = logging.getLogger("pilotext.cycle")

STOP_WITHIN_S = 10.0


@dataclass(frozen=True)
class PeriodicStep:
    """A part of the cycle: its name in logs and metrics, and how often it is due."""

    name: str
    work: Callable[[], int]
    every_s: float = 1.0
    lane: str = ""
    """Steps of another lane, which wait for storage systems or read much, do not keep the others waiting."""


STEPS: tuple[PeriodicStep, ...] = (
    PeriodicStep("leases", expire_leases),
    PeriodicStep("breakers", watch_breakers),
    PeriodicStep("cancelled", end_cancelled),
    PeriodicStep("resumed", take_up_again),
    PeriodicStep("inputs", take_inputs, every_s=3.0),
    PeriodicStep("ready", ready_without_staging),
    PeriodicStep("staging", plan_staging),
    PeriodicStep("ask", request_files, lane="tape"),
    PeriodicStep("poll", poll_files, lane="tape"),
    PeriodicStep("look", check_files, every_s=60.0, lane="tape"),
    PeriodicStep("give back", release_files, every_s=5.0, lane="tape"),
    PeriodicStep("verify", verify_outputs, lane="verification"),
    PeriodicStep("dissolve", dissolve_merges),
    PeriodicStep("merge", start_merges),
    PeriodicStep("merged", finish_merges),
    PeriodicStep("check", check_merged),
    PeriodicStep("keep", keep_products, lane="copies"),
    PeriodicStep("archives", plan_archives),
    PeriodicStep("archive", make_archives, lane="copies"),
    PeriodicStep("clean", clean_products, lane="copies"),
    PeriodicStep("clean logs", clean_logs, lane="copies"),
    PeriodicStep("archived", finish_archiving),
    PeriodicStep("agents", forget_agents, every_s=30.0),
    PeriodicStep("done", finish_tasks),
    PeriodicStep("hours", count_hours, every_s=60.0, lane="statistics"),
    PeriodicStep("failure rates", watch_failures, every_s=60.0, lane="statistics"),
    PeriodicStep("silent factories", watch_factories, every_s=60.0),
    PeriodicStep("rule files", watch_rule_files, every_s=60.0),
    PeriodicStep("webhooks", send_to_webhooks, every_s=10.0, lane="notices"),
    PeriodicStep("mails", send_mails, every_s=30.0, lane="notices"),
    PeriodicStep("old notices", forget_notices, every_s=3600.0),
)


def run_once(steps: tuple[PeriodicStep, ...] = STEPS) -> dict[str, int]:
    """Do every step once; returns what each moved, -1 for one that failed."""
    return {step.name: _done(step) for step in steps}


def run_until(stop: threading.Event, steps: tuple[PeriodicStep, ...] = STEPS, *, tick_s: float = 0.2) -> None:
    """Do every step when it is due, until `stop` is set, each lane in a thread of its own.

    A step that has begun is brought to its end, unless it waits for storage for longer than STOP_WITHIN_S.
    """
    lanes: dict[str, list[PeriodicStep]] = {}
    for step in steps:
        lanes.setdefault(step.lane, []).append(step)
    threads = [
        threading.Thread(target=_run_lane, args=(stop, lane, tick_s), name=f"cycle {name}", daemon=True)
        for name, lane in lanes.items()
    ]
    for thread in threads:
        thread.start()
    stop.wait()
    end = time.monotonic() + STOP_WITHIN_S
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def _run_lane(stop: threading.Event, steps: list[PeriodicStep], tick_s: float) -> None:
    due = dict.fromkeys((step.name for step in steps), 0.0)
    try:
        while not stop.is_set():
            for step in steps:
                if stop.is_set():
                    return
                if time.monotonic() >= due[step.name]:
                    moved = _done(step)
                    due[step.name] = time.monotonic() + (0.0 if moved > 0 else step.every_s)
            stop.wait(tick_s)
    finally:
        connection.close()


def _done(step: PeriodicStep) -> int:
    close_old_connections()
    began = time.monotonic()
    try:
        moved = step.work()
    except Exception as error:  # the boundary: one step that fails must not starve the others
        log.exception("step %s failed", step.name)
        status.record_step(step.name, status.describe_error(error))
        return -1
    status.record_step(step.name)
    if moved:
        log.info("step %s moved %d in %.3f s", step.name, moved, time.monotonic() - began)
    return moved
