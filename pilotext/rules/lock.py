"""Lock file with the agreed meaning of each rule: `lock.json` beside the folders of rules.

Reports, databases and PanDA's tables outlive a rule file, so an id or a code that silently changes its meaning makes
old numbers wrong. Our own rules always have one; a folder of somebody else without a `lock.json` is not checked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from pilotext.errors import FieldError, FileProblem, RuleFilesError
from pilotext.model import Record
from pilotext.profile import find_rules_root, rule_files
from pilotext.rules.schema import RuleText, conditions_of
from pilotext.rules.source import Entry, read_source
from pilotext.serialization.json import from_json

LOCK = "lock.json"
UPDATE = "pilotext rules lint --update-lock"
RESTORE = f"Take it back from version control; `{UPDATE}` makes a new one, which agrees to every code as it is now."


class Locked(Record, frozen=True):
    """Agreed meaning of one rule; `evidence` is a hash of its conditions."""

    code: int
    cause: str
    action: str
    evidence: str


Lock = dict[str, dict[str, Locked]]
"""Locked rules by folder, then by id."""


def lock_problems(entries: Sequence[Entry[RuleText]], wanted: Sequence[Path]) -> Iterator[FileProblem]:
    """Yield the differences between the rules in the files `wanted` and the locks of their folders."""
    for root in dict.fromkeys(file.parent.parent for file in wanted):
        if not (root / LOCK).is_file():
            if root == find_rules_root():
                yield FileProblem(root / LOCK, 1, 1, "", "the lock file is missing.", RESTORE)
            continue
        try:
            lock = _read(root / LOCK)
        except RuleFilesError as error:
            yield from error.problems
            continue
        for name in lock:
            if not (root / name).is_dir():
                yield from _gone(root / LOCK, lock[name], set())
        for folder in dict.fromkeys(file.parent for file in wanted if file.parent.parent == root):
            own = [entry for entry in entries if entry.document.path.parent == folder and not entry.text.override]
            agreed = lock.get(folder.name, {})
            for entry in own:
                if entry.document.path in wanted:
                    yield from _changed(entry, agreed)
            if set(rule_files(folder)) <= set(wanted):
                yield from _gone(root / LOCK, agreed, {entry.text.id for entry in own})


def update_lock(root: Path) -> None:
    """Add new rules and changed meanings to the lock; ids and codes that must never change stay."""
    path = root / LOCK
    lock = _read(path) if path.is_file() else {}
    folders = sorted({*lock, *(file.parent.name for file in root.glob("*/*.yaml"))})
    _write(path, {folder: _agreed(root / folder, lock.get(folder, {})) for folder in folders})


def _agreed(folder: Path, before: dict[str, Locked]) -> dict[str, Locked]:
    source = read_source(rule_files(folder))
    wrong = {problem.rule for problem in source.problems}
    own = [entry.text for entry in source.rules if not entry.text.override and entry.text.id not in wrong]
    now = {text.id: _locked(text) for text in own}
    taken = {locked.code: rule for rule, locked in before.items()}
    fine = {rule: new for rule, new in now.items() if taken.get(new.code, rule) == rule}
    kept = {rule: old for rule, old in before.items() if rule not in fine or fine[rule].code != old.code}
    return {**fine, **kept}


def _locked(text: RuleText) -> Locked:
    content = msgspec.json.encode([_plain(condition) for condition in conditions_of(text)])
    return Locked(text.code, text.cause, text.action, hashlib.sha256(content).hexdigest()[:8])


def _plain(condition: msgspec.Struct) -> object:
    """Return a condition without defaults, so that a new field of the format changes no hash."""
    defaults = {field.name: field.default for field in msgspec.structs.fields(condition)}
    values = msgspec.structs.asdict(condition)
    return {name: value for name, value in sorted(values.items()) if value != defaults[name]}


def _changed(entry: Entry[RuleText], agreed: dict[str, Locked]) -> Iterator[FileProblem]:
    text, now, old = entry.text, _locked(entry.text), agreed.get(entry.text.id)
    owner = next((rule for rule, locked in agreed.items() if locked.code == text.code and rule != text.id), None)
    if owner is not None:
        message = f"code {text.code} was agreed for {owner} in {LOCK}."
        yield entry.problem("code", message, "Choose one that was never used; a renamed rule keeps its old id.")
    elif old is None:
        advice = f"When its id and code are final, run `{UPDATE}`; they never change from then on."
        yield entry.problem("id", f"the rule is not in {LOCK}.", advice)
    elif old.code != now.code:
        yield entry.problem("code", f"the rule's code was {old.code}.", "Write that again; codes never change.")
    else:
        for field in ("cause", "action"):
            if getattr(old, field) != getattr(now, field):
                message = f"the {field} was {getattr(old, field)!r}; earlier reports use it."
                yield entry.problem(field, message, f"If the change is intended, run `{UPDATE}`.")
        if old.evidence != now.evidence:
            message = "the rule matches something else than is recorded in the lock."
            yield entry.problem("", message, f"If it means the same failure as before, run `{UPDATE}`.")


def _gone(path: Path, agreed: dict[str, Locked], known: set[str]) -> Iterator[FileProblem]:
    lines = path.read_text().splitlines()
    for rule, locked in agreed.items():
        if rule not in known:
            line = next((n for n, text in enumerate(lines, 1) if text.strip().startswith(f'"{rule}": ')), 1)
            message = f"the rule with code {locked.code} is gone."
            yield FileProblem(path, line, 1, rule, message, "Put it back, with `status: retired` if it is not needed.")


def _read(path: Path) -> Lock:
    try:
        return from_json(path.read_bytes(), Lock)
    except FieldError as error:
        advice = error.advice or f"Take the last version that was right, then run `{UPDATE}`."
        raise RuleFilesError([FileProblem(path, 1, 1, "", f"{error.path} {error.message}".strip(), advice)]) from None


def _write(path: Path, lock: Lock) -> None:
    """Write one rule a line, so that a diff of the lock shows the changed rules."""
    folders = []
    for folder, rules in lock.items():
        lines = [f"    {json.dumps(rule)}: {json.dumps(msgspec.to_builtins(rules[rule]))}" for rule in sorted(rules)]
        folders.append(
            f"  {json.dumps(folder)}: {{\n" + ",\n".join(lines) + "\n  }" if lines else f'  "{folder}": {{}}'
        )
    path.write_text("{\n" + ",\n".join(folders) + "\n}\n")
