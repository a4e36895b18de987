"""Reclassification of a job from its report, when the rules have changed since.

The logs are gone; only the quoted lines and their neighbours are left. A changed rule can match or no longer match
those; a text that was not quoted cannot be found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import msgspec

from pilotext.classify.cleaning import Line
from pilotext.classify.conditions import Case
from pilotext.classify.log_reader import OWN_STREAMS, conditions_for
from pilotext.classify.matching import StreamCondition, StreamMatcher
from pilotext.classify.rule_match import Matches, Precedence, RuleMatch, StreamEnd, place_in_log
from pilotext.classify.verdict import decide_verdict
from pilotext.model.report import Report
from pilotext.model.verdict import Evidence, Verdict
from pilotext.rules.conditions import Condition
from pilotext.rules.schema import Rule, RuleSet

KNOWN_BY_RULE = ("unclassified",)
"""Findings that the classifier made for lack of a rule; another rule may make them obsolete."""


def reclassify(ruleset: RuleSet, report: Report, *, software: str = "") -> Verdict:
    """Return the verdict that these rules give on the content of a report; `software` as in `Case`."""
    old = report.verdict
    kept = [*old.evidence, *(one for match in old.also for one in match.evidence)]
    streams = {name: _Quoted.of(quotes) for name, quotes in _by_stream(kept).items()}
    if report.payload is not None:
        streams = {**{name: _Quoted({}, {}) for name in OWN_STREAMS}, **streams}
    matches = _matches(ruleset, report, streams)
    findings = tuple(finding for finding in report.findings if finding.name not in KNOWN_BY_RULE)
    case = Case(
        report.job.kind, report.job.type, report.payload, findings, None, old.counters, software, bool(report.outputs)
    )
    new = decide_verdict(ruleset, matches, case)
    if new.rule == old.rule and new.signature is not None:
        return msgspec.structs.replace(new, signature=old.signature)  # of the whole tail, which is not here
    return new


@dataclass(frozen=True)
class _Quoted:
    """Quoted lines of a stream by number, and the offsets at which quotes begin."""

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
        """Return the lines, with an empty line of number 0 in each gap, so that no pattern matches across it."""
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
    rule_matches = [_counted(_in_place(one, streams), times) for one, condition in seen if condition.absent is None]
    there = {one.rule.id for one in rule_matches}
    return Matches(
        rule_matches=(
            *rule_matches,
            *(one for one in _seen_in_files(ruleset, report.verdict) if one.rule.id not in there),
        ),
        markers=frozenset((one.rule.id, condition) for one, condition in seen if condition.absent is not None)
        | _markers(ruleset.for_job(report.job.kind, report.job.type), report.verdict),
        counters=report.verdict.counters,
        streams={name: _end(quoted) for name, quoted in streams.items()},
    )


def _seen_in_texts(
    ruleset: RuleSet, report: Report, streams: Mapping[str, _Quoted]
) -> Iterator[tuple[RuleMatch, Condition]]:
    for name, quoted in streams.items():
        watches: list[StreamCondition] = conditions_for(name, ruleset, report.job.kind, report.job.type, strays=True)[0]
        matcher = StreamMatcher(name, watches, ())
        matcher.feed("".join(f"{text}\n" for _, text in quoted.numbered()).encode())
        matcher.close()
        yield from ((watch.rule_match(), watch.condition) for watch in watches if watch.count)


def _in_place(one: RuleMatch, streams: Mapping[str, _Quoted]) -> RuleMatch:
    """Return the match with the line numbers of the original log."""
    evidence = tuple(_placed(each, streams[each.stream]) for each in one.evidence)
    place = place_in_log(evidence[0].stream, evidence[0].offset)
    return replace(one, evidence=evidence, place=place)


def _placed(quote: Evidence, quoted: _Quoted) -> Evidence:
    number = quoted.numbered()[quote.line - 1][0]
    before = [at for at in quoted.offsets if at <= number]
    return msgspec.structs.replace(quote, line=number, offset=quoted.offsets[max(before)] if before else 0)


def _counted(one: RuleMatch, times: Mapping[str, int]) -> RuleMatch:
    return replace(one, count=max(one.count, times.get(one.rule.id, 0)))


def _seen_in_files(ruleset: RuleSet, old: Verdict) -> Iterator[RuleMatch]:
    """Yield the old matches of conditions on files: the work directory is gone, so they are trusted."""
    kept = {match.rule: match.evidence for match in old.also}
    if old.rule is not None:
        kept[old.rule] = old.evidence
    for rule in ruleset.rules:
        evidence = tuple(one for one in kept.get(rule.id, ()) if one.line == 0)
        if evidence and any(condition.file is not None for condition in rule.conditions):
            yield RuleMatch(rule, Precedence.FILE, 1, evidence, {"text": evidence[0].text})


def _markers(rules: Iterable[Rule], old: Verdict) -> frozenset[tuple[str, Condition]]:
    """Return the markers that were found: all but those that a rule reported as missing."""
    missed = {old.rule, *(match.rule for match in old.also), *(dropped.rule for dropped in old.dropped)}
    return frozenset(
        (rule.id, condition)
        for rule in rules
        if rule.id not in missed
        for condition in rule.conditions
        if condition.absent is not None
    )


def _end(quoted: _Quoted) -> StreamEnd:
    tail = tuple(Line(number, quoted.offsets.get(number, 0), text) for number, text in quoted.lines.items())
    return StreamEnd(sum(len(line.text) + 1 for line in tail), tail)
