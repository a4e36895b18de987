"""Explanation of a rule's outcome: elected, matched and not elected, or not matched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from pilotext.classify.cleaning import Block, Splitter
from pilotext.classify.conditions import Case
from pilotext.model.verdict import Evidence, Verdict
from pilotext.rules.conditions import CONDITION_KINDS, Condition
from pilotext.rules.near_miss import NearMiss, near_miss
from pilotext.rules.schema import Rule

Outcome = Literal["elected", "seen", "not seen"]
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class NearLine:
    """Nearest line of a stream to one condition of a rule."""

    stream: str
    nearest: NearMiss


@dataclass(frozen=True)
class Explanation:
    """Outcome of a rule in a case, the reasons in sentences, and the lines that show it."""

    rule: str
    outcome: Outcome
    reasons: tuple[str, ...]
    evidence: tuple[Evidence, ...] = ()
    near: tuple[NearLine, ...] = ()


def explain(rule: Rule, verdict: Verdict, case: Case, streams: Mapping[str, Path]) -> Explanation:
    """Explain the outcome of a rule that took part in this verdict."""
    dropped = {one.rule: one.reason for one in verdict.dropped}
    if verdict.rule == rule.id:
        behind = (f"before {other}: {reason}" for other, reason in dropped.items())
        return Explanation(rule.id, "elected", tuple(behind), verdict.evidence)
    for match in verdict.also:
        if match.rule == rule.id:
            return Explanation(rule.id, "seen", (dropped.get(rule.id, "not elected"),), match.evidence)
    reasons = [*_out_of_scope(rule, case)]
    if rule.id in dropped:
        reasons.append(dropped[rule.id])
    near: list[NearLine] = []
    for condition in rule.conditions:
        if condition.match or condition.contains or condition.absent:
            reasons += _of_text(condition, verdict, case, streams, near)
        else:
            reasons.append(_of_measure(condition, verdict, case))
    return Explanation(rule.id, "not seen", tuple(reasons), near=tuple(near))


def _out_of_scope(rule: Rule, case: Case) -> Iterator[str]:
    if rule.text.status == "retired":
        yield "the rule is retired"
    if not rule.applies_to(case.kind, case.job_type):
        jobs = ", ".join(rule.text.jobs)
        yield f"the rule is for jobs of {jobs}; this one is of {case.job_type or 'no type'}, kind {case.kind}"


def _of_text(
    condition: Condition, verdict: Verdict, case: Case, streams: Mapping[str, Path], near: list[NearLine]
) -> Iterator[str]:
    """Yield sentences about one text condition; near lines are appended to `near`."""
    wanted = condition.match or condition.contains or condition.absent
    looked = [stream for stream in streams if _is_looked_at(condition, stream)]
    if not looked:
        yield f"`{wanted}` is looked for in {condition.stream}, which was not given"
    for stream, path in streams.items():
        nearest = near_miss(condition, lines_of(path))
        if nearest is None:
            continue
        place = f"{stream}:{nearest.line}"
        if nearest.found and stream in looked:
            near.append(NearLine(stream, nearest))
            yield f"the required text stands in {place}" if condition.absent else f"`{wanted}` fits {place}"
        elif nearest.found:
            near.append(NearLine(stream, nearest))
            yield f"`{wanted}` fits {place}, but is looked for in {condition.stream} only"
        elif stream in looked and condition.absent is None:
            near.append(NearLine(stream, nearest))
            yield f"nearest is {place}: {nearest.clause}"
    if silencing := set(condition.unless.names) & {case.kind, case.job_type, *(match.rule for match in verdict.also)}:
        yield f"it does not matter here, unless: {', '.join(sorted(silencing))}"
    if looked and not condition.absent and not any(one.stream in looked for one in near):
        yield f"no line of {', '.join(looked)} comes near `{wanted}`"


def _of_measure(condition: Condition, verdict: Verdict, case: Case) -> str:
    kind = next((kind for kind in CONDITION_KINDS if getattr(condition, kind) is not None), "condition")
    if kind == "exit":
        return f"`exit` does not fit: {case.exit or 'how the program ended is not known'}"
    if kind == "file" and condition.file is not None:
        where = "no work directory was given" if case.workdir is None else f"it is not so in {case.workdir}"
        return f"`file` {condition.file.name} is {condition.file.state}: {where}"
    if kind in ("limit", "finding"):
        found = ", ".join(finding.name for finding in case.findings) or "nothing"
        return f"`{kind}: {getattr(condition, kind)}` comes from the wrapper, which found {found}"
    if condition.all is not None:
        seen = {verdict.rule, *(match.rule for match in verdict.also)}
        missing = ", ".join(rule for rule in condition.all if rule not in seen)
        return f"a rule over others; not seen: {missing} (ask `rules explain` about these)"
    counted = ", ".join(f"{name} = {number}" for name, number in sorted(verdict.counters.items())) or "nothing"
    return f"`{kind}` does not say so of what was counted: {counted}"


def _is_looked_at(condition: Condition, stream: str) -> bool:
    if condition.stream == "any":
        return stream in ("stdout", "stderr")
    return fnmatch(stream, condition.stream)


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a log with their numbers, cleaned as the classifier does it."""
    splitter = Splitter()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield from _numbered(splitter.feed(chunk))
    yield from _numbered(splitter.close())


def _numbered(blocks: Iterable[Block]) -> Iterator[tuple[int, str]]:
    for block in blocks:
        text = block.cleaned.decode()
        yield from enumerate(text.removesuffix("\n").split("\n"), block.number)
