"""All problems of rule files, for people who write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pilotext.errors import Problem, RuleFilesError, UsageError
from pilotext.profile import PROFILE, find_rules_root, read_profile
from pilotext.rules.checks import CHECKS, Group
from pilotext.rules.schema import RuleText
from pilotext.rules.source import Entry, Source, read_source, rule_files


def lint(paths: Sequence[Path] = ()) -> list[Problem]:
    """Every problem of the rule files and profiles at `paths` (files or folders; our own by default), by place.

    The files that lie beside them, and those of `common`, are read too, for what the checks compare with.
    Raises UsageError if nothing is there.
    """
    wanted = yaml_files(paths or [find_rules_root()])
    source = read_source(_with_neighbours(wanted))
    problems = {*source.problems, *_profile_problems(wanted)}
    for group in _groups(source):
        problems.update(problem for check in CHECKS for problem in check(group))
    return sorted(problem for problem in problems if problem.file in wanted)


def yaml_files(paths: Sequence[Path]) -> list[Path]:
    """The YAML files at `paths`, each once. Raises UsageError for a path without any."""
    found: dict[Path, None] = {}
    for path in paths:
        files = [path] if path.is_file() else sorted(path.rglob("*.yaml"))
        if not files:
            raise UsageError(f"{path}: there are no rule files.")
        found.update(dict.fromkeys(file.resolve() for file in files))
    return list(found)


def _with_neighbours(files: Sequence[Path]) -> list[Path]:
    folders: dict[Path, None] = {}
    for file in files:
        folders[file.parent] = None
        common = file.parent.parent / "common"
        folders[common if common.is_dir() else find_rules_root() / "common"] = None
    rules = [file for file in files if file.name != PROFILE]
    # Neighbours first, so that a name that is taken is told where it is taken a second time: in the files asked for.
    return [*(path for folder in folders for path in rule_files(folder) if path not in rules), *rules]


def _profile_problems(files: Sequence[Path]) -> Iterator[Problem]:
    for file in files:
        if file.name == PROFILE:
            try:
                read_profile(file)
            except RuleFilesError as error:
                yield from error.problems


def _groups(source: Source) -> Iterator[Group]:
    experiments = [*(rule.experiment for rule in source.rules), *(counter.experiment for counter in source.counters)]
    for name in dict.fromkeys([None, *experiments]):
        rules = tuple(rule for rule in source.rules if rule.experiment in (None, name))
        counters = tuple(counter for counter in source.counters if counter.experiment in (None, name))
        yield Group(name, rules, counters, _job_types(rules))


def _job_types(rules: Sequence[Entry[RuleText]]) -> tuple[str, ...]:
    """The job types in the profiles of these rules; what is wrong in a profile is told where that is checked itself."""
    types: list[str] = []
    for folder in {rule.document.path.parent for rule in rules if rule.experiment}:
        own = folder / PROFILE
        try:
            types += read_profile(own if own.is_file() else find_rules_root() / folder.name / PROFILE).job_types
        except RuleFilesError:
            continue
    return tuple(types)
