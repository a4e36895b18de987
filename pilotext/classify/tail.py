"""The end of a log that tells most about a failure that no rule knows: what is known to be benign is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pilotext.classify.clean import Line
from pilotext.classify.probe import Probe
from pilotext.classify.sighting import Matches, place_in_log
from pilotext.classify.signature import signature
from pilotext.model.verdict import Evidence, ExitStatus
from pilotext.rules.schema import Condition, RuleSet

MOST_BEFORE = 10


def tail_that_matters(ruleset: RuleSet, matches: Matches) -> tuple[str, list[Line]]:
    """The last lines of stderr that say something, or of the next stream that has some; its name, and the lines.

    Lines that a note or a counter knows, and lines without a letter or digit, are not among them. Where a log has no
    others, the last that are not blank are taken after all.
    """
    streams = sorted(matches.streams, key=lambda name: place_in_log(name, 0))
    known = [Probe(condition) for condition in _known(ruleset)]
    for stream in streams:
        lines = [line for line in matches.streams[stream].tail if _says(line.text)]
        if telling := [line for line in lines if not any(probe.look(line.text, len(line.text)) for probe in known)]:
            return stream, telling
    return next(((name, lines) for name in streams if (lines := _not_blank(matches.streams[name].tail))), ("", []))


def quote_tail(rule: str, stream: str, lines: Sequence[Line]) -> Evidence:
    """These lines as evidence for not knowing the reason."""
    last, before = lines[-1], tuple(line.text for line in lines[:-1])[-MOST_BEFORE:]
    return Evidence(rule=rule, stream=stream, line=last.number, offset=last.offset, text=last.text, before=before)


def signature_of(lines: Iterable[Line], status: ExitStatus | None) -> str:
    """The signature of a failure with this tail and status."""
    return signature((line.text for line in lines), str(status or ""))


def _known(ruleset: RuleSet) -> Iterable[Condition]:
    for rule in ruleset.rules:
        if rule.text.action == "note" and rule.text.status == "active":
            yield from (form for form in rule.conditions if (form.match or form.contains) and form.lines == 1)
    yield from (Condition(match=counter.match) for counter in ruleset.counters)


def _says(text: str) -> bool:
    return any(letter.isalnum() for letter in text)


def _not_blank(lines: Iterable[Line]) -> list[Line]:
    return [line for line in lines if line.text.strip()]
