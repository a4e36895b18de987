"""Rule files as their authors wrote them: every rule and counter with its place, and all problems at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from pilotext.errors import FieldError, Problem
from pilotext.rules.meaning import wrong_counter, wrong_rule
from pilotext.rules.schema import ENGINE, CounterText, Place, RuleFile, RuleText
from pilotext.serialization.json import from_plain
from pilotext.serialization.yaml import Document, Steps, path_steps, read_yaml

T = TypeVar("T", RuleText, CounterText)

STAND_INS: dict[str | int | None, str] = {"title": "", "cause": "unknown", "action": "fail"}
"""For fields of a rule that are missing or wrong and told, so that the rest of the rule is checked in the same run."""


@dataclass(frozen=True)
class Entry(Generic[T]):
    """A rule or a counter where it stands: `experiment` is None in a file that serves every experiment."""

    text: T
    experiment: str | None
    document: Document
    steps: Steps

    @property
    def place(self) -> Place:
        return Place(self.document.path, *self.document.position(self.steps))

    def problem(self, field: str, message: str, advice: str = "") -> Problem:
        """A problem with a field of this entry, for example `any[0].match`."""
        return self.document.problem((*self.steps, *path_steps(field)), message, advice, rule=_label(self.text))


@dataclass(frozen=True)
class Source:
    """What stands in some rule files, and what is wrong with them."""

    rules: tuple[Entry[RuleText], ...] = ()
    counters: tuple[Entry[CounterText], ...] = ()
    problems: tuple[Problem, ...] = ()


def read_source(paths: Sequence[Path]) -> Source:
    """Read rule files. Whatever cannot be used is left out and told in `problems`."""
    problems: list[Problem] = []
    rules: list[Entry[RuleText]] = []
    counters: list[Entry[CounterText]] = []
    for path in paths:
        document = read_yaml(path)
        header, found = _header(document)
        problems += [*document.problems, *found]
        if header is None:
            continue
        for entry in _entries(document, header, "rules", RuleText, problems):
            problems += [entry.problem(*wrong) for wrong in wrong_rule(entry.text)]
            rules.append(entry)
        for counter in _entries(document, header, "counters", CounterText, problems):
            problems += [counter.problem(*wrong) for wrong in wrong_counter(counter.text)]
            counters.append(counter)
    return Source(tuple(rules), tuple(counters), tuple(problems))


def _header(document: Document) -> tuple[RuleFile | None, list[Problem]]:
    """The file without its rules and counters, which are decoded one by one."""
    if any(problem.line and document.data is None for problem in document.problems):
        return None, []
    if problem := document.engine_problem(ENGINE):
        return None, [problem]
    plain = {key: value for key, value in document.data.items() if key not in {"rules", "counters"}}
    header, errors = _decode(plain, RuleFile)
    problems = [document.field_problem((), error) for error in errors]
    return header, problems + (_wrong_folder(document, header) if header else [])


def _wrong_folder(document: Document, header: RuleFile) -> list[Problem]:
    folder = document.path.absolute().parent.name
    if folder == (header.experiment.lower() if header.experiment else "common"):
        return []
    if header.experiment is None:
        message, advice = "the file does not say `experiment`.", "Say whose rules these are, or move it to `common`."
    else:
        message = f"rules of {header.experiment} stand in the folder {folder!r}."
        advice = f"Move the file to `{header.experiment.lower()}`; they are not loaded from here."
    return [document.problem(("experiment",), message, advice)]


def _entries(
    document: Document, header: RuleFile, key: str, kind: type[T], problems: list[Problem]
) -> Iterator[Entry[T]]:
    items = document.data.get(key) or []
    if not isinstance(items, list):
        problems.append(document.problem((key,), f"`{key}` must be a list.", "Begin each entry with `- `."))
        return
    for index, item in enumerate(items):
        steps = (key, index)
        text, errors = _decode(item, kind)
        name = str(item.get("id") or item.get("name") or "") if isinstance(item, dict) else ""
        problems += [document.field_problem(steps, error, rule=name) for error in errors]
        if text is not None:
            yield Entry(text, header.experiment, document, steps)


def _decode(data: Any, kind: type[Any]) -> tuple[Any, list[FieldError]]:
    """Decode as often as it takes to find the error of every field; None if a required field is missing or wrong."""
    errors: list[FieldError] = []
    rest = dict(data) if isinstance(data, dict) else data
    while True:
        try:
            return from_plain(rest, kind), errors
        except FieldError as error:
            first = next(iter(path_steps(error.path)), None)
            if isinstance(rest, dict) and first in rest:
                errors.append(error)
                del rest[first]
            elif isinstance(rest, dict) and kind is RuleText and first in STAND_INS:
                errors += [error] if first not in data else []
                rest[first] = STAND_INS[first]
            else:
                told = {one.path for one in errors}
                return None, errors + [one for one in _missing(data, kind, error) if one.path not in told]


def _missing(data: Any, kind: type[Any], error: FieldError) -> list[FieldError]:
    """All required fields that were never there; the ones that were wrong have been told already."""
    if not isinstance(data, dict):
        return [error]
    required = [field.encode_name for field in msgspec.structs.fields(kind) if field.required]
    return [FieldError(name, error.message, advice=error.advice) for name in required if name not in data]


def _label(text: RuleText | CounterText) -> str:
    return text.id if isinstance(text, RuleText) else text.name
