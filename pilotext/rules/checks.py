"""What makes a rule file wrong although it can be read: one function a check, each says how to mend what it finds.

A check sees a `Group`: the rules that are used together, those of `common` and of one experiment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import get_args

import regex

from pilotext.errors import Problem
from pilotext.model.codes import BLOCKS
from pilotext.model.job import Kind
from pilotext.rules.causes import ANY, circles
from pilotext.rules.meaning import counters_in
from pilotext.rules.patterns import compile_pattern
from pilotext.rules.schema import ALONE, GOOD_END, Condition, CounterText, RuleText, conditions_of
from pilotext.rules.source import Entry
from pilotext.serialization.json import nearest

KINDS: tuple[str, ...] = get_args(Kind)
WRAPPER_COUNTERS = ("raw_events", "raw_calibration_events")

_EMPTY_GROUP = re.compile(r"(?<!\\)\(\)")
_GLOB = re.compile(r"^\*|(?<![\\\w])\w*(?<!\\)[A-Za-z0-9]\*[.\w-]")
_LITERAL_DOT = re.compile(r"[\w+]+\.(?:cc|dat|exe|opt|py|raw|root|sh|so|xml)\b")
_REGEX_IN_GLOB = re.compile(r"\.\*|\\|\(\?|\+$|^\^|\$$")


@dataclass(frozen=True)
class Group:
    """Rules and counters that are used together; `experiment` is None for `common` by itself."""

    experiment: str | None
    rules: tuple[Entry[RuleText], ...]
    counters: tuple[Entry[CounterText], ...]
    job_types: tuple[str, ...] = ()


OVERRIDE = "Choose another; or, in a folder of your own, write `override: true` to take that rule's place."

Check = Callable[[Group], Iterator[Problem]]


def repeated_names(group: Group) -> Iterator[Problem]:
    """Two rules with one id, or two counters with one name."""
    first: dict[str, Entry[RuleText]] = {}
    for entry in group.rules:
        other = first.setdefault(entry.text.id, entry)
        if other is not entry:
            yield entry.problem("id", f"this id is taken: {_where(other)}.", OVERRIDE)
    counted: dict[str, Entry[CounterText]] = {}
    for counter in group.counters:
        known = counted.setdefault(counter.text.name, counter)
        if known is not counter:
            yield counter.problem("name", f"this name is taken: {_where(known)}.", "Choose another.")


def repeated_codes(group: Group) -> Iterator[Problem]:
    first: dict[int, Entry[RuleText]] = {}
    for entry in group.rules:
        other = first.setdefault(entry.text.code, entry)
        if other is not entry:
            advice = "Choose one that no rule has, retired rules included."
            yield entry.problem("code", f"code {entry.text.code} is taken: {other.text.id}, {_where(other)}.", advice)


def codes_outside_their_block(group: Group) -> Iterator[Problem]:
    for entry in group.rules:
        stem = entry.document.path.stem
        name = "experiment" if entry.experiment else stem if stem in BLOCKS else "common"
        block = BLOCKS[name]
        if entry.text.code not in block and not entry.text.override:
            advice = f"Choose one from {block.start} to {block.stop - 1}."
            yield entry.problem("code", f"code {entry.text.code} is not in the block of {name} rules.", advice)


def patterns_that_are_none(group: Group) -> Iterator[Problem]:
    for entry, field, pattern in patterns_in(group):
        try:
            compile_pattern(pattern)
        except regex.error as error:
            yield entry.problem(field, f"this is not a regular expression: {error}.")


def unescaped_parentheses(group: Group) -> Iterator[Problem]:
    for entry, field, pattern in patterns_in(group):
        if found := _EMPTY_GROUP.search(pattern):
            near = pattern[max(0, found.start() - 20) : found.end()]
            message = f"`()` in `{near}` is an empty group and matches nothing."
            yield entry.problem(field, message, r"Write `\(\)` for the two characters, or use `contains`.")


def globs_for_patterns(group: Group) -> Iterator[Problem]:
    for entry, field, pattern in patterns_in(group):
        if found := _GLOB.search(pattern):
            message = f"`{found[0]}` reads like a file name pattern; in a regular expression `*` repeats a character."
            yield entry.problem(field, message, "Write `.*` for any text.")


def dots_for_literals(group: Group) -> Iterator[Problem]:
    for entry, field, pattern in patterns_in(group):
        if found := _LITERAL_DOT.search(pattern):
            yield entry.problem(field, f"the dot in `{found[0]}` stands for any character.", r"Write `\.` for a dot.")


def patterns_for_globs(group: Group) -> Iterator[Problem]:
    for entry in group.rules:
        for field, condition in _conditions(entry.text):
            if condition.file is not None and _REGEX_IN_GLOB.search(condition.file.name):
                message = f"`{condition.file.name}` reads like a regular expression; here a file name pattern stands."
                yield entry.problem(f"{field}file.name", message, "Write `*` for any text and `?` for one character.")


def missing_examples(group: Group) -> Iterator[Problem]:
    """A rule that looks for a text shows one that matches, and one that looks like it and must not."""
    for entry in group.rules:
        if not any(c.match or c.contains for _, c in _conditions(entry.text)):
            continue
        examples = entry.text.examples
        for wanted, there in (
            ("match", any(example.match is not None for example in examples)),
            ("no-match", any(example.no_match is not None for example in examples)),
        ):
            if not there:
                yield entry.problem("examples", f"there is no `{wanted}` example.", f"Add `- {wanted}: …`.")


def unknown_rules(group: Group) -> Iterator[Problem]:
    known = [entry.text.id for entry in group.rules]
    for entry in group.rules:
        text = entry.text
        named = [("explains", text.explains), ("consequence-of", text.consequence_of)]
        for field, condition in _conditions(text):
            named.append((f"{field}all", condition.all or ()))
            named += [(f"{field}rate.rule", (condition.rate.rule,))] if condition.rate and condition.rate.rule else []
        for field, names in named:
            for name in names:
                if name not in known and not (name == ANY and field == "consequence-of"):
                    yield entry.problem(field, f"there is no rule {name!r}.", _meant(name, known))


def circular_explanations(group: Group) -> Iterator[Problem]:
    entries = {entry.text.id: entry for entry in group.rules}
    for way in circles([entry.text for entry in group.rules]):
        message = f"the rule explains itself: {' → '.join(way)}."
        yield entries[way[0]].problem("explains", message, "A consequence cannot explain its cause; remove one link.")


def unknown_jobs(group: Group) -> Iterator[Problem]:
    jobs = [*KINDS, *group.job_types]
    ids = [entry.text.id for entry in group.rules]
    for entry in group.rules:
        if (entry.experiment is None) != (group.experiment is None):
            continue
        for name in entry.text.jobs:
            if name not in jobs:
                yield entry.problem("jobs", f"there is no kind or type of jobs {name!r}.", _meant(name, jobs))
        inner = [(f"{field}unless", condition.unless) for field, condition in _conditions(entry.text) if field]
        for field, names in [("unless", entry.text.unless), *inner]:
            for name in names:
                if name not in (*jobs, *ids, GOOD_END, ALONE):
                    advice = _meant(name, [*jobs, *ids, GOOD_END, ALONE])
                    yield entry.problem(field, f"there is no kind, type or rule {name!r}.", advice)


def unknown_counters(group: Group) -> Iterator[Problem]:
    """A law or a rate can name what the rules count, and what the wrapper counts by itself."""
    known = [*(entry.text.name for entry in group.counters), *WRAPPER_COUNTERS]
    for entry in group.rules:
        if entry.experiment != group.experiment:
            continue
        for field, condition in _conditions(entry.text):
            for name in counters_in(condition):
                if name not in known:
                    where = f"{field}{'events' if condition.events is not None else 'rate'}"
                    yield entry.problem(where, f"nobody counts {name!r}.", _meant(name, known))


FIELD = re.compile(r"\{(\w+)\}")


def lonely_braces_in_diag(group: Group) -> Iterator[Problem]:
    """Only a whole `{name}` is replaced."""
    for entry in group.rules:
        if re.search(r"[{}]", FIELD.sub("", entry.text.diag)):
            yield entry.problem("diag", "a brace stands alone.", "Write `{name}` for what a group caught, or no brace.")


def unknown_fields_in_diag(group: Group) -> Iterator[Problem]:
    """A diag may name what the groups of its patterns caught; findings and limits bring fields of their own."""
    for entry in group.rules:
        conditions = [condition for _, condition in _conditions(entry.text)]
        if any(condition.finding or condition.limit or condition.all for condition in conditions):
            continue
        known = {name for c in conditions if c.match for name in _groups(c.match)}
        for name in FIELD.findall(entry.text.diag):
            if name not in known:
                advice = _meant(name, sorted(known))
                yield entry.problem("diag", f"no pattern of the rule has a group `{name}`.", advice)


CHECKS: tuple[Check, ...] = (
    repeated_names,
    repeated_codes,
    codes_outside_their_block,
    patterns_that_are_none,
    unescaped_parentheses,
    globs_for_patterns,
    dots_for_literals,
    patterns_for_globs,
    missing_examples,
    unknown_rules,
    circular_explanations,
    unknown_jobs,
    unknown_counters,
    unknown_fields_in_diag,
    lonely_braces_in_diag,
)


def _conditions(text: RuleText) -> Iterator[tuple[str, Condition]]:
    for index, condition in enumerate(conditions_of(text)):
        yield (f"any[{index}]." if text.any else ""), condition


def patterns_in(group: Group) -> Iterator[tuple[Entry[RuleText] | Entry[CounterText], str, str]]:
    """Every regular expression of a group: whose it is, in which field it stands, and the pattern."""
    for entry in group.rules:
        for field, condition in _conditions(entry.text):
            if condition.match is not None:
                yield entry, f"{field}match", condition.match
    for counter in group.counters:
        yield counter, "match", counter.text.match


def _groups(pattern: str) -> list[str]:
    try:
        return list(compile_pattern(pattern).groupindex)
    except regex.error:
        return []


def _where(entry: Entry[RuleText] | Entry[CounterText]) -> str:
    return f"{entry.place.file}:{entry.place.line}"


def _meant(word: str, known: list[str]) -> str:
    meant = nearest(word, known)
    return f"Did you mean `{meant}`?" if meant else "Remove it."
