from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

Process = subprocess.Popen[str]


@pytest.fixture
def process() -> Iterator[Process]:
    with subprocess.Popen(
        [sys.executable, "-m", "pilotext.storage.transfer_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as running:
        yield running
        running.kill()


def ask(process: Process, line: str) -> dict[str, object]:
    """The last line of the answer to one request."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    answer: dict[str, object] = {"progress": 0}
    while "progress" in answer:
        answer = json.loads(process.stdout.readline())
    return answer


def request(**fields: str) -> str:
    return json.dumps(fields)


def test_one_process_serves_several_requests(process: Process, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    got = ask(process, request(operation="get", url=f"file://{tmp_path}/a", path=f"{tmp_path}/b"))
    assert got == {"result": {"size": 3, "adler32": "024d0127"}}
    assert (tmp_path / "b").read_bytes() == b"abc"
    assert ask(process, request(operation="remove", url=f"file://{tmp_path}/a")) == {"result": None}
    assert not (tmp_path / "a").exists()


def test_a_storage_error_is_an_answer(process: Process) -> None:
    assert ask(process, request(operation="stat", url="file:///no/such/file")) == {
        "error": {
            "fault": "not-found",
            "url": "file:///no/such/file",
            "message": "No such file or directory",
            "advice": "",
        }
    }
    assert "error" in ask(process, request(operation="stat", url="gopher://x"))


@pytest.mark.parametrize("line", ["not json", '{"operation": "destroy"}', "{}"])
def test_a_request_that_makes_no_sense_ends_the_process_with_a_reason(process: Process, line: str) -> None:
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(line + "\n")
    assert "Traceback" in process.stderr.read()
    assert process.wait(20) == 70


def test_the_end_of_stdin_ends_the_process_in_the_middle_of_a_copy(process: Process, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "endless")
    assert process.stdin is not None
    process.stdin.write(request(operation="get", url=f"file://{tmp_path}/endless", path=f"{tmp_path}/b") + "\n")
    with (tmp_path / "endless").open("wb", buffering=0) as writer:
        writer.write(b"some")
        process.stdin.close()
        assert process.wait(20) == 0
