"""Seed rows for two tables of PanDA's database, which decide what its server does after a failure with our codes.

The pilot sends our number as exeErrorCode, and our diag, which begins with `SHINE-1241 cannot-allocate:`. PanDA tries
pilotErrorCode first, which is 1305 for every failed payload: a PanDA rule on 1305 comes before all of these.
RETRYERRORS names its action by a key, which differs between databases, so the rows look it up by its name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from pilotext.model.verdict import Action, Cause
from pilotext.rules.schema import Rule, RuleSet

MAX_DESCRIPTION_CHARS = 250
"""Length of both tables' columns DESCRIPTION; ERRORDIAG and ERROR_DIAG hold 256."""

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
        "RETRYERRORS": [asdict(row) for row in retry_errors(ruleset)],
        "ERROR_CLASSIFICATION": [asdict(row) for row in classifications(ruleset)],
    }
    return json.dumps(rows, indent=2) + "\n"


def as_sql(ruleset: RuleSet) -> str:
    """Return statements for Oracle and PostgreSQL; run again, they replace the rows of the same codes."""
    return "".join(f"{statement};\n" for statement in _statements(ruleset))


FORMATS = {"sql": as_sql, "json": as_json}


def _statements(ruleset: RuleSet) -> Iterator[str]:
    ours = f"BETWEEN {ruleset.number * 10_000} AND {ruleset.number * 10_000 + 9_999}"
    yield f"DELETE FROM RETRYERRORS WHERE ERRORSOURCE = 'exeErrorCode' AND ERRORCODE {ours}"
    for retry in retry_errors(ruleset):
        yield (
            "INSERT INTO RETRYERRORS"
            " (RETRYERROR_ID, ERRORSOURCE, ERRORCODE, ACTIVE, RETRYACTION, ERRORDIAG, PARAMETERS, DESCRIPTION)"
            " SELECT (SELECT COALESCE(MAX(RETRYERROR_ID), 0) + 1 FROM RETRYERRORS),"
            f" 'exeErrorCode', {retry.code}, 'Y', RETRYACTION_ID,"
            f" {_quoted(retry.diag)}, {_quoted(retry.parameters)}, {_quoted(retry.description)}"
            f" FROM RETRYACTIONS WHERE RETRY_ACTION = {_quoted(retry.action)}"
        )
    yield f"DELETE FROM ERROR_CLASSIFICATION WHERE ERROR_SOURCE = 'exeErrorCode' AND ERROR_CODE {ours}"
    for row in classifications(ruleset):
        values = ", ".join(map(_quoted, (row.diag, row.description, row.error_class)))
        yield (
            "INSERT INTO ERROR_CLASSIFICATION"
            " (ERROR_SOURCE, ERROR_CODE, ERROR_DIAG, DESCRIPTION, ERROR_CLASS, ACTIVE)"
            f" VALUES ('exeErrorCode', {row.code}, {values}, 'Y')"
        )


def _failures(ruleset: RuleSet) -> list[Rule]:
    rules = [rule for rule in ruleset.rules if rule.text.action != "note" and rule.text.status == "active"]
    return sorted(rules, key=lambda rule: rule.code.number)


def _diag(rule: Rule) -> str:
    """Return the pattern that PanDA matches at the start of the diag: exactly our label and rule."""
    return f"{re.escape(rule.code.label)} {re.escape(rule.id)}:"


def _class_of(rule: Rule) -> str:
    return "system" if rule.text.cause in SYSTEM else "user"


def _description(rule: Rule) -> str:
    return rule.text.title.encode("ascii", "replace").decode()[:MAX_DESCRIPTION_CHARS]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
