"""The profiles of the experiments, and what the database keeps of them."""

from __future__ import annotations

import functools

from pilotext.profile import known_experiments, load_experiment
from pilotext.profile import records as profile
from pilotext.server.database import transact
from pilotext.server.production.models import Event, Experiment, Site

SITE_LIMIT = "site limit"
"""What the audit trail calls it when somebody limits a site; `profile` gives it back to its profile."""


@functools.cache
def profile_of(name: str) -> profile.Experiment:
    """An experiment's profile, read once in a process."""
    return load_experiment(name)


def remember(given: profile.Experiment) -> Experiment:
    """The experiment's row, with rows for its sites as its profile has them now; limits set by hand stay."""
    row, _ = Experiment.objects.update_or_create(name=given.name, defaults={"number": given.number})
    for name, site in given.sites.items():
        rules = {"staging": site.staging, "merging": site.merging or ""}
        mine, _ = Site.objects.update_or_create(name=name, experiment=row, defaults=rules)
        last = Event.objects.filter(subject=SITE_LIMIT, subject_id=mine.pk).order_by("-pk").first()
        if last is None or last.after == "profile":
            Site.objects.filter(pk=mine.pk).update(max_active=site.max_active)
    return row


def remember_all() -> None:
    """The same for every experiment that has a profile."""
    for name in known_experiments():
        transact(functools.partial(remember, profile_of(name)))
