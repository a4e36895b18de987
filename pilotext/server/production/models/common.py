"""Parts that the tables share."""

from __future__ import annotations

from django.db import models

from pilotext.server.production.states import Machine


def only_states_of(machine: Machine) -> models.CheckConstraint:
    """The database refuses a state that the machine does not have."""
    name = f"%(class)s_state_is_of_{machine.name.replace(' ', '_')}"
    return models.CheckConstraint(condition=models.Q(state__in=machine.states), name=name)
