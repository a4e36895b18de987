"""Profile of an experiment, from `rules/<experiment>/experiment.yaml`.

`records` says what stands there, `job_builder` makes jobs of it.

Rule files and profiles lie in one folder: `rules/` of a checkout, beside the package, or `shipped_rules` inside an
installed package. Further folders of the same layout are given by the caller or by PILOTEXT_RULES.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilotext.errors import FieldError, FileProblem, RuleFilesError, UsageError, did_you_mean, known_words
from pilotext.profile.records import Experiment, JobType
from pilotext.serialization.json import from_plain

if TYPE_CHECKING:
    from pilotext.serialization.yaml import Document

__all__ = [
    "DEFAULT",
    "PROFILE",
    "Experiment",
    "JobType",
    "default_experiment",
    "find_profile",
    "find_rules_root",
    "known_experiments",
    "load_experiment",
    "read_profile",
    "rule_files",
    "rules_roots",
]

PROFILE = "experiment.yaml"
DEFAULT = "PILOTEXT_EXPERIMENT"
"""Variable with the experiment that is meant where none is named."""

FORMAT = 1
"""The version of the format of profiles that this pilotext reads."""


def find_rules_root() -> Path:
    """The folder of rule files that belongs to this pilotext. Raises UsageError if it is nowhere."""
    package = Path(str(resources.files("pilotext")))
    roots = (package.parent / "rules", package / "shipped_rules")
    for root in roots:
        if (root / "common").is_dir():
            return root
    raise UsageError(f"there are no rule files in {roots[0]} or {roots[1]}.", advice="Install again.")


def rules_roots(folders: Sequence[Path] = ()) -> tuple[Path, ...]:
    """All folders of rule files: our own, those of PILOTEXT_RULES, those given. Raises UsageError for a missing one."""
    named = [Path(entry) for entry in os.environ.get("PILOTEXT_RULES", "").split(os.pathsep) if entry]
    extra = (*named, *folders)
    for folder in extra:
        if not folder.is_dir():
            raise UsageError(f"{folder}: this folder of rule files does not exist.")
    return tuple(dict.fromkeys((find_rules_root(), *(folder.resolve() for folder in extra))))


def known_experiments(folders: Sequence[Path] = ()) -> tuple[str, ...]:
    """Names of all experiments that have a profile, sorted."""
    return _experiments_in(rules_roots(folders))


def _experiments_in(roots: Sequence[Path]) -> tuple[str, ...]:
    return tuple(sorted({path.parent.name.upper() for root in roots for path in root.glob(f"*/{PROFILE}")}))


def default_experiment(folders: Sequence[Path] = ()) -> str:
    """The experiment that is meant where none is named.

    It is that of PILOTEXT_EXPERIMENT, or the only one in the folders of one's own, or the only one at all. Raises
    UsageError where none of these says which.
    """
    if named := os.environ.get(DEFAULT, ""):
        return named.upper()
    roots = rules_roots(folders)
    for names in (_experiments_in(roots[1:]), _experiments_in(roots)):
        if len(names) == 1:
            return names[0]
    known = ", ".join(known_experiments(folders))
    advice = f"Add --experiment, or set {DEFAULT}, to one of: {known}."
    raise UsageError("several experiments have a profile, and none of them is named.", advice=advice)


def rule_files(folder: Path) -> list[Path]:
    """The rule files of a folder in a fixed order; its profile is none of them."""
    return sorted(path for path in folder.glob("*.yaml") if path.name != PROFILE)


def load_experiment(name: str, folders: Sequence[Path] = ()) -> Experiment:
    """The profile of an experiment, whatever the case of `name`.

    Raises UsageError if no folder has it, RuleFilesError if its file is wrong.
    """
    return read_profile(find_profile(name, folders))


def find_profile(name: str, folders: Sequence[Path] = ()) -> Path:
    """The file of an experiment's profile. Raises UsageError if no folder has it."""
    for root in rules_roots(folders):
        path = root / name.lower() / PROFILE
        if path.is_file():
            return path
    known = known_experiments(folders)
    hint = did_you_mean(name.upper(), known, otherwise=known_words(known))
    advice = f"{hint} Name the folder with its rules in PILOTEXT_RULES, or by --rules where there is this option."
    raise UsageError(f"there is no experiment {name!r}.", advice=advice)


def read_profile(path: Path) -> Experiment:
    """The profile in this file, read once while it does not change. Raises RuleFilesError with all its problems."""
    try:
        content = path.read_bytes()
    except OSError:  # reported below, with its reason
        content = b""
    return _read_profile(path, content)


@lru_cache(maxsize=16)
def _read_profile(path: Path, content: bytes) -> Experiment:  # noqa: ARG001  the content tells whether it has changed
    from pilotext.profile.checks import wrong  # noqa: PLC0415  a YAML reader, for those who read profiles only
    from pilotext.serialization.yaml import read_yaml  # noqa: PLC0415

    document = read_yaml(path)
    if document.problems:
        raise RuleFilesError(document.problems)
    if problem := document.format_problem(FORMAT):
        raise RuleFilesError([problem])
    try:
        experiment = from_plain(_with_likes(document), Experiment)
    except FieldError as error:
        raise RuleFilesError([document.field_problem((), error)]) from None
    problems = [*_wrong_folder(document, experiment), *(document.problem(*found) for found in wrong(experiment))]
    if problems:
        raise RuleFilesError(problems)
    return experiment


def _with_likes(document: Document) -> Any:
    """The data with each job type that is `like` another filled up from that one, key by key."""
    from pilotext.serialization.yaml import FORMER_FORMAT  # noqa: PLC0415

    data = {("format" if key == FORMER_FORMAT else key): value for key, value in document.data.items()}
    types = data.get("job_types")
    if not isinstance(types, dict):
        return data
    filled: dict[str, Any] = {}
    for name, own in types.items():
        like = own.get("like") if isinstance(own, dict) else None
        if like is not None and like not in filled:
            message = f"no job type above is called {like!r}."
            advice = did_you_mean(str(like), filled, otherwise=known_words(filled))
            problem = document.problem(("job_types", name, "like"), message, advice)
            raise RuleFilesError([problem])
        filled[name] = own if like is None else _over(filled[like], own)
    return {**data, "job_types": filled}


def _over(other: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    joined = {key: {**(other.get(key) or {}), **(own.get(key) or {})} for key in ("environment", "values")}
    return {**other, **own, **joined}


def _wrong_folder(document: Document, experiment: Experiment) -> list[FileProblem]:
    folder = document.path.parent.name
    if experiment.name.lower() == folder:
        return []
    message = f"experiment {experiment.name} is in the folder {folder!r}."
    return [document.problem(("experiment",), message, "Give both the same name.")]
