"""The profiles of the experiments, and what the database keeps of them."""

from __future__ import annotations

import functools

from pilotext.profile import known_experiments, load_experiment
from pilotext.profile import records as profile
from pilotext.server.database import transact
from pilotext.server.production.models import Experiment, Site


@functools.cache
def profile_of(name: str) -> profile.Experiment:
    """An experiment's profile, read once in a process."""
    return load_experiment(name)


def remember(given: profile.Experiment) -> Experiment:
    """The experiment's row, with rows for its sites as its profile has them now."""
    row, _ = Experiment.objects.update_or_create(name=given.name, defaults={"number": given.number})
    for name, site in given.sites.items():
        rules = {"max_active": site.max_active, "staging": site.staging, "merging": site.merging or ""}
        Site.objects.update_or_create(name=name, experiment=row, defaults=rules)
    return row


def remember_all() -> None:
    """The same for every experiment that has a profile."""
    for name in known_experiments():
        transact(functools.partial(remember, profile_of(name)))
