"""Filters and tags of the templates: states, times, sizes, quoted lines."""

from __future__ import annotations

import functools
import re
import time
from datetime import datetime
from typing import Literal

from django import template
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from pilotext.api.schemas.sites import BREAKER_WORDS
from pilotext.api.schemas.waits import NOT_BEFORE, Wait
from pilotext.formatting import bytes_of, clock, duration
from pilotext.profile import known_experiments
from pilotext.sanitize import one_line, printable
from pilotext.server.production.reports.pilot_verdict import rules_of
from pilotext.server.production.statistics.job_choice import without_numbers
from pilotext.server.times import to_seconds

register = template.Library()

Tone = Literal["waiting", "moving", "good", "needs", "bad", "ended"]
TONES: dict[str, Tone] = {
    **dict.fromkeys(("draft", "defined", "ready", "waiting", "open", "wanted", "leased", "unknown"), "waiting"),
    **dict.fromkeys(
        ("staging", "requested", "sent", "running", "verifying", "merging", "copying", "archiving", "probing"), "moving"
    ),
    **dict.fromkeys(
        ("finished", "merged", "checked", "kept", "done", "online", "success", "active", "valid", "good"), "good"
    ),
    **dict.fromkeys(("manual", "paused", "draining", "silent"), "needs"),
    **dict.fromkeys(("failed", "lost", "failure", "held", "closed"), "bad"),
}
"""Tone of each state; those that are not here have ended without a result."""

WORDS = {"manual": "manual check", "sent": "given out"}
"""Words of states that are not their names."""


_JOB = re.compile(r"\bjob (\d{1,18})\b(?!…)")
"""A job by its number, not one that is cut."""


@register.filter
def tone(state: str) -> Tone:
    """Return the tone of a state."""
    return TONES.get(state, "ended")


@register.simple_tag
def chip(state: str, words: str = "") -> SafeString:
    """Return a state as word, icon and tone."""
    return format_html('<span class="chip {}">{}</span>', tone(state), plain(words or WORDS.get(state, state)))


@register.simple_tag
def breaker(state: str) -> SafeString:
    """Return the state of a breaker in words that no site has."""
    return chip("held" if state == "open" else state, BREAKER_WORDS.get(state, state))


@register.filter
def plain(text: object) -> str:
    """Return a text of others in one line; what does not print is shown as its escape."""
    return one_line(str(text))


@register.filter
def without(text: str, code: str | None) -> str:
    """Return a message without the code that it begins with: that stands before it already."""
    for begin in (code, without_numbers(code or "")):
        if begin and text.startswith(f"{begin} "):
            return text[len(begin) + 1 :]
    return text


@register.filter
def job_links(text: str) -> SafeString:
    """Return a text of others in one line, the numbers of jobs in it as links to their pages."""
    begin, *parts = _JOB.split(plain(text))
    jobs = (
        (reverse("job", args=[int(number)]), number, rest) for number, rest in zip(parts[::2], parts[1::2], strict=True)
    )
    return format_html("{}{}", begin, format_html_join("", '<a href="{}">job {}</a>{}', jobs))


@register.simple_tag
def rule_link(rule: str, experiment: str = "", code: str = "") -> SafeString:
    """Return a rule as a link to its page; only its name where no rule of today has it.

    Where no experiment is named, it is that whose rules have the code.
    """
    for name in [experiment] if experiment else _experiments():
        known = codes_of_rules(name)
        if rule in known and (not code or known[rule] == code):
            return format_html('<a class="mono" href="{}">{}</a>', reverse("rule", args=[name, rule]), rule)
    return format_html('<span class="mono">{}</span>', plain(rule))


@register.simple_tag
def rule_of_code(code: str) -> SafeString:
    """Return the rule of a code as a link to its page, on a line of its own; nothing where no rule of today has it."""
    for name in _experiments():
        for rule, known in codes_of_rules(name).items():
            if known == code:
                return format_html(
                    '<br><a class="mono below" href="{}">{}</a>', reverse("rule", args=[name, rule]), rule
                )
    return SafeString("")


@functools.cache
def _experiments() -> tuple[str, ...]:
    return known_experiments()


@functools.cache
def codes_of_rules(experiment: str) -> dict[str, str]:
    """Return the codes of the rules of an experiment by their names."""
    return {rule.id: rule.code.label for rule in rules_of(experiment).rules}


@register.filter
def logged(text: str) -> str:
    """Return a line of a log with its blanks; what does not print is shown as its escape."""
    return printable(text)


@register.simple_tag
def moment(at: float | datetime | None) -> SafeString:
    """Return a point in time in UTC, with its age; of a record in seconds since 1970, or of a row."""
    at = to_seconds(at) if isinstance(at, datetime) else at
    if not at:
        return format_html('<span class="muted">{}</span>', "\N{EN DASH}")
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    seconds = time.time() - at
    age = f"{rough(seconds)} ago" if seconds >= 0 else f"in {rough(-seconds)}"
    return format_html('<time datetime="{}">{} <span class="muted">{}</span></time>', stamp, clock(at)[:16], age)


def rough(seconds: float) -> str:
    """Return a time span in its largest unit."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


@register.filter
def roughly(seconds: float) -> str:
    """Return a time span in its largest unit."""
    return rough(seconds)


@register.filter
def span(seconds: float | None) -> str:
    """Return a time span for people."""
    return duration(seconds)


@register.filter
def until(begin: float, end: float) -> str:
    """Return the time between two points in time for people."""
    return duration(max(0.0, end - begin))


@register.filter
def bound(wait: Wait) -> str:
    """Return the word before the time of a reason why something waits."""
    return "not before" if wait.kind in NOT_BEFORE else "until"


@register.filter
def percent_of(part: float, whole: float) -> str:
    """Return a share in percent; nothing where there is no whole."""
    return f"{part / whole:.0%}".replace("%", "\u2009%") if whole > 0 else ""


@register.filter
def size(number: int | None) -> str:
    """Return a number of bytes for people."""
    return bytes_of(number)


@register.filter
def thousands(number: float | None) -> str:
    """Return a number with thin spaces; a dash where it is not known."""
    return "\N{EN DASH}" if number is None else f"{number:,}".replace(",", "\u2009")


@register.filter
def of_key(numbers: dict[str, int], key: str) -> int:
    """Return the number of this name, 0 if there is none."""
    return numbers.get(key, 0)
