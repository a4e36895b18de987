"""Rule files as written: rules and counters with their places, overrides applied, all problems at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from pilotext.errors import FieldError, FileProblem
from pilotext.rules.lint.conditions import wrong_counter, wrong_rule
from pilotext.rules.schema import FORMAT, CounterText, Place, RuleFile, RuleText
from pilotext.rules.written import as_of_today, unknown_fragments
from pilotext.serialization.json import from_plain
from pilotext.serialization.yaml import FORMER_FORMAT, Document, Steps, path_steps, read_yaml

T = TypeVar("T", RuleText, CounterText)

STAND_INS: dict[str | int | None, str] = {"title": "", "cause": "unknown", "action": "fail"}
"""Values for missing or wrong fields that were reported, so that the rest of the rule is checked in the same run."""


@dataclass(frozen=True)
class Entry(Generic[T]):
    """Rule or counter with its position; `experiment` is None in a file for every experiment."""

    text: T
    experiment: str | None
    document: Document
    steps: Steps

    @property
    def place(self) -> Place:
        return Place(self.document.path, *self.document.position(self.steps))

    @property
    def written(self) -> dict[str, Any]:
        """The entry as its file has it, former names included."""
        key, index = self.steps
        entry: dict[str, Any] = self.document.data[key][index]
        return entry

    def problem(self, field: str, message: str, advice: str = "") -> FileProblem:
        """Return a problem with a field of this entry, for example `any[0].match`."""
        return self.document.problem((*self.steps, *path_steps(field)), message, advice, rule=_label(self.text))


@dataclass(frozen=True)
class Source:
    """Content of some rule files, and their problems."""

    rules: tuple[Entry[RuleText], ...] = ()
    counters: tuple[Entry[CounterText], ...] = ()
    problems: tuple[FileProblem, ...] = ()


def read_source(paths: Sequence[Path]) -> Source:
    """Read rule files. Unusable entries are left out and reported in `problems`."""
    problems: list[FileProblem] = []
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


def _header(document: Document) -> tuple[RuleFile | None, list[FileProblem]]:
    """Decode a file without its rules and counters, which are decoded one by one."""
    if any(problem.line and document.data is None for problem in document.problems):
        return None, []
    if problem := document.format_problem(FORMAT):
        return None, [problem]
    plain = {key: value for key, value in document.data.items() if key not in {"rules", "counters", FORMER_FORMAT}}
    plain = {"format": FORMAT, **plain}
    header, errors = _decode(plain, RuleFile)
    problems = [document.field_problem((), error) for error in errors]
    return header, problems + (_wrong_folder(document, header) if header else [])


def _wrong_folder(document: Document, header: RuleFile) -> list[FileProblem]:
    folder = document.path.absolute().parent.name
    if folder == (header.experiment.lower() if header.experiment else "common"):
        return []
    if header.experiment is None:
        message, advice = "the file has no `experiment`.", "Name the experiment, or move the file to `common`."
    else:
        message = f"rules of {header.experiment} stand in the folder {folder!r}."
        advice = f"Move the file to `{header.experiment.lower()}`; they are not loaded from here."
    return [document.problem(("experiment",), message, advice)]


def _entries(
    document: Document, header: RuleFile, key: str, kind: type[T], problems: list[FileProblem]
) -> Iterator[Entry[T]]:
    items = document.data.get(key) or []
    if not isinstance(items, list):
        problems.append(document.problem((key,), f"`{key}` must be a list.", "Begin each entry with `- `."))
        return
    for index, item in enumerate(items):
        steps: Steps = (key, index)
        text, errors = _decode(as_of_today(item, header.fragments), kind)
        name = str(item.get("id") or item.get("name") or "") if isinstance(item, dict) else ""
        problems += [document.field_problem(steps, error, rule=name) for error in errors]
        problems += _fragment_problems(document, steps, item, header)
        if text is not None:
            yield Entry(text, header.experiment, document, steps)


def _fragment_problems(document: Document, steps: Steps, item: Any, header: RuleFile) -> list[FileProblem]:
    found = unknown_fragments(item, header)
    return [document.problem((*steps, *at), message, advice) for at, message, advice in found]


def _decode(data: Any, kind: type[Any]) -> tuple[Any, list[FieldError]]:
    """Decode repeatedly to find the error of every field; None if a required field is missing or wrong."""
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
    """Return errors for all absent required fields; wrong ones were reported already."""
    if not isinstance(data, dict):
        return [error]
    required = [field.encode_name for field in msgspec.structs.fields(kind) if field.required]
    return [FieldError(name, error.message, advice=error.advice) for name in required if name not in data]


def _label(text: RuleText | CounterText) -> str:
    return text.id if isinstance(text, RuleText) else text.name


@dataclass(frozen=True)
class RulesInForce:
    """Rules in force, with overrides applied, and the invalid overrides."""

    rules: tuple[Entry[RuleText], ...]
    problems: tuple[FileProblem, ...]


def apply_overrides(rules: Sequence[Entry[RuleText]]) -> RulesInForce:
    """Apply every `override: true`; of several for one rule, that of the last folder wins."""
    in_force = [entry for entry in rules if not entry.text.override]
    problems: list[FileProblem] = []
    for entry in rules:
        if not entry.text.override:
            continue
        old = next((other for other in in_force if other.text.id == entry.text.id), None)
        problem = _nothing_to_override(entry) if old is None else _wrong_override(entry, old)
        if problem is not None:
            problems.append(problem)
        if old is not None:
            in_force[in_force.index(old)] = entry
    return RulesInForce(tuple(in_force), tuple(problems))


def _nothing_to_override(entry: Entry[RuleText]) -> FileProblem:
    message = f"there is no rule {entry.text.id!r} to override."
    return entry.problem("override", message, "Correct the id, or remove `override`.")


def _wrong_override(entry: Entry[RuleText], old: Entry[RuleText]) -> FileProblem | None:
    place = f"{old.place.file}:{old.place.line}"
    if entry.document.path.parent == old.document.path.parent:
        return entry.problem(
            "override", f"the rule that it overrides is in the same folder: {place}.", "Change that one."
        )
    if entry.text.code != old.text.code:
        message = f"the overridden rule has code {old.text.code}: {place}."
        return entry.problem("code", message, f"Write `code: {old.text.code}`: a code keeps its meaning everywhere.")
    return None
