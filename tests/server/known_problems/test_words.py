"""What people and logs write, on its way to programs: it is never a program itself, and decides nothing by chance."""

from __future__ import annotations

import ast
import shlex
import subprocess
from pathlib import Path

import pytest

import pilotext.agent
import pilotext.server
from pilotext.rules.loader import load_rules
from pilotext.server.api.panda.job_description import panda_job
from pilotext.server.production.dispatch.dispatcher import Lease
from pilotext.server.production.dispatch.tickets import hand_over
from tests.server.support import PARAMETERS, fail, leased, submit, the_job

pytestmark = pytest.mark.usefixtures("database")

HOSTILE = "x; touch here $(touch here) `touch here` '\" && false"

FOLDERS = [Path(package.__file__ or "").parent for package in (pilotext.server, pilotext.agent)]

PASSING = ("failed", "unreachable", "stalled", "no-space", "offline")
"""Faults of storage that may be over the next time, or elsewhere."""


def as_a_pilot_starts_it(lease: Lease, folder: Path) -> list[str]:
    """Start what a pilot makes of the job, a line for a shell; returns the words that the transformation was given."""
    told = panda_job(lease, hand_over(lease, "pilots"), "managed")
    name = told["transformation"].rpartition("/")[2]
    program = folder / name
    program.write_text(f'#!/bin/sh\nfor word; do printf "%s\\n" "$word"; done >{shlex.quote(str(folder / "words"))}\n')
    program.chmod(0o755)
    line = f"./{name} {told['jobPars']}"
    ended = subprocess.run(["/bin/bash", "-c", line], cwd=folder, capture_output=True, check=True)
    assert ended.stderr == b"", "the legacy jobs said `test: export: binary operator expected`"
    return (folder / "words").read_text().splitlines()


@pytest.mark.parametrize("name", ["t1", "mass production", HOSTILE.replace("/", "")])
def test_a_pilot_starts_one_program_with_one_option_whatever_the_task_is_called(name: str, tmp_path: Path) -> None:
    """Known problem 3 of the legacy system: the job's type was started as a program."""
    submit(name=name, parameters={**PARAMETERS, "path": f"{HOSTILE}/"})
    option, address = as_a_pilot_starts_it(leased(), tmp_path)
    assert option == "--job-url"
    assert address.partition("?")[2].startswith("ticket=")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pilotext-trf", "words"]


def test_what_people_write_stays_one_word_of_a_command_and_needs_no_quotes() -> None:
    """Known problem 22 of the legacy system: names and lists of files went into lines for a shell, as they were."""
    submit()
    file = f"/castor/{HOSTILE}/cdr11-2.raw"
    submit(
        [file],
        name="hostile",
        parameters={**PARAMETERS, "production": "other", "soft": HOSTILE},
        environment={"A": HOSTILE},
    )
    plain, hostile = leased().job, leased().job
    assert hostile.inputs[0].sources[0].endswith(file)
    assert hostile.environment["A"] == HOSTILE
    assert plain.command[0].endswith("/coral.exe"), "the program itself, and no shell"
    assert [word.replace(HOSTILE, "soft") for word in hostile.command] == list(plain.command)
    assert any(HOSTILE in word for word in hostile.command)


@pytest.mark.parametrize(
    "path", [path for folder in FOLDERS for path in sorted(folder.rglob("*.py"))], ids=lambda p: p.stem
)
def test_nothing_here_starts_a_shell(path: Path) -> None:
    """Known problem 22 of the legacy system, from the other side: there is no shell to give such a line to."""
    assert shells_in(path.read_text()) == []


def test_a_shell_would_be_seen() -> None:
    text = "import os, subprocess\nos.system('ls')\nsubprocess.run('ls', shell=True)\nsubprocess.run('ls -l')\n"
    assert shells_in(text) == [2, 3]
    assert shells_in("import subprocess\nsubprocess.run(['ls'])\n") == []


def shells_in(text: str) -> list[int]:
    """Lines that start a shell."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"):
            found.append(node.lineno)
        if any(word.arg == "shell" for word in node.keywords):
            found.append(node.lineno)
    return found


@pytest.mark.parametrize("fault", PASSING)
def test_a_file_that_could_not_be_brought_is_tried_again(fault: str) -> None:
    """Known problem 4 of the legacy system: a copy that failed was seen as a raw file without events, by hand."""
    rule = load_rules("COMPASS").for_finding(f"stage-in-{fault}")
    assert rule is not None
    submit(max_attempts=2)
    assert rule.text.cause != "input-corrupt"
    fail(leased(), rule.text.cause, rule.text.action)
    assert the_job().state == "ready"


def test_a_file_that_is_nowhere_is_looked_at_by_somebody_as_what_it_is() -> None:
    rule = load_rules("COMPASS").for_finding("stage-in-not-found")
    assert rule is not None
    submit()
    fail(leased(), rule.text.cause, rule.text.action)
    assert (the_job().state, the_job().cause) == ("manual", "input-missing")
