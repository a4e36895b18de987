"""The bounds of setup.cfg, and the lock in requirements/ that bin/prepare installs."""

from __future__ import annotations

import configparser
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parents[1]
LOCKS = sorted((CHECKOUT / "requirements").glob("*.txt"))
PYTHONS = ("3.11", "3.12", "3.13")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
_ENTRY = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[\w.!+]+)(?: ; (?P<marker>.+))?")

Wanted = dict[str, list[Requirement]]


@dataclass(frozen=True)
class Entry:
    """One package of a lock file, with the marker that says where it holds."""

    name: str
    version: str
    marker: str | None

    def holds_on(self, python: str) -> bool:
        return self.marker is None or Marker(self.marker).evaluate(on(python))


def on(python: str) -> dict[str, str]:
    return {"python_version": python, "python_full_version": f"{python}.1"}


def wanted() -> Wanted:
    """Requirements of setup.cfg and pyproject.toml by the lock file that must hold them; aliases of extras left out."""
    config = configparser.ConfigParser()
    config.read(CHECKOUT / "setup.cfg")
    texts = {"worker": config["options"]["install_requires"], **config["options.extras_require"]}
    asked = {name: [Requirement(line) for line in text.split("\n") if line.strip()] for name, text in texts.items()}
    asked = {name: needs for name, needs in asked.items() if not any(one.name == "pilotext" for one in needs)}
    build = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["build-system"]["requires"]
    return asked | {"build": [Requirement(text) for text in build]}


def entries(text: str) -> list[Entry]:
    """The packages of a lock file. Raises ValueError for whatever is no package with its version and its hashes."""
    found = []
    for block in re.sub(r"\\\n\s+", "", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)).splitlines():
        plain = _HASH.sub("", block).strip()
        entry = _ENTRY.fullmatch(plain)
        if entry is None:
            raise ValueError(f"{plain}: this is no package with one version")
        if not _HASH.search(block):
            raise ValueError(f"{plain}: there is no hash")
        found.append(Entry(entry["name"], entry["version"], entry["marker"]))
    return found


def has_both_bounds(specifier: SpecifierSet) -> bool:
    operators = {one.operator for one in specifier}
    return operators == {"=="} or (bool(operators & {">=", ">"}) and bool(operators & {"<", "<="}))


def missing(asked: list[Requirement], locked: list[Entry], python: str) -> list[str]:
    """The requirements that no entry fulfils on this Python."""
    return [
        str(one)
        for one in asked
        if (one.marker is None or one.marker.evaluate(on(python)))
        and not any(
            entry.name == canonicalize_name(one.name) and entry.holds_on(python) and entry.version in one.specifier
            for entry in locked
        )
    ]


@pytest.mark.parametrize("name", sorted(wanted()))
def test_every_dependency_has_a_lower_and_an_upper_bound(name: str) -> None:
    assert [str(one) for one in wanted()[name] if not has_both_bounds(one.specifier)] == []


@pytest.mark.parametrize("text", ["", ">= 1", "< 2", "!= 1.5"])
def test_a_bound_that_is_missing_is_seen(text: str) -> None:
    assert not has_both_bounds(SpecifierSet(text))


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_every_entry_of_the_lock_has_one_version_and_hashes_and_no_host(path: Path) -> None:
    text = path.read_text()
    assert entries(text)
    assert re.findall(r"(?i)\S*(?:://|index-url|find-links|trusted-host|\.(?:org|com|net|io|ch)\b)\S*", text) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("requests==2.34.2\n", "no hash"),
        (f"requests>=2.34 \\\n    --hash=sha256:{'a' * 64}\n", "no package with one version"),
        ("--index-url https://example.org/simple\n", "no package with one version"),
        (f"requests==2.34.2 \\\n    --hash=md5:{'a' * 32}\n", "no package with one version"),
    ],
)
def test_an_entry_that_could_change_is_seen(line: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        entries(line)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", sorted(wanted()))
def test_the_lock_fulfils_what_is_asked_for(name: str, python: str) -> None:
    locked = [
        entry
        for stem in {"worker", name}
        for entry in entries((CHECKOUT / f"requirements/{stem.lower()}.txt").read_text())
    ]
    assert missing(wanted()[name], locked, python) == [], "bin/lock brings requirements/ up to date"


def test_a_version_outside_the_bounds_is_missing() -> None:
    asked = [Requirement("Requests >= 2.30, < 3"), Requirement('tomli; python_version < "3.11"')]
    assert missing(asked, [Entry("requests", "2.34.2", None)], "3.11") == []
    assert missing(asked, [Entry("requests", "3.0", None)], "3.11") == ["Requests<3,>=2.30"]
    assert missing(asked, [Entry("requests", "2.34", "python_full_version >= '3.12'")], "3.11") == ["Requests<3,>=2.30"]


@pytest.mark.parametrize("python", PYTHONS)
def test_a_package_has_the_same_version_in_every_file(python: str) -> None:
    versions: dict[str, set[str]] = {}
    for entry in (entry for path in LOCKS for entry in entries(path.read_text()) if entry.holds_on(python)):
        versions.setdefault(entry.name, set()).add(entry.version)
    assert {name: found for name, found in versions.items() if len(found) != 1} == {}


def test_every_file_of_the_lock_belongs_to_something_asked_for() -> None:
    assert {path.stem for path in LOCKS} == {name.lower() for name in wanted()}
