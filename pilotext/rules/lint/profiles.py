"""Checks of a profile: its fields, and its end markers and event balances against the rules of its experiment."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from pilotext.errors import FieldError, FileProblem, RuleFilesError, did_you_mean
from pilotext.model.file_checks import FORMAT_COUNTERS
from pilotext.profile import Experiment, JobType, read_profile
from pilotext.profile.templates import parts_of
from pilotext.rules import event_balance
from pilotext.rules.lint.references import counters_of, meant
from pilotext.rules.schema import conditions_of
from pilotext.rules.source import Source
from pilotext.serialization.json import from_plain
from pilotext.serialization.yaml import Document, read_yaml

MAX_EXPERIMENT_NUMBER = 999
"""Limit of an experiment's number: with the four digits of a code it fits PanDA's seven."""

PROCESSED = "events_processed"
"""Counter of the rules for the events that a program went through, by which the server compares merges."""

ALIKE = 0.8
"""Likeness of two markers from which one of them is taken for a misspelt other."""


def profile_problems(path: Path, source: Source) -> list[FileProblem]:
    """Return every problem of the profile in this file, also with the rules and counters of `source`."""
    document = read_yaml(path)
    try:
        experiment = read_profile(path)
    except RuleFilesError as error:
        return [*_wrong_job_types(document)] or list(error.problems)
    return [
        *document.former_format_problem(),
        *_unknown_owners(experiment, source),
        *_versions_of_nothing(experiment, source),
        *_wrong_values(document, experiment, source),
    ]


def _unknown_owners(experiment: Experiment, source: Source) -> Iterator[FileProblem]:
    """Yield rules whose owner is neither a team of the profile nor an address."""
    for entry in source.rules:
        owner = entry.text.owner
        if not experiment.teams or not owner or entry.experiment not in (None, experiment.name):
            continue
        if owner not in experiment.known_teams and "@" not in owner and "://" not in owner:
            advice = did_you_mean(owner, experiment.known_teams, otherwise="Add it to `teams`, or write an address.")
            yield entry.problem("owner", f"{owner!r} is no team of the profile of {experiment.name}.", advice)


def _versions_of_nothing(experiment: Experiment, source: Source) -> Iterator[FileProblem]:
    """Yield rules for some versions of a software whose version no job has."""
    for entry in source.rules:
        if entry.text.versions and entry.experiment == experiment.name and not experiment.software_version:
            advice = "Add it, with the parameter that a task gives: software_version: '{version}'."
            message = f"the profile of {experiment.name} has no `software_version`: the rule applies to every version."
            yield entry.problem("versions", message, advice)


def _wrong_job_types(document: Document) -> Iterator[FileProblem]:
    """Yield the problems of single job types with their positions, which decoding the whole profile does not give."""
    types = document.data.get("job_types") if isinstance(document.data, dict) else None
    for name, data in types.items() if isinstance(types, dict) else ():
        if isinstance(data, dict) and "like" in data:  # its missing fields are in the other one
            continue
        try:
            from_plain(data, JobType)
        except FieldError as error:
            yield document.field_problem(("job_types", str(name)), error)


def _wrong_values(document: Document, experiment: Experiment, source: Source) -> Iterator[FileProblem]:
    if not 1 <= experiment.number <= MAX_EXPERIMENT_NUMBER:
        advice = "It leads codes of seven digits: 61 for NA61."
        yield document.problem(("number",), f"{experiment.number} is not from 1 to {MAX_EXPERIMENT_NUMBER}.", advice)
    for name, job_type in experiment.job_types.items():
        if job_type.success.law is not None:
            for message, advice in _wrong_law(job_type.success.law, experiment, name, source):
                yield document.problem(("job_types", name, "success", "law"), message, advice)
        if job_type.success.marker is not None:
            for message, advice in _wrong_marker(job_type.success.marker, experiment, name, source):
                yield document.problem(("job_types", name, "success", "marker"), message, advice)
    yield from _wrong_balances(document, experiment, source)
    yield from _uncounted_events(document, experiment, source)


def _uncounted_events(document: Document, experiment: Experiment, source: Source) -> Iterator[FileProblem]:
    """Yield merges compared by events whose jobs have no counter of processed events: each run would need a person."""
    for name, job_type in experiment.job_types.items():
        for merge in job_type.merges:
            check = experiment.merges[merge].check
            if check is None or check.by != "events" or PROCESSED in _counters_of(experiment, name, source):
                continue
            message = f"it compares by `events`, and no rule counts {PROCESSED!r} in the logs of {name!r} jobs."
            advice = f"Add a counter {PROCESSED!r} to the rules, or compare by `entries`."
            yield document.problem(("merges", merge, "check"), message, advice)


def _wrong_balances(document: Document, experiment: Experiment, source: Source) -> Iterator[FileProblem]:
    """Yield balances that cannot be read, and counters in them and in kinds of outputs that no job has."""
    everywhere = {counter for name in experiment.job_types for counter in _counters_of(experiment, name, source)}
    for key, balances in (experiment.balances or {}).items():
        types = [name for name, job_type in experiment.job_types.items() if key in (name, job_type.kind)]
        known = {counter for name in types for counter in _counters_of(experiment, name, source)}
        for field, laws in (("hold", balances.hold), ("note", balances.note)):
            for index, law in enumerate(laws):
                for message, advice in _wrong_names(law, f"{key!r} jobs", sorted(known)):
                    yield document.problem(("balances", key, field, index), message, advice)
    for kind, output in experiment.output_kinds.items():
        for index, counter in enumerate(output.events):
            if counter not in everywhere:
                advice = meant(counter, sorted(everywhere))
                yield document.problem(("output_kinds", kind, "events", index), f"no job counts {counter!r}.", advice)


def _wrong_law(law: str, experiment: Experiment, name: str, source: Source) -> Iterator[tuple[str, str]]:
    yield from _wrong_names(_with_numbers(law), f"jobs of type {name!r}", _counters_of(experiment, name, source))


def _counters_of(experiment: Experiment, name: str, source: Source) -> list[str]:
    """Return the counters of jobs of a type: those of the rules, and those of the wrapper."""
    job_type = experiment.job_types[name]
    counters = [entry.text for entry in source.counters if entry.experiment in (None, experiment.name)]
    known = [one.name for one in counters if not one.jobs or {name, job_type.kind} & {*one.jobs}]
    kinds = [output.kind for output in job_type.outputs]
    promised = [] if job_type.input is None else ["inputs.events"]  # by the catalogue, or by the job that made the file
    return [*known, *promised, *counters_of(job_type.kind, kinds, {*experiment.formats.values()})]


def _wrong_names(law: str, whose: str, known: list[str]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a balance: that it cannot be read, or that nobody counts what it names."""
    try:
        names = event_balance.parse(law).names
    except event_balance.EventBalanceError as error:
        yield f"`{law}` is not an event balance: {error}", "Write `done + skipped == raw_events`."
        return
    for counter in names:
        if counter in known:
            continue
        by = next((name for name, counters in FORMAT_COUNTERS.items() if counter in counters), None)
        advice = meant(counter, known) if by is None else f"Inputs are counted with `formats: {{'*.raw': {by}}}`."
        yield f"{whose} have no counter {counter!r}.", advice


def _with_numbers(law: str) -> str:
    """Return a balance with a number for each `{name}`, which stands for a value of the job. Raises UsageError."""
    return "".join(text + ("" if name is None else "1") for text, name, _ in parts_of(law))


def _wrong_marker(marker: str, experiment: Experiment, name: str, source: Source) -> Iterator[tuple[str, str]]:
    """Yield a marker that is empty, or nearly the text that a rule requires of the same jobs."""
    if not marker.strip():
        yield "the end marker is empty.", "Write the text that a good job prints last, or remove `marker`."
    kind = experiment.job_types[name].kind
    texts = [entry.text for entry in source.rules if entry.experiment == experiment.name]
    meant_here = [text for text in texts if not text.jobs or {name, kind} & {*text.jobs}]
    required = {form.absent for text in meant_here for form in conditions_of(text) if form.absent is not None}
    alike = difflib.get_close_matches(marker, required, 1, ALIKE)
    if marker not in required and alike:
        yield (
            f"the end marker {marker!r} is none that a rule requires of jobs of type {name!r}.",
            f"Did you mean `{alike[0]}`?",
        )
