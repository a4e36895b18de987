"""Format of rule files: the types that they are decoded to, and the loaded rule set.

`docs/rules.md` describes the format for authors. A rule has exactly one condition; `any` holds several forms of the
same evidence, so that a failure has one code whether a shell, a library or the wait status shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import msgspec

from pilotext.model import Record
from pilotext.model.codes import Code
from pilotext.model.file_checks import FileChecks
from pilotext.model.job import Kind
from pilotext.model.verdict import Action, Cause
from pilotext.rules.conditions import (
    CONDITION_KINDS,
    MARKER,
    Condition,
    ExitCondition,
    FileCondition,
    RateCondition,
    Unless,
)

FORMAT = 1
"""Version of the format that this pilotext reads; a newer file requires a newer pilotext."""

Status = Literal["active", "shadow", "retired"]


class Example(Record, frozen=True):
    """Text that must match, with the fields it must give, or text that must not match."""

    match: str | None = None
    """Text that the rule must match; of an `absent` rule, a log without the marker."""
    no_match: str | None = msgspec.field(default=None, name="no-match")
    """Text that the rule must not match: a harmless line that resembles it."""
    fields: dict[str, str] = {}
    """Values that the named groups of the pattern must have."""


class RuleText(Record, frozen=True):
    """Rule as written in its file, with one condition, or several in `any`.

    `consequence_of` is the inverse of `explains`, so that an experiment can say what a common rule explains; a loaded
    rule has only `explains`, completed. A rule made of others (`all`, ids in `any`) explains them implicitly.
    """

    id: str
    """Name of the rule in reports and in other rules: small letters, digits and hyphens; it never changes."""
    code: int
    """Four digits of the code, never used for anything else; SHINE-1241 is 1241."""
    title: str
    """Failure in a few plain words, for people who do not know the program."""
    cause: Cause
    """Class of the cause, for statistics, breakers and retries."""
    action: Action
    """Action on the failed job; `note` marks a text that is known to be harmless and never decides."""
    match: str | None = None
    """Regular expression of Python that a line contains; `(?<name>...)` names a part for `message`."""
    contains: str | None = None
    """Text that a line contains as it stands; nothing in it needs a backslash."""
    absent: str | None = None
    """Text that no line contains: an end marker; `{marker}` is that of the job's type."""
    exit: ExitCondition | None = None
    """Exit status of the program."""
    file: FileCondition | None = None
    """State of a file of the work directory."""
    limit: str | None = None
    """Limit that the wrapper enforced."""
    finding: str | None = None
    """Finding of the wrapper."""
    events: str | None = None
    """Event balance that is broken, for example `done + skipped == raw_events`."""
    rate: RateCondition | None = None
    """Count above a bound."""
    all: tuple[str, ...] | None = None
    """Ids of rules that have all matched."""
    any: tuple[Condition | str, ...] = ()
    """Several forms of the same evidence, each with one condition, or the id of another rule."""
    lines: int = 1
    r"""Number of lines that `match` may span, with `\n` between them."""
    tolerance: str | float = 0
    """Tolerance of `events`: a number of events, or a percentage as '1%'."""
    unless: Unless = Unless()
    """Circumstances in which the rule says nothing."""
    unless_because: str = msgspec.field(default="", name="unless-because")
    """Reason why a good job can print the text; required with `good-end`, `checked-end` and `alone`."""
    stream: str = "any"
    """stdout, stderr, any, or a name pattern of a file in the work directory, for example `*.log`."""
    jobs: tuple[str, ...] = ()
    """Kinds or types of jobs that the rule is for; none: all."""
    versions: tuple[str, ...] = ()
    """Patterns of software versions that the rule is for, for example `r12*`; none: all."""
    message: str = ""
    """Sentence for the pilot, in ASCII; `{name}` is what the group of that name caught. Without it: the title."""
    explains: tuple[str, ...] = ()
    """Ids of rules that are consequences of this one whenever both match."""
    consequence_of: tuple[str, ...] = msgspec.field(default=(), name="consequence-of")
    """Ids of rules that this one is a consequence of; `any`: every failure shown by a text or a status."""
    remedy: str = ""
    """Step that the reader of the verdict can take."""
    owner: str = ""
    """Team of the profile (`teams`) or address to ask."""
    status: Status = "active"
    """active; shadow: counted and never elected; retired: the code stays taken."""
    override: bool = False
    """True: this rule replaces the one with its id in an earlier folder."""
    since: str = ""
    """Date from which the rule exists: year, month and day."""
    references: tuple[str, ...] = ()
    """Sources of the text: file of a program, manual, report."""
    examples: tuple[Example, ...] = ()
    """Texts that must match and texts that must not; at least one of each."""

    @property
    def narrowness(self) -> int:
        """Number of scopes (kinds or types of jobs, versions of software) that limit the rule."""
        return bool(self.jobs) + bool(self.versions)


class CounterText(Record, frozen=True):
    """Number that the program prints in its log."""

    name: str
    """Name in event balances and rates: small letters, digits and `_`."""
    match: str
    r"""Regular expression with the number in a group `n`: `(?<n>\d+)`."""
    stream: str = "stdout"
    """Stream that is read."""
    take: Literal["first", "last", "sum", "count"] = "last"
    """Value of several matches: the first, the last, their sum, or the number of matches."""
    type: Literal["int", "float"] = "int"
    """Type of the number."""
    progress: bool = False
    """True: the counter shows progress of the payload; the stall limit depends on it."""
    jobs: tuple[str, ...] = ()
    """Kinds or types of jobs that the counter is for; none: all."""


class RuleFile(Record, frozen=True):
    """One file of rules. `experiment` is absent in the files that serve every experiment."""

    format: int
    """Version of the format of the file: 1."""
    experiment: str | None = None
    """Experiment of the rules; absent in `common`."""
    fragments: dict[str, str] = {}
    """Parts of patterns by their names; `%{name}` in a `match` of this file stands for one."""
    rules: tuple[RuleText, ...] = ()
    """Rules, in any order."""
    counters: tuple[CounterText, ...] = ()
    """Numbers to read from logs."""


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
    codes: tuple[tuple[int, int], ...] = ()
    """First and last of the codes of the experiment's own rules."""
    checks: FileChecks = field(default_factory=FileChecks)
    """Parts of the profile by which the files of a job are read."""

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
