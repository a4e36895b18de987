"""Compiled form of an experiment's rules (the rule cache), written beside the rule files when pilotext is installed.

It saves the time to read and check them. It needs no better protection than the rule files: it is used only if it has
the same owner and nobody else can write it, in the folder of the installation. Nothing that a run writes is ever read
by another.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import regex

import pilotext
from pilotext.model.codes import Code
from pilotext.model.file_checks import FileChecks
from pilotext.model.job import Kind
from pilotext.rules.literals import RequiredLiterals, literals_of_pattern
from pilotext.rules.schema import CounterText, Place, Rule, RuleSet, RuleText, conditions_of
from pilotext.rules.search_texts import search_texts_of_pattern
from pilotext.serialization.json import ready

CODE = ("*.py", "model/*.py", "serialization/*.py", "profile/*.py", "rules/**/*.py")
"""Modules that read rule files: a checkout may change without a new version."""


FOLDER = "compiled"
"""Folder beside those of rule files."""


class _PackedRule(msgspec.Struct, array_like=True):
    text: RuleText
    code: int
    common: bool
    file: str
    line: int
    column: int


class _Pack(msgspec.Struct, array_like=True):
    experiment: str
    number: int
    digest: str
    rules: tuple[_PackedRule, ...]
    counters: tuple[CounterText, ...]
    kinds: dict[str, Kind]
    markers: dict[str, str]
    codes: tuple[tuple[int, int], ...]
    checks: FileChecks
    literals: dict[str, RequiredLiterals | None]
    search_texts: dict[str, RequiredLiterals | None]
    """Those that are not the literals."""


def read_compiled(profile: Path, files: Sequence[Path]) -> RuleSet | None:
    """Return the rules in these files, if compiled from exactly these bytes by this code; None if not."""
    path = _place(profile)
    try:
        if not _is_as_safe_as(path, profile):
            return None
        digest, _, data = path.read_bytes().partition(b"\n")
        root = _root(profile)
        if digest.decode("ascii", "replace") != _digest(files, root):
            return None
        return _unpacked(msgspec.msgpack.decode(data, type=ready(_Pack)), root)
    except (OSError, msgspec.MsgspecError):
        return None  # absent, or of another version of the records


def write_compiled(profile: Path, files: Sequence[Path], ruleset: RuleSet) -> Path:
    """Write the compiled form of the rules that were read from these files, and return its path. Raises OSError."""
    path = _place(profile)
    path.parent.mkdir(mode=0o755, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    root = _root(profile)
    data = _digest(files, root).encode() + b"\n" + msgspec.msgpack.encode(_packed(ruleset, root))
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    temporary.replace(path)
    return path


def _root(profile: Path) -> Path:
    """Return the folder of the rule packs; what is below it is named from there, so that it may be moved."""
    return profile.parent.parent


def _place(profile: Path) -> Path:
    return _root(profile) / FOLDER / f"{profile.parent.name}.msgpack"


def _name_below(root: Path, file: Path) -> str:
    return str(file.relative_to(root) if file.is_relative_to(root) else file)


def _is_as_safe_as(path: Path, profile: Path) -> bool:
    """Whether only those who can change the rule files can change this one."""
    owner = profile.stat().st_uid
    found = [path.lstat(), path.parent.lstat()]
    return all(one.st_uid == owner and not one.st_mode & (stat.S_IWGRP | stat.S_IWOTH) for one in found)


def _digest(files: Iterable[Path], root: Path) -> str:
    digest = hashlib.sha256(repr((pilotext.__version__, regex.__version__)).encode())
    package = Path(pilotext.__file__).parent
    for code in sorted(file for folder in CODE for file in package.glob(folder)):
        status = code.stat()  # whole seconds: CVMFS and archives keep no more
        digest.update(repr((_name_below(package, code), int(status.st_mtime), status.st_size)).encode())
    for file in files:
        content = file.read_bytes()
        digest.update(repr((_name_below(root, file), len(content))).encode())
        digest.update(content)
    return digest.hexdigest()


def _packed(ruleset: RuleSet, root: Path) -> _Pack:
    rules = tuple(_packed_rule(rule, _name_below(root, rule.place.file)) for rule in ruleset.rules)
    literals = {pattern: literals_of_pattern(pattern) for pattern in _patterns(ruleset)}
    texts = {pattern: search_texts_of_pattern(pattern) for pattern in literals}
    return _Pack(
        experiment=ruleset.experiment,
        number=ruleset.number,
        digest=ruleset.digest,
        rules=rules,
        counters=ruleset.counters,
        kinds={**ruleset.kinds},
        markers={**ruleset.markers},
        codes=ruleset.codes,
        checks=ruleset.checks,
        literals=literals,
        search_texts={pattern: found for pattern, found in texts.items() if found != literals[pattern]},
    )


def _packed_rule(rule: Rule, file: str) -> _PackedRule:
    return _PackedRule(rule.text, rule.code.digits, rule.common, file, rule.place.line, rule.place.column)


def _patterns(ruleset: RuleSet) -> Iterator[str]:
    for rule in ruleset.rules:
        yield from (condition.match for condition in rule.conditions if condition.match is not None)
    yield from (counter.match for counter in ruleset.counters)


def _unpacked(known: _Pack, root: Path) -> RuleSet:
    literals_of_pattern.remember(known.literals)
    search_texts_of_pattern.remember({**known.literals, **known.search_texts})
    rules = tuple(
        Rule(
            text=one.text,
            code=Code(known.experiment, known.number, one.code),
            conditions=conditions_of(one.text),
            common=one.common,
            place=Place(root / one.file, one.line, one.column),
        )
        for one in known.rules
    )
    return RuleSet(
        experiment=known.experiment,
        number=known.number,
        rules=rules,
        counters=known.counters,
        digest=known.digest,
        kinds=known.kinds,
        markers=known.markers,
        codes=known.codes,
        checks=known.checks,
    )
