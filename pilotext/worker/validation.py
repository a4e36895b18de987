"""Validation of files: inputs before the payload runs, outputs and event balances after it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pilotext.classify.conditions import is_placeholder
from pilotext.errors import FormatError
from pilotext.formats import root_file
from pilotext.formats.date_raw import RawSummary
from pilotext.formats.event_formats import EVENT_FORMATS, EventFormat
from pilotext.formats.root_file import RootSummary
from pilotext.formatting import counted_words
from pilotext.model.file_checks import FORMER_CHECKS, Balances, FileChecks
from pilotext.model.job import PLACEHOLDER, Input, Job, Output
from pilotext.model.verdict import Finding, Phase
from pilotext.rules import event_balance
from pilotext.worker.own_files import replace_file


@dataclass
class Checked:
    """Findings and counters of one check; `partly` names the files that could not be read whole."""

    findings: list[Finding] = field(default_factory=list)
    counters: dict[str, int | float] = field(default_factory=dict)
    partly: list[str] = field(default_factory=list)

    def count(self, name: str, number: float) -> None:
        self.counters[name] = self.counters.get(name, 0) + number

    def found(self, name: str, text: str, phase: Phase, file: str) -> None:
        self.findings.append(Finding(name=name, text=text, phase=phase, fields={"file": file}))

    def read_whole(self, summary: RootSummary) -> bool:
        """Whether the content of a ROOT file was read, so that its entries are known."""
        return summary.method == "every branch read" and not summary.partly


def balances_of(job: Job, checks: FileChecks) -> Balances:
    """Return the balances of a job: its own law, and those of its profile."""
    found = checks.balances_of(job.kind, job.type, tuple(output.kind for output in job.outputs))
    return found if job.law is None else Balances((job.law, *found.hold), found.note)


def check_balances(job: Job, checks: FileChecks, counters: Mapping[str, int | float], checked: Checked) -> None:
    """Add a finding for each law that is broken. The job's own law is broken, too, by a counter that is missing."""
    balances = balances_of(job, checks)
    for name, laws in (("law-broken", balances.hold), ("law-uneven", balances.note)):
        for text in laws:
            if text != job.law and not _names_in((text,)) <= counters.keys():
                continue
            result = event_balance.check(text, counters)
            if not result.holds:
                checked.findings.append(Finding(name=name, text=result.sentence, phase="validate"))


def _names_in(laws: Iterable[str]) -> set[str]:
    return {name for text in laws for name in event_balance.parse(text).names}


ROOT_CHECK_TIMEOUT_S = 1800.0


def check_inputs(job: Job, checks: FileChecks, directory: Path, tick: Callable[[], None] = lambda: None) -> Checked:
    """Read the inputs through: a cut file must not cost hours of CPU and then look like a small one.

    Files are read as the formats of the profile say; ROOT files of a merge always are. Counts `raw_events` (physics
    events, the ones that a reconstruction processes) and `raw_calibration_events` of event files, what else a balance
    names and the format can tell, and for ROOT files and merges what all inputs hold together. `tick` is called several
    times a second and may raise.
    """
    checked = Checked()
    read = [directory / file.name for file in job.inputs if _is_root(job, checks, directory / file.name)]
    summaries = _read_root(read, tick)
    for file in job.inputs:
        path, named = directory / file.name, checks.format_of(file.name)
        events = None if named is None else EVENT_FORMATS.get(named)
        if (named is not None or job.kind == "merging") and path.stat().st_size == 0:
            name = "input-damaged" if events is None else "raw-truncated"
            checked.found(name, f"{file.name} is empty (0 bytes)", "stage-in", file.name)
        elif events is not None:
            _EventInput(job, file, path, events, checked).check(balances_of(job, checks), tick)
        elif (summary := summaries.get(path)) is not None:
            _check_root_input(file, summary, checked)
    if checked.partly or not checked.counters:
        _promise(job, checked)
    return checked


@dataclass(frozen=True)
class _EventInput:
    """One input of events, its reader, and where its findings and counters go."""

    job: Job
    file: Input
    path: Path
    reader: EventFormat
    checked: Checked

    def check(self, balances: Balances, tick: Callable[[], None]) -> None:
        try:
            summary = self.reader.walk(self.path, tick)
        except FormatError as error:
            self._found("raw-damaged", str(error))
            return
        self._count(summary)
        promised = "" if self.file.events is None else f"; the catalogue promises {self.file.events}"
        events = counted_words(summary.physics, "physics event")
        merging = self.job.kind == "merging"
        if summary.damage is not None:
            name = "raw-truncated" if summary.damage.kind == "truncated" else "raw-damaged"
            place = f"{self.file.name}: at byte {summary.damage.offset}"
            self._found(name, f"{place}: {summary.damage.text}; {events}{promised}")
        elif self.file.events is not None and summary.physics != self.file.events and not merging:
            name = "raw-truncated" if summary.physics < self.file.events else "raw-damaged"
            self._found(name, f"{self.file.name} holds {events}{promised}")
        else:
            for name in sorted(_names_in((*balances.hold, *balances.note)) & self.reader.on_demand.keys()):
                self.checked.count(name, self.reader.on_demand[name](self.path))

    def _count(self, summary: RawSummary) -> None:
        self.checked.count("raw_events", summary.physics)
        self.checked.count("raw_calibration_events", summary.calibration)
        for kind in {output.kind for output in self.job.outputs} if self.job.kind == "merging" else ():
            self.checked.count(f"inputs.{kind}_events", summary.total)
            self.checked.count(f"inputs.{kind}_bytes", summary.size)

    def _found(self, name: str, text: str) -> None:
        self.checked.found(name, text, "stage-in", self.file.name)


def _is_root(job: Job, checks: FileChecks, path: Path) -> bool:
    """Whether an input is read as ROOT: by its format or, in a merge, where it has none, by its content or name."""
    named = checks.format_of(path.name)
    if named is not None or job.kind != "merging":
        return named == "root" and path.stat().st_size > 0
    with path.open("rb") as opened:
        return opened.read(4) == b"root" or path.name.endswith(".root")


def _read_root(paths: Sequence[Path], tick: Callable[[], None]) -> dict[Path, RootSummary]:
    """The summaries of these files, by one child: its start takes longer than it reads most files."""
    return dict(zip(paths, root_file.check_all_in_child(paths, ROOT_CHECK_TIMEOUT_S, tick), strict=True))


def _check_root_input(file: Input, summary: RootSummary, checked: Checked) -> None:
    """Check a ROOT input: a merge of a damaged chunk is damaged, and no program reports it."""
    if summary.problem is not None and summary.method != "not checked":
        where = "" if summary.offset is None else f" at byte {summary.offset}:"
        checked.found("input-damaged", f"{file.name}:{where} {summary.problem}", "stage-in", file.name)
    elif not checked.read_whole(summary):
        checked.partly.append(file.name)
    else:
        _count_root_input(file, summary, checked)


def _count_root_input(file: Input, summary: RootSummary, checked: Checked) -> None:
    entries = max(summary.trees.values(), default=0)
    if file.events is not None and summary.trees and entries != file.events:
        text = f"{file.name} holds {counted_words(entries, 'entry')}, the catalogue promises {file.events}"
        checked.found("input-damaged", text, "stage-in", file.name)
    checked.count("inputs.events", entries)
    checked.count("inputs.tree_entries", sum(summary.trees.values()))
    checked.count("inputs.histogram_entries", sum(summary.histograms.values()))


def _promise(job: Job, checked: Checked) -> None:
    """Without a reader, the catalogue, or the record of the job that made them, is all that is known of the inputs."""
    for name in ("inputs.events", "inputs.tree_entries", "inputs.histogram_entries"):
        checked.counters.pop(name, None)
    events = [file.events for file in job.inputs if file.events is not None]
    if events and len(events) == len(job.inputs):
        checked.count("inputs.events", sum(events))


def check_outputs(
    job: Job, checks: FileChecks, directory: Path, counters: dict[str, int | float], tick: Callable[[], None]
) -> Checked:
    """Prove every output whole, put the placeholder where the job allows it, and hold the job's law.

    `counters` are the numbers known so far. Counts `<kind>_entries` for ROOT files (as the profile says of the kind:
    entries of the largest tree, or of everything) and `<kind>_events` for event files, and for a merging job what all
    outputs hold together. `tick` is called several times a second and may raise.
    """
    checked = find_strayed(job, directory)
    if checked.findings:
        return checked
    paths = {output.name: directory / output.name for output in job.outputs}
    for path in paths.values():
        _make_readable(path)
    roots = [paths[output.name] for output in job.outputs if output.check == "root" and _is_full(paths[output.name])]
    summaries = _read_root(roots, tick)
    for output in job.outputs:
        path = paths[output.name]
        if (summary := summaries.get(path)) is not None:
            _check_root(job, checks, output, summary, checked)
        else:
            _check_output(job, output, path, checked, tick)
    check_balances(job, checks, {**counters, **checked.counters}, checked)
    return checked


def find_strayed(job: Job, directory: Path) -> Checked:
    """Find outputs that are no files of the work directory: links out of it, and further names of others' files."""
    checked = Checked()
    for output in job.outputs:
        if problem := _strayed(real_path(directory, output.name), directory):
            checked.found("output-outside", f"{output.name} {problem}", "validate", output.name)
    return checked


def real_path(directory: Path, name: str) -> Path:
    """The file that an output is, without links."""
    return Path(os.path.realpath(directory / name))


def _strayed(path: Path, directory: Path) -> str:
    if not path.is_relative_to(directory.resolve()):
        return f"is a link out of the work directory, to {path}"
    try:
        found = path.lstat()
    except OSError:  # not there: told where it is looked for
        return ""
    if stat.S_ISREG(found.st_mode) and found.st_nlink > 1 and found.st_uid != os.geteuid():
        return f"is another name of a file that belongs to user {found.st_uid}"
    return ""


def _make_readable(path: Path) -> None:
    """Give ourselves, its owner, the right to read an output; a program may have closed it by a strange umask."""
    if path.is_file() and not os.access(path, os.R_OK):
        with contextlib.suppress(PermissionError):
            path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IRUSR)


def _check_output(job: Job, output: Output, path: Path, checked: Checked, tick: Callable[[], None]) -> None:
    if path.exists() and not path.is_file():
        checked.found("output-damaged", f"{output.name} is not a regular file", "validate", output.name)
    elif not _is_full(path):
        _check_empty_output(output, path, checked)
    elif (reader := _reader_of(output)) is not None:
        _check_event_output(job, output, path, reader, checked, tick=tick)


def _reader_of(output: Output) -> EventFormat | None:
    """Return the reader of an output of events; None for another one."""
    return EVENT_FORMATS.get(FORMER_CHECKS.get(output.check, output.check))


def _is_full(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _check_empty_output(output: Output, path: Path, checked: Checked) -> None:
    what = "is empty" if path.is_file() else "is not there"
    if output.when_empty != "placeholder":
        name = "output-empty" if path.is_file() else "output-missing"
        checked.found(name, f"{output.name} {what}", "validate", output.name)
        return
    replace_file(path, PLACEHOLDER)  # never written through a link that the payload has left
    if _reader_of(output) is not None:
        checked.count(f"{output.kind}_events", 0)
    text = f"{output.name} {what}; the placeholder of {len(PLACEHOLDER)} bytes takes its place"
    checked.found("output-replaced", text, "validate", output.name)


def _check_root(job: Job, checks: FileChecks, output: Output, summary: RootSummary, checked: Checked) -> None:
    if summary.problem is not None:
        name = "output-unchecked" if summary.method == "not checked" else "output-damaged"
        where = "" if summary.offset is None else f" at byte {summary.offset}:"
        checked.found(name, f"{output.name}:{where} {summary.problem}", "validate", output.name)
        return
    if not checked.read_whole(summary):
        what = f"of {', '.join(summary.partly)} only the frame was read" if summary.partly else "by header and trailer"
        checked.found("output-checked-in-part", f"{output.name}: {what}", "validate", output.name)
    if (entries := _entries(summary, checks.output_kind(output.kind).counts)) is not None:
        checked.count(f"{output.kind}_entries", entries)
    if job.kind == "merging" and summary.method == "every branch read":
        checked.count(f"{output.kind}_tree_entries", sum(summary.trees.values()))
        checked.count(f"{output.kind}_histogram_entries", sum(summary.histograms.values()))


def _entries(summary: RootSummary, counts: Literal["tree", "everything"] | None) -> int | None:
    """Return the entries of a ROOT file as its kind counts them; None where there is nothing to count."""
    if counts == "everything" or (counts is None and not summary.trees):
        whole = sum(summary.trees.values()) + round(sum(summary.histograms.values()))
        return whole if summary.trees or summary.histograms else None
    return max(summary.trees.values(), default=None)


def _check_event_output(
    job: Job, output: Output, path: Path, reader: EventFormat, checked: Checked, *, tick: Callable[[], None]
) -> None:
    try:
        if is_placeholder(path):
            checked.count(f"{output.kind}_events", 0)
            return
        summary = reader.walk(path, tick)
    except FormatError as error:
        checked.found("output-damaged", str(error), "validate", output.name)
        return
    except OSError as error:
        checked.found("output-unchecked", f"{output.name}: {error.strerror}", "validate", output.name)
        return
    checked.count(f"{output.kind}_events", summary.total)
    if job.kind == "merging":
        checked.count(f"merged.{output.kind}_events", summary.total)
        checked.count(f"merged.{output.kind}_bytes", summary.size)
    if summary.damage is not None:
        text = f"{output.name}: at byte {summary.damage.offset}: {summary.damage.text}"
        checked.found("output-damaged", text, "validate", output.name)
