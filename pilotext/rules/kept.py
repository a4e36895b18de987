"""A set of rules that was read and checked once, kept until a file of it, or the code that reads it, is another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import regex

import pilotext
from pilotext import cache
from pilotext.codes import Code
from pilotext.decode import ready
from pilotext.model import Kind
from pilotext.rules.schema import CounterText, Place, Rule, RuleSet, RuleText, conditions_of

CODE = ("*.py", "profile/*.py", "rules/*.py")
"""What reads rule files: a checkout may change without a new version."""


class _KeptRule(msgspec.Struct, array_like=True):
    text: RuleText
    code: int
    common: bool
    file: str
    line: int
    column: int


class _KeptRules(msgspec.Struct, array_like=True):
    experiment: str
    number: int
    digest: str
    rules: tuple[_KeptRule, ...]
    counters: tuple[CounterText, ...]
    kinds: dict[str, Kind]


def kept_rules(files: Sequence[Path], read: Callable[[], RuleSet]) -> RuleSet:
    """What `read` makes of these files: from the cache, if it was made of just these bytes before."""
    try:
        name = f"rules-{_digest(files)}"
    except OSError:  # `read` says it better
        return read()
    known = cache.get(name)
    if known is not None:
        try:
            return _unpacked(msgspec.msgpack.decode(known, type=ready(_KeptRules)))
        except msgspec.MsgspecError:
            pass  # of another version of the records
    ruleset = read()
    cache.put(name, msgspec.msgpack.encode(_packed(ruleset)))
    return ruleset


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256(repr((pilotext.__version__, regex.__version__)).encode())
    package = Path(pilotext.__file__).parent
    for code in sorted(file for folder in CODE for file in package.glob(folder)):
        digest.update(repr((str(code), code.stat().st_mtime_ns, code.stat().st_size)).encode())
    for file in files:
        content = file.read_bytes()
        digest.update(repr((str(file), len(content))).encode())
        digest.update(content)
    return digest.hexdigest()


def _packed(ruleset: RuleSet) -> _KeptRules:
    rules = tuple(
        _KeptRule(rule.text, rule.code.digits, rule.common, str(rule.place.file), rule.place.line, rule.place.column)
        for rule in ruleset.rules
    )
    return _KeptRules(ruleset.experiment, ruleset.number, ruleset.digest, rules, ruleset.counters, {**ruleset.kinds})


def _unpacked(known: _KeptRules) -> RuleSet:
    rules = tuple(
        Rule(
            text=one.text,
            code=Code(known.experiment, known.number, one.code),
            conditions=conditions_of(one.text),
            common=one.common,
            place=Place(Path(one.file), one.line, one.column),
        )
        for one in known.rules
    )
    return RuleSet(known.experiment, known.number, rules, known.counters, known.digest, known.kinds)
