from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.cli.main import main
from tests.rules.packs import EXAMPLES, RULE, Pack

GOOD = f"rules: [{{id: boom, code: 1299, match: boom, {RULE}, {EXAMPLES}}}]\n"


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return Pack(tmp_path / "pack")


def test_test_runs_our_own_examples_and_cases(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "test"]) == 0
    summary = capfd.readouterr().out
    examples, cases = (int(part.partition(": ")[2]) for part in summary.split(", ")[:2])
    assert examples > 200
    assert cases > 30


def test_test_tells_an_example_that_fails(pack: Pack, capfd: pytest.CaptureFixture[str]) -> None:
    path = pack.add(GOOD.replace("no-match: bang", "no-match: boom"))
    assert main(["rules", "test", str(path)]) == 1
    assert "the rule matches 'boom' and must not" in capfd.readouterr().out


def test_test_of_good_rules_elsewhere_finds_nothing(pack: Pack, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "test", str(pack.add(GOOD))]) == 0
    assert capfd.readouterr().out == "examples: 2, cases: 0, problems: 0\n"


def test_a_test_of_nothing_is_not_passed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "stdout.log").write_text("Event: 5\n")
    assert main(["rules", "test", str(tmp_path / "stdout.log")]) == 64
    assert "there is no rule with an example and no case" in capfd.readouterr().err


def test_test_of_files_that_cannot_be_loaded_tells_why(pack: Pack, capfd: pytest.CaptureFixture[str]) -> None:
    path = pack.add("rules: [{id: boom}]\n")
    assert main(["rules", "test", str(path)]) == 1
    assert "`code`: this field is missing" in capfd.readouterr().out


@pytest.mark.parametrize(("expected", "status"), [("failure", 0), ("success", 1)])
def test_test_judges_a_case_folder(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], expected: str, status: int
) -> None:
    (tmp_path / "stderr").write_text("Killed\n")
    (tmp_path / "case.yaml").write_text(f"job_type: shell\nexit: {{code: 0}}\nexpect: {{verdict: {expected}}}\n")
    assert main(["rules", "test", str(tmp_path)]) == status
    assert ("`verdict` is 'failure', expected 'success'" in capfd.readouterr().out) == bool(status)
