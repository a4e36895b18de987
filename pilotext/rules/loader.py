"""Loader of an experiment's rules: from their folders, or from their compiled form if the installation has one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pilotext.profile import find_profile, rule_files, rules_roots
from pilotext.rules.compiled import read_compiled, write_compiled
from pilotext.rules.schema import RuleSet


def load_rules(experiment: str, folders: Sequence[Path] = ()) -> RuleSet:
    """Return the rules of `common` and of the experiment, from our own rule files and from further `folders`.

    Raises UsageError for an unknown experiment, RuleFilesError with every problem of every file.
    """
    profile, files = _files_of(experiment, folders)
    return read_compiled(profile, [profile, *files]) or _read(profile, files)


def _state_of(path: Path) -> tuple[str, int, int]:
    """Return the path, the size in bytes and the time of change in ns; -1 for what cannot be looked at."""
    try:
        found = path.stat()
    except OSError:  # the reader of the rules reports it
        return str(path), -1, -1
    return str(path), found.st_size, found.st_mtime_ns


class RulesCheck:
    """Checks that the rules of an experiment can be used; reads them again only when their files have changed."""

    def __init__(self) -> None:
        self._right: dict[str, list[tuple[str, int, int]]] = {}

    def __call__(self, experiment: str) -> None:
        """Raise UsageError for an unknown experiment, RuleFilesError with every problem of every file."""
        profile, files = _files_of(experiment, ())
        state = [_state_of(path) for path in (profile, *files)]
        if state != self._right.get(experiment):
            load_rules(experiment)
            self._right[experiment] = state


def compile_rules(experiment: str) -> Path:
    """Read the rules of an experiment, write their compiled form beside them, and return its path. Raises OSError."""
    profile, files = _files_of(experiment, ())
    return write_compiled(profile, [profile, *files], _read(profile, files))


def _files_of(experiment: str, folders: Sequence[Path]) -> tuple[Path, list[Path]]:
    profile = find_profile(experiment, folders)
    subfolders = ("common", profile.parent.name)
    return profile, [path for root in rules_roots(folders) for name in subfolders for path in rule_files(root / name)]


def _read(profile: Path, files: Sequence[Path]) -> RuleSet:
    from pilotext.rules.reading import read_rules  # noqa: PLC0415  a YAML reader, not needed with compiled rules

    return read_rules(profile, files)
