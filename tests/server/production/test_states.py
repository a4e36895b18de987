from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError
from django.db.models import CheckConstraint, TextChoices

from pilotext.server.database import transact
from pilotext.server.production import states
from pilotext.server.production.models import AuditEntry, Job
from pilotext.server.production.states import JOB, Actor, Machine, MoveError, OutputState
from pilotext.server.production.transitions import Reason, advance, advance_one
from tests.server.support import raw, submit, the_job

MACHINES = [machine for machine in vars(states).values() if isinstance(machine, Machine)]
WHY = Reason("tester", "to see", "cycle")
PERSON = Reason("tester", "to see", "person")


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_move_leads_to_a_state_of_its_machine(machine: Machine) -> None:
    reached = {target for targets in machine.moves.values() for target in targets}
    assert reached <= set(machine.states)
    assert reached >= set(machine.states[1:])


@pytest.mark.usefixtures("database")
def test_a_move_that_is_allowed_is_done_once_and_told_once() -> None:
    submit()
    told = AuditEntry.objects.count()
    assert transact(lambda: advance(JOB, Job.objects.all(), ("ready",), "manual", WHY)) == [the_job().pk]
    assert transact(lambda: advance(JOB, Job.objects.all(), ("ready",), "manual", WHY)) == []
    assert AuditEntry.objects.count() == told + 1


@pytest.mark.usefixtures("database")
def test_a_move_that_is_not_allowed_changes_nothing() -> None:
    submit()
    assert transact(lambda: advance(JOB, Job.objects.all(), ("defined",), "staging", WHY)) == []
    assert the_job().state == "ready"


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("source", "actor"), [("finished", "cycle"), ("finished", "attempt"), ("defined", "person"), ("manual", "cycle")]
)
def test_a_move_that_is_not_granted_to_its_actor_is_refused(source: str, actor: Actor) -> None:
    submit()
    Job.objects.update(state=source)
    reason = Reason("tester", "to see", actor)
    with pytest.raises(MoveError, match=f"{source} -> ready is no move of the actor `{actor}`"):
        transact(lambda: advance(JOB, Job.objects.all(), (source,), "ready", reason))
    with pytest.raises(MoveError):
        transact(lambda: advance_one(JOB, the_job(), ("sent", source), "ready", reason))
    assert the_job().state == source


@pytest.mark.usefixtures("database")
def test_rows_in_other_states_than_those_named_stay_as_they_are() -> None:
    submit([raw(1, chunk) for chunk in range(3)])
    first, second, third = Job.objects.order_by("pk")
    Job.objects.filter(pk=second.pk).update(state="finished")
    Job.objects.filter(pk=third.pk).update(state="manual")
    moved = transact(lambda: advance(JOB, Job.objects.all(), ("finished",), "ready", PERSON))
    assert moved == [second.pk]
    assert list(Job.objects.order_by("pk").values_list("state", flat=True)) == ["ready", "ready", "manual"]
    assert AuditEntry.objects.latest("pk").actor == "person"
    assert not transact(lambda: advance_one(JOB, first, ("finished",), "ready", PERSON))


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_only_a_person_moves_anything_out_of_a_final_state(machine: Machine) -> None:
    for actor in ("cycle", "attempt"):
        for target in machine.states:
            assert not machine.final.intersection(machine.sources(target, actor))


class LampState(TextChoices):
    ON = "on"
    OFF = "off"


def test_a_machine_whose_final_state_is_left_by_itself_cannot_be_made() -> None:
    with pytest.raises(MoveError, match="only a person"):
        Machine("lamp", LampState, {"on": {"off": frozenset({"cycle"})}, "off": {}}, final=frozenset({"on"}))


@pytest.mark.parametrize("moves", [{"on": {}}, {"on": {}, "off": {}, "dim": {}}, {"on": {"dim": PERSON}, "off": {}}])
def test_a_machine_whose_moves_are_not_those_of_its_states_cannot_be_made(moves: Any) -> None:
    with pytest.raises(MoveError, match="exactly the states"):
        Machine("lamp", LampState, moves)


def test_every_table_with_a_state_refuses_all_others() -> None:
    known: list[Any] = [*(machine.choices for machine in MACHINES), OutputState]
    with_state: list[Any] = [
        model
        for model in apps.get_app_config("production").get_models()
        if hasattr(model, "state") and model.__name__ != "HourlyAttempts"  # it counts by state
    ]
    assert len(with_state) == len(known)
    for model in with_state:
        (choices,) = [choices for choices in known if isinstance(model().state, choices)]  # the default
        checks: list[Any] = [each.condition for each in model._meta.constraints if isinstance(each, CheckConstraint)]
        allowed = [states for each in checks if (states := dict(each.children).get("state__in"))]
        assert [list(states) for states in allowed] == [choices.values], model


@pytest.mark.usefixtures("database")
def test_a_move_without_a_transaction_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="belong together"):
        advance(JOB, Job.objects.all(), ("ready",), "manual", WHY)


@pytest.mark.usefixtures("database")
def test_the_database_refuses_a_state_that_there_is_not() -> None:
    submit()
    with pytest.raises(IntegrityError):
        transact(lambda: Job.objects.update(state="asleep"))


@pytest.mark.usefixtures("database")
def test_a_transaction_that_fails_leaves_nothing() -> None:
    submit()
    told = AuditEntry.objects.count()

    def half() -> None:
        advance(JOB, Job.objects.all(), ("ready",), "manual", WHY)
        raise KeyError

    with pytest.raises(KeyError):
        transact(half)
    assert (the_job().state, AuditEntry.objects.count()) == ("ready", told)
