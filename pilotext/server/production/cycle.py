"""The cycle: everything the server does by itself, step by step, again and again.

A step is a function that advances what can be advanced, in short transactions, and returns how many things it moved.
It can be broken off anywhere and done again; several cycles may run at once. A step that fails is told in the log and
does not stop the others. To add one: write it in `machines/`, and name it in STEPS.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import close_old_connections

from pilotext.server.production.leases import expire_leases
from pilotext.server.production.machines.agent import forget_agents
from pilotext.server.production.machines.breaker import watch_breakers
from pilotext.server.production.machines.job import ready_without_staging
from pilotext.server.production.machines.task import end_cancelled, finish_tasks

log = logging.getLogger("pilotext.cycle")


@dataclass(frozen=True)
class Step:
    """A part of the cycle: its name in logs and metrics, and how often it is due."""

    name: str
    work: Callable[[], int]
    every_s: float = 1.0


STEPS: tuple[Step, ...] = (
    Step("leases", expire_leases),
    Step("breakers", watch_breakers),
    Step("cancelled", end_cancelled),
    Step("ready", ready_without_staging),
    Step("agents", forget_agents, every_s=30.0),
    Step("done", finish_tasks),
)


def run_once(steps: tuple[Step, ...] = STEPS) -> dict[str, int]:
    """Do every step once; returns what each moved, -1 for one that failed."""
    return {step.name: _done(step) for step in steps}


def run_until(stop: threading.Event, steps: tuple[Step, ...] = STEPS, *, tick_s: float = 0.2) -> None:
    """Do every step when it is due, until `stop` is set; a step that has begun is brought to its end."""
    due = dict.fromkeys((step.name for step in steps), 0.0)
    while not stop.is_set():
        for step in steps:
            if stop.is_set():
                return
            if time.monotonic() >= due[step.name]:
                moved = _done(step)
                due[step.name] = time.monotonic() + (0.0 if moved > 0 else step.every_s)
        stop.wait(tick_s)


def _done(step: Step) -> int:
    close_old_connections()
    began = time.monotonic()
    try:
        moved = step.work()
    except Exception:  # the boundary: one step that fails must not starve the others
        log.exception("step %s failed", step.name)
        return -1
    if moved:
        log.info("step %s moved %d in %.3f s", step.name, moved, time.monotonic() - began)
    return moved
