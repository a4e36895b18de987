"""What is wrong with the values of a profile, for whoever writes one: all problems at once, each with its line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Formatter
from typing import Any

import msgspec

from pilotext import decode
from pilotext.errors import FieldError, Problem, RuleFilesError
from pilotext.profile import Experiment, JobType, read_profile
from pilotext.rules import law
from pilotext.yamlfile import Document, Steps, read_yaml

LARGEST_NUMBER = 999
"""An experiment's number and the four digits of a code fit PanDA's seven digits."""


def profile_problems(path: Path) -> list[Problem]:
    """Every problem of the profile in this file."""
    document = read_yaml(path)
    job_types = document.data.get("job_types") if isinstance(document.data, dict) else None
    wrong = [*_wrong_job_types(document, job_types)] if isinstance(job_types, dict) else []
    try:
        experiment = read_profile(path)
    except RuleFilesError as error:
        return wrong or list(error.problems)
    return [*wrong, *_wrong_values(document, experiment)]


def _wrong_job_types(document: Document, job_types: dict[str, Any]) -> Iterator[Problem]:
    for name, data in job_types.items():
        steps = ("job_types", str(name))
        try:
            decode.from_plain(data, JobType)
        except FieldError as error:
            yield document.field_problem(steps, error)
        if isinstance(data, dict):
            yield from _misspelt(document, steps, data, JobType)


def _wrong_values(document: Document, experiment: Experiment) -> Iterator[Problem]:
    yield from _misspelt(document, (), document.data, Experiment)
    if not 1 <= experiment.number <= LARGEST_NUMBER:
        advice = "It leads codes of seven digits: 58 for NA58."
        yield document.problem(("number",), f"{experiment.number} is not from 1 to {LARGEST_NUMBER}.", advice)
    for name, pattern in experiment.names.items():
        if said := _wrong_pattern(pattern):
            advice = "Write `{word}` for a word and `{word:d}` for a number, each once."
            yield document.problem(("names", name), f"`{pattern}`: {said}.", advice)
    for job_type, job in experiment.job_types.items():
        yield from _wrong_law(document, ("job_types", job_type, "success", "law"), job.success.get("law"))
    for name, merge in experiment.merges.items():
        yield from _wrong_law(document, ("merges", name, "law"), merge.get("law"))


def _misspelt(document: Document, steps: Steps, names: Iterable[Any], kind: type[msgspec.Struct]) -> Iterator[Problem]:
    """Fields that we do not read and that look like one that we do; what else is there, others may read."""
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    for name in map(str, names):
        if name not in known and (meant := decode.nearest(name, known)):
            advice = f"Did you mean `{meant}`?"
            yield document.problem((*steps, name), f"`{name}`: there is no such field.", advice)


def _wrong_law(document: Document, steps: Steps, text: Any) -> Iterator[Problem]:
    try:
        if text is not None:
            law.parse(str(text))
    except law.LawError as error:
        yield document.problem(steps, f"`{text}` is no law: {error}", "Write `done + skipped == raw_events`.")


def _wrong_pattern(pattern: str) -> str:
    """What is wrong with a pattern of file names; empty if it can both print and parse a name."""
    try:
        fields = [(name, form or "") for _, name, form, _ in Formatter().parse(pattern) if name is not None]
    except ValueError as error:
        return str(error)
    names = [name for name, _ in fields]
    if nameless := [name for name in names if not name.isidentifier()]:
        return f"`{{{nameless[0]}}}` names no field"
    if len({*names}) < len(names):
        return "a field stands twice"
    form = next((form for _, form in fields if form not in ("", "d")), "")
    return f"`:{form}` is no form of a field" if form else ""
