"""All problems of rule files, for people who write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pilotext.errors import Problem, RuleFilesError, UsageError
from pilotext.profile import PROFILE, find_rules_root, read_profile, rule_files, rules_roots
from pilotext.rules.checks import CHECKS, Check, Group
from pilotext.rules.lock import lock_problems
from pilotext.rules.override import settle
from pilotext.rules.profiles import profile_problems
from pilotext.rules.schema import RuleText
from pilotext.rules.shadow import shadowed_rules
from pilotext.rules.slow import slow_patterns
from pilotext.rules.source import Entry, Source, read_source

ALL_CHECKS: tuple[Check, ...] = (*CHECKS, slow_patterns, shadowed_rules)


def lint(paths: Sequence[Path] = (), folders: Sequence[Path] = ()) -> list[Problem]:
    """Every problem of the rule files and profiles at `paths` (files or folders; our own by default), by place.

    What is used together with them is read too, for what the checks compare with: the files beside them, our own, and
    those of the further `folders`. Raises UsageError if nothing is there.
    """
    wanted = yaml_files(paths or [find_rules_root()])
    source = read_source(_with_neighbours(wanted, folders))
    problems = {*source.problems, *_profile_problems(wanted)}
    for group, found in _groups(source):
        problems.update(found, *(check(group) for check in ALL_CHECKS))
    told = [problem for problem in problems if problem.file in wanted]
    return sorted([*told, *lock_problems(source.rules, wanted)])


def yaml_files(paths: Sequence[Path]) -> list[Path]:
    """The YAML files at `paths`, each once. Raises UsageError for a path without any."""
    found: dict[Path, None] = {}
    for path in paths:
        files = [path] if path.is_file() else sorted(path.rglob("*.yaml"))
        if not files:
            raise UsageError(f"{path}: there are no rule files.")
        found.update(dict.fromkeys(file.resolve() for file in files))
    return list(found)


def _with_neighbours(files: Sequence[Path], folders: Sequence[Path]) -> list[Path]:
    roots = rules_roots(folders)
    places: dict[Path, None] = {}
    for file in files:
        used = (*roots, file.parent.parent)
        places.update(dict.fromkeys(root / name for root in used for name in ("common", file.parent.name)))
    rules = [file for file in files if file.name != PROFILE]
    # Neighbours first, so that a name that is taken is told where it is taken a second time: in the files asked for.
    return [*(path for place in places for path in rule_files(place) if path not in rules), *rules]


def _profile_problems(files: Sequence[Path]) -> Iterator[Problem]:
    for file in files:
        if file.name == PROFILE:
            yield from profile_problems(file)


def _groups(source: Source) -> Iterator[tuple[Group, tuple[Problem, ...]]]:
    """Each group of rules in force, with what is wrong in the overrides that made it."""
    experiments = [*(rule.experiment for rule in source.rules), *(counter.experiment for counter in source.counters)]
    for name in dict.fromkeys([None, *experiments]):
        settled = settle([rule for rule in source.rules if rule.experiment in (None, name)])
        counters = tuple(counter for counter in source.counters if counter.experiment in (None, name))
        yield Group(name, settled.rules, counters, _job_types(settled.rules)), settled.problems


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
