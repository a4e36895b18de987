"""The profiles of the experiments, and what the database keeps of them."""

from __future__ import annotations

import functools
import hashlib

import msgspec

from pilotext.profile import known_experiments, load_experiment
from pilotext.profile import records as profile
from pilotext.server.database import transact
from pilotext.server.production.models import AuditEntry, Experiment, Site
from pilotext.server.production.transitions import Reason, record

PROFILE = "profile"
"""Subject in the audit trail of a profile, whose states are the fingerprints of its parts."""

UNLIMITED = "no limit"

SITE_LIMIT = "site limit"
"""Subject in the audit trail of the limit of a site; the state `profile` is the limit of its profile."""

_WHO = "profile"


@functools.cache
def profile_of(name: str) -> profile.Experiment:
    """An experiment's profile, read once in a process."""
    return load_experiment(name)


def remember(given: profile.Experiment) -> Experiment:
    """The experiment's row, with rows for its sites as its profile has them now; in a transaction.

    What is another way than before stands in the audit trail: it is the policy by which everything is decided. Limits
    that somebody has set manually stay.
    """
    row, _ = Experiment.objects.update_or_create(name=given.name, defaults={"number": given.number})
    _tell_changes(row, given)
    for name, site in given.sites.items():
        rules = {"max_active": site.max_active, "staging": site.staging, "merging": site.merging or ""}
        words = {
            "max_active": f"attempts at once: {limit_words(site.max_active)}",
            "staging": f"inputs on tape: {staging_words(site.staging)}",
            "merging": f"merges of its tasks: {merging_words(site.merging)}",
        }
        before = Site.objects.filter(name=name, experiment=row).first()
        if before is not None and manual_limit(before):
            del rules["max_active"]
        changed = {key: value for key, value in rules.items() if before is None or getattr(before, key) != value}
        if not changed:
            continue
        site_row, _ = Site.objects.update_or_create(name=name, experiment=row, defaults=rules)
        was = "" if before is None else "closed" if before.closed else "open"
        why = f"{name}: {'; '.join(words[key] for key in changed)}"
        record("site", "closed" if site_row.closed else "open", Reason(_WHO, why, "cycle"), [(site_row.pk, was, None)])
    return row


def limit_words(number: int | None) -> str:
    """Say how many attempts a site may have at once."""
    return UNLIMITED if number is None else f"at most {number}"


def staging_words(needed: bool) -> str:
    """Say how jobs at a site come by inputs that are on tape."""
    return "brought to disk before" if needed else "used where they are"


def merging_words(site: str | None) -> str:
    """Say where the outputs of jobs at a site are merged."""
    return f"at {site}" if site else "where the task runs"


def manual_limit(site: Site) -> AuditEntry | None:
    """Return the audit entry by which the limit of a site was set manually; None where that of the profile holds."""
    last = AuditEntry.objects.filter(subject=SITE_LIMIT, subject_id=site.pk).order_by("-pk").first()
    return last if last is not None and last.after != "profile" else None


def _tell_changes(row: Experiment, given: profile.Experiment) -> None:
    """A line with the fingerprint of each part of the profile, when they are not those of the last line."""
    encoder = msgspec.json.Encoder(order="deterministic")
    parts = {
        name: hashlib.sha256(encoder.encode(getattr(given, name))).hexdigest()[:8] for name in given.__struct_fields__
    }
    after = " ".join(f"{name}:{print_}" for name, print_ in parts.items())
    told = AuditEntry.objects.filter(subject=PROFILE, subject_id=row.pk)
    before = told.order_by("-pk").values_list("after", flat=True).first() or ""
    if before == after:
        return
    changed = [word.partition(":")[0] for word in after.split() if word not in before.split()]
    why = f"{given.name}: {', '.join(changed)}" if before else f"{given.name} for the first time"
    record(PROFILE, after, Reason(_WHO, why, "cycle"), [(row.pk, before, None)])


def remember_all() -> None:
    """The same for every experiment that has a profile."""
    for name in known_experiments():
        transact(functools.partial(remember, profile_of(name)))
