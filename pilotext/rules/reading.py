"""Rule set of an experiment from its rule files, checked; imported only if there is no compiled form."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from pilotext.errors import FileProblem, RuleFilesError
from pilotext.model.codes import Code
from pilotext.profile import Experiment, read_profile
from pilotext.rules.explanations import explanations
from pilotext.rules.lint.group import Group
from pilotext.rules.lint.identity import repeated_names
from pilotext.rules.lint.patterns import patterns_that_are_none
from pilotext.rules.schema import Rule, RuleSet, RuleText, conditions_of
from pilotext.rules.source import Entry, Source, apply_overrides, read_source


def read_rules(profile_file: Path, files: Sequence[Path]) -> RuleSet:
    """Return the rules in these files, for the experiment of this profile.

    Raises RuleFilesError with every problem of every file.
    """
    profile = read_profile(profile_file)
    source = read_source(files)
    in_force = apply_overrides(source.rules)
    group = Group(profile.name, in_force.rules, source.counters)
    problems = [*source.problems, *in_force.problems, *_wrong_codes(source, profile)]
    problems += [*repeated_names(group), *patterns_that_are_none(group)]
    if problems:
        raise RuleFilesError(problems)
    explained = explanations([entry.text for entry in in_force.rules])
    rules = tuple(_rule(entry, profile, explained[entry.text.id]) for entry in in_force.rules)
    counters = tuple(entry.text for entry in source.counters)
    markers = {name: job_type.success.marker for name, job_type in profile.job_types.items() if job_type.success.marker}
    content = msgspec.json.encode([profile.number, [rule.text for rule in rules], counters, markers])
    kinds = {name: job_type.kind for name, job_type in profile.job_types.items()}
    digest = hashlib.sha256(content).hexdigest()[:16]
    codes = tuple((one.start, one.stop - 1) for one in profile.code_ranges)
    return RuleSet(profile.name, profile.number, rules, counters, digest, kinds, markers, codes, profile.file_checks)


def _rule(entry: Entry[RuleText], profile: Experiment, explains: tuple[str, ...]) -> Rule:
    text = msgspec.structs.replace(entry.text, explains=explains, consequence_of=())
    code = Code(profile.name, profile.number, text.code)
    return Rule(text, code, conditions_of(text), entry.experiment is None, entry.place)


def _wrong_codes(source: Source, profile: Experiment) -> Iterator[FileProblem]:
    for entry in source.rules:
        try:
            Code(profile.name, profile.number, entry.text.code)
        except ValueError as error:
            yield entry.problem("code", f"{error}.")
