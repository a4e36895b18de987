"""Run of all checks on rule files and profiles, for their authors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pilotext.errors import FileProblem, RuleFilesError, UsageError
from pilotext.profile import PROFILE, Experiment, find_rules_root, read_profile, rule_files, rules_roots
from pilotext.rules.lint.edges import edges_without_effect
from pilotext.rules.lint.group import Check, Group
from pilotext.rules.lint.identity import IDENTITY_CHECKS
from pilotext.rules.lint.patterns import PATTERN_CHECKS
from pilotext.rules.lint.profiles import profile_problems
from pilotext.rules.lint.references import REFERENCE_CHECKS
from pilotext.rules.lint.shadowed import shadowed_rules, tied_rules
from pilotext.rules.lint.slow_patterns import slow_patterns
from pilotext.rules.lock import lock_problems
from pilotext.rules.schema import RuleText
from pilotext.rules.source import Entry, Source, apply_overrides, read_source

CHECKS: tuple[Check, ...] = (
    *IDENTITY_CHECKS,
    *PATTERN_CHECKS,
    *REFERENCE_CHECKS,
    edges_without_effect,
    slow_patterns,
    shadowed_rules,
    tied_rules,
)


def lint(paths: Sequence[Path] = (), folders: Sequence[Path] = ()) -> list[FileProblem]:
    """Return every problem of the rule files and profiles at `paths` (files or folders; ours by default), by position.

    Files that are used together with them are read for comparison: the files beside them, our own, and those of the
    further `folders`. Raises UsageError if a path has no rule files.
    """
    wanted = yaml_files(paths or [find_rules_root()])
    source = read_source(_with_neighbours(wanted, folders))
    problems = {*source.problems, *_profile_problems(wanted, source)}
    for group, found in _groups(source):
        documents = [*(rule.document for rule in group.rules), *(counter.document for counter in group.counters)]
        if any(document.path in wanted for document in documents):
            problems.update(found, *(check(group) for check in CHECKS))
    told = [problem for problem in problems if problem.file in wanted]
    return sorted([*told, *lock_problems(source.rules, wanted)])


def yaml_files(paths: Sequence[Path]) -> list[Path]:
    """Return the YAML files at `paths`, each once. Raises UsageError for a path without any."""
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
    # Neighbours first, so that a repeated name is reported in the files asked for.
    return [*(path for place in places for path in rule_files(place) if path not in rules), *rules]


def _profile_problems(files: Sequence[Path], source: Source) -> Iterator[FileProblem]:
    for file in files:
        if file.name == PROFILE:
            yield from profile_problems(file, source)


def _groups(source: Source) -> Iterator[tuple[Group, tuple[FileProblem, ...]]]:
    """Yield each group of rules in force, with the problems of its overrides."""
    experiments = [*(rule.experiment for rule in source.rules), *(counter.experiment for counter in source.counters)]
    for name in dict.fromkeys([None, *experiments]):
        in_force = apply_overrides([rule for rule in source.rules if rule.experiment in (None, name)])
        counters = tuple(counter for counter in source.counters if counter.experiment in (None, name))
        profiles = _profiles(in_force.rules)
        jobs = tuple(word for one in profiles for word in (*one.job_types, *one.job_kinds))
        codes = tuple(codes for one in profiles for codes in one.code_ranges) or Group.codes
        yield Group(name, in_force.rules, counters, jobs, codes), in_force.problems


def _profiles(rules: Sequence[Entry[RuleText]]) -> list[Experiment]:
    """Return the profiles of these rules; wrong ones are reported elsewhere."""
    found: list[Experiment] = []
    for folder in {rule.document.path.parent for rule in rules if rule.experiment}:
        own = folder / PROFILE
        try:
            found.append(read_profile(own if own.is_file() else find_rules_root() / folder.name / PROFILE))
        except RuleFilesError:
            continue
    return found
