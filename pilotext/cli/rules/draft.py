"""`pilotext rules draft`: write the draft of a rule for a failure that no rule knows."""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

import pilotext
from pilotext.classify.explain import lines_of
from pilotext.cli import classify
from pilotext.cli.arguments import FilePath, FolderPaths, experiment_of
from pilotext.cli.output import say, write_text
from pilotext.errors import FieldError, UsageError
from pilotext.model.report import Report
from pilotext.model.verdict import Evidence, Verdict
from pilotext.rules.draft import SCHEMA, draft
from pilotext.rules.lint.identity import PLACEHOLDER
from pilotext.rules.loader import load_rules
from pilotext.serialization.json import from_json

MAX_CONTEXT_LINES = 10
SIGNATURE = re.compile("[0-9a-f]{16}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "report",
        nargs="?",
        action=FilePath,
        type=str,
        metavar="REPORT",
        help="a job.report.json of such a failure, or a signature (see --reports)",
    )
    parser.add_argument(
        "--reports", action=FolderPaths, default=[], metavar="DIR", help="search DIR for a report with the signature"
    )
    classify.add_case_arguments(parser)
    parser.add_argument("--line", metavar="STREAM:N", help="the line that shows the reason, such as stderr:812")
    parser.add_argument("--common", action="store_true", help="write a rule for every experiment")
    parser.add_argument("--output", action=FilePath, metavar="FILE", help="write a new FILE, and nothing if this fails")


def run(options: argparse.Namespace) -> int:
    """Write a rule file, which `rules lint` accepts once its author has replaced what is to be replaced."""
    if options.report is not None:
        report = _report(_file_of(options.report, options.reports))
        options.experiment, verdict = report.job.experiment, report.verdict
    ruleset = load_rules(experiment_of(options), options.rules)
    if options.report is None:
        verdict = classify.verdict_of(options, ruleset)
    evidence = _unknown(verdict) if options.line is None else _chosen(options)
    since = time.strftime("%Y-%m-%d", time.gmtime())
    text = draft(
        evidence,
        ruleset,
        since=since,
        signature=verdict.signature or "",
        common=options.common,
        schema=_schema_from(options.output),
    )
    if options.output is None:
        write_text(text)
        return 0
    _write_new(options.output, text)
    say(f"{options.output}: replace every text that begins with {PLACEHOLDER}, then run: pilotext rules lint")
    return 0


def _schema_from(output: Path | None) -> str:
    """Return the path of this installation's schema of rules from the folder of a new file."""
    schema = Path(pilotext.__file__).resolve().parents[1] / "docs/rules.schema.json"
    if output is None or not schema.is_file():
        return SCHEMA
    return os.path.relpath(schema, output.resolve().parent)


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        advice = "Name a new file, and move the rule into this one afterwards."
        raise UsageError(f"{path}: there is such a file.", advice=advice) from None
    except OSError as error:
        raise UsageError(f"{path}: this file cannot be written: {error.strerror}.") from None


def _file_of(word: str, folders: Sequence[Path]) -> Path:
    """Return the report of that name, or the newest one below these folders with that signature."""
    if Path(word).exists() or not SIGNATURE.fullmatch(word):
        return Path(word)
    if not folders:
        advice = "Name a folder that holds a report with this signature: --reports DIR."
        raise UsageError(f"{word} is a signature; it names a failure, and holds no line of it.", advice=advice)
    if missing := [folder for folder in folders if not folder.is_dir()]:
        raise UsageError(f"{missing[0]}: there is no such folder.")
    files = (file for folder in folders for file in folder.rglob("*.json") if file.is_file())
    found = [file for file in files if word.encode() in file.read_bytes() and _signed(file) == word]
    if not found:
        raise UsageError(
            f"no report below {', '.join(map(str, folders))} has the signature {word}.",
            advice="Take a report of such a job from its log archive.",
        )
    return max(found, key=lambda file: file.stat().st_mtime)


def _signed(file: Path) -> str | None:
    """Return the signature in a report; None for a file that is something else."""
    try:
        return from_json(file.read_bytes(), Report, where=str(file)).verdict.signature
    except FieldError:
        return None


def _report(path: Path) -> Report:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: this report cannot be read: {error.strerror}.") from None
    return from_json(data, Report, where=str(path))


def _unknown(verdict: Verdict) -> Evidence:
    """Return the line that the verdict quotes for an unknown failure."""
    if verdict.verdict == "success":
        raise UsageError("the verdict is success.", advice="Choose a line with --line STREAM:N.")
    if verdict.rule is not None and verdict.signature is None:
        raise UsageError(
            f"this failure is known: {verdict.code} {verdict.rule}.", advice="Choose a line with --line STREAM:N."
        )
    return next((one for one in reversed(verdict.evidence) if one.line), Evidence("", "wrapper", 0, 0, ""))


def _chosen(options: argparse.Namespace) -> Evidence:
    stream, _, number = options.line.partition(":")
    path = classify.streams_of(options).get(stream)
    if path is None or not number.isdigit():
        raise UsageError(
            f"--line {options.line}: this does not name a line.", advice="Write stderr:812, and give --stderr."
        )
    wanted = int(number)
    near = {n: text for n, text in lines_of(path) if abs(n - wanted) <= MAX_CONTEXT_LINES}
    if wanted not in near:
        raise UsageError(f"{path} has no line {wanted}.")
    before = tuple(text for n, text in near.items() if n < wanted)
    after = tuple(text for n, text in near.items() if n > wanted)
    return Evidence("", stream, wanted, 0, near[wanted], before, after)
