"""What is wrong with the values of a profile, for whoever writes one: each problem with its line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pilotext.errors import FieldError, Problem, RuleFilesError
from pilotext.profile import Experiment, JobType, read_profile
from pilotext.rules import law
from pilotext.serialization.json import from_plain
from pilotext.serialization.yaml import Document, read_yaml

LARGEST_NUMBER = 999
"""An experiment's number and the four digits of a code fit PanDA's seven digits."""


def profile_problems(path: Path) -> list[Problem]:
    """Every problem of the profile in this file."""
    document = read_yaml(path)
    try:
        experiment = read_profile(path)
    except RuleFilesError as error:
        return [*_wrong_job_types(document)] or list(error.problems)
    return [*_wrong_values(document, experiment)]


def _wrong_job_types(document: Document) -> Iterator[Problem]:
    """Job types that cannot be read, each where it stands: as a whole, a profile does not say which one it is."""
    types = document.data.get("job_types") if isinstance(document.data, dict) else None
    for name, data in types.items() if isinstance(types, dict) else ():
        if isinstance(data, dict) and "like" in data:  # what is missing here stands in the other one
            continue
        try:
            from_plain(data, JobType)
        except FieldError as error:
            yield document.field_problem(("job_types", str(name)), error)


def _wrong_values(document: Document, experiment: Experiment) -> Iterator[Problem]:
    if not 1 <= experiment.number <= LARGEST_NUMBER:
        advice = "It leads codes of seven digits: 58 for NA58."
        yield document.problem(("number",), f"{experiment.number} is not from 1 to {LARGEST_NUMBER}.", advice)
    for name, job_type in experiment.job_types.items():
        text = job_type.success.law
        try:
            if text:
                law.parse(text)
        except law.LawError as error:
            steps = ("job_types", name, "success", "law")
            yield document.problem(steps, f"`{text}` is no law: {error}", "Write `done + skipped == raw_events`.")
