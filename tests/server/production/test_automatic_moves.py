"""Random productions of several tasks that share raw files, runs, sites and names: nothing that has ended begins again
unless a person wants it so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilotext.api.schemas.attempts import Heartbeat
from pilotext.errors import TransientError
from pilotext.server.api import auth
from pilotext.server.database import transact
from pilotext.server.production.dispatch.dispatcher import Lease
from pilotext.server.production.dispatch.leases import expire_leases, heartbeat
from pilotext.server.production.manual_decisions.jobs import JOB_WORDS, move_job
from pilotext.server.production.manual_decisions.merged_runs import WORDS as PRODUCT_WORDS
from pilotext.server.production.manual_decisions.merged_runs import move_product
from pilotext.server.production.manual_decisions.tasks import TASK_WORDS, move_task
from pilotext.server.production.models import (
    Attempt,
    AuditEntry,
    Job,
    LogArchive,
    Product,
    StagedFile,
    Task,
)
from pilotext.server.production.refusal import RefusalError
from pilotext.server.times import EPOCH
from pilotext.storage import registry
from pilotext.storage.memory import MemoryStorage
from tests.server.conftest import Maker, use
from tests.server.merged import ON_MEMORY, cycle, do, storage
from tests.server.support import WHY, fail, lease, submit
from tests.server.trail import gaps

__all__ = ["storage"]
pytestmark = pytest.mark.usefixtures("storage")

T = TypeVar("T")

SOAK = bool(os.environ.get("PILOTEXT_SOAK"))
FINAL = {"job": {"finished", "failed", "cancelled"}, "task": {"done", "archived", "cancelled"}, "product": {"cleaned"}}
"""What has ended; said once more, so that a mistake in the machines' own table is seen."""

PLACES = [(run, chunk) for run in (1, 2) for chunk in (0, 1)]
FAULTS = [
    ("crash", "retry"),
    ("storage", "restage"),
    ("storage", "retry-elsewhere"),
    ("input-corrupt", "manual-check"),
    ("configuration", "fail"),
    ("evicted", "retry"),
]

number = st.integers(0, 7)
"""Which of the things that there are; counted around."""

action = st.one_of(
    st.tuples(st.just("submit"), st.sets(st.sampled_from(PLACES), min_size=1), st.booleans(), st.booleans()),
    st.tuples(st.just("cycle")),
    st.tuples(st.just("work"), number),
    st.tuples(st.just("work on all")),
    st.tuples(st.just("lease"), number),
    st.tuples(st.just("succeed"), number),
    st.tuples(st.just("fail"), number, st.sampled_from(FAULTS)),
    st.tuples(st.just("lose"), number),
    st.tuples(st.just("beat"), number),
    st.tuples(st.just("to tape"), st.sampled_from(PLACES)),
    st.tuples(st.just("refuse"), st.sampled_from(PLACES)),
    st.tuples(st.just("decide on a job"), number, st.sampled_from(sorted(JOB_WORDS))),
    st.tuples(st.just("decide on a task"), number, st.sampled_from(sorted(TASK_WORDS))),
    st.tuples(st.just("decide on a run"), number, st.sampled_from(sorted(PRODUCT_WORDS))),
)

BEGINNINGS = st.lists(
    st.tuples(st.just("submit"), st.sets(st.sampled_from(PLACES), min_size=2), st.just(True), st.booleans()),
    min_size=1,
    max_size=2,
)

LATER: list[tuple[object, ...]] = [("submit", set(PLACES), True, False), ("work on all",)]
"""At the end, one more task wants all of the files."""


def raw_url(place: tuple[int, int]) -> str:
    return f"memory://tape//castor/W14/cdr{place[1]}-{place[0]}.raw"


def states() -> dict[tuple[str, int], tuple[int, str]]:
    """The task and the state of everything that can have ended."""
    found: dict[tuple[str, int], tuple[int, str]] = {}
    for name, model, task in (("job", Job, "task_id"), ("task", Task, "pk"), ("product", Product, "task_id")):
        rows = model.objects.values_list("pk", task, "state")
        found |= {(name, pk): (owner, state) for pk, owner, state in rows}
    return found


class Productions:
    """Several tasks, the leases that their jobs have, and what people decide meanwhile."""

    def __init__(self, storage: MemoryStorage) -> None:
        self.storage = storage
        self.leases: list[Lease] = []
        self.submitted = 0
        for place in PLACES:
            storage.files[raw_url(place)] = b"raw"
            storage.tape.add(raw_url(place))

    def act(self, word: str, *given: object) -> None:
        people: dict[str, Callable[..., None]] = {
            "submit": self._submit,
            "decide on a job": self._decide_on_job,
            "decide on a task": self._decide_on_task,
            "decide on a run": self._decide_on_run,
        }
        if word in people:
            people[word](*given)
            return
        with self._nothing_begins_again(word):
            getattr(self, f"_{word.replace(' ', '_')}")(*given)

    @contextmanager
    def _nothing_begins_again(self, word: str) -> Iterator[None]:
        """What has ended stays so, but for the cancelled jobs of tasks that a person resumes."""
        before, last = states(), AuditEntry.objects.order_by("pk").last()
        resumed = set(Task.objects.filter(state="draft").values_list("pk", flat=True))
        yield
        after = states()
        for (name, pk), (task, state) in before.items():
            if state in FINAL[name] and task not in resumed:
                assert after[name, pk][1] == state, f"{word}: {name} {pk} was {state} and is {after[name, pk][1]}"
        told = AuditEntry.objects.filter(pk__gt=last.pk if last else 0, subject__in=FINAL)
        for line in told:
            if line.task in resumed:
                continue
            assert line.actor != "person", f"{word}: nobody has decided on {line.subject} {line.subject_id}: {line.why}"
            left = line.before in FINAL[line.subject] and line.after != line.before
            assert not left, f"{word}: {line.subject} {line.subject_id} {line.before} -> {line.after}: {line.why}"

    # ------------------------------------------------------------------------------------------ what people do

    def _submit(self, places: set[tuple[int, int]], staging: bool, merged: bool) -> None:
        """A task, every fifth one under names that an earlier one has as well; that is refused."""
        count = self.submitted
        self.submitted += 1
        own = count - 4 if count % 5 == 4 else count
        paths = [raw_url(place).removeprefix("memory://tape/") for place in sorted(places)]
        with suppress(RefusalError):
            submit(
                paths,
                name=f"t{count}",
                staging=staging,
                merges=["mdst"] if merged else [],
                parameters={**ON_MEMORY, "production": f"prod{own}", "soft": f"soft{own}"},
            )

    def _decide_on_job(self, which: int, word: str) -> None:
        if (job := _nth(list(Job.objects.order_by("pk").values_list("pk", flat=True)), which)) is not None:
            with suppress(RefusalError):
                transact(lambda: move_job(job, word, WHY))

    def _decide_on_task(self, which: int, word: str) -> None:
        if (task := _nth(list(Task.objects.order_by("pk").values_list("pk", flat=True)), which)) is not None:
            transact(lambda: move_task(task, word, WHY))

    def _decide_on_run(self, which: int, word: str) -> None:
        if (product := _nth(list(Product.objects.order_by("pk").values_list("pk", flat=True)), which)) is not None:
            with suppress(RefusalError):
                transact(lambda: move_product(product, word, WHY))

    # ------------------------------------------------------------------------------------------ what comes by itself

    def _cycle(self) -> None:
        """Whatever waits for a point in time has waited for it."""
        Job.objects.update(not_before=EPOCH)
        for model in (StagedFile, Product, LogArchive):
            model.objects.update(busy_until=EPOCH)
        StagedFile.objects.filter(state="online").update(online=EPOCH)
        cycle()

    def _lease(self, node: int) -> None:
        if (given := lease(f"wn{node}")) is not None:
            self.leases.append(given)

    def _work(self, node: int) -> None:
        if (given := lease(f"wn{node}")) is not None:
            do(given, self.storage)

    def _work_on_all(self) -> None:
        for _ in range(3):
            self._cycle()
            while (given := lease()) is not None:
                do(given, self.storage)
        self._cycle()

    def _succeed(self, which: int) -> None:
        if (given := self._ended(which)) is not None:
            do(given, self.storage)

    def _fail(self, which: int, fault: tuple[str, str]) -> None:
        if (given := self._ended(which)) is not None:
            fail(given, *fault)

    def _lose(self, which: int) -> None:
        if (given := _nth(self.leases, which)) is not None:
            Attempt.objects.filter(pk=given.attempt).update(lease_until=EPOCH)
            expire_leases()

    def _beat(self, which: int) -> None:
        if (given := _nth(self.leases, which)) is not None:
            heartbeat(given.attempt, given.token, Heartbeat("payload"))

    def _to_tape(self, place: tuple[int, int]) -> None:
        """The tape system needs the disk for something else."""
        self.storage.tape.add(raw_url(place))

    def _refuse(self, place: tuple[int, int]) -> None:
        for operation in ("prepare", "status"):
            self.storage.fail_next(operation, TransientError(raw_url(place), "busy"))

    def _ended(self, which: int) -> Lease | None:
        given = _nth(self.leases, which)
        if given is not None:
            self.leases.remove(given)
        return given


def _nth(things: list[T], which: int) -> T | None:
    return things[which % len(things)] if things else None


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest) -> Iterator[tuple[str, Maker]]:
    kind = "sqlite_databases" if request.param == "sqlite" else "postgres_databases"
    yield request.param, request.getfixturevalue(kind)
    connection.close()


def live(make: Maker, actions: list[tuple[object, ...]]) -> None:
    use(make())
    if connection.vendor == "sqlite":  # these databases need not outlive a power cut
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous=OFF")
    auth.forget()
    memory = MemoryStorage()
    registry.register("memory", memory)
    production = Productions(memory)
    for word, *given_ in actions:
        production.act(str(word), *given_)
    assert gaps() == []


@pytest.mark.timeout(3600 if SOAK else 900)
def test_nothing_that_has_ended_begins_again_by_itself(databases: tuple[str, Maker]) -> None:
    kind, make = databases
    examples = {"sqlite": 1000, "postgresql": 200}[kind] if SOAK else {"sqlite": 4, "postgresql": 2}[kind]

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(BEGINNINGS, st.lists(action, min_size=5, max_size=40 if SOAK else 15))
    def productions(beginnings: list[tuple[object, ...]], actions: list[tuple[object, ...]]) -> None:
        live(make, [*beginnings, ("work on all",), *actions, *LATER])

    productions()


def test_a_production_that_comes_to_its_end_stays_there_beside_others(databases: tuple[str, Maker]) -> None:
    """The way that random ones take seldom: done, put away, and cancelled tasks, then others on the same files."""
    everything = set(PLACES)
    live(
        databases[1],
        [
            ("submit", everything, True, True),
            ("work on all",),
            ("submit", everything, True, False),
            ("work on all",),
            ("decide on a task", 0, "archive"),
            ("submit", {PLACES[0]}, True, True),
            ("cycle",),
            ("lease", 0),
            ("decide on a task", 2, "cancel"),
            ("cycle",),
            ("submit", everything, True, True),
            ("work on all",),
            ("succeed", 0),
            ("cycle",),
        ],
    )
    assert set(Task.objects.values_list("state", flat=True)) == {"archived", "done", "cancelled"}
