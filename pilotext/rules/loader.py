"""The rules of an experiment, found in their folders and read.

They are read from their own files each time. A compiled form in a folder that a payload can write to would let one
payload decide on the verdict of the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pilotext.profile import find_profile, rule_files, rules_roots
from pilotext.rules.schema import RuleSet


def load_rules(experiment: str, folders: Sequence[Path] = ()) -> RuleSet:
    """The rules of `common` and of the experiment, from our own rule files and from further `folders`.

    Raises UsageError for an experiment that nobody knows, RuleFilesError with every problem of every file.
    """
    profile = find_profile(experiment, folders)
    subfolders = ("common", profile.parent.name)
    files = [path for root in rules_roots(folders) for name in subfolders for path in rule_files(root / name)]
    from pilotext.rules.reading import read_rules  # noqa: PLC0415  a YAML reader, for those who load rules only

    return read_rules(profile, files)
