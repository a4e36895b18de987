"""Names that callers give in filters and decisions: what nobody knows is refused, with the nearest known name.

An empty answer must mean that nothing fits, never that a name was misspelt. So the names of a choice are looked up when
nothing was found by it; what was found proves that they are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from django.contrib.auth.models import User

from pilotext.api.schemas.jobs import JobFilter
from pilotext.errors import did_you_mean, known_words
from pilotext.profile import known_experiments
from pilotext.rules.loader import load_rules
from pilotext.server.production.models import (
    Agent,
    Attempt,
    Experiment,
    Job,
    Product,
    Signature,
    Site,
    Task,
    Token,
)
from pilotext.server.production.profiles import profile_of
from pilotext.server.production.refusal import RefusalError

MAX_LISTED = 12
"""Known names that a refusal lists when none of them is near."""

MAX_COMPARED = 2000
"""Names that are compared with one that is not known, the newest first."""

MAX_NAME = 200


def no_such(what: str, word: str, known: Iterable[str]) -> RefusalError:
    """The refusal of a name that is none of the known ones, with what was probably meant."""
    names = sorted({*known} - {""})
    listed = known_words(names) if 0 < len(names) <= MAX_LISTED else ""
    hint = did_you_mean(word[:MAX_NAME], names, otherwise=listed)
    return RefusalError("not-found", f"there is no {what} {word[:MAX_NAME]!r}. {hint}".rstrip())


def tasks_named(name: str) -> list[Task]:
    """The tasks of this name, one for each experiment that has it. Raises RefusalError if there is none."""
    rows = list(Task.objects.filter(name=name).only("name", "experiment"))
    if not rows:
        raise no_such("task", name, Task.objects.order_by("-pk").values_list("name", flat=True)[:MAX_COMPARED])
    return rows


def site_named(name: str) -> Site:
    """The site of this name. Raises RefusalError if there is none."""
    row = Site.objects.filter(name=name).first()
    if row is None:
        raise no_such("site", name, Site.objects.values_list("name", flat=True))
    return row


def experiment_named(name: str) -> Experiment:
    """The experiment of this name. Raises RefusalError if there is none."""
    row = Experiment.objects.filter(name=name).first()
    if row is None:
        raise no_such("experiment", name, Experiment.objects.values_list("name", flat=True))
    return row


def agent_named(name: str) -> Agent:
    """The agent of this name. Raises RefusalError if there is none."""
    row = Agent.objects.select_related("site").filter(name=name).first()
    if row is None:
        raise no_such("agent", name, Agent.objects.order_by("-seen").values_list("name", flat=True)[:MAX_COMPARED])
    return row


def refuse_unknown_code(code: str) -> None:
    """Raise RefusalError for a code that no rule and no job has; a number is answered with its code."""
    if not code or Job.objects.filter(code=code).exists() or Attempt.objects.filter(code=code).exists():
        return
    codes = [rule.code for name in known_experiments() for rule in load_rules(name).rules]
    labels = {each.label for each in codes}
    if code in labels:
        return
    by_number = {number: each.label for each in codes for number in (str(each.number), str(each.digits))}
    if code in by_number:
        raise RefusalError("not-found", f"there is no code {code!r}. Did you mean {by_number[code]!r}?")
    raise no_such("code", code, labels)


def refuse_unknown_merge(merge: str) -> None:
    """Raise RefusalError for a merge that no profile and no product has."""
    known = {name for each in known_experiments() for name in profile_of(each).merges}
    if merge and merge not in known and not Product.objects.filter(merge=merge).exists():
        raise no_such("merge", merge, known)


def refuse_unknown_run(run: int, task: Task | None = None) -> None:
    """Raise RefusalError for a run that no job, or no job of the task, is of."""
    rows = Job.objects.filter(run=run) if task is None else Job.objects.filter(task=task, run=run)
    if rows.exists():
        return
    if task is None:
        raise RefusalError("not-found", f"there is no run {run} in any task.")
    runs = Job.objects.filter(task=task, run__isnull=False).order_by("run").values_list("run", flat=True).distinct()
    error = no_such("run", str(run), map(str, runs[:MAX_COMPARED]))
    raise RefusalError("not-found", f"task {task.name}: {error}")


def refuse_unknown(asked: JobFilter) -> None:
    """Raise RefusalError for the first name of a choice of jobs that nobody knows."""
    tasks = None if asked.task is None else tasks_named(asked.task)
    if asked.run is not None:
        refuse_unknown_run(asked.run, tasks[0] if tasks is not None and len(tasks) == 1 else None)
    checks: dict[str, Callable[[str], object]] = {
        "code": refuse_unknown_code,
        "product": refuse_unknown_merge,
        "signature": _refuse_unknown_signature,
        "assigned": _refuse_unknown_person,
        "site": site_named,
        "agent": agent_named,
        "rule": _refuse_unknown_rule,
    }
    for field, check in checks.items():
        value: str | None = getattr(asked, field)
        several = field in ("code", "product", "site", "agent", "rule")
        for word in (value.split(",") if several else [value]) if value is not None else ():
            check(word)


def _refuse_unknown_signature(signature: str) -> None:
    if not Signature.objects.filter(signature=signature).exists():
        last = Signature.objects.order_by("-last").values_list("signature", flat=True)[:MAX_COMPARED]
        raise no_such("signature", signature, last)


def _refuse_unknown_rule(rule: str) -> None:
    known = {each.id for name in known_experiments() for each in load_rules(name).rules}
    if rule and rule not in known and not Attempt.objects.filter(rule=rule).exists():
        raise no_such("rule", rule, known)


def _refuse_unknown_person(name: str) -> None:
    """Whoever has an account, a token or a job is known."""
    if not name or Job.objects.filter(assigned=name, assigned__gt="").exists():
        return
    known = {*User.objects.values_list("username", flat=True), *Token.objects.values_list("label", flat=True)}
    known |= {*Job.objects.filter(assigned__gt="").values_list("assigned", flat=True).distinct()[:MAX_COMPARED]}
    if name not in known:
        raise no_such("person", name, known)


def no_such_word(word: str, known: list[str]) -> RefusalError:
    hint = did_you_mean(word, known, otherwise=known_words(known))
    return RefusalError("invalid", f"{word!r:.40} is unknown. {hint}")
