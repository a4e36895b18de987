"""Formats of problems of rule files: for people, and for the services that show them beside a change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pilotext.cli.output import write_text
from pilotext.errors import FileProblem
from pilotext.sanitize import one_line


def print_problems(problems: Sequence[FileProblem], checked: str) -> int:
    """Print one problem a line, then `checked` and their number; return 1 if there are problems, else 0."""
    for problem in relative_to_cwd(problems):
        write_text(f"{one_line(str(problem))}\n")
    write_text(f"{checked}, problems: {len(problems)}\n")
    return 1 if problems else 0


def relative_to_cwd(problems: Iterable[FileProblem]) -> list[FileProblem]:
    """Return the problems with paths relative to the working directory, where they are below it."""
    here = Path.cwd()
    return [
        replace(problem, file=problem.file.relative_to(here)) if problem.file.is_relative_to(here) else problem
        for problem in problems
    ]


def relative_to_repository(problems: Iterable[FileProblem]) -> list[FileProblem]:
    """Return the problems with paths from the top of their repository, as a forge knows them; or else as people do."""
    tops: dict[Path, Path | None] = {}
    found = []
    for problem in problems:
        folder = problem.file.parent
        if folder not in tops:
            tops[folder] = next((one for one in (folder, *folder.parents) if (one / ".git").exists()), None)
        top = tops[folder]
        found.append(problem if top is None else replace(problem, file=problem.file.relative_to(top)))
    return relative_to_cwd(found)


def github_annotations(problems: Sequence[FileProblem]) -> str:
    """Return workflow commands, which GitHub shows beside the lines of a pull request."""
    lines = []
    for problem in relative_to_repository(problems):
        place = f"file={_property(str(problem.file))},line={problem.line},col={problem.column}"
        lines.append(f"::error {place},title={_property(problem.rule or 'rules')}::{_data(_sentence(problem))}\n")
    return "".join(lines)


def gitlab_code_quality(problems: Sequence[FileProblem]) -> str:
    """Return a Code Quality report, which GitLab shows in a merge request."""
    entries = [
        {
            "description": _sentence(problem),
            "check_name": "pilotext-rules-lint",
            # Without the line: a problem that only moves is the same problem.
            "fingerprint": hashlib.sha256(f"{problem.file} {problem.rule} {problem.message}".encode()).hexdigest(),
            "severity": "major",
            "location": {"path": str(problem.file), "lines": {"begin": problem.line}},
        }
        for problem in relative_to_repository(problems)
    ]
    return json.dumps(entries, indent=2) + "\n"


def json_document(problems: Sequence[FileProblem]) -> str:
    entries = [{**vars(problem), "file": str(problem.file)} for problem in relative_to_cwd(problems)]
    return json.dumps({"problems": entries}, indent=2) + "\n"


FORMATS: dict[str, Callable[[Sequence[FileProblem]], str]] = {
    "github": github_annotations,
    "gitlab": gitlab_code_quality,
    "json": json_document,
}


def _sentence(problem: FileProblem) -> str:
    return f"{problem.message} {problem.advice}".rstrip()


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
