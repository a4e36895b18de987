"""Seed rows for two tables of PanDA's database, which decide what its server does after a failure with our codes.

The pilot sends our number as exeErrorCode, and our diag, which begins with `SHINE-1241 cannot-allocate:`. PanDA tries
pilotErrorCode first, which is 1305 for every failed payload: a PanDA rule on 1305 comes before all of these.
RETRYERRORS names its action by a key of RETRYACTIONS, which differs between databases, so the rows look it up by its
name; PanDA ships RETRYACTIONS empty, so its rows come first. The statements are in `panda_sql.py`.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass

from pilotext.model.verdict import Action, Cause
from pilotext.rules.schema import Rule, RuleSet

MAX_DESCRIPTION_CHARS = 250
"""Length of the tables' columns for descriptions; ERRORDIAG and ERROR_DIAG hold 256."""

ACTIONS: dict[str, str] = {
    "no_retry": "The job is not tried again",
    "limit_retry": "The job is tried again up to maxAttempt times",
    "increase_memory": "The job is tried again with more memory",
}
"""Names that PanDA's server knows, and what RETRYACTIONS says about them."""

RETRIES: dict[Action, tuple[str, str]] = {
    "retry": ("limit_retry", "maxAttempt=5"),
    "retry-elsewhere": ("limit_retry", "maxAttempt=5"),
    "retry-more-memory": ("increase_memory", ""),
    "restage": ("limit_retry", "maxAttempt=5"),
    "manual-check": ("no_retry", ""),
    "fail": ("no_retry", ""),
}
"""PanDA's equivalent of each of our actions: the name in RETRYACTIONS, and PARAMETERS."""

SYSTEM: frozenset[Cause] = frozenset(
    ["killed", "evicted", "software-setup", "conditions-db", "storage", "credentials", "output-write", "internal"]
)
"""Causes that are not the submitter's fault: PanDA does not count such an attempt."""


@dataclass(frozen=True)
class RetryAction:
    """Row of RETRYACTIONS."""

    action: str
    description: str


@dataclass(frozen=True)
class RetryError:
    """Row of RETRYERRORS; `action` is a name in RETRYACTIONS."""

    code: int
    diag: str
    action: str
    parameters: str
    description: str


@dataclass(frozen=True)
class Classification:
    """Row of ERROR_CLASSIFICATION."""

    code: int
    diag: str
    error_class: str
    description: str


def retry_actions(ruleset: RuleSet) -> list[RetryAction]:
    """Return the actions that the rows of RETRYERRORS name."""
    named = {row.action for row in retry_errors(ruleset)}
    return [RetryAction(action, ACTIONS[action]) for action in ACTIONS if action in named]


def retry_errors(ruleset: RuleSet) -> list[RetryError]:
    return [
        RetryError(rule.code.number, _diag(rule), *RETRIES[rule.text.action], _description(rule))
        for rule in _failures(ruleset)
    ]


def classifications(ruleset: RuleSet) -> list[Classification]:
    return [
        Classification(rule.code.number, _diag(rule), _class_of(rule), _description(rule))
        for rule in _failures(ruleset)
    ]


def as_json(ruleset: RuleSet) -> str:
    rows = {
        "RETRYACTIONS": [asdict(row) for row in retry_actions(ruleset)],
        "RETRYERRORS": [asdict(row) for row in retry_errors(ruleset)],
        "ERROR_CLASSIFICATION": [asdict(row) for row in classifications(ruleset)],
    }
    return json.dumps(rows, indent=2) + "\n"


def _failures(ruleset: RuleSet) -> list[Rule]:
    rules = [rule for rule in ruleset.rules if rule.text.action != "note" and rule.text.status == "active"]
    return sorted(rules, key=lambda rule: rule.code.number)


def _diag(rule: Rule) -> str:
    """Return the pattern that PanDA matches at the start of the diag: exactly our label and rule."""
    return f"{re.escape(rule.code.label)} {re.escape(rule.id)}:"


def diag_prefix(ruleset: RuleSet) -> str:
    """Return how the patterns of all rules of the experiment begin, also of those that an earlier version had."""
    return re.escape(f"{ruleset.experiment}-")


def _class_of(rule: Rule) -> str:
    return "system" if rule.text.cause in SYSTEM else "user"


def _description(rule: Rule) -> str:
    return rule.text.title.encode("ascii", "replace").decode()[:MAX_DESCRIPTION_CHARS]
