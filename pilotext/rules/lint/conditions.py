"""Values of a rule or counter that have the right type and make no sense.

A rule with such a value could never match, so it is not loaded. Each function yields (field, message, advice).
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from datetime import date

from pilotext.errors import did_you_mean, known_words
from pilotext.model.job import LIMITS
from pilotext.model.verdict import FINDINGS
from pilotext.rules import event_balance
from pilotext.rules.conditions import CONDITION_KINDS, Condition, ExitCondition, FileCondition, exit_range
from pilotext.rules.schema import CounterText, RuleText, conditions_of

Wrong = tuple[str, str, str]

MAX_WINDOW_LINES = 100
"""Limit of `lines`; the matcher keeps that many lines of each stream."""

OWN_STREAMS = ("stdout", "stderr", "any")
SIGNALS = tuple(member.name for member in signal.Signals)


def wrong_rule(text: RuleText) -> Iterator[Wrong]:
    """Yield the problems of one rule by itself."""
    kinds = [kind for kind in CONDITION_KINDS if getattr(text, kind) is not None]
    if text.any and kinds:
        yield kinds[0], f"the rule has `any` and `{kinds[0]}`.", f"Move `{kinds[0]}` into `any`, as one more form."
    elif not text.any and len(kinds) != 1:
        yield from _not_one(kinds, "")
    if text.any and text.unless and any(condition.absent is not None for condition in conditions_of(text)):
        yield "unless", "`unless` is outside a list with `absent`.", "Put it into the list, next to `absent`."
    for index, condition in enumerate(conditions_of(text)):
        where = f"any[{index}]." if text.any else ""
        if text.any and condition.unless and condition.absent is None:
            yield f"{where}unless", "here `unless` is for `absent` only.", "Put it next to `any`, for the whole rule."
        inner = [kind for kind in CONDITION_KINDS if getattr(condition, kind) is not None]
        if text.any and len(inner) != 1:
            yield from _not_one(inner, where.removesuffix("."))
        yield from ((where + field, *rest) for field, *rest in _wrong_condition(condition))  # type: ignore[misc]
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", text.id):
        yield "id", f"the id {text.id!r} is not a word.", "Write small letters, digits and single hyphens."
    if text.since and not _is_date(text.since):
        yield "since", f"{text.since!r} is not a date.", "Write year, month and day: since: '2017-09-12'."


def wrong_counter(counter: CounterText) -> Iterator[Wrong]:
    """Yield the problems of one counter by itself."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", counter.name):
        yield (
            "name",
            f"the name {counter.name!r} cannot stand in an event balance.",
            "Write small letters, digits and `_`.",
        )
    if counter.take != "count" and "(?<n>" not in counter.match and "(?P<n>" not in counter.match:
        yield "match", "the pattern has no group `n`.", r"Put the number into one: `(?<n>\d+)`; or say `take: count`."


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def counters_in(condition: Condition) -> tuple[str, ...]:
    """Return the counters that a condition names; none of an event balance that cannot be parsed."""
    rate = condition.rate
    if rate is not None:
        return tuple(name for name in (rate.counter, rate.of) if name is not None)
    try:
        return () if condition.events is None else event_balance.parse(condition.events).names
    except event_balance.EventBalanceError:
        return ()


def _not_one(kinds: list[str], where: str) -> Iterator[Wrong]:
    if kinds:
        names = " and ".join(f"`{kind}`" for kind in kinds)
        yield f"{where}.{kinds[-1]}" if where else kinds[-1], f"{names} stand together.", "Put each into a list `any`."
    else:
        yield where, "the rule has no condition.", f"Give it one of: {', '.join(CONDITION_KINDS)}, any."


def _wrong_condition(condition: Condition) -> Iterator[Wrong]:
    for kind in ("match", "contains", "absent"):
        if getattr(condition, kind) == "":
            yield kind, f"`{kind}` is empty.", "An empty text is in every line; write the text to search for."
    if not 1 <= condition.lines <= MAX_WINDOW_LINES:
        yield "lines", f"`lines` is {condition.lines}.", f"Write a number from 1 to {MAX_WINDOW_LINES}."
    if condition.lines > 1 and condition.match is None:
        yield "lines", "`lines` is for `match` only.", "Remove it."
    if condition.stream not in OWN_STREAMS and not re.search(r"[.*?/]", condition.stream):
        yield from _not_among("stream", condition.stream, OWN_STREAMS)
    if condition.tolerance and condition.events is None:
        yield "tolerance", "`tolerance` is for `events` only.", "Remove it."
    if condition.limit is not None:
        yield from _not_among("limit", condition.limit, LIMITS)
    if condition.finding is not None:
        yield from _not_among("finding", condition.finding, sorted(FINDINGS))
    yield from _wrong_counts(condition)
    if condition.all == ():
        yield "all", "`all` names no rule.", "Name the rules that must all have been seen."
    if condition.exit is not None:
        yield from _wrong_exit(condition.exit)
    if condition.file is not None:
        yield from _wrong_file(condition.file)


def _wrong_counts(condition: Condition) -> Iterator[Wrong]:
    if condition.events is not None:
        try:
            event_balance.parse(condition.events)
        except event_balance.EventBalanceError as error:
            yield "events", str(error), "Write one comparison between counters."
        try:
            event_balance.slack(condition.tolerance, 0)
        except event_balance.EventBalanceError as error:
            yield "tolerance", str(error), "Write a number of events, 3, or a percentage, '1%'."
    if (rate := condition.rate) is None:
        return
    if (rate.counter is None) == (rate.rule is None):
        yield "rate", "`rate` needs either `counter` or `rule`.", "Name what is counted."
    if rate.more_than is None and rate.percent is None:
        yield "rate", "`rate` names no bound.", "Give it `more-than`, or `percent` with `of`."
    if (rate.percent is None) != (rate.of is None):
        yield "rate.of", "`percent` and `of` go together.", "Say of which counter the percentage is."


def _wrong_exit(wanted: ExitCondition) -> Iterator[Wrong]:
    if not (wanted.codes or wanted.ranges or wanted.signals or wanted.core is not None):
        yield "exit", "`exit` asks for nothing.", "Give it `codes`, `ranges`, `signals` or `core`."
    for text in wanted.ranges:
        try:
            exit_range(text)
        except ValueError as error:
            yield "exit.ranges", f"{error}.", "Write the lower and the upper code, '129-139'."
    for name in wanted.signals:
        yield from _not_among("exit.signals", name, SIGNALS)


def _wrong_file(wanted: FileCondition) -> Iterator[Wrong]:
    if (wanted.state == "smaller-than") != (wanted.bytes > 0):
        yield "file.bytes", "`bytes` is for `is: smaller-than`, which needs it.", "Add it there, or remove it."


def _not_among(field: str, word: str, known: tuple[str, ...] | list[str]) -> Iterator[Wrong]:
    if word in known:
        return
    advice = did_you_mean(word, known, otherwise=known_words(known), quoted="`{}`")
    yield field, f"there is no {field.rpartition('.')[2].removesuffix('s')} {word!r}.", advice
