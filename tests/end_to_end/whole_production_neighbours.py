"""Two tasks on the same raw files as the whole production: one is done before it begins, one is cancelled at once."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from fixtures.software_area import SETUP
from tests.end_to_end.whole_production import GONE_WITHIN_S, NODES, Production
from tests.end_to_end.whole_production_checks import StoredFile, stored_files
from tests.end_to_end.whole_production_faults import FIRST
from tests.end_to_end.whole_production_parts import install_software, write_task

from pilotext.server.production.models import AuditEntry, Job, Output, Product, Task  # isort: skip  needs the boot

EARLIER, DROPPED = "early2016P09t1", "dropped2016P09t1"

# The same programs without a fault in them: the faults are for the main task, each of them once.
_CORAL = '#!/bin/sh\nexec "@PAYLOADS@/coral.exe" "$@"\n'
_PHAST = '#!/bin/sh\nexec "@PAYLOADS@/phast.exe" "$@"\n'


@dataclass(frozen=True)
class Neighbours:
    """All that is known of the two tasks, and every file that one of them has published."""

    tasks: list[tuple[str, str]]
    jobs: list[tuple[int, str, int, int]]
    """Of each job its id, state, attempts and charged attempts."""
    products: list[tuple[int, str, int]]
    outputs: list[tuple[int, str, str, str]]
    moves: int
    files: dict[str, StoredFile]


def finish_earlier_task(production: Production) -> None:
    """A task of the first run is worked on by one agent until it is done, and then the agent ends."""
    install_software(production, "plain", {"coral.exe": _CORAL, "phast.exe": _PHAST, "coral/setup.sh": SETUP})
    _submit(production, EARLIER, "early", "plain", merges=["mdst"])
    production.start_agent(NODES[0], "--slots", "2")
    production.wait_until(lambda: production.task_state(EARLIER) == "done")
    agent = production.agents.pop(NODES[0])
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(GONE_WITHIN_S) == 0
    assert {row.state for row in production.jobs(EARLIER)} == {"finished"}


def cancel_dropped_task(production: Production) -> None:
    """A task of the first run is cancelled while its raw files come from tape, or before anybody has taken a job."""
    _submit(production, DROPPED, "dropped", "plain2")
    production.wait_until(lambda: {row.state for row in production.jobs(DROPPED)} <= {"staging", "ready"})
    words = ("tasks", "cancel", DROPPED, "--why", "the options were wrong")
    cancelled = production.server.command("manager", *words)
    assert cancelled.returncode == 0, cancelled.stderr
    production.wait_until(lambda: {row.state for row in production.jobs(DROPPED)} == {"cancelled"})
    assert production.task_state(DROPPED) == "cancelled"


def look_at_neighbours(production: Production) -> Neighbours:
    """As they are now; called for the first time before the main task has published anything."""
    tasks = Task.objects.filter(name__in=(EARLIER, DROPPED))
    ids = list(tasks.values_list("pk", flat=True))
    jobs = Job.objects.filter(task__in=ids).order_by("pk")
    outputs = Output.objects.filter(job__task__in=ids).order_by("pk")
    return Neighbours(
        tasks=list(tasks.order_by("pk").values_list("name", "state")),
        jobs=list(jobs.values_list("pk", "state", "attempts", "charged")),
        products=list(Product.objects.filter(task__in=ids).order_by("pk").values_list("pk", "state", "round")),
        outputs=list(outputs.values_list("pk", "state", "url", "kept")),
        moves=AuditEntry.objects.filter(task__in=ids).count(),
        files=stored_files(production),
    )


def nothing_of_them_has_changed(production: Production, before: Neighbours) -> None:
    """No row of the two tasks was moved, and every file that was there is there, byte by checksum."""
    after = look_at_neighbours(production)
    assert before.tasks == [(EARLIER, "done"), (DROPPED, "cancelled")]
    assert before.files
    assert (after.tasks, after.jobs, after.products) == (before.tasks, before.jobs, before.products)
    assert (after.outputs, after.moves) == (before.outputs, before.moves)
    changed = {url: (file, after.files.get(url)) for url, file in before.files.items() if after.files.get(url) != file}
    assert not changed, changed


def _submit(production: Production, name: str, word: str, soft: str, merges: list[str] | None = None) -> None:
    task = write_task(production, name, (FIRST,), {"production": word, "soft": soft}, merges)
    submitted = production.server.command("manager", "submit", str(task))
    assert submitted.returncode == 0, submitted.stderr
