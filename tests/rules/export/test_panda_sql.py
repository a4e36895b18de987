"""The script for psql, run by psql on a real PostgreSQL with the tables as PanDA ships them."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fixtures.servers.postgres import PostgresServer, serving_postgres
from pilotext.rules.export.panda import classifications, retry_errors
from pilotext.rules.export.panda_sql import psql_script, sqlplus_script
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import RuleSet

TABLES = Path("fixtures/panda/retry_tables.sql")
_number = itertools.count(1)
EVERYTHING = """
SELECT * FROM doma_panda.retryactions ORDER BY 1;
SELECT * FROM doma_panda.retryerrors ORDER BY 1;
SELECT * FROM doma_panda.error_classification ORDER BY 1;
"""
RETRIES = "SELECT count(*) FROM doma_panda.retryerrors WHERE errorsource = 'exeErrorCode'"
CLASSES = "SELECT count(*) FROM doma_panda.error_classification"
ACTION_OF_1241 = """
SELECT a.retry_action FROM doma_panda.retryerrors e JOIN doma_panda.retryactions a ON e.retryaction = a.retryaction_id
WHERE errorcode = 581241
"""
FILLED = """
SET search_path = doma_panda;
INSERT INTO retryactions VALUES (4, 'increase_memory', 'Y', 'of the site'), (9, 'no_retry', 'N', 'of the site');
INSERT INTO retryerrors (retryerror_id, errorsource, errorcode, active, retryaction, errordiag, release)
VALUES (5, 'pilotErrorCode', 1305, 'N', 9, '.*', NULL),
       (6, 'exeErrorCode', 581241, 'Y', 9, '.*', NULL),
       (7, 'exeErrorCode', 581241, 'Y', 9, 'COMPASS\\-1241 cannot\\-allocate:', 'v1');
INSERT INTO error_classification (error_source, error_code, error_diag, error_class, active)
VALUES ('exeErrorCode', 581241, '.*out of luck.*', 'user', 'Y');
"""


@dataclass(frozen=True)
class Database:
    """A database of the server, and psql as a user of it."""

    server: PostgresServer
    name: str

    def run(self, script: str, user: str = "postgres") -> subprocess.CompletedProcess[str]:
        words = ["psql", "-X", "-q", "-A", "-t", "-h", str(self.server.root), "-U", user, "-d", self.name, "-f", "-"]
        return subprocess.run(words, input=script, capture_output=True, text=True, check=False, timeout=60)

    def read(self, query: str) -> str:
        answer = self.run(query)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.strip()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with serving_postgres() as server:
        made = Database(server, "postgres").run("CREATE ROLE panda LOGIN; CREATE ROLE reader LOGIN;")
        assert made.returncode == 0, made.stderr
        yield server


@pytest.fixture
def shipped(server: PostgresServer) -> Iterator[Database]:
    """A database with the three tables as PanDA ships them: empty."""
    admin, name = Database(server, "postgres"), f"panda_{next(_number)}"
    assert admin.run(f"CREATE DATABASE {name};").returncode == 0
    database = Database(server, name)
    made = database.run("\\set ON_ERROR_STOP on\n" + TABLES.read_text())
    assert made.returncode == 0, made.stderr
    yield database
    assert admin.run(f"DROP DATABASE {name};").returncode == 0


@pytest.fixture(scope="module")
def compass() -> RuleSet:
    return load_rules("COMPASS")


@pytest.mark.parametrize("experiment", ["COMPASS", "NA62"])
def test_empty_tables_get_every_rule_and_its_action(shipped: Database, experiment: str) -> None:
    ruleset = load_rules(experiment)
    loaded = shipped.run(psql_script(ruleset, "doma_panda"))
    assert loaded.returncode == 0, loaded.stderr
    rules = str(len(retry_errors(ruleset)))
    assert (shipped.read(RETRIES), shipped.read(CLASSES)) == (rules, rules)
    assert f"{experiment}: {rules} rules in RETRYERRORS, {rules} in ERROR_CLASSIFICATION" in loaded.stderr
    assert "switches off: 0" in loaded.stderr


def test_the_user_of_panda_needs_no_schema(shipped: Database, compass: RuleSet) -> None:
    loaded = shipped.run(psql_script(compass), user="panda")
    assert loaded.returncode == 0, loaded.stderr
    assert shipped.read(RETRIES) == str(len(retry_errors(compass)))


def test_a_second_load_changes_nothing(shipped: Database, compass: RuleSet) -> None:
    shipped.run(psql_script(compass, "doma_panda"))
    before = shipped.read(EVERYTHING)
    assert shipped.run(psql_script(compass, "doma_panda")).returncode == 0
    assert shipped.read(EVERYTHING) == before
    assert before.count("581241") == 2


def test_rows_of_the_site_and_its_decisions_stay(shipped: Database, compass: RuleSet) -> None:
    assert shipped.run(FILLED).returncode == 0
    of_the_site = "SELECT * FROM doma_panda.retryerrors WHERE retryerror_id IN (5, 6, 7) ORDER BY 1"
    before = shipped.read(of_the_site)
    assert before.count("\n") == 2
    loaded = shipped.run(psql_script(compass, "doma_panda"))
    assert loaded.returncode == 0, loaded.stderr
    assert "kept rows of others with these codes in RETRYERRORS: 2; " in loaded.stderr
    assert "actions that RETRYACTIONS switches off: 1" in loaded.stderr
    assert shipped.read(of_the_site) == before
    assert shipped.read(ACTION_OF_1241 + " AND retryerror_id > 7") == "increase_memory"
    assert (
        shipped.read("SELECT count(*), min(retryaction_id), max(retryaction_id) FROM doma_panda.retryactions")
        == "3|4|10"
    )
    assert shipped.read(CLASSES) == str(len(classifications(compass)) + 1)


def test_a_row_that_the_site_switched_off_stays_off(shipped: Database, compass: RuleSet) -> None:
    shipped.run(psql_script(compass, "doma_panda"))
    shipped.run("UPDATE doma_panda.retryerrors SET active = 'N' WHERE errorcode = 581241")
    assert shipped.run(psql_script(compass, "doma_panda")).returncode == 0
    assert (
        shipped.read("SELECT active, count(*) FROM doma_panda.retryerrors WHERE errorcode = 581241 GROUP BY 1") == "N|1"
    )


def test_a_changed_rule_changes_its_row_and_a_removed_rule_loses_it(shipped: Database, compass: RuleSet) -> None:
    shipped.run(psql_script(compass, "doma_panda"))
    shipped.run("UPDATE doma_panda.retryerrors SET retryaction = 1, description = 'old' WHERE errorcode = 581241")
    remaining = replace(compass, rules=tuple(rule for rule in compass.rules if rule.code.number != 581249))
    assert len(remaining.rules) == len(compass.rules) - 1
    assert shipped.run(psql_script(remaining, "doma_panda")).returncode == 0
    assert shipped.read(ACTION_OF_1241 + " AND e.description <> 'old'") == "increase_memory"
    rows = "SELECT (SELECT count(*) FROM doma_panda.retryerrors WHERE errorcode = {0}), "
    rows += "(SELECT count(*) FROM doma_panda.error_classification WHERE error_code = {0})"
    assert shipped.read(rows.format(581249)) == "0|0"
    assert shipped.read(rows.format(581241)) == "1|1"


@pytest.mark.parametrize("table", ["retryerrors", "error_classification"])
def test_a_load_that_would_lose_rows_fails_and_changes_nothing(shipped: Database, compass: RuleSet, table: str) -> None:
    made = shipped.run(f"""
        CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER losing BEFORE INSERT ON doma_panda.{table} FOR EACH ROW EXECUTE FUNCTION lose();
    """)
    assert made.returncode == 0, made.stderr
    loaded = shipped.run(psql_script(compass, "doma_panda"))
    assert loaded.returncode == 3
    assert f"Nothing was loaded: of {len(retry_errors(compass))} rules of COMPASS" in loaded.stderr
    assert shipped.read(EVERYTHING) == ""


def test_a_load_without_its_actions_fails_at_the_first_row(shipped: Database, compass: RuleSet) -> None:
    shipped.run("""
        CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER losing BEFORE INSERT ON doma_panda.retryactions FOR EACH ROW EXECUTE FUNCTION lose();
    """)
    loaded = shipped.run(psql_script(compass, "doma_panda"))
    assert loaded.returncode == 3
    assert 'null value in column "retryaction"' in loaded.stderr
    assert shipped.read(EVERYTHING) == ""


@pytest.mark.parametrize(
    ("schema", "user", "error"),
    [
        ("", "postgres", 'relation "retryactions" does not exist'),
        ("atlas_panda", "postgres", 'relation "atlas_panda.retryactions" does not exist'),
        ("doma_panda", "reader", "permission denied"),
    ],
)
def test_a_wrong_schema_or_user_fails(shipped: Database, compass: RuleSet, schema: str, user: str, error: str) -> None:
    loaded = shipped.run(psql_script(compass, schema), user=user)
    assert loaded.returncode == 3
    assert error in loaded.stderr
    assert shipped.read(EVERYTHING) == ""


def test_both_programs_get_the_same_statements(compass: RuleSet) -> None:
    """Nothing here runs Oracle: what differs is the frame, and the statements have run on PostgreSQL."""

    def statements(script: str) -> list[str]:
        return [line for line in script.splitlines() if line.startswith(("INSERT ", "UPDATE ", "DELETE "))]

    oracle = sqlplus_script(compass, "ATLAS_PANDA")
    assert statements(oracle) == statements(psql_script(compass, "ATLAS_PANDA"))
    assert oracle.startswith("WHENEVER SQLERROR EXIT FAILURE ROLLBACK\nSET DEFINE OFF ")
    assert oracle.endswith("END;\n/\nCOMMIT;\nEXIT\n")
    assert max(map(len, oracle.splitlines())) < 2500
