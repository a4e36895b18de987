from __future__ import annotations

import json
from pathlib import Path

import pytest

from pilotext.cli.main import main
from tests.rules.packs import EXAMPLES, RULE, Pack

RULES = (
    f"rules:\n- {{id: zz-shown, code: 1298, match: boom, {RULE}, {EXAMPLES}}}\n"
    f"- {{id: zz-never, code: 1299, exit: {{codes: [77]}}, {RULE}}}\n"
    f"- {{id: zz-gone, code: 1297, match: boom, status: retired, {RULE}}}\n"
)


def one_case(tmp_path: Path) -> list[str]:
    """The command for one case that `killed` wins: that for all cases takes minutes on a busy machine."""
    case = tmp_path / "cases" / "one"
    case.mkdir(parents=True)
    (case / "stderr").write_text("Killed\nMySQLInterface::connect: tries\n")
    (case / "case.yaml").write_text("job_type: coral\nexit: {signal: SIGKILL}\nexpect: {verdict: failure}\n")
    pack = Pack(tmp_path / "pack")
    pack.add(RULES)
    return ["rules", "coverage", str(case), "--rules", str(pack.root)]


def coverage(tmp_path: Path, capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, str]]:
    """The status, and by rule what exercises it, for that case."""
    status = main([*one_case(tmp_path), "--json", *words])
    rules = json.loads(capfd.readouterr().out)["rules"]
    return status, {rule["rule"]: rule["by"] for rule in rules}


def test_every_active_rule_is_told_with_the_best_that_exercises_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    status, by = coverage(tmp_path, capfd)
    assert status == 0
    assert (by["killed"], by["killed-from-outside"]) == ("elected in a case", "seen in a case")
    assert (by["zz-shown"], by["zz-never"]) == ("an example", "nothing")
    assert "zz-gone" not in by


def test_a_rule_of_every_experiment_is_of_none(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*one_case(tmp_path), "--json"]) == 0
    codes = {rule["rule"]: rule["code"] for rule in json.loads(capfd.readouterr().out)["rules"]}
    assert codes["output-missing"] == "COMMON-4001"
    assert codes["zz-never"] == "COMPASS-1299"


@pytest.mark.parametrize(("words", "status"), [("--at-least=10", 0), ("--at-least=100", 1), ("--by-cases=50", 1)])
def test_too_little_is_told_by_the_status(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], words: str, status: int
) -> None:
    assert coverage(tmp_path, capfd, words)[0] == status


def test_a_share_is_rounded_down_and_its_lack_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilotext.cli.rules.coverage.share", lambda _covered, _kinds: 76.9953)
    assert main([*one_case(tmp_path), "--by-cases", "77"]) == 1
    out, err = capfd.readouterr()
    assert "by cases: 76.99 %" in out
    assert err == "pilotext: cases exercise 76.99 % of the rules, 77 % are required; add cases for the rules listed\n"


def test_people_see_the_rules_that_no_case_exercises(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "coverage"]) == 0
    out = capfd.readouterr().out
    assert out.splitlines()[-1].startswith("rules: ")
    assert "exercised by" in out


def test_a_case_that_cannot_be_read_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "case.yaml").write_text("job_type: coral\n")
    assert main(["rules", "coverage", str(tmp_path)]) == 64
    assert "`expect`: this field is missing." in capfd.readouterr().err
