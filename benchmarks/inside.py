"""What is measured within one process: the scan with more rules, and the verdict behind the last byte of a log."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import regex

from pilotext.classify import Case, LogScan, decide_verdict
from pilotext.model.verdict import ExitStatus
from pilotext.rules.conditions import Condition
from pilotext.rules.literals import required_literals
from pilotext.rules.schema import Rule, RuleSet

PIECE = 1 << 20


def many_rules(ruleset: RuleSet, times: int) -> RuleSet:
    """Every rule about a text so many times, each copy about another text that is much like the first."""
    copies = [_like(rule, number) for number in range(1, times) for rule in ruleset.rules]
    return replace(ruleset, rules=(*ruleset.rules, *copies))


def scan_seconds(ruleset: RuleSet, log: Path, stream: str) -> float:
    scan = _scan(ruleset, log, stream)
    begin = time.perf_counter()
    scan.finish()
    return time.perf_counter() - begin


def delay_behind_last_byte(ruleset: RuleSet, log: Path, stream: str) -> float:
    """Seconds from the last byte of a log that was followed while it was written, to the verdict."""
    grows = log.with_name("grows")
    grows.write_bytes(b"")
    scan = _scan(ruleset, grows, stream)
    with log.open("rb") as source, grows.open("ab", buffering=0) as target:
        while piece := source.read(PIECE):
            target.write(piece)
            end = time.perf_counter()
            if len(piece) == PIECE:
                scan.read()
    case = Case(kind="reconstruction", job_type="mass production", exit=ExitStatus(code=0))
    decide_verdict(ruleset, scan.finish(), case)
    delay = time.perf_counter() - end
    grows.unlink()
    return delay


def _scan(ruleset: RuleSet, log: Path, stream: str) -> LogScan:
    return LogScan(ruleset, kind="reconstruction", job_type="mass production", streams={stream: log})


def _like(rule: Rule, number: int) -> Rule:
    text = msgspec.structs.replace(rule.text, id=f"{rule.id}-{number}", explains=())
    return replace(rule, text=text, conditions=tuple(_other(condition, number) for condition in rule.conditions))


def _other(condition: Condition, number: int) -> Condition:
    """The condition with another letter behind the texts that it needs: nearly there, as real rules are, and absent."""
    needed = required_literals(condition)
    mark = chr(ord("A") + number)
    pattern = condition.match
    for text in needed.texts if needed and pattern else ():
        for written in (text, regex.escape(text), re.escape(text)):
            pattern = pattern and pattern.replace(written, written + mark)
    literal = condition.contains or condition.absent
    if literal is not None:
        return msgspec.structs.replace(condition, contains=literal + mark, absent=None)
    return msgspec.structs.replace(condition, match=pattern)
