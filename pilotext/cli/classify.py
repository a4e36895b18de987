"""`pilotext classify`: classify the logs of a program that has ended."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

import msgspec

from pilotext.classify import Case, classify_files
from pilotext.cli.arguments import FilePath, FolderPath, add_experiment, add_rules, experiment_of
from pilotext.cli.output import write, write_json
from pilotext.errors import UsageError
from pilotext.model.job import Kind
from pilotext.model.verdict import ExitStatus, Verdict
from pilotext.profile import known_experiments, load_experiment
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import RuleSet

EXAMPLE = "pilotext classify --job-type 'mass production' --stdout OUT --stderr ERR --exit 1"
SIGNALS = {member.name: int(member) for member in signal.Signals}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_case_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the verdict as one JSON document")
    parser.add_argument("--fail", action="store_true", help="exit with status 1 if the verdict is failure")


def add_case_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what describes the program: its type, how it ended, and its logs."""
    add_experiment(parser, "the experiment whose rules apply")
    parser.add_argument(
        "--job-type", metavar="T", help="the type of the job, such as 'mass production' (default: any program)"
    )
    parser.add_argument("--stdout", action=FilePath, type=_log, metavar="FILE", help="the file of its standard output")
    parser.add_argument("--stderr", action=FilePath, type=_log, metavar="FILE", help="the file of its standard error")
    ended = parser.add_mutually_exclusive_group()
    ended.add_argument("--exit", type=_code, dest="ended", metavar="N", help="its exit code; -9 is the signal 9")
    ended.add_argument(
        "--signal", type=_signal, dest="ended", metavar="NAME", help="the signal that ended it: SIGKILL, KILL or 9"
    )
    parser.add_argument("--core", action="store_true", help="the signal made it dump core")
    parser.add_argument(
        "--workdir", action=FolderPath, type=_folder, metavar="DIR", help="its work directory, for rules about files"
    )
    parser.add_argument("--software", default="", metavar="V", help="the version of the experiment's software")
    add_rules(parser)


def run(options: argparse.Namespace) -> int:
    """Print the verdict. The exit status is 0 whatever it is, but 1 for a failure with `--fail`."""
    ruleset = load_rules(experiment_of(options), options.rules)
    streams = streams_of(options)
    verdict = verdict_of(options, ruleset)
    if options.json:
        write_json(msgspec.json.encode(verdict))
    else:
        from pilotext.cli.verdict_page import page  # noqa: PLC0415

        write(page(verdict, streams).encode())
    return int(options.fail and verdict.verdict == "failure")


def verdict_of(options: argparse.Namespace, ruleset: RuleSet) -> Verdict:
    case = case_of(options, ruleset)
    return classify_files(
        ruleset,
        kind=case.kind,
        job_type=case.job_type,
        streams=streams_of(options),
        exit=case.exit,
        workdir=case.workdir,
        software=case.software,
    )


def streams_of(options: argparse.Namespace) -> dict[str, Path]:
    named = {"stdout": options.stdout, "stderr": options.stderr}
    return {name: path for name, path in named.items() if path is not None}


def case_of(options: argparse.Namespace, ruleset: RuleSet) -> Case:
    return Case(
        kind=_kind(options, ruleset),
        job_type=options.job_type or "",
        exit=_exit_status(options),
        workdir=options.workdir,
        software=options.software,
    )


def _kind(options: argparse.Namespace, ruleset: RuleSet) -> Kind:
    if options.job_type is None:
        return "tool"
    if options.job_type in ruleset.kinds:
        return ruleset.kinds[options.job_type]
    try:
        return load_experiment(ruleset.experiment, options.rules).kind_of(options.job_type)
    except UsageError as error:
        others = [name for name in known_experiments(options.rules) if name != ruleset.experiment]
        having = [name for name in others if options.job_type in load_experiment(name, options.rules).job_types]
        if not having:
            raise
        advice = f"It is a job type of {', '.join(having)}: add --experiment {having[0]}."
        raise UsageError(error.message, advice=advice) from None


def _exit_status(options: argparse.Namespace) -> ExitStatus | None:
    ended: ExitStatus | None = options.ended
    if not options.core:
        return ended
    if ended is None or ended.signal is None:
        raise UsageError("--core needs a signal.", advice="Give --signal NAME.")
    return msgspec.structs.replace(ended, core=True)


def _log(word: str) -> Path:
    path = Path(word)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{word}: there is no such file")
    return path


def _folder(word: str) -> Path:
    path = Path(word)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{word}: there is no such folder")
    return path


def _code(word: str) -> ExitStatus:
    try:
        code = int(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word}: this is not a number; give a signal as --signal") from None
    return ExitStatus(code=code) if code >= 0 else _signal(str(-code))


def _signal(word: str) -> ExitStatus:
    name = word.upper()
    numbers = {str(number): known for known, number in SIGNALS.items()}
    found = next((known for known in (name, f"SIG{name}") if known in SIGNALS), numbers.get(word))
    if found is None:
        raise argparse.ArgumentTypeError(f"{word}: there is no such signal")
    return ExitStatus(signal=found)
