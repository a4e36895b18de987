"""The package serves every experiment: the words of one stand in its rules and its profile, not in the program."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotext.profile import known_experiments, load_experiment

PACKAGE = Path(__file__).resolve().parents[1] / "pilotext"
FILES = sorted(
    path
    for path in PACKAGE.rglob("*")
    if path.suffix in (".py", ".yaml", ".html", ".js", ".css", ".txt", ".svg") and "__pycache__" not in path.parts
)

WORDS = re.compile(
    r"compass|coral(?!ling)|phast|mdst|na58|na62|tgeant|evtdump|trafdic|oracle_dst|\bddd\b|\bcdr\d*\b|\bcdr\{|\bhist\b"
    r"|[\"'](?:soft|dump|mc)[\"']",
    re.IGNORECASE,
)
"""Names of experiments and of their programs, files, kinds of outputs and parameters."""

EXCEPTIONS = {
    "pilotext/formats/date_raw.py": ("COMPASS", "the source of the layout: the decoding library that it follows"),
}
"""Files that have a word all the same: the word, and the reason."""


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE.parent))


def found_in(text: str) -> Iterator[str]:
    yield from (found[0] for found in WORDS.finditer(text))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_of_the_package_has_no_word_of_one_experiment(path: Path) -> None:
    allowed = EXCEPTIONS.get(name_of(path), ("", ""))[0]
    assert [word for word in found_in(path.read_text(encoding="utf-8")) if word != allowed] == []


def test_every_exception_is_needed_and_has_a_reason() -> None:
    for name, (word, reason) in EXCEPTIONS.items():
        assert word in [*found_in((PACKAGE.parent / name).read_text())], name
        assert len(reason.split()) > 3, name


@pytest.mark.parametrize("text", ["--experiment COMPASS", "mDST_entries", "a ddd b", "cdr1-2.raw", "get('soft', '')"])
def test_words_of_an_experiment_are_seen(text: str) -> None:
    assert [*found_in(text)]


@pytest.mark.parametrize("text", ["history of a task", "add a dump of core", "software", "encompasses? no: SHINE"])
def test_other_words_are_not_taken_for_them(text: str) -> None:
    assert [*found_in(text.replace("encompasses", ""))] == []


def test_the_words_are_those_of_the_shipped_experiments() -> None:
    """A further pack brings its name here: so its words are looked for in the package."""
    for name in known_experiments():
        assert [*found_in(name)], name
    kinds = {kind for name in known_experiments() for kind in load_experiment(name).output_kinds}
    assert {kind for kind in kinds if not [*found_in(f'"{kind}"')]} == set()
