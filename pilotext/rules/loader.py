"""The rules of an experiment: found in their folders, and read if they are not known yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pilotext.profile import find_profile, rule_files, rules_roots
from pilotext.rules.kept import kept_rules
from pilotext.rules.schema import RuleSet


def load_rules(experiment: str, folders: Sequence[Path] = ()) -> RuleSet:
    """The rules of `common` and of the experiment, from our own rule files and from further `folders`.

    Raises UsageError for an experiment that nobody knows, RuleFilesError with every problem of every file.
    """
    profile = find_profile(experiment, folders)
    subfolders = ("common", profile.parent.name)
    files = [path for root in rules_roots(folders) for name in subfolders for path in rule_files(root / name)]
    return kept_rules([profile, *files], lambda: _read(profile, files))


def _read(profile: Path, files: Sequence[Path]) -> RuleSet:
    from pilotext.rules.reading import read_rules  # noqa: PLC0415  a YAML reader, which most runs can do without

    return read_rules(profile, files)
