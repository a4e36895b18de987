"""Verdict for people, on a terminal or in a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.text import Text

from pilotext.cli.styled_text import rendered, styled
from pilotext.model.verdict import Evidence, Match, Verdict

COLOURS = {"success": "bold green", "failure": "bold red", "unknown": "bold yellow"}
WIDTH = 10


def page(verdict: Verdict, files: Mapping[str, Path]) -> str:
    """Return a verdict as text, in colours for a terminal; `files` are the paths of the streams, to open evidence."""
    return rendered(_lines(verdict, files))


def _lines(verdict: Verdict, files: Mapping[str, Path]) -> Iterable[Text]:
    yield _row("verdict", verdict.verdict, COLOURS[verdict.verdict])
    if verdict.code is not None:
        yield _row("code", f"{verdict.code} ({verdict.number}) {verdict.rule}")
        yield _row("what", verdict.title)
    elif verdict.diag:
        yield _row("what", verdict.diag)
    for name, value in (
        ("cause", verdict.cause),
        ("action", verdict.action),
        ("remedy", verdict.remedy),
        ("signature", verdict.signature),
    ):
        if value:
            yield _row(name, value)
    for evidence in verdict.evidence:
        yield styled()
        yield from _quoted(evidence, files)
    yield from _others(verdict)
    if verdict.counters:
        yield styled()
        yield _row("counters", ", ".join(f"{name} {value}" for name, value in sorted(verdict.counters.items())))


def _quoted(evidence: Evidence, files: Mapping[str, Path]) -> Iterable[Text]:
    where = str(files.get(evidence.stream, evidence.stream))
    yield styled((f"{where}:{evidence.line}" if evidence.line else where, "bold cyan"))
    yield from (styled((f"  | {line}", "dim")) for line in evidence.before)
    yield from (styled((f"  > {line}", "bold")) for line in evidence.text.split("\n"))
    yield from (styled((f"  | {line}", "dim")) for line in evidence.after)


def _others(verdict: Verdict) -> Iterable[Text]:
    reasons = {dropped.rule: dropped.reason for dropped in verdict.dropped}
    matched = {match.rule: match for match in verdict.also}
    for name, rules in (
        ("also", [rule for rule in matched if matched[rule].action != "note"]),
        ("notes", [rule for rule in matched if matched[rule].action == "note"]),
        ("unjudged", [rule for rule in reasons if rule not in matched and rule != verdict.rule]),
    ):
        if rules:
            yield styled()
        for rule in rules:
            yield _row(name, _other(rule, matched.get(rule), reasons.get(rule, "")))


def _other(rule: str, match: Match | None, reason: str) -> str:
    if match is None:
        return f"{rule}: {reason}"
    times = f" ({match.count} times)" if match.count > 1 else ""
    return f"{match.code} {rule}{times}" + (f": {reason}" if match.action != "note" else "")


def _row(name: str, value: str, style: str = "") -> Text:
    return styled((f"{name:<{WIDTH}}", "dim"), (value, style))
