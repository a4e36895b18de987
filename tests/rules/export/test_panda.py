from __future__ import annotations

import re
import sqlite3

import pytest

from pilotext.classify.verdict import compose
from pilotext.rules.export.panda import (
    MAX_DESCRIPTION_CHARS,
    Classification,
    RetryError,
    as_sql,
    classifications,
    retry_errors,
)
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import RuleSet

TABLES = """
create table RETRYACTIONS (RETRYACTION_ID integer primary key, RETRY_ACTION text);
insert into RETRYACTIONS values (1, 'no_retry'), (2, 'limit_retry'), (7, 'increase_memory');
create table RETRYERRORS (RETRYERROR_ID integer primary key, ERRORSOURCE text, ERRORCODE integer, ACTIVE text,
    RETRYACTION integer, ERRORDIAG text, PARAMETERS text, DESCRIPTION text);
create table ERROR_CLASSIFICATION (ID integer primary key, ERROR_SOURCE text, ERROR_CODE integer, ERROR_DIAG text,
    DESCRIPTION text, ERROR_CLASS text, ACTIVE text, REG_DATE text);
insert into RETRYERRORS values (5, 'pilotErrorCode', 1305, 'N', 1, '.*', '', 'of somebody else');
"""


@pytest.fixture(scope="module")
def compass() -> RuleSet:
    return load_rules("COMPASS")


def all_rows(ruleset: RuleSet) -> list[RetryError | Classification]:
    return [*retry_errors(ruleset), *classifications(ruleset)]


def test_a_row_matches_the_diag_that_the_pilot_sends_and_no_other(compass: RuleSet) -> None:
    row = next(row for row in retry_errors(compass) if row.code == 581241)
    assert (row.action, row.parameters) == ("increase_memory", "")
    assert re.match(row.diag, compose("COMPASS-1241 cannot-allocate", "no memory", "stderr:8"), re.DOTALL)
    assert not re.match(row.diag, compose("COMPASS-1241 cannot-allocate-more", "no memory", "stderr:8"), re.DOTALL)


def test_notes_have_no_rows(compass: RuleSet) -> None:
    notes = {rule.code.number for rule in compass.rules if rule.text.action == "note"}
    assert notes
    assert notes.isdisjoint(row.code for row in all_rows(compass))


def test_what_is_the_fault_of_a_site_is_not_counted_against_the_job(compass: RuleSet) -> None:
    classes = {row.code: row.error_class for row in classifications(compass)}
    assert (classes[581249], classes[581235]) == ("system", "user")


def test_every_row_fits_its_columns(compass: RuleSet) -> None:
    for row in all_rows(compass):
        assert row.code <= 9_999_999
        assert len(row.diag.encode()) <= 256
        assert len(row.description.encode()) <= MAX_DESCRIPTION_CHARS


def test_a_database_takes_the_statements_twice_and_keeps_what_is_not_ours(compass: RuleSet) -> None:
    database = sqlite3.connect(":memory:")
    database.executescript(TABLES)
    for _ in range(2):
        database.executescript(as_sql(compass))
        ours = database.execute("select count(*) from RETRYERRORS where ERRORSOURCE = 'exeErrorCode'").fetchone()[0]
        classes = database.execute("select count(*) from ERROR_CLASSIFICATION").fetchone()[0]
        assert (ours, classes) == (len(retry_errors(compass)), len(classifications(compass)))
    [(action,)] = database.execute("select RETRYACTION from RETRYERRORS where ERRORCODE = 581241")
    assert action == 7
    [(other,)] = database.execute("select DESCRIPTION from RETRYERRORS where ERRORCODE = 1305")
    assert other == "of somebody else"
    database.close()
