"""Compiled rules: an installer's, never what a run or another user could have written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pilotext.profile import find_rules_root
from pilotext.rules import loader
from pilotext.rules.literals import literals_of_pattern, required_literals
from pilotext.rules.loader import compile_rules, load_rules
from pilotext.rules.search_texts import search_texts, search_texts_of_pattern


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "rules"
    shutil.copytree(find_rules_root(), root, ignore=shutil.ignore_patterns("compiled"))
    monkeypatch.setattr("pilotext.profile.find_rules_root", lambda: root)
    return root


def read_anew(monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the rules are read from their files."""
    seen: list[object] = []
    real = loader._read
    monkeypatch.setattr(loader, "_read", lambda *words: seen.append(1) or real(*words))  # type: ignore[func-returns-value]
    load_rules("COMPASS")
    return bool(seen)


def test_compiled_rules_are_the_rules_that_were_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = load_rules("COMPASS")
    assert read_anew(monkeypatch), "a run compiles nothing by itself"
    compile_rules("COMPASS")
    assert not read_anew(monkeypatch)
    assert load_rules("COMPASS") == read


def test_a_run_with_compiled_rules_derives_no_literals_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def derived_anew(pattern: str) -> None:
        raise AssertionError(pattern)

    conditions = [condition for rule in load_rules("COMPASS").rules for condition in rule.conditions]
    derived = [(required_literals(condition), search_texts(condition)) for condition in conditions]
    compile_rules("COMPASS")
    for texts in (literals_of_pattern, search_texts_of_pattern):
        monkeypatch.setattr(texts, "_known", {})
        monkeypatch.setattr(texts, "_derive", derived_anew)
    load_rules("COMPASS")
    assert [(required_literals(condition), search_texts(condition)) for condition in conditions] == derived


def test_compiled_rules_that_were_moved_count_and_name_the_files_where_they_are_now(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment is made in one place, and published on CVMFS in another."""
    compile_rules("COMPASS")
    moved = root.rename(root.with_name("moved"))
    monkeypatch.setattr("pilotext.profile.find_rules_root", lambda: moved)
    assert not read_anew(monkeypatch)
    assert {rule.place.file.is_relative_to(moved) for rule in load_rules("COMPASS").rules} == {True}


@pytest.mark.parametrize("change", ["a rule file", "a further file", "another format"])
def test_what_is_out_of_date_does_not_count(root: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    path = compile_rules("COMPASS")
    if change == "a rule file":
        with (root / "common/shell.yaml").open("a") as file:
            file.write("# changed\n")
    elif change == "a further file":
        shutil.copy(root / "na62/experiment.yaml", root / "common/zz.yaml.tmp")
        (root / "common/zz.yaml").write_text("format: 1\n")
    else:
        path.write_bytes(path.read_bytes()[:65] + b"\x93\x01\x02\x03")
    assert read_anew(monkeypatch)


@pytest.mark.parametrize("which", ["file", "folder"])
def test_what_others_could_have_written_does_not_count(root: Path, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    path = compile_rules("COMPASS")
    (path if which == "file" else path.parent).chmod(0o777)
    assert read_anew(monkeypatch)


def test_no_run_leaves_or_takes_anything_in_the_users_folders(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache there is another payload's to write."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PILOTEXT_CACHE", str(tmp_path / "cache"))
    load_rules("COMPASS")
    assert {path.name for path in tmp_path.iterdir()} == {"rules"}
