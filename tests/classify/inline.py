"""Rules written beside the test that needs them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pilotext.classify import LogScan, Matches, classify_files
from pilotext.model.codes import Code
from pilotext.model.verdict import ExitStatus, Finding, Verdict
from pilotext.rules.schema import CounterText, Place, Rule, RuleSet, RuleText, conditions_of
from pilotext.serialization.json import from_plain

NOWHERE = Place(Path("inline"), 1, 1)
WELL = ExitStatus(code=0)


def rule(id: str, *, common: bool = False, **fields: Any) -> Rule:
    """A rule as a rule file would say it: `rule("oom", cause="memory", match="Out of memory")`."""
    head = {"id": id, "code": 2001 if common else 1201, "title": f"title of {id}", "cause": "crash", "action": "retry"}
    text = from_plain({**head, **fields}, RuleText)
    return Rule(text, Code("COMPASS", 58, text.code), conditions_of(text), common, NOWHERE)


def counter(name: str, match: str, **fields: Any) -> CounterText:
    return from_plain({"name": name, "match": match, **fields}, CounterText)


def ruleset(*entries: Rule | CounterText) -> RuleSet:
    rules = tuple(entry for entry in entries if isinstance(entry, Rule))
    counters = tuple(entry for entry in entries if isinstance(entry, CounterText))
    return RuleSet("COMPASS", 58, rules, counters, "0123456789abcdef")


def logs(folder: Path, **streams: str | bytes) -> Mapping[str, Path]:
    """Files that hold these streams: `logs(tmp_path, stderr="Killed")`."""
    for name, content in streams.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return {name: folder / name for name in streams}


def scan(folder: Path, rules: RuleSet, **streams: str | bytes) -> Matches:
    """What such rules find in such streams of a reconstruction."""
    found = logs(folder, **streams)
    return LogScan(rules, kind="reconstruction", job_type="mass production", streams=found).finish()


def verdict(
    folder: Path,
    rules: RuleSet,
    *findings: Finding,
    exit: ExitStatus | None = WELL,
    workdir: Path | None = None,
    **streams: str | bytes,
) -> Verdict:
    return classify_files(
        rules,
        kind="reconstruction",
        job_type="mass production",
        streams=logs(folder, **streams),
        exit=exit,
        workdir=workdir,
        findings=findings,
    )
