from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pilotext.model.verdict import Evidence, Verdict

CORAL_GOOD = "Event: 5\nEvent: 10\nEnd of Logger Dump.\n"


def pilotext(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pilotext", "classify", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def verdict(*words: str | Path) -> dict[str, Any]:
    done = pilotext("--json", *words)
    assert (done.returncode, done.stderr) == (0, "")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "payload.out"
    path.write_text(CORAL_GOOD)
    return path


@pytest.fixture
def err(tmp_path: Path) -> Path:
    path = tmp_path / "payload.err"
    path.write_bytes(b"\n** TLattice::TLattice:\x07 Cannot Allocate 132503040 Bytes in Memory!\n")
    return path


def test_a_good_log_is_a_success(out: Path) -> None:
    judged = verdict("--job-type", "coral", "--stdout", out, "--exit", "0")
    assert (judged["verdict"], judged["code"], judged["evidence"]) == ("success", None, [])


def test_the_document_has_every_field_of_a_verdict(out: Path, err: Path) -> None:
    judged = verdict("--job-type", "coral", "--stdout", out, "--stderr", err, "--exit", "1")
    assert (judged["verdict"], judged["number"], judged["cause"]) == ("failure", 581241, "memory")
    assert judged["evidence"][0]["line"] == 2
    assert judged["evidence"][0]["offset"] == 1
    assert set(judged) == set(Verdict.__struct_fields__)
    assert set(judged["evidence"][0]) == set(Evidence.__struct_fields__)


def test_people_get_the_place_in_their_own_file_and_what_to_do(out: Path, err: Path) -> None:
    done = pilotext("--job-type", "coral", "--stdout", out, "--stderr", err, "--exit", "1")
    assert done.returncode == 0
    assert f"{err}:2" in done.stdout
    assert "> ** TLattice::TLattice: Cannot Allocate 132503040 Bytes in Memory!" in done.stdout
    assert "retry-more-memory" in done.stdout


def test_text_of_a_log_is_never_taken_for_markup(tmp_path: Path) -> None:
    (tmp_path / "err").write_text("[bold]Error in [/no] [link=x]\n")
    done = pilotext("--stderr", tmp_path / "err", "--exit", "3")
    assert "> [bold]Error in [/no] [link=x]" in done.stdout


@pytest.mark.parametrize("words", [("--exit", "-9"), ("--signal", "SIGKILL"), ("--signal", "kill"), ("--signal", "9")])
def test_a_signal_can_be_said_in_several_ways(words: tuple[str, str]) -> None:
    assert verdict(*words)["cause"] == "killed"


def test_a_verdict_of_failure_fails_the_command_only_if_asked_to(out: Path) -> None:
    assert pilotext("--fail", "--exit", "1").returncode == 1
    assert pilotext("--fail", "--job-type", "coral", "--stdout", out, "--exit", "0").returncode == 0


def test_without_log_and_exit_status_nothing_is_claimed() -> None:
    judged = verdict()
    assert (judged["verdict"], judged["rule"]) == ("unknown", "no-log")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--stdout", "/no/such/file"), "there is no such file"),
        (("--signal", "SIGNAL"), "there is no such signal"),
        (("--exit", "-500"), "there is no such signal"),
        (("--exit", "SIGKILL"), "give a signal as --signal"),
        (("--exit", "1", "--core"), "--core needs a signal"),
        (("--exit", "1", "--signal", "KILL"), "not allowed with"),
        (("--exit", "0", "--job-type", "mass produktion"), "Did you mean 'mass production'?"),
        (("--exit", "0", "--job-type", "reconstruction"), "It is a job type of NA62: add --experiment NA62."),
        (("--exit", "0", "--experiment", "COMPAS"), "Did you mean 'COMPASS'?"),
    ],
)
def test_words_that_mean_nothing_are_refused_with_a_sentence(words: tuple[str, ...], complaint: str) -> None:
    done = pilotext(*words)
    assert (done.returncode, done.stdout) == (64, "")
    assert complaint in done.stderr


def test_a_further_folder_of_rules_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "rules" / "compass"
    folder.mkdir(parents=True)
    own = {"id": "own", "code": 1299, "title": "own", "cause": "crash", "action": "fail", "contains": "gremlins"}
    (folder / "own.yaml").write_text(json.dumps({"format": 1, "experiment": "COMPASS", "rules": [own]}))
    (tmp_path / "err").write_text("gremlins\n")
    words = ("--stderr", tmp_path / "err", "--exit", "1")
    assert verdict(*words, "--rules", tmp_path / "rules")["rule"] == "own"
    assert verdict(*words)["rule"] != "own"
