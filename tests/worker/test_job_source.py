"""Reading a job: relative places in a file, and the fields that cannot be meant."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from pilotext.errors import FieldError, UsageError
from pilotext.storage.retry import Policy
from pilotext.worker import job_source as jobfile
from tests.support.jobs import job_document


def written(folder: Path, **fields: Any) -> Path:
    path = folder / "job.json"
    path.write_text(json.dumps(job_document(**fields)))
    return path


def test_places_that_begin_with_dots_are_relative_to_the_job_file(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    path = written(
        tmp_path / "jobs",
        command=["../bin/coral.exe", "./a.opt", "..."],
        setup="../setup.sh",
        inputs=[{"name": "a.raw", "sources": ["file:../raw/a.raw"]}],
        outputs=[{"name": "m.root", "destinations": ["file:./out/"]}],
    )
    job = jobfile.read_file(path)
    assert job.command == (str(tmp_path / "bin/coral.exe"), str(tmp_path / "jobs/a.opt"), "...")
    assert job.setup == str(tmp_path / "setup.sh")
    assert job.inputs[0].sources == (f"file://{tmp_path}/raw/a.raw",)
    assert job.outputs[0].destinations == (f"file://{tmp_path}/jobs/out/",), "a folder stays a folder"


def test_other_fields_keep_their_dots(tmp_path: Path) -> None:
    job = jobfile.read_file(written(tmp_path, environment={"CORALDIR": "../x"}, command=["/bin/echo", "a/../b"]))
    assert job.environment == {"CORALDIR": "../x"}
    assert job.command == ("/bin/echo", "a/../b")


def test_the_error_names_file_and_field(tmp_path: Path) -> None:
    path = written(tmp_path, inputs=[{"name": "a.raw", "sources": ["file:///a"], "adler32": "12"}])
    with pytest.raises(FieldError) as caught:
        jobfile.read_file(path)
    assert str(caught.value) == f"{path}: inputs[0].adler32: '12' is not 8 hexadecimal digits."


@pytest.mark.parametrize("name", ["", ".", "..", "/etc/passwd", "a/b", "a\nb", "a\0b", "core", "core.1"])
def test_names_that_are_no_plain_file_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FieldError, match=r"outputs\[0\]\.name"):
        jobfile.read_file(written(tmp_path, outputs=[{"name": name}]))


@pytest.mark.parametrize("name", ["mDST-275772-13040-0-7.root", "cdr13040-275772.raw", "score.root", "a b;c.root"])
def test_names_as_productions_have_them_are_taken(tmp_path: Path, name: str) -> None:
    assert jobfile.read_file(written(tmp_path, outputs=[{"name": name}])).outputs[0].name == name


def test_a_relative_setup_script_without_a_file_to_be_relative_to_is_refused() -> None:
    with pytest.raises(FieldError, match="must be an absolute path"):
        jobfile.read_spec(base64.b64encode(json.dumps(job_document(setup="setup.sh")).encode()).decode())


def test_a_job_that_cannot_be_fetched_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="the job cannot be fetched"):
        jobfile.read_url("http://127.0.0.1:9/job.json", Policy(tries=1))


def test_a_token_on_the_command_line_is_refused_and_not_shown() -> None:
    document = job_document(report={"url": "http://127.0.0.1:9/r", "token": "SECRETTOKEN12345"})
    with pytest.raises(FieldError, match="must not be given on the command line") as refused:
        jobfile.read_spec(base64.b64encode(json.dumps(document).encode()).decode())
    assert "SECRETTOKEN" not in str(refused.value)
    document["report"]["token"] = ""
    assert jobfile.read_spec(base64.b64encode(json.dumps(document).encode()).decode()).report is not None


def test_a_token_is_taken_out_of_the_job_file_that_it_stood_in(tmp_path: Path) -> None:
    path = written(tmp_path, report={"url": "http://127.0.0.1:9/r", "token": "SECRETTOKEN12345"})
    before = jobfile.read_file(path)
    assert jobfile.take_token_out(path) == ""
    assert "SECRETTOKEN" not in path.read_text()
    assert before.report is not None
    assert jobfile.read_file(path).command == before.command
    path.unlink()
    assert "stays in this file" in jobfile.take_token_out(path)


def test_a_credential_that_the_payload_is_to_have_must_be_one(tmp_path: Path) -> None:
    assert jobfile.read_file(written(tmp_path, credentials=["X509_USER_PROXY"])).credentials == ("X509_USER_PROXY",)
    with pytest.raises(FieldError, match=r"credentials\[0\]: 'PILOTEXT_TOKEN' is not a variable"):
        jobfile.read_file(written(tmp_path, credentials=["PILOTEXT_TOKEN"]))
