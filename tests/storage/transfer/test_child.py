from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilotext.storage.transfer.child import Child, ChildEndedError, environment
from tests.support.processes import has_ended
from tests.support.xrootd_server import XrdServer


@pytest.fixture
def child() -> Iterator[Child]:
    running = Child()
    yield running
    running.kill()


def answer(child: Child, **request: Any) -> dict[str, Any]:
    child.ask(request)
    for _ in range(200):
        if answers := child.answers(timeout_s=0.1):
            return answers[-1]
    raise AssertionError("no answer")


def test_a_child_answers_and_lives_on(child: Child) -> None:
    for _ in range(2):
        assert answer(child, operation="prepare", urls=["file:///x"]) == {"result": ""}
    assert child.alive


def test_a_killed_child_is_gone(child: Child) -> None:
    child.kill()
    assert has_ended(child.pid)
    assert not child.alive


def test_the_last_words_of_a_child_that_ends_are_quoted(child: Child) -> None:
    with pytest.raises(ChildEndedError, match=r"with status 70: .*unexpected keyword argument 'colour'"):
        answer(child, operation="stat", url="file:///x", colour="red")
    with pytest.raises(ChildEndedError, match="with status 70"):
        child.ask({"operation": "stat", "url": "file:///x"})


def test_a_talkative_client_does_not_block_the_child(server: XrdServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XRD_LOGLEVEL", "Dump")
    talkative = Child()
    for _ in range(40):  # much more than the pipe and our memory of it take
        assert "error" in answer(talkative, operation="stat", url=server.url("/eos/compass/missing"))
    talkative.kill()


def test_the_work_directory_cannot_replace_our_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit('imported from the work directory')")
    monkeypatch.chdir(tmp_path)
    child = Child()
    assert answer(child, operation="prepare", urls=["file:///x"]) == {"result": ""}
    child.kill()


def test_a_checkout_is_given_to_the_child_and_an_installed_package_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    assert environment(Path("/home/expert/pilotext"))["PYTHONPATH"] == "/home/expert/pilotext:/mine"
    assert environment(Path("/usr/lib/python3/dist-packages"))["PYTHONPATH"] == "/mine"
