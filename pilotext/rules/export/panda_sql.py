"""SQL that brings the rows of `panda.py` into PanDA's database, for the programs psql and SQL*Plus.

One transaction: it ends with all rows in place and a line that counts them, or with an error and nothing changed.
A row of ours has a code and a pattern of the experiment, and is for every release, architecture and work queue. What a
site decided about it (ACTIVE, EXPIRATION_DATE) stays, and rows that the site wrote for our codes stay as they are.
Statements between the two ends are the same for both databases. They were run on PostgreSQL only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pilotext.rules.export.panda import (
    Classification,
    RetryAction,
    RetryError,
    classifications,
    diag_prefix,
    retry_actions,
    retry_errors,
)
from pilotext.rules.schema import RuleSet

SOURCE = "'exeErrorCode'"
SCHEMA_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$#]{0,127}")
"""Names that both databases take without quotes, so that case does not matter."""


@dataclass(frozen=True)
class Table:
    """One of the two tables with error codes, by its qualified name and the names of its columns."""

    name: str
    source: str
    code: str
    diag: str
    for_all: str
    """Condition on rows that are for every job, beginning with `AND`, or nothing."""

    def ours(self, ruleset: RuleSet) -> str:
        """Return the condition on rows of this experiment that an export wrote."""
        first, prefix = ruleset.number * 10_000, diag_prefix(ruleset)
        return (
            f"{self.source} = {SOURCE} AND {self.code} BETWEEN {first} AND {first + 9_999}"
            f" AND SUBSTR({self.diag}, 1, {len(prefix)}) = {_quoted(prefix)}{self.for_all}"
        )

    def row(self, code: int, diag: str) -> str:
        """Return the condition on the row of one rule."""
        return f"{self.source} = {SOURCE} AND {self.code} = {code} AND {self.diag} = {_quoted(diag)}{self.for_all}"


@dataclass(frozen=True)
class Tables:
    """The three tables, qualified with a schema if one is named."""

    schema: str = ""

    @property
    def actions(self) -> str:
        return self._qualified("RETRYACTIONS")

    @property
    def retries(self) -> Table:
        for_all = " AND RELEASE IS NULL AND ARCHITECTURE IS NULL AND WORKQUEUE_ID IS NULL"
        return Table(self._qualified("RETRYERRORS"), "ERRORSOURCE", "ERRORCODE", "ERRORDIAG", for_all)

    @property
    def classes(self) -> Table:
        return Table(self._qualified("ERROR_CLASSIFICATION"), "ERROR_SOURCE", "ERROR_CODE", "ERROR_DIAG", "")

    def _qualified(self, name: str) -> str:
        return f"{self.schema}.{name}" if self.schema else name


def psql_script(ruleset: RuleSet, schema: str = "") -> str:
    """Return a script for `psql -f`, which ends with status 3 if a row is missing."""
    tables = Tables(schema)
    body = _counts(ruleset, tables, raise_error="RAISE EXCEPTION USING MESSAGE =", notice="RAISE NOTICE '%',", end="")
    check = f"DO $pilotext$\n{body}\n$pilotext$;"
    return "\n".join(["\\set ON_ERROR_STOP on", "BEGIN;", *_statements(ruleset, tables), check, "COMMIT;", ""])


def sqlplus_script(ruleset: RuleSet, schema: str = "") -> str:
    """Return a script for `sqlplus @FILE`, which ends with a failure status if a row is missing."""
    tables = Tables(schema)
    body = _counts(
        ruleset, tables, raise_error="RAISE_APPLICATION_ERROR(-20001,", notice="DBMS_OUTPUT.PUT_LINE(", end=")"
    )
    head = ["WHENEVER SQLERROR EXIT FAILURE ROLLBACK", "SET DEFINE OFF SQLBLANKLINES ON SERVEROUTPUT ON"]
    return "\n".join([*head, *_statements(ruleset, tables), body, "/", "COMMIT;", "EXIT", ""])


def _statements(ruleset: RuleSet, tables: Tables) -> Iterator[str]:
    for action in retry_actions(ruleset):
        yield _new_action(tables.actions, action)
    retries, classes = retry_errors(ruleset), classifications(ruleset)
    yield _removal(ruleset, tables.retries, [row.code for row in retries])
    for retry in retries:
        yield from _retry(tables, retry)
    yield _removal(ruleset, tables.classes, [row.code for row in classes])
    for row in classes:
        yield from _classification(tables.classes, row)


def _new_action(table: str, action: RetryAction) -> str:
    name = _quoted(action.action)
    return (
        f"INSERT INTO {table} (RETRYACTION_ID, RETRY_ACTION, ACTIVE, RETRY_DESCRIPTION)"
        f" SELECT N.ID, {name}, 'Y', {_quoted(action.description)}"
        f" FROM (SELECT COALESCE(MAX(RETRYACTION_ID), 0) + 1 AS ID FROM {table}) N"
        f" WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE RETRY_ACTION = {name});"
    )


def _removal(ruleset: RuleSet, table: Table, codes: list[int]) -> str:
    """Return the statement that removes the rows of rules that have none any more."""
    listed = ",\n".join(", ".join(map(str, codes[at : at + 16])) for at in range(0, len(codes), 16))
    others = f" AND {table.code} NOT IN (\n{listed})" if codes else ""
    return f"DELETE FROM {table.name} WHERE {table.ours(ruleset)}{others};"


def _retry(tables: Tables, row: RetryError) -> Iterator[str]:
    key = f"(SELECT MIN(RETRYACTION_ID) FROM {tables.actions} WHERE RETRY_ACTION = {_quoted(row.action)})"
    values = {"RETRYACTION": key, "PARAMETERS": _quoted(row.parameters), "DESCRIPTION": _quoted(row.description)}
    where = tables.retries.row(row.code, row.diag)
    yield _change(tables.retries.name, values, where)
    new = {"ERRORSOURCE": SOURCE, "ERRORCODE": str(row.code), "ERRORDIAG": _quoted(row.diag), "ACTIVE": "'Y'"}
    yield (
        f"INSERT INTO {tables.retries.name} (RETRYERROR_ID, {', '.join({**new, **values})})"
        f" SELECT N.ID, {', '.join({**new, **values}.values())}"
        f" FROM (SELECT COALESCE(MAX(RETRYERROR_ID), 0) + 1 AS ID FROM {tables.retries.name}) N"
        f" WHERE NOT EXISTS (SELECT 1 FROM {tables.retries.name} WHERE {where});"
    )


def _classification(table: Table, row: Classification) -> Iterator[str]:
    values = {"ERROR_CLASS": _quoted(row.error_class), "DESCRIPTION": _quoted(row.description)}
    where = table.row(row.code, row.diag)
    yield _change(table.name, values, where)
    new = {"ERROR_SOURCE": SOURCE, "ERROR_CODE": str(row.code), "ERROR_DIAG": _quoted(row.diag), "ACTIVE": "'Y'"}
    yield (
        f"INSERT INTO {table.name} ({', '.join({**new, **values})})"
        f" SELECT {', '.join({**new, **values}.values())}"
        f" FROM (SELECT COUNT(*) AS FOUND FROM {table.name} WHERE {where}) N WHERE N.FOUND = 0;"
    )


def _change(table: str, values: Mapping[str, str], where: str) -> str:
    changes = ", ".join(f"{column} = {value}" for column, value in values.items())
    return f"UPDATE {table} SET {changes} WHERE {where};"


def _counts(ruleset: RuleSet, tables: Tables, *, raise_error: str, notice: str, end: str) -> str:
    """Return the block that counts what is there after the load: an error if a rule has no row, else one line."""
    retries, classes, expected = tables.retries, tables.classes, len(retry_errors(ruleset))
    named = ", ".join(_quoted(action.action) for action in retry_actions(ruleset))
    return f"""DECLARE
  RETRIES INTEGER;
  CLASSES INTEGER;
  OTHERS_ROWS INTEGER;
  SWITCHED_OFF INTEGER;
BEGIN
  SELECT COUNT(DISTINCT E.{retries.code}) INTO RETRIES FROM {retries.name} E, {tables.actions} A
    WHERE E.RETRYACTION = A.RETRYACTION_ID AND {retries.ours(ruleset)};
  SELECT COUNT(DISTINCT {classes.code}) INTO CLASSES FROM {classes.name} WHERE {classes.ours(ruleset)};
  SELECT COUNT(*) - COUNT(CASE WHEN {retries.ours(ruleset)} THEN 1 END) INTO OTHERS_ROWS FROM {retries.name}
    WHERE {retries.source} = {SOURCE}
    AND {retries.code} BETWEEN {ruleset.number * 10_000} AND {ruleset.number * 10_000 + 9_999};
  SELECT COUNT(*) INTO SWITCHED_OFF FROM {tables.actions} WHERE RETRY_ACTION IN ({named}) AND ACTIVE <> 'Y';
  IF RETRIES <> {expected} OR CLASSES <> {expected} THEN
    {raise_error} 'Nothing was loaded: of {expected} rules of {ruleset.experiment}, RETRYERRORS would have '
      || RETRIES || ' and ERROR_CLASSIFICATION ' || CLASSES
      || '. Look for triggers or policies that remove rows of these tables.'{end};
  END IF;
  {notice} '{ruleset.experiment}: ' || RETRIES || ' rules in RETRYERRORS, ' || CLASSES
    || ' in ERROR_CLASSIFICATION; kept rows of others with these codes in RETRYERRORS: ' || OTHERS_ROWS
    || '; actions that RETRYACTIONS switches off: ' || SWITCHED_OFF{end};
END;"""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
