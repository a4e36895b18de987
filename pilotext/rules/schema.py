"""Format of rule files: the types that they are decoded to, and the loaded rule set.

`docs/rules.md` describes the format for authors. A rule has exactly one condition; `any` holds several forms of the
same evidence, so that a failure has one code whether a shell, a library or the wait status shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import msgspec

from pilotext.model import Record
from pilotext.model.codes import Code
from pilotext.model.job import Kind
from pilotext.model.verdict import Action, Cause

_EXIT_RANGE = re.compile(r"(\d+)-(\d+)")

ENGINE = 1
"""Version of the format that this pilotext reads; a newer file requires a newer pilotext."""

Status = Literal["active", "shadow", "retired"]


class ExitCondition(Record, frozen=True):
    """Exit status of the program: any of these codes, ranges (`129-139`) or signals (`SIGKILL`).

    `core: true` requires a core dump beside the signal, `core: false` requires none.
    """

    codes: tuple[int, ...] = ()
    ranges: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    core: bool | None = None


class FileCondition(Record, frozen=True):
    """A file of the work directory (a glob) in a state; `bytes` is the size for `smaller-than`."""

    name: str
    state: Literal["missing", "empty", "smaller-than", "not-root", "placeholder"] = msgspec.field(name="is")
    bytes: int = 0


class RateCondition(Record, frozen=True):
    """Count above an absolute number, or above a percentage of the counter `of`, or both.

    The count is the value of a `counter`, or the number of matches of a `rule`, whose lines then are evidence.
    """

    counter: str | None = None
    rule: str | None = None
    more_than: int | None = msgspec.field(default=None, name="more-than")
    percent: float | None = None
    of: str | None = None


class Condition(Record, frozen=True):
    """One form of evidence; exactly one of the first ten fields is set.

    `all` names rules that must all have matched; `tolerance` goes with `events`, a number or a percentage;
    `lines` lets `match` span that many lines; `unless` names kinds, types or rule ids that suppress `absent`;
    `stream` is stdout, stderr, any, or a glob of a file in the work directory.
    """

    match: str | None = None
    contains: str | None = None
    absent: str | None = None
    exit: ExitCondition | None = None
    file: FileCondition | None = None
    limit: str | None = None
    finding: str | None = None
    events: str | None = None
    rate: RateCondition | None = None
    all: tuple[str, ...] | None = None
    lines: int = 1
    tolerance: str | float = 0
    unless: tuple[str, ...] = ()
    stream: str = "any"


CONDITION_KINDS = ("match", "contains", "absent", "exit", "file", "limit", "finding", "events", "rate", "all")

MARKER = "{marker}"
"""In `absent`: the job type's `success.marker`, unless another rule requires it already."""

GOOD_END = "good-end"
"""In `unless`: the program ended with status 0, and the end marker of its job type was found."""

CHECKED_END = "checked-end"
"""In `unless`: the same, where outputs or event counts are checked as well, or behind the end marker.

Where nothing checks them, as in a log alone, the verdict is `unknown`.
"""

ALONE = "alone"
"""In `unless`: nothing else shows that the job failed."""


class Example(Record, frozen=True):
    """Text that must match, with the fields it must give, or text that must not match."""

    match: str | None = None
    no_match: str | None = msgspec.field(default=None, name="no-match")
    fields: dict[str, str] = {}


class RuleText(Record, frozen=True):
    """Rule as written in its file; `docs/rules.md` describes each field.

    `consequence_of` is the inverse of `explains`, so that an experiment can say what a common rule explains; `any` in
    it stands for all failures shown by a text or an exit status. A loaded rule has only `explains`, completed. A rule
    made of others (`all`, ids in `any`) explains them implicitly. `override: true` replaces the rule with that id of an
    earlier folder.
    """

    id: str
    code: int
    title: str
    cause: Cause
    action: Action
    match: str | None = None
    contains: str | None = None
    absent: str | None = None
    exit: ExitCondition | None = None
    file: FileCondition | None = None
    limit: str | None = None
    finding: str | None = None
    events: str | None = None
    rate: RateCondition | None = None
    all: tuple[str, ...] | None = None
    any: tuple[Condition | str, ...] = ()
    lines: int = 1
    tolerance: str | float = 0
    unless: tuple[str, ...] = ()
    unless_because: str = msgspec.field(default="", name="unless-because")
    stream: str = "any"
    jobs: tuple[str, ...] = ()
    experiments: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    diag: str = ""
    explains: tuple[str, ...] = ()
    consequence_of: tuple[str, ...] = msgspec.field(default=(), name="consequence-of")
    remedy: str = ""
    owner: str = ""
    status: Status = "active"
    override: bool = False
    since: str = ""
    references: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()

    @property
    def narrowness(self) -> int:
        """Number of scopes (kinds or types of jobs, versions of software) that limit the rule."""
        return bool(self.jobs) + bool(self.versions)


class CounterText(Record, frozen=True):
    """Number that the program prints in its log; `match` has a group `n` for it.

    A counter with `progress: true` shows progress of the payload; the stall limit depends on it.
    """

    name: str
    match: str
    stream: str = "stdout"
    take: Literal["first", "last", "sum", "count"] = "last"
    type: Literal["int", "float"] = "int"
    progress: bool = False
    jobs: tuple[str, ...] = ()


class RuleFile(Record, frozen=True):
    """One file of rules. `experiment` is absent in the files that serve every experiment."""

    engine: int
    experiment: str | None = None
    rules: tuple[RuleText, ...] = ()
    counters: tuple[CounterText, ...] = ()


@dataclass(frozen=True)
class Place:
    """Position in a rule file."""

    file: Path
    line: int
    column: int


@dataclass(frozen=True)
class Rule:
    """Loaded rule: its text, its code within the experiment, its conditions in order, and its position."""

    text: RuleText
    code: Code
    conditions: tuple[Condition, ...]
    common: bool
    """From `rules/common`, so that any rule of the experiment is more specific."""
    place: Place

    @property
    def id(self) -> str:
        return self.text.id

    def applies_to(self, kind: str, job_type: str, software: str = "") -> bool:
        """Whether the rule applies to jobs of this kind, type and software; an unknown version fits every rule."""
        if self.text.jobs and kind not in self.text.jobs and job_type not in self.text.jobs:
            return False
        versions = self.text.versions
        return not (versions and software) or any(fnmatchcase(software, version) for version in versions)


@dataclass(frozen=True)
class RuleSet:
    """All rules and counters for one experiment; `digest` (16 hex digits) changes when any of them does."""

    experiment: str
    number: int
    rules: tuple[Rule, ...]
    counters: tuple[CounterText, ...]
    digest: str
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    """Kind of each job type of the experiment."""
    markers: Mapping[str, str] = field(default_factory=dict)
    """End marker that the profile requires of a job type."""

    def rule(self, rule_id: str) -> Rule | None:
        return next((rule for rule in self.rules if rule.id == rule_id), None)

    def for_job(self, kind: str, job_type: str, software: str = "") -> list[Rule]:
        """Return the rules that apply to such a job; `absent: {marker}` becomes the end marker of its type."""
        rules = [rule for rule in self.rules if rule.text.status != "retired"]
        rules = [rule for rule in rules if rule.applies_to(kind, job_type, software)]
        marker = self.markers.get(job_type)
        if marker in _required(rules):
            marker = None
        return [_with_marker(rule, marker) for rule in rules]

    def for_finding(self, finding: str) -> Rule | None:
        """Return the rule that gives a finding of the wrapper its code, cause and title."""
        wanted = finding.removeprefix("limit-") if finding.startswith("limit-") else None
        for rule in self.rules:
            for condition in rule.conditions:
                if condition.finding == finding or (wanted is not None and condition.limit == wanted):
                    return rule
        return None


def _required(rules: Iterable[Rule]) -> set[str | None]:
    """Return the texts that these rules require in every case."""
    deciding = [rule for rule in rules if rule.text.action != "note" and rule.text.status == "active"]
    return {form.absent for rule in deciding for form in rule.conditions if not form.unless}


def _with_marker(rule: Rule, marker: str | None) -> Rule:
    """Return the rule with this marker for `{marker}`; without that condition if there is none."""
    if all(form.absent != MARKER for form in rule.conditions):
        return rule
    own = (
        ()
        if marker is None
        else (msgspec.structs.replace(form, absent=marker) for form in rule.conditions if form.absent == MARKER)
    )
    return replace(rule, conditions=(*(form for form in rule.conditions if form.absent != MARKER), *own))


def conditions_of(text: RuleText) -> tuple[Condition, ...]:
    """Return the conditions of a rule, one or, with `any`, several; an id in `any` becomes `all` of one."""
    if text.any:
        return tuple(form if isinstance(form, Condition) else Condition(all=(form,)) for form in text.any)
    if not any(getattr(text, kind) is not None for kind in CONDITION_KINDS):
        return ()
    return (Condition(**{name: getattr(text, name) for name in Condition.__struct_fields__}),)


def exit_range(text: str) -> range:
    """Parse `129-139` as a range of exit codes, both ends included. Raises ValueError for other texts."""
    found = _EXIT_RANGE.fullmatch(text)
    if not found or int(found[1]) > int(found[2]):
        raise ValueError(f"{text!r} is not a range of exit codes")
    return range(int(found[1]), int(found[2]) + 1)
