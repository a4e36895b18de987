"""Names that must exist: rules, counters, kinds and types of jobs, fields of a message, sources of a text."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from importlib import resources
from pathlib import Path

import regex

from pilotext.errors import FileProblem, did_you_mean
from pilotext.model.file_checks import FORMAT_COUNTERS, FileFormat
from pilotext.model.job import KINDS
from pilotext.profile import find_rules_root
from pilotext.rules.conditions import Unless
from pilotext.rules.explanations import ANY, circles
from pilotext.rules.lint.conditions import counters_in
from pilotext.rules.lint.group import Check, Group, conditions_in
from pilotext.rules.patterns import compile_pattern
from pilotext.rules.schema import RuleText
from pilotext.rules.source import Entry
from pilotext.rules.written import former_names

WRAPPER_COUNTERS = ("raw_events", "raw_calibration_events")
"""Counters that a rule may name: an experiment counts them where its profile gives a format of its inputs."""

SIDES = ("inputs", "merged")


def counters_of(kind: str, outputs: Sequence[str], formats: Collection[FileFormat]) -> tuple[str, ...]:
    """Return the counters that the wrapper adds for a job of this kind, its outputs' kinds and its inputs' formats."""
    made = [counter for name in sorted({*formats}) for counter in FORMAT_COUNTERS[name]]
    made += [f"{output}_{what}" for output in outputs for what in ("entries", "events")]
    entries = ("tree_entries", "histogram_entries")
    if kind == "merging":
        made += [f"{output}_{what}" for output in outputs for what in entries]
        made += [f"{where}.{kind}_{what}" for where in SIDES for kind in outputs for what in ("events", "bytes")]
    if kind == "merging" or "root" in formats:
        made += [f"inputs.{what}" for what in ("events", *entries)]
    return tuple(made)


FIELD = re.compile(r"\{(\w+)\}")


def unknown_rules(group: Group) -> Iterator[FileProblem]:
    known = [entry.text.id for entry in group.rules]
    for entry in group.rules:
        text = entry.text
        named = [("explains", text.explains), ("consequence-of", text.consequence_of)]
        for field, condition in conditions_in(text):
            named.append((f"{field}all", condition.all or ()))
            named += [(f"{field}rate.rule", (condition.rate.rule,))] if condition.rate and condition.rate.rule else []
        for field, names in named:
            for name in names:
                if name not in known and not (name == ANY and field == "consequence-of"):
                    yield entry.problem(field, f"there is no rule {name!r}.", meant(name, known))


def circular_explanations(group: Group) -> Iterator[FileProblem]:
    entries = {entry.text.id: entry for entry in group.rules}
    for way in circles([entry.text for entry in group.rules]):
        message = f"the rule explains itself: {' → '.join(way)}."
        yield entries[way[0]].problem("explains", message, "A consequence cannot explain its cause; remove one link.")


def unknown_jobs(group: Group) -> Iterator[FileProblem]:
    jobs = list(dict.fromkeys([*KINDS, *group.jobs]))
    ids = [entry.text.id for entry in group.rules]
    for entry in group.rules:
        if (entry.experiment is None) != (group.experiment is None):
            continue
        for name in entry.text.jobs:
            if name not in jobs:
                yield entry.problem("jobs", f"there is no kind or type of jobs {name!r}.", meant(name, jobs))
        inner = [(f"{field}unless", condition.unless) for field, condition in conditions_in(entry.text) if field]
        for field, unless in [("unless", entry.text.unless), *inner]:
            yield from _unknown_in(entry, field, unless, jobs, ids)


def _unknown_in(
    entry: Entry[RuleText], field: str, unless: Unless, jobs: list[str], ids: list[str]
) -> Iterator[FileProblem]:
    for name in unless.rules:
        if name not in ids:
            yield entry.problem(f"{field}.rules", f"there is no rule {name!r}.", meant(name, ids))
    for name in unless.jobs:
        if name not in jobs:
            message = f"there is no kind or type of jobs {name!r}."
            yield entry.problem(f"{field}.jobs", message, meant(name, jobs))


def forgiven_without_reason(group: Group) -> Iterator[FileProblem]:
    """Yield rules that a good end silences and that do not say why their text can be harmless."""
    for entry in group.rules:
        text = entry.text
        if entry.experiment != group.experiment:
            continue
        forgives = text.unless.good_end or text.unless.checked_end or text.unless.alone
        if forgives and not text.unless_because:
            advice = "Write `unless-because:` with how a good job comes to print it."
            yield entry.problem("unless", "nothing says why a job may succeed with this text.", advice)
        if text.unless_because and not text.unless:
            yield entry.problem("unless-because", "`unless-because` is the reason of `unless`.", "Remove it.")


def unknown_counters(group: Group) -> Iterator[FileProblem]:
    """Check counters in event balances and rates: those of the rules, and those of the wrapper."""
    known = [*(entry.text.name for entry in group.counters), *WRAPPER_COUNTERS]
    for entry in group.rules:
        if entry.experiment != group.experiment:
            continue
        for field, condition in conditions_in(entry.text):
            for name in counters_in(condition):
                if name not in known:
                    where = f"{field}{'events' if condition.events is not None else 'rate'}"
                    yield entry.problem(where, f"there is no counter {name!r}.", meant(name, known))


def unknown_fields_in_message(group: Group) -> Iterator[FileProblem]:
    """Yield messages with fields that no pattern has as a group; findings and limits have fields of their own."""
    for entry in group.rules:
        conditions = [condition for _, condition in conditions_in(entry.text)]
        if any(condition.finding or condition.limit or condition.all for condition in conditions):
            continue
        known = {name for c in conditions if c.match for name in _groups(c.match)}
        for name in FIELD.findall(entry.text.message):
            if name not in known:
                advice = meant(name, sorted(known))
                yield entry.problem("message", f"no pattern of the rule has a group `{name}`.", advice)


def _groups(pattern: str) -> list[str]:
    try:
        return list(compile_pattern(pattern).groupindex)
    except regex.error:
        return []


def meant(word: str, known: list[str]) -> str:
    return did_you_mean(word, known, otherwise="Remove it.", quoted="`{}`")


def former_spellings(group: Group) -> Iterator[FileProblem]:
    """Yield former names of fields, which this release still reads."""
    documents = [*(rule.document for rule in group.rules), *(counter.document for counter in group.counters)]
    for document in {document.path: document for document in documents}.values():
        yield from document.former_format_problem()
    for entry in group.rules:
        for steps, message, advice in former_names(entry.written):
            yield entry.document.problem((*entry.steps, *steps), message, advice, rule=entry.text.id)


OWN_MODULE = re.compile(r"\bpilotext/[\w./-]+")
"""Reference to the module of this package that makes a finding."""


def missing_sources(group: Group) -> Iterator[FileProblem]:
    """Yield our own rules without a reference, and references to modules of this package that do not exist."""
    for entry in group.rules:
        if entry.experiment != group.experiment:
            continue
        if not entry.text.references and entry.document.path.is_relative_to(find_rules_root()):
            advice = "Add `references:` with a source file, an issue or a manual page."
            yield entry.problem("id", "nothing says where its text comes from.", advice)
        for index, reference in enumerate(entry.text.references):
            for path in OWN_MODULE.findall(reference):
                if not (Path(str(resources.files("pilotext"))).parent / path).is_file():
                    yield entry.problem(f"references[{index}]", f"there is no module {path}.", "Correct the path.")


REFERENCE_CHECKS: tuple[Check, ...] = (
    unknown_rules,
    circular_explanations,
    unknown_jobs,
    forgiven_without_reason,
    unknown_counters,
    unknown_fields_in_message,
    former_spellings,
    missing_sources,
)
