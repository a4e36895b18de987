"""Sites, folders, years and settings: each is said in one place, and none is known to the code."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection

import pilotext
from pilotext.errors import RuleFilesError, UsageError
from pilotext.profile import load_experiment
from pilotext.server.production.dispatch.dispatcher import Asker, Dispatcher
from pilotext.server.production.dispatch.tickets import fetch_job, hand_over
from pilotext.server.production.models import AuditEntry, Site, Task
from pilotext.server.production.profiles import profile_of, remember_all
from tests.server.support import PARAMETERS, leased, raw, submit

pytestmark = pytest.mark.usefixtures("database")

PACKAGE = Path(pilotext.__file__).parent
NA64 = "format: 1\nexperiment: NA64\nnumber: 64\njob_types: {reco: {kind: reconstruction, command: [a]}}\nsites:\n"
DOCUMENTS = " ".join(path.read_text() for path in (PACKAGE.parent / "docs").glob("*.md"))
OF_SITES = ("CERN_COMPASS_PROD", "BW_COMPASS_MCORE", "STAMPEDE_COMPASS_MCORE", "FRONTERA_COMPASS_MCORE")


def test_a_site_that_there_is_not_is_refused_wherever_it_is_named(tmp_path: Path) -> None:
    """Known problem 14 of the legacy system: lists of sites held names that no site had, and nobody noticed."""
    with pytest.raises(UsageError, match="has no site 'BW_STAMPEDE_MCORE'"):
        submit(sites=["BW_STAMPEDE_MCORE"])
    profile = tmp_path / "na64/experiment.yaml"
    profile.parent.mkdir()
    profile.write_text(f"{NA64}  A: {{merging: B_MERGING}}\n  B: {{}}\n")
    with pytest.raises(RuleFilesError, match="there is no site 'B_MERGING'"):
        load_experiment("NA64", [tmp_path])
    profile.write_text(f"{NA64}  A: {{merging: B}}\n  B: {{}}\n")
    assert load_experiment("NA64", [tmp_path]).sites["A"].merging == "B"


def test_what_a_site_is_stands_at_the_site_alone() -> None:
    """Known problem 14 of the legacy system: sites were listed in the code forty times, one of them in a few only."""
    remember_all()
    without_tape = Site.objects.filter(experiment__name="COMPASS", staging=False).values_list("name", flat=True)
    assert {*without_tape} == profile_of("COMPASS").sites.keys() - {"CERN_COMPASS_PROD"}
    assert "FRONTERA_COMPASS_TEST" in without_tape
    in_code = [path for path in PACKAGE.rglob("*.py") if any(name in path.read_text() for name in OF_SITES)]
    assert in_code == []


@pytest.mark.parametrize("kind", ["mass production", "MC reconstruction"])
def test_whoever_runs_a_job_its_files_go_to_the_same_folders(kind: str) -> None:
    """Known problem 29 of the legacy system: three pilots built three names of the same folder, one without `mc/`."""
    chunks = [raw(1, 11), raw(1, 12)]
    if kind == "MC reconstruction":
        chunks = [f"root://eos//mc/mcr{chunk:05}-1_run000.tgeant" for chunk in (11, 12)]
    sites = ("CERN_COMPASS_PROD", "FRONTERA_COMPASS_MCORE")
    submit(chunks, type=kind, sites=sites)
    of_agent = leased().job
    other = Dispatcher().give(Asker(Site.objects.get(name=sites[1]), "c401"))
    assert other is not None
    of_pilot = fetch_job(other.attempt, hand_over(other, "pilots").partition("ticket=")[2])
    assert of_agent.job != of_pilot.job
    assert [file.destinations for file in of_agent.outputs] == [file.destinations for file in of_pilot.outputs]
    folders = {folder for file in of_agent.outputs for folder in file.destinations}
    assert all(("/mc/" in folder) == (kind == "MC reconstruction") for folder in folders), folders


@pytest.mark.parametrize("year", [1999, 2015, 2026, 2031])
def test_a_year_or_a_period_that_nobody_thought_of_is_like_every_other(year: int) -> None:
    """Known problem 30 of the legacy system: years, periods and names of machines stood in the code."""
    submit([f"/castor/cern.ch/compass/data/{year}/raw/W99z/cdr11-1.raw"], parameters={**PARAMETERS, "year": year})
    assert leased().job.run == 1


def test_a_line_that_is_no_raw_file_is_counted_and_keeps_no_task_from_beginning() -> None:
    """Known problem 30 of the legacy system: one such line was not counted, and the task stayed `ready` for ever."""
    made = submit([raw(1, 11), "no raw file", raw(1, 11), raw(1, 12)])
    assert made.jobs == 2
    assert Task.objects.get().state == "running"
    assert AuditEntry.objects.get(subject="task", after="ready").why == "2 jobs defined, 2 inputs left out"


def test_the_tables_are_those_of_this_version_and_no_others() -> None:
    """Known problem 18 of the legacy system: it read and deleted in the tables of another program, of one version."""
    ours = {model._meta.db_table for model in apps.get_models(include_auto_created=True)} | {"django_migrations"}
    with connection.cursor() as cursor:
        assert {*connection.introspection.table_names(cursor)} == ours
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_it_knows_no_database_but_its_own_and_no_client_of_anothers() -> None:
    """Known problem 18 of the legacy system, in the code: PanDA is spoken to by its protocol."""
    modules = {
        name.partition(".")[0]
        for path in (PACKAGE / "server").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported(node)
    }
    assert modules.isdisjoint(
        {"MySQLdb", "pymysql", "mysql", "cx_Oracle", "oracledb", "pickle", "pandacommon", "psycopg"}
    )


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def test_the_server_starts_without_any_setting() -> None:
    """Known problem 31 of the legacy system: the template of its settings lacked names that the code needed."""
    code = "from pilotext.server.boot import boot; boot(); import pilotext.server.urls, pilotext.server.serve"
    ended = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_every_setting_that_is_read_has_a_default_and_is_told_of() -> None:
    """Known problem 31 of the legacy system, for those that will be added."""
    texts = {path: path.read_text() for path in (PACKAGE / "server").rglob("*.py")}
    read = {name for text in texts.values() for name in re.findall(r'os\.environ\.get\("([A-Z_]+)"', text)}
    assert {"PILOTEXT_PUBLIC_URL", "DATABASE_URL"} <= read
    described = DOCUMENTS + (ast.get_docstring(ast.parse(texts[PACKAGE / "server/settings.py"])) or "")
    assert sorted(name for name in read if name not in described) == []
    without_default = [
        f"{path.name}:{node.lineno}"
        for path, text in texts.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Subscript)
        and isinstance(node.ctx, ast.Load)
        and ast.unparse(node.value) == "os.environ"
    ]
    assert without_default == []
