from __future__ import annotations

import pytest
from django.db import IntegrityError

from pilotext.server.database import transact
from pilotext.server.production import states
from pilotext.server.production.advance import Reason, advance
from pilotext.server.production.models import Event, Job
from pilotext.server.production.states import JOB, Machine
from tests.server.support import submit, the_job

MACHINES = [machine for machine in vars(states).values() if isinstance(machine, Machine)]
WHY = Reason("tester", "to see")


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_move_leads_to_a_state_of_its_machine(machine: Machine) -> None:
    assert {target for targets in machine.moves.values() for target in targets} <= set(machine.states)
    first = machine.states[0]
    assert all(machine.sources(state) for state in machine.states if state != first)


@pytest.mark.usefixtures("database")
def test_a_move_that_is_allowed_is_done_once_and_told_once() -> None:
    submit()
    told = Event.objects.count()
    assert transact(lambda: advance(JOB, Job.objects.all(), "manual", WHY)) == [the_job().pk]
    assert transact(lambda: advance(JOB, Job.objects.all(), "manual", WHY)) == []
    assert Event.objects.count() == told + 1


@pytest.mark.usefixtures("database")
def test_a_move_that_is_not_allowed_changes_nothing() -> None:
    submit()
    assert transact(lambda: advance(JOB, Job.objects.all(), "staging", WHY)) == []
    assert the_job().state == "ready"


@pytest.mark.usefixtures("database")
def test_a_move_without_a_transaction_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="belong together"):
        advance(JOB, Job.objects.all(), "manual", WHY)


@pytest.mark.usefixtures("database")
def test_the_database_refuses_a_state_that_there_is_not() -> None:
    submit()
    with pytest.raises(IntegrityError):
        transact(lambda: Job.objects.update(state="asleep"))


@pytest.mark.usefixtures("database")
def test_a_transaction_that_fails_leaves_nothing() -> None:
    submit()
    told = Event.objects.count()

    def half() -> None:
        advance(JOB, Job.objects.all(), "manual", WHY)
        raise KeyError

    with pytest.raises(KeyError):
        transact(half)
    assert (the_job().state, Event.objects.count()) == ("ready", told)
