"""Catalogues beside a task file: CSV files with a head line, or text files with a run, a file and its events a line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from pilotext.errors import UsageError
from pilotext.model import Record
from pilotext.profile.job_builder import FileFacts, base_name
from pilotext.serialization.json import ready

_ENTRY = re.compile(r"(?:\S+\s+)?(?:\S*:)?(?P<run>\d+)\s+(?P<file>\S+)\s+(?P<events>[^\s,]+)")
"""A line of a text catalogue. Before the run may be a word more, or the file and line that `grep -n` prints."""
_NUMBER = re.compile(r"\d+")


class Wanted(Record, frozen=True):
    """Files that a task asks a catalogue for: those of some runs, and those of some names; `names` None: all."""

    runs: frozenset[int]
    names: frozenset[str] | None

    def has(self, run: int, file: str) -> bool:
        return self.names is None or run in self.runs or base_name(file) in self.names

    def may_be_in(self, line: str) -> bool:
        """Whether a line that cannot be read holds the run or the name of one of the files."""
        words = {int(word) for word in _NUMBER.findall(line)}
        return self.names is None or bool(words & self.runs) or any(name in line for name in self.names)


def read_catalogue(folder: Path, name: str, wanted: Wanted) -> tuple[FileFacts, ...]:
    """Return the facts of a catalogue about files; of text files, those about wanted ones only, as they know all years.

    Raises UsageError with file and line, and where two lines differ about one file.
    """
    found: dict[str, FileFacts] = {}
    for path in _paths(folder, name):
        for entry in _entries(path, wanted):
            if (known := found.setdefault(entry.file, entry)) != entry:
                advice = "Name the file that is right as the catalogue, or a corrected copy."
                facts = f"{known.events} and {entry.events} events" if known.events != entry.events else "other facts"
                raise UsageError(f"{path}: the catalogue tells {facts} of {entry.file}.", advice=advice)
    return tuple(found.values())


def read_lines(path: Path) -> tuple[str, ...]:
    """Return the lines of a file, but for empty ones and those with `#`. Raises UsageError."""
    return tuple(line for _, line in _numbered(path))


def _paths(folder: Path, name: str) -> list[Path]:
    """Return the files that a name stands for; a folder stands for all files in it."""
    path = folder / name
    roots = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor)))) if "*" in name else [path]
    if not roots:
        raise UsageError(f"{path}: no file has such a name.", advice="Correct `catalogue` in the task file.")
    return [each for root in roots for each in (sorted(_files_below(root)) if root.is_dir() else [root])]


def _files_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _entries(path: Path, wanted: Wanted) -> Iterator[FileFacts]:
    lines = _numbered(path)
    if not lines:
        raise UsageError(f"{path}: this catalogue is empty.")
    first = _ENTRY.fullmatch(lines[0][1])
    yield from _of_text(path, lines, wanted) if first and _NUMBER.fullmatch(first["events"]) else _of_csv(path, lines)


def _of_text(path: Path, lines: Sequence[tuple[int, str]], wanted: Wanted) -> Iterator[FileFacts]:
    for number, line in lines:
        entry = _ENTRY.fullmatch(line)
        if not (wanted.has(int(entry["run"]), entry["file"]) if entry else wanted.may_be_in(line)):
            continue
        if entry is None or not _NUMBER.fullmatch(entry["events"]):
            advice = "Correct a copy of the file, and name that as the catalogue."
            raise UsageError(f"{path}:{number}: {line!r:.200} is no run, file and number of events.", advice=advice)
        yield FileFacts(entry["file"], events=int(entry["events"]))


def _of_csv(path: Path, lines: Sequence[tuple[int, str]]) -> Iterator[FileFacts]:
    head = [word.strip() for word in lines[0][1].split(",")]
    if "file" not in head or not set(head) <= set(FileFacts.__struct_fields__):
        known = ", ".join(FileFacts.__struct_fields__)
        advice = "Or each line of a text catalogue is a run, a file and its number of events."
        message = f"{path}:{lines[0][0]}: the head line must name columns of {known}, with `file` among them."
        raise UsageError(message, advice=advice)
    return (_csv_entry(path, number, head, line) for number, line in lines[1:])


def _csv_entry(path: Path, number: int, head: list[str], line: str) -> FileFacts:
    words = [word.strip() for word in line.split(",")]
    if len(words) != len(head):
        raise UsageError(f"{path}:{number}: {len(words)} columns where the head line has {len(head)}.")
    known = {name: word for name, word in zip(head, words, strict=True) if word}
    try:
        return msgspec.convert(known, ready(FileFacts), strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}:{number}: {error}.") from None


def _numbered(path: Path) -> list[tuple[int, str]]:
    """Return the lines that say something, with their numbers in the file."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}.") from None
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(number, line) for number, line in lines if line and not line.startswith("#")]
