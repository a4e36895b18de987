"""A job that cannot be meant: one sentence with the path of the field, exit status 64, and nothing started."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.jobs import job_document

OUTPUT = {"name": "mDST.root", "destinations": ["file:///tmp/x/"]}

BAD_JOBS: list[tuple[str, dict[str, Any], str]] = [
    ("missing field", {"command": None}, "command"),
    ("misspelt field", {"comand": ["/bin/true"]}, "comand: there is no such field. Did you mean `command`?"),
    ("unknown experiment", {"experiment": "COMPAS"}, "experiment: there is no experiment 'COMPAS'. Did you mean"),
    ("wrong scheme", {"inputs": [{"name": "a.raw", "sources": ["rfio://castor/a.raw"]}]}, "inputs[0].sources[0]"),
    ("slash in an output", {"outputs": [{**OUTPUT, "name": "../a.root"}]}, "outputs[0].name"),
    ("dots as an output", {"outputs": [{**OUTPUT, "name": ".."}]}, "outputs[0].name"),
    ("slash in a published name", {"outputs": [{**OUTPUT, "as": "a/b.root"}]}, "outputs[0].as"),
    ("two outputs of one name", {"outputs": [OUTPUT, OUTPUT]}, "outputs[1].name"),
    ("output that the pilot deletes", {"outputs": [{**OUTPUT, "name": "core.root"}]}, "outputs[0].name"),
    ("output over our report", {"outputs": [{**OUTPUT, "name": "job.report.json"}]}, "outputs[0].name"),
    ("no source", {"inputs": [{"name": "a.raw", "sources": []}]}, "inputs[0].sources"),
    ("checksum that is none", {"inputs": [{"name": "a", "sources": ["file:///a"], "adler32": "xyz"}]}, "adler32"),
    ("negative limit", {"limits": {"wall_s": -1}}, "limits.wall_s"),
    ("empty command", {"command": []}, "command"),
    ("steps and a command", {"steps": [{"name": "a", "command": ["/bin/true"]}]}, "steps: the job has a command"),
    ("a step without a program", {"command": [], "steps": [{"name": "a", "command": []}]}, "steps[0].command"),
    ("a soft stop that is none", {"soft_stop": {"wait_s": 5}}, "soft_stop: it needs either a signal or a file."),
    ("no such signal", {"soft_stop": {"signal": "SIGSTOPP"}}, "soft_stop.signal"),
    ("broken law", {"law": "events_processed +"}, "law"),
    ("newer format", {"format": 2}, "format"),
    ("unknown kind", {"kind": "reconstuction"}, "kind"),
    ("report to nowhere", {"report": {"url": "ftp://x"}}, "report.url"),
    ("password in an address", {"report": {"url": "http://u:secret@h/"}}, "report.url"),
    ("token with a newline", {"report": {"url": "http://h/", "token": "secret\n"}}, "report.token"),
    ("token that is a number", {"report": {"url": "http://h/", "token": 5}}, "report.token"),
    ("misspelt job type", {"type": "shel"}, "type: COMPASS has no job type 'shel'. Did you mean 'shell'?"),
    ("kind of another type", {"kind": "merging"}, "kind: a 'shell' job is of kind 'tool'"),
    ("two files in one place", {"outputs": [OUTPUT, {**OUTPUT, "name": "b", "as": "mDST.root"}]}, "outputs[1].dest"),
    ("log over an output", {"outputs": [OUTPUT], "log": {**OUTPUT}}, "log.name"),
    ("log over a report", {"log": {**OUTPUT, "name": "job.report.json"}}, "log.name"),
    ("question mark in a name", {"outputs": [{**OUTPUT, "name": "a?b"}]}, "outputs[0].name"),
    ("an archive of nothing", {"log": {**OUTPUT, "name": "log.tgz", "max_bytes": 10}}, "log.max_bytes"),
    ("a limit of nothing", {"limits": {"wall_s": 0}}, "limits.wall_s"),
    ("name too long", {"task": "t" * 300}, "task"),
]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "pilotext", "run", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("what", "fields", "says"), BAD_JOBS, ids=[what for what, _, _ in BAD_JOBS])
def test_a_bad_field_is_named_and_nothing_is_started(
    tmp_path: Path, what: str, fields: dict[str, Any], says: str
) -> None:
    proof = tmp_path / "started"
    document = job_document(**{"command": ["/usr/bin/touch", str(proof)], **fields})
    job = tmp_path / "job.json"
    job.write_text(json.dumps({name: value for name, value in document.items() if value is not None}))
    ended = run(job, "--workdir", tmp_path / "work")
    assert ended.returncode == 64
    assert says in ended.stderr
    assert "secret\n" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stdout == ""
    assert not proof.exists()
    assert not (tmp_path / "work").exists()


def test_the_report_of_an_earlier_job_does_not_stand_for_one_that_was_refused(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps(job_document()))
    assert run(tmp_path / "job.json", "--workdir", tmp_path).returncode == 0
    (tmp_path / "job.json").write_text("{")
    assert run(tmp_path / "job.json", "--workdir", tmp_path).returncode == 64
    assert not list(tmp_path.glob("*eport*.json"))


@pytest.mark.parametrize("redirection", ["0<&-", ">&-", "2>&-", ">/dev/full", "| true"])
def test_the_status_is_the_jobs_whatever_has_become_of_the_streams(tmp_path: Path, redirection: str) -> None:
    job = tmp_path / "job.json"
    job.write_text(json.dumps(job_document(command=["/bin/sh", "-c", "exit 1"])))
    command = f"{sys.executable} -P -m pilotext run {job} --workdir {tmp_path} {redirection}; exit ${{PIPESTATUS[0]}}"
    assert subprocess.run(["/bin/bash", "-c", command], capture_output=True, check=False).returncode == 66


def test_a_job_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    ended = run(tmp_path / "nowhere.json")
    assert ended.returncode == 64
    assert "nowhere.json: the job file cannot be read: No such file or directory." in ended.stderr


def test_a_job_file_that_is_not_json_is_said(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text("{'format': 1}")
    ended = run(tmp_path / "job.json")
    assert ended.returncode == 64
    assert "this is not a JSON document" in ended.stderr


def test_a_work_directory_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "job.json").write_text(json.dumps(job_document()))
    ended = run(tmp_path / "job.json", "--workdir", tmp_path / "file/work")
    assert ended.returncode == 64
    assert "this cannot be a work directory" in ended.stderr


def test_wrong_words_on_the_command_line_do_not_exit_with_2(tmp_path: Path) -> None:
    assert run("--no-such-option").returncode == 64
    assert run().returncode == 64


def test_a_job_can_be_given_in_the_job_parameters(tmp_path: Path) -> None:
    spec = base64.b64encode(json.dumps(job_document()).encode()).decode()
    ended = run("--spec", spec, "--workdir", tmp_path, "--json")
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["verdict"]["verdict"] == "success"


def test_a_spec_that_is_not_base64_is_said(tmp_path: Path) -> None:
    ended = run("--spec", "{...}", "--workdir", tmp_path)
    assert ended.returncode == 64
    assert "--spec is not Base64 text" in ended.stderr
