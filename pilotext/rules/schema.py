"""What a rule file may say: the types that rule files are decoded to, and what a loaded set of rules is.

The format is described for authors in `docs/rules.md`. A rule has exactly one condition; `any` holds several forms of
the same evidence, so that one code keeps its number whether a shell, a library or the wait status shows the failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import msgspec

from pilotext.model import Record
from pilotext.model.codes import Code
from pilotext.model.job import Kind
from pilotext.model.verdict import Action, Cause

ENGINE = 1
"""The version of the format that this engine reads; a newer file asks for a newer pilotext."""

Status = Literal["active", "shadow", "retired"]


class ExitCondition(Record, frozen=True):
    """How the program ended: any of these codes, of these ranges (`129-139`), or of these signals (`SIGKILL`).

    `core: true` asks for a core dump beside the signal, `core: false` for none.
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
    """More than so many, and more than so many percent of the counter `of`, where each is asked for.

    Either the value of a `counter` is compared, or how often a `rule` was seen, whose lines are evidence then.
    """

    counter: str | None = None
    rule: str | None = None
    more_than: int | None = msgspec.field(default=None, name="more-than")
    percent: float | None = None
    of: str | None = None


class Condition(Record, frozen=True):
    """One form of evidence; exactly one of the first ten fields is set.

    `all` names rules that must all have been seen; `tolerance` goes with `events`, a number or a percentage;
    `lines` lets `match` span that many lines; `unless` names kinds, types or rule ids for which `absent` is silent;
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

GOOD_END = "good-end"
"""In `unless`: the program ended with status 0, and the end marker that its job type asks for is there."""

ALONE = "alone"
"""In `unless`: nothing else shows that the job failed."""


class Example(Record, frozen=True):
    """A text that must match, with the fields it must give, or one that must not."""

    match: str | None = None
    no_match: str | None = msgspec.field(default=None, name="no-match")
    fields: dict[str, str] = {}


class RuleText(Record, frozen=True):
    """A rule as its file says it. Field by field: design of the rule format in `docs/rules.md`.

    `consequence_of` is `explains` seen from the other end, so that an experiment can say what a common rule explains;
    the word `any` in it stands for every failure that a text or an exit status shows. In a loaded rule it is empty:
    `explains` says all. A rule over others (`all`, ids in `any`) explains them without saying so.
    `override: true` takes the place of the rule with that id in a folder before this one.
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


class CounterText(Record, frozen=True):
    """A number that the program counts in its log; `match` names its group `n`.

    A counter with `progress: true` shows that the payload gets on; the stall limit watches it.
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
    """Where something stands in a rule file."""

    file: Path
    line: int
    column: int


@dataclass(frozen=True)
class Rule:
    """A rule, ready for use: its text, its code within the experiment, its conditions in order, and where it stands."""

    text: RuleText
    code: Code
    conditions: tuple[Condition, ...]
    common: bool
    """It stands in `rules/common`, so any rule of the experiment itself is more specific."""
    place: Place

    @property
    def id(self) -> str:
        return self.text.id

    def applies_to(self, kind: str, job_type: str, software: str = "") -> bool:
        """Whether the rule is meant for jobs of this kind, type and software; one that is not known may be any."""
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
    """The kind of each job type of the experiment."""

    def rule(self, rule_id: str) -> Rule | None:
        return next((rule for rule in self.rules if rule.id == rule_id), None)

    def for_finding(self, finding: str) -> Rule | None:
        """The rule that gives a finding of the wrapper its code, cause and words."""
        wanted = finding.removeprefix("limit-") if finding.startswith("limit-") else None
        for rule in self.rules:
            for condition in rule.conditions:
                if condition.finding == finding or (wanted is not None and condition.limit == wanted):
                    return rule
        return None


def conditions_of(text: RuleText) -> tuple[Condition, ...]:
    """The conditions of a rule, one or, with `any`, several; empty if it has none. An id in `any` is `all` of one."""
    if text.any:
        return tuple(form if isinstance(form, Condition) else Condition(all=(form,)) for form in text.any)
    if not any(getattr(text, kind) is not None for kind in CONDITION_KINDS):
        return ()
    return (Condition(**{name: getattr(text, name) for name in Condition.__struct_fields__}),)
