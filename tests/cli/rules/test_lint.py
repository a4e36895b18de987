from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pilotext.cli.main import main
from tests.rules.packs import EXAMPLES, RULE, Pack

GOOD = f"rules: [{{id: boom, code: 1299, match: boom, {RULE}, {EXAMPLES}}}]\n"


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    pack = Pack(tmp_path / "pack")
    pack.add("number: 62\njob_types: {}\n", "na62/experiment.yaml")
    return pack


def test_lint_of_our_own_files_finds_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pilotext", "rules", "lint"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("problems: 0\n")


def test_lint_prints_each_problem_with_its_place(
    pack: Pack, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack.add(GOOD.replace("1299", "2299").replace("match: boom, ", "match: 'boom()', ", 1), "na62/a.yaml")
    monkeypatch.chdir(pack.root)
    assert main(["rules", "lint", "na62/a.yaml"]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["na62/a.yaml:3:20:", "na62/a.yaml:3:32:", "files:"]
    assert lines[-1] == "files: 1, problems: 2"


def test_lint_of_a_folder_without_rules_is_a_wrong_use(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "lint", str(tmp_path)]) == 64
    assert "there are no rule files" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (["--format", "github"], "::error file=na62/a.yaml,line=3,col=20,title=boom::code 2299 is not in the block"),
        (["--format", "gitlab"], '"path": "na62/a.yaml"'),
        (["--json"], '"column": 20'),
    ],
)
def test_lint_speaks_to_the_services_that_show_it_beside_a_change(
    pack: Pack, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: list[str], words: str
) -> None:
    path = pack.add(GOOD.replace("1299", "2299"), "na62/a.yaml")
    monkeypatch.chdir(pack.root)
    assert main(["rules", "lint", str(path), *form]) == 1
    out = capfd.readouterr().out
    assert words in out
    if "github" not in form:
        json.loads(out)
    pack.add(GOOD, "na62/a.yaml")
    assert main(["rules", "lint", str(path), *form]) == 0
    assert words not in capfd.readouterr().out


def test_an_annotation_stays_in_one_line(pack: Pack, capfd: pytest.CaptureFixture[str]) -> None:
    path = pack.add(GOOD.replace("match: boom", r'match: "boom()\n100%"', 1), "na62/a.yaml")
    assert main(["rules", "lint", str(path), "--format", "github"]) == 1
    assert all(line.startswith("::error file=") for line in capfd.readouterr().out.splitlines())


def test_lint_updates_the_lock_and_then_agrees_with_it(pack: Pack, capfd: pytest.CaptureFixture[str]) -> None:
    pack.add(GOOD, "na62/a.yaml")
    assert main(["rules", "lint", "--update-lock", str(pack.root)]) == 0
    assert json.loads((pack.root / "lock.json").read_text())["na62"]["boom"]["code"] == 1299
    pack.add(GOOD.replace("1299", "1298"), "na62/a.yaml")
    assert main(["rules", "lint", str(pack.root)]) == 1
    assert "the rule's code was 1299" in capfd.readouterr().out


@pytest.mark.parametrize("form", ["github", "gitlab"])
def test_annotations_name_files_from_the_top_of_the_repository_wherever_lint_runs(
    pack: Pack, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    path = pack.add(GOOD.replace("1299", "2299"), "na62/a.yaml")
    (pack.root.parent / ".git").mkdir()
    monkeypatch.chdir(path.parent)
    assert main(["rules", "lint", "a.yaml", "--format", form]) == 1
    assert f"{pack.root.name}/na62/a.yaml" in capfd.readouterr().out
    assert main(["rules", "lint", "a.yaml"]) == 1
    assert capfd.readouterr().out.startswith("a.yaml:3:20: boom: code 2299")
