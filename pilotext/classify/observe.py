"""Every rule that was seen in a case, whatever shows it: the logs, the exit status, files, findings of the wrapper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pilotext.classify.conditions import CRASH_SIGNALS, exit_fits, file_fits
from pilotext.classify.counted import of_counters
from pilotext.classify.diag import fields_of
from pilotext.classify.sighting import Matches, Sighting, Weight
from pilotext.model.verdict import Evidence, ExitStatus, Finding
from pilotext.rules.schema import Condition, ExitCondition, Rule, RuleSet

VALIDATIONS = ("output-", "raw-", "law-")
"""Findings about data, by the begin of their names; the others are about what the wrapper did or met."""

MOST_NEIGHBOURS = 3


@dataclass(frozen=True)
class Case:
    """A job of a kind and type, how its payload ended (None: it never started), and what the wrapper found out.

    `workdir` is where rules about files look; `extra_counters` are what the wrapper counted itself; `software` is the
    version of the experiment's software, empty where it is not known.
    """

    kind: str
    job_type: str
    exit: ExitStatus | None
    findings: tuple[Finding, ...] = ()
    workdir: Path | None = None
    extra_counters: Mapping[str, int | float] = field(default_factory=dict)
    software: str = ""


def rules_for(ruleset: RuleSet, case: Case) -> list[Rule]:
    """The rules that are meant for such a case."""
    scope = (case.kind, case.job_type, case.software)
    return [rule for rule in ruleset.rules if rule.text.status != "retired" and rule.applies_to(*scope)]


def observe(rules: Sequence[Rule], matches: Matches, case: Case) -> list[Sighting]:
    """One sighting for every one of these rules that was seen, notes and shadows too."""
    meant = {rule.id for rule in rules}
    seen = [one for one in matches.sightings if one.rule.id in meant]
    for rule in rules:
        for condition in rule.conditions:
            seen += _measured(rule, condition, case)
    counters = {**matches.counters, **case.extra_counters}
    counted = [of_counters(rule, form, counters, seen) for rule in rules for form in rule.conditions]
    seen += [one for one in counted if one is not None]
    if case.exit is not None or matches.streams:
        silencing = {one.rule.id for one in seen} | {case.kind, case.job_type}
        seen += [one for rule in rules for one in _absent(rule, matches, silencing)]
    return _with_wholes(rules, together(seen))


def _with_wholes(rules: Sequence[Rule], parts: list[Sighting]) -> list[Sighting]:
    """The sightings, and those of the rules that are made of them, and of the rules made of these."""
    wholes = [(rule, form.all) for rule in rules for form in rule.conditions if form.all]
    seen = {one.rule.id: one for one in parts}
    for _ in wholes:  # as many rounds as there can be storeys
        made = [_whole(rule, [seen[part] for part in all_of]) for rule, all_of in wholes if seen.keys() >= {*all_of}]
        known, seen = seen, {one.rule.id: one for one in together([*parts, *made])}
        if known.keys() == seen.keys():
            break
    return [*seen.values()]


def _whole(rule: Rule, parts: Sequence[Sighting]) -> Sighting:
    """A rule as seen in its parts: as near to the reason as the nearest of them."""
    nearest = min(parts, key=lambda one: (one.weight, one.place))
    evidence = tuple(each for one in parts for each in one.evidence)
    fields = fields_of(one.fields for one in parts)
    return Sighting(rule, nearest.weight, nearest.count, evidence, fields, nearest.place)


def of_finding(rule: Rule, finding: Finding, number: int = 0) -> Sighting:
    """A finding as its rule sees it; `number` is its place among the findings."""
    fits = [condition for condition in rule.conditions if _names(condition, finding)]
    weight = Weight.VALIDATION if finding.name.startswith(VALIDATIONS) else Weight.FINDING
    if any(condition.limit is not None for condition in fits):
        weight = Weight.LIMIT
    evidence = Evidence(rule=rule.id, stream="wrapper", line=0, offset=0, text=finding.text)
    fields = {"text": finding.text, **finding.fields}
    return Sighting(rule, weight, 1, (evidence,), fields, (0, "", number))


def together(sightings: Iterable[Sighting]) -> list[Sighting]:
    """All forms in which a rule was seen as one sighting: the strongest, with every form's evidence in order."""
    forms: dict[str, list[Sighting]] = {}
    for one in sightings:
        forms.setdefault(one.rule.id, []).append(one)
    return [_one(sorted(seen, key=lambda one: (_in_log(one), one.place))) for seen in forms.values()]


def _one(forms: list[Sighting]) -> Sighting:
    strongest = min(forms, key=lambda one: (one.weight, one.place))
    evidence = tuple(each for one in forms for each in one.evidence)
    count = sum(one.count for one in forms if one.weight == strongest.weight)
    return Sighting(
        strongest.rule, strongest.weight, count, evidence, fields_of(one.fields for one in forms), strongest.place
    )


def _in_log(one: Sighting) -> bool:
    """Sorts what stands in a log before what does not: people believe a line that they can read."""
    return one.weight != Weight.TEXT


def _measured(rule: Rule, condition: Condition, case: Case) -> Iterator[Sighting]:
    if condition.exit is not None and case.exit is not None and exit_fits(condition.exit, case.exit):
        yield _of_exit(rule, condition.exit, case.exit)
    if condition.file is not None and case.workdir is not None and (said := file_fits(condition.file, case.workdir)):
        evidence = Evidence(rule=rule.id, stream="wrapper", line=0, offset=0, text=said)
        yield Sighting(rule, Weight.FILE, 1, (evidence,), {"text": said})
    for number, finding in enumerate(case.findings):
        if _names(condition, finding):
            yield of_finding(rule, finding, number)


def _of_exit(rule: Rule, wanted: ExitCondition, status: ExitStatus) -> Sighting:
    sent = status.signal is not None and status.signal not in CRASH_SIGNALS and status.signal in wanted.signals
    evidence = Evidence(rule=rule.id, stream="wrapper", line=0, offset=0, text=str(status))
    fields: dict[str, str | int | float] = {"exit": str(status)}
    fields |= {"code": status.code} if status.code is not None else {"signal": status.signal or ""}
    return Sighting(rule, Weight.SIGNAL if sent else Weight.EXIT, 1, (evidence,), fields)


def _absent(rule: Rule, matches: Matches, silencing: set[str]) -> Iterator[Sighting]:
    for condition in rule.conditions:
        if condition.absent is None or (rule.id, condition) in matches.markers or silencing & set(condition.unless):
            continue
        if not _was_read(condition, matches):
            continue
        tail = matches.streams[condition.stream].tail if condition.stream in matches.streams else ()
        last = [line.text for line in tail if line.text.strip()][-MOST_NEIGHBOURS:]
        where = "stdout and stderr" if condition.stream == "any" else condition.stream
        text = f"{condition.absent!r} does not stand in {where}"
        evidence = Evidence(rule=rule.id, stream="wrapper", line=0, offset=0, text=text, before=tuple(last))
        yield Sighting(rule, Weight.ABSENT, 1, (evidence,))


def _was_read(condition: Condition, matches: Matches) -> bool:
    """Whether there was a stream in which a text could have stood."""
    return condition.stream in matches.streams or (condition.stream == "any" and bool(matches.streams))


def unseen_markers(rules: Iterable[Rule], matches: Matches) -> Iterator[Condition]:
    """Markers that are required, in streams that nobody gave us to read."""
    for rule in rules:
        for condition in rule.conditions:
            asked = condition.absent is not None and rule.text.action != "note"
            if asked and (rule.id, condition) not in matches.markers and not _was_read(condition, matches):
                yield condition


def _names(condition: Condition, finding: Finding) -> bool:
    if condition.limit is not None:
        return finding.name == f"limit-{condition.limit}"
    return condition.finding == finding.name
