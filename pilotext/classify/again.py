"""Judging a job again by what its report has kept, when the rules have changed since.

The logs are gone: of them there are the lines that were quoted, with those around. So a changed rule can be found
again, or no longer, in what was seen then; a text that nobody quoted cannot be found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from pilotext.classify.clean import Line
from pilotext.classify.follow import OWN_STREAMS, meant_for
from pilotext.classify.judge import judge
from pilotext.classify.match import StreamMatcher, Watch
from pilotext.classify.observe import Case
from pilotext.classify.sighting import Matches, Sighting, StreamEnd, Weight, place_in_log
from pilotext.model.report import Report
from pilotext.model.verdict import Evidence, Verdict
from pilotext.rules.schema import Condition, RuleSet

KNOWN_BY_RULE = ("unclassified",)
"""Findings that the classifier made for want of a rule; with another rule they are not true any more."""


def judge_again(ruleset: RuleSet, report: Report, *, software: str = "") -> Verdict:
    """The verdict that these rules give on what a report has kept; `software` as in `Case`."""
    old = report.verdict
    kept = [*old.evidence, *(one for match in old.also for one in match.evidence)]
    streams = {name: _Quoted.of(quotes) for name, quotes in _by_stream(kept).items()}
    if report.payload is not None:
        streams = {**{name: _Quoted({}, {}) for name in OWN_STREAMS}, **streams}
    matches = _matches(ruleset, report, streams)
    findings = tuple(finding for finding in report.findings if finding.name not in KNOWN_BY_RULE)
    case = Case(report.job.kind, report.job.type, report.payload, findings, None, old.counters, software)
    new = judge(ruleset, matches, case)
    if new.rule == old.rule and new.signature is not None:
        return msgspec.structs.replace(new, signature=old.signature)  # of the whole tail, which is not here
    return new


@dataclass(frozen=True)
class _Quoted:
    """The lines of a stream that were quoted, and where quotes begin, by their numbers."""

    lines: Mapping[int, str]
    offsets: Mapping[int, int]

    @classmethod
    def of(cls, quotes: Iterable[Evidence]) -> _Quoted:
        lines: dict[int, str] = {}
        offsets: dict[int, int] = {}
        for quote in quotes:
            own = quote.text.split("\n")
            first = quote.line - len(quote.before)
            around = enumerate((*quote.before, *own, *quote.after), first)
            lines = {**dict(around), **lines, **dict(enumerate(own, quote.line))}
            offsets[quote.line] = quote.offset
        return cls({number: text for number, text in sorted(lines.items()) if number > 0}, offsets)

    def numbered(self) -> list[tuple[int, str]]:
        """The lines with a blank one, of number 0, wherever some are missing: no pattern reaches over the gap."""
        found: list[tuple[int, str]] = []
        for number, text in self.lines.items():
            if found and found[-1][0] != number - 1:
                found.append((0, ""))
            found.append((number, text))
        return found


def _by_stream(kept: Iterable[Evidence]) -> dict[str, list[Evidence]]:
    streams: defaultdict[str, list[Evidence]] = defaultdict(list)
    for one in kept:
        if one.line > 0:
            streams[one.stream].append(one)
    return streams


def _matches(ruleset: RuleSet, report: Report, streams: Mapping[str, _Quoted]) -> Matches:
    times = {match.rule: match.count for match in report.verdict.also}
    seen = [*_seen_in_texts(ruleset, report, streams)]
    sightings = [_counted(_in_place(one, streams), times) for one, condition in seen if condition.absent is None]
    there = {one.rule.id for one in sightings}
    return Matches(
        sightings=(*sightings, *(one for one in _seen_in_files(ruleset, report.verdict) if one.rule.id not in there)),
        markers=frozenset((one.rule.id, condition) for one, condition in seen if condition.absent is not None)
        | _markers(ruleset, report.verdict),
        counters=report.verdict.counters,
        streams={name: _end(quoted) for name, quoted in streams.items()},
    )


def _seen_in_texts(
    ruleset: RuleSet, report: Report, streams: Mapping[str, _Quoted]
) -> Iterator[tuple[Sighting, Condition]]:
    for name, quoted in streams.items():
        watches: list[Watch] = meant_for(name, ruleset, report.job.kind, report.job.type, strays=True)[0]
        matcher = StreamMatcher(name, watches, ())
        matcher.feed("".join(f"{text}\n" for _, text in quoted.numbered()).encode())
        matcher.close()
        yield from ((watch.sighting(), watch.condition) for watch in watches if watch.count)


def _in_place(one: Sighting, streams: Mapping[str, _Quoted]) -> Sighting:
    """The sighting with the numbers that its lines had in the log."""
    evidence = tuple(_placed(each, streams[each.stream]) for each in one.evidence)
    place = place_in_log(evidence[0].stream, evidence[0].offset)
    return Sighting(one.rule, one.weight, one.count, evidence, one.fields, place)


def _placed(quote: Evidence, quoted: _Quoted) -> Evidence:
    number = quoted.numbered()[quote.line - 1][0]
    before = [at for at in quoted.offsets if at <= number]
    return msgspec.structs.replace(quote, line=number, offset=quoted.offsets[max(before)] if before else 0)


def _counted(one: Sighting, times: Mapping[str, int]) -> Sighting:
    return Sighting(
        one.rule, one.weight, max(one.count, times.get(one.rule.id, 0)), one.evidence, one.fields, one.place
    )


def _seen_in_files(ruleset: RuleSet, old: Verdict) -> Iterator[Sighting]:
    """What was seen of rules about files: the work directory is gone, so it is believed."""
    kept = {match.rule: match.evidence for match in old.also}
    if old.rule is not None:
        kept[old.rule] = old.evidence
    for rule in ruleset.rules:
        evidence = tuple(one for one in kept.get(rule.id, ()) if one.line == 0)
        if evidence and any(condition.file is not None for condition in rule.conditions):
            yield Sighting(rule, Weight.FILE, 1, evidence, {"text": evidence[0].text})


def _markers(ruleset: RuleSet, old: Verdict) -> frozenset[tuple[str, Condition]]:
    """The markers that were there: all but those that a rule missed then."""
    missed = {old.rule, *(match.rule for match in old.also), *(dropped.rule for dropped in old.dropped)}
    return frozenset(
        (rule.id, condition)
        for rule in ruleset.rules
        if rule.id not in missed
        for condition in rule.conditions
        if condition.absent is not None
    )


def _end(quoted: _Quoted) -> StreamEnd:
    tail = tuple(Line(number, quoted.offsets.get(number, 0), text) for number, text in quoted.lines.items())
    return StreamEnd(sum(len(line.text) + 1 for line in tail), tail)
