"""`pilotext profile`: check and show profiles of experiments, and begin a new one."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from pilotext.cli.arguments import FolderPath, add_rules
from pilotext.cli.output import say, write_text
from pilotext.cli.parser import Noun, Verb
from pilotext.cli.rules.problems import print_problems
from pilotext.cli.tables import print_table, write_json
from pilotext.errors import UsageError
from pilotext.formatting import duration
from pilotext.model.codes import Exit
from pilotext.profile import PROFILE, find_profile, known_experiments, load_experiment, read_profile, rules_roots
from pilotext.profile.records import Experiment, JobType, Merge
from pilotext.profile.started import write_started


def _list(options: argparse.Namespace) -> int:
    paths = [find_profile(name, options.rules) for name in known_experiments(options.rules)]
    found = [(read_profile(path), path) for path in paths]
    rows = [(each.name, each.number, len(each.job_types), len(each.sites), path) for each, path in found]
    print_table(("experiment", "number", "job types", "sites", "profile"), rows)
    return Exit.SUCCESS


def _add_lint_arguments(parser: argparse.ArgumentParser) -> None:
    text = "the experiments (default: all)"
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=text)
    add_rules(parser)


def _lint(options: argparse.Namespace) -> int:
    from pilotext.rules.lint.runner import lint  # noqa: PLC0415  reads all rules, which no other verb here needs

    files = [_only_profile(name, options.rules) for name in options.experiments or known_experiments(options.rules)]
    return print_problems(lint(files, options.rules), f"profiles: {len(files)}")


def _only_profile(name: str, folders: Sequence[Path]) -> Path:
    """Return the profile of an experiment. Raises UsageError where there are two, of which one is never read."""
    first = find_profile(name, folders)
    places = [root / name.lower() / PROFILE for root in rules_roots(folders)]
    if others := [place for place in places if place != first and place.is_file()]:
        advice = "Give the experiment in one of them another name, and its folder too."
        raise UsageError(f"{name.upper()} has two profiles: {first}, which counts, and {others[0]}.", advice=advice)
    return first


def _add_show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", metavar="EXPERIMENT", help="the experiment")
    add_rules(parser)
    parser.add_argument("--json", action="store_true", help="print the profile as one JSON document, with all defaults")


def _show(options: argparse.Namespace) -> int:
    path = find_profile(options.experiment, options.rules)
    experiment = read_profile(path)
    if options.json:
        write_json(experiment)
        return Exit.SUCCESS
    say(f"{experiment.name}, number {experiment.number}, codes {', '.join(experiment.codes)}: {path}")
    for head, rows in _tables(experiment):
        if rows:
            say("")
            print_table(head, rows)
    return Exit.SUCCESS


def _tables(experiment: Experiment) -> Iterator[tuple[Sequence[str], list[Sequence[object]]]]:
    yield (
        ("job type", "kind", "input", "time", "memory", "outputs", "merges"),
        [_job_type(name, job_type) for name, job_type in experiment.job_types.items()],
    )
    yield ("job type", "command"), [(name, " ".join(each.command)) for name, each in experiment.job_types.items()]
    yield (
        ("merge", "of", "by", "up to", "after", "compared by"),
        [_merge(name, merge) for name, merge in experiment.merges.items()],
    )
    kinds = experiment.known_output_kinds.items()
    yield ("output kind", "title", "entries"), [(name, kind.title, kind.counts) for name, kind in kinds]
    yield ("inputs", "format"), [*experiment.formats.items()]
    yield ("jobs", "balance", "if broken"), [*_balances(experiment)]
    yield ("parameter", "default"), [*experiment.parameters.items()]
    yield ("file name", "form"), [*experiment.names.items()]
    yield (
        ("site", "jobs at once", "merges go to"),
        [(name, site.max_active, site.merging) for name, site in experiment.sites.items()],
    )


def _balances(experiment: Experiment) -> Iterator[Sequence[object]]:
    for jobs, balances in (experiment.balances or {}).items():
        yield from ((jobs, law, "failed") for law in balances.hold)
        yield from ((jobs, law, "reported") for law in balances.note)


def _job_type(name: str, job_type: JobType) -> Sequence[object]:
    limits = job_type.limits
    memory = None if limits.memory_mb is None else f"{limits.memory_mb:g} MB"
    source = "none: it generates events" if job_type.generates else None
    source = source if job_type.input is None else job_type.input.form
    source = f"{source}, by ranges of events" if job_type.splits else source
    outputs = ", ".join(f"{output.kind} {output.publish_as or output.name}" for output in job_type.outputs)
    wall = None if limits.wall_s is None else duration(limits.wall_s)
    return name, job_type.kind, source, wall, memory, outputs, ", ".join(job_type.merges)


def _merge(name: str, merge: Merge) -> Sequence[object]:
    compared = None if merge.check is None else merge.check.by
    return name, merge.of, merge.type, f"{merge.limit / 1e9:g} GB", ", ".join(merge.after), compared


def _add_new_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the experiment, in capitals, as it leads its codes")
    text = "its number, which leads its codes in PanDA (61 for NA61)"
    parser.add_argument("--number", type=int, required=True, metavar="N", help=text)
    text = "the folder of rules that it belongs to (default: rules)"
    parser.add_argument("--folder", action=FolderPath, default=Path("rules"), metavar="DIR", help=text)
    add_rules(parser)


def _new(options: argparse.Namespace) -> int:
    from pilotext.rules.export.schema import profile_schema  # noqa: PLC0415  of all records of a profile

    for name in known_experiments(options.rules):
        known = load_experiment(name, options.rules)
        if options.name == known.name or options.number == known.number:
            advice = "Choose another name and number: they lead the codes of its failures."
            raise UsageError(f"{known.name}, number {known.number}, is known already.", advice=advice)
    path = write_started(options.folder, options.name, options.number, profile_schema())
    write_text(f"{path}\n")
    check = f"pilotext profile lint {options.name}"
    say(f"Name {options.folder.resolve()} in PILOTEXT_RULES, change the file, then: {check}")
    return Exit.SUCCESS


NOUN = Noun(
    {
        "list": Verb(
            "list the experiments that have a profile",
            "pilotext profile list",
            add_rules,
            _list,
        ),
        "lint": Verb(
            "report every problem of profiles, with its place and the remedy",
            "pilotext profile lint SHINE",
            _add_lint_arguments,
            _lint,
        ),
        "show": Verb(
            "print the job types, merges, parameters and sites of an experiment",
            "pilotext profile show SHINE",
            _add_show_arguments,
            _show,
        ),
        "new": Verb(
            "write a complete profile to begin with, and its schema for editors",
            "pilotext profile new SHINE --number 61 --folder /opt/shine/rules",
            _add_new_arguments,
            _new,
        ),
    },
    default="list",
)
