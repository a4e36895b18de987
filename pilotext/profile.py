"""What an experiment is: its name, its CERN number and its job types, from `rules/<experiment>/experiment.yaml`.

Rule files and profiles lie in one folder, `rules/`: the checkout's own beside the package, or the installed one in
`<prefix>/share/pilotext/rules`. Further folders of the same layout are given by the caller or by PILOTEXT_RULES.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pilotext import decode
from pilotext.errors import FieldError, Problem, RuleFilesError, UsageError
from pilotext.model import Kind, SoftStop

if TYPE_CHECKING:
    from pilotext.yamlfile import Document

PROFILE = "experiment.yaml"
ENGINE = 1
"""The version of the format of profiles that this pilotext reads."""


class JobType(msgspec.Struct, frozen=True):
    """A type of job that the experiment runs; what else its profile says is data for whoever makes jobs from it."""

    kind: Kind
    setup: str | None = None
    command: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    outputs: tuple[dict[str, Any], ...] = ()
    success: dict[str, Any] = {}
    soft_stop: SoftStop | None = None
    """How its programs are asked to finish early, for jobs that do not say it themselves."""


class Experiment(msgspec.Struct, frozen=True):
    """An experiment: `number` is its CERN number (58 for NA58), which leads its error codes.

    `names` holds the patterns of its file names, `merges` what is merged from its outputs.
    """

    engine: int
    experiment: str
    number: int
    job_types: dict[str, JobType]
    names: dict[str, str] = {}
    merges: dict[str, dict[str, Any]] = {}

    @property
    def name(self) -> str:
        return self.experiment

    def kind_of(self, job_type: str) -> Kind:
        """The kind of a job type. Raises UsageError, with the nearest type, if there is no such type."""
        if job_type in self.job_types:
            return self.job_types[job_type].kind
        raise UsageError(f"{self.name} has no job type {job_type!r}.", advice=_choice(job_type, list(self.job_types)))


def find_rules_root() -> Path:
    """The folder of rule files that belongs to this pilotext. Raises UsageError if it is nowhere."""
    package = Path(__file__).resolve().parent
    checkout = package.parent / "rules"
    # Installers put shared files beside `lib`, be it of a virtual environment, of --user, --prefix or --target.
    installed = [folder / "share" / "pilotext" / "rules" for folder in (*package.parents[:4], Path(sys.prefix))]
    for root in (checkout, *installed):
        if (root / "common").is_dir():
            return root
    raise UsageError(
        f"there are no rule files, neither in {checkout} nor in any of {installed}.", advice="Install again."
    )


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
    return tuple(
        sorted(path.parent.name.upper() for root in rules_roots(folders) for path in root.glob(f"*/{PROFILE}"))
    )


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
    raise UsageError(f"there is no experiment {name!r}.", advice=_choice(name.upper(), list(known)))


def read_profile(path: Path) -> Experiment:
    """The profile in this file. Raises RuleFilesError with every problem that it has."""
    from pilotext.yamlfile import read_yaml  # noqa: PLC0415  most runs have their rules from the cache

    document = read_yaml(path)
    if document.problems:
        raise RuleFilesError(document.problems)
    if problem := document.engine_problem(ENGINE):
        raise RuleFilesError([problem])
    try:
        experiment = decode.from_plain(document.data, Experiment)
    except FieldError as error:
        raise RuleFilesError([document.field_problem((), error)]) from None
    if problem := _wrong_folder(document, experiment):
        raise RuleFilesError([problem])
    return experiment


def _wrong_folder(document: Document, experiment: Experiment) -> Problem | None:
    folder = document.path.parent.name
    if experiment.name.lower() == folder:
        return None
    return document.problem(
        ("experiment",), f"experiment {experiment.name} stands in the folder {folder!r}.", "Give both the same name."
    )


def _choice(word: str, known: list[str]) -> str:
    if meant := decode.nearest(word, known):
        return f"Did you mean {meant!r}?"
    return f"Known are: {', '.join(known)}."
