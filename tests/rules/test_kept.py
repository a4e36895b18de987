from __future__ import annotations

from pathlib import Path

import pytest

from pilotext import cache
from pilotext.errors import RuleFilesError
from pilotext.rules import loader
from pilotext.rules.loader import load_rules


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTEXT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "common").mkdir(parents=True)
    write(folder, "Killed by the site")
    return folder


def write(folder: Path, text: str) -> None:
    (folder / "common" / "site.yaml").write_text(
        f"""engine: 1
rules:
  - id: ended-by-site
    code: 2990
    title: The site ended the job
    cause: killed
    action: retry
    contains: {text}
    examples: [{{match: {text}}}, {{no-match: something else}}]
"""
    )


def test_rules_from_the_cache_are_the_rules_that_were_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_rules("COMPASS", [folder])
    monkeypatch.setattr(loader, "_read", lambda *_: pytest.fail("they were there"))
    assert load_rules("COMPASS", [folder]) == first


def test_a_changed_file_is_read_again(folder: Path) -> None:
    before = load_rules("COMPASS", [folder])
    write(folder, "Killed by the queue")
    after = load_rules("COMPASS", [folder])
    assert after.digest != before.digest
    changed = after.rule("ended-by-site")
    assert changed is not None
    assert changed.text.contains == "Killed by the queue"


def test_a_file_with_a_problem_is_refused_each_time(folder: Path) -> None:
    write(folder, "[not, a, text]")
    for _ in range(2):
        with pytest.raises(RuleFilesError):
            load_rules("COMPASS", [folder])


def test_what_another_version_kept_is_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_rules("COMPASS", [folder])
    monkeypatch.setattr(cache, "get", lambda name: b"\x93\x01\x02\x03")
    assert load_rules("COMPASS", [folder]) == first


def test_another_version_of_the_code_reads_the_files_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_rules("COMPASS", [folder])
    monkeypatch.setattr("pilotext.__version__", "another")
    monkeypatch.setattr(loader, "_read", lambda *_: pytest.fail("it is read"))
    with pytest.raises(pytest.fail.Exception, match="it is read"):
        load_rules("COMPASS", [folder])


def test_changed_code_reads_the_files_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "pilotext"
    package.mkdir()
    (package / "model.py").write_text("old = 1\n")
    monkeypatch.setattr("pilotext.__file__", str(package / "__init__.py"))
    load_rules("COMPASS", [folder])
    monkeypatch.setattr(loader, "_read", lambda *_: pytest.fail("it is read"))
    load_rules("COMPASS", [folder])
    (package / "model.py").write_text("changed = 1\n")
    with pytest.raises(pytest.fail.Exception, match="it is read"):
        load_rules("COMPASS", [folder])
