"""Validation of files: inputs before the payload runs, outputs and event balances after it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pilotext.classify.conditions import is_placeholder
from pilotext.errors import FormatError
from pilotext.formats import date_raw, root_file
from pilotext.formats.root_file import RootSummary
from pilotext.model.job import PLACEHOLDER, Input, Job, Kind, Output
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


BALANCES_OF_KIND: dict[Kind, tuple[str, ...]] = {
    "reconstruction": ("mdst_entries == events_written",),
    "decoding": ("dump_events == raw_filtered_events",),
    "merging": (
        "mdst_entries == inputs.events",
        "hist_histogram_entries == inputs.histogram_entries",
        "hist_tree_entries == inputs.tree_entries",
        "merged.dump_events == inputs.dump_events",
        "merged.dump_bytes == inputs.dump_bytes",
    ),
}
"""Held where both sides were counted: a job without an mDST has nothing to compare."""

NOTED_BALANCES_OF_KIND: dict[Kind, tuple[str, ...]] = {
    "merging": (
        "mdst_tree_entries == inputs.tree_entries",
        "mdst_histogram_entries == inputs.histogram_entries",
    ),
}
"""Told, and no failure: what `phast -m` does with the objects beside the events is not known; `hadd` adds them all."""


def check_balances(job: Job, counters: Mapping[str, int | float], checked: Checked) -> None:
    """Add a finding for each law that is broken. The job's own law is broken, too, by a counter that is missing."""
    own = [job.law] if job.law else []
    for name, laws in (
        ("law-broken", [*own, *_counted(BALANCES_OF_KIND, job, counters)]),
        ("law-uneven", _counted(NOTED_BALANCES_OF_KIND, job, counters)),
    ):
        for text in laws:
            result = event_balance.check(text, counters)
            if not result.holds:
                checked.findings.append(Finding(name=name, text=result.sentence, phase="validate"))


def _counted(laws: Mapping[Kind, tuple[str, ...]], job: Job, counters: Mapping[str, int | float]) -> list[str]:
    known = laws.get(job.kind, ())
    return [text for text in known if all(name in counters for name in event_balance.parse(text).names)]


ROOT_CHECK_TIMEOUT_S = 1800.0


def check_inputs(job: Job, directory: Path, tick: Callable[[], None] = lambda: None) -> Checked:
    """Read the inputs through: a cut file must not cost hours of CPU and then look like a small one.

    Counts `raw_events` (physics events, the ones that a reconstruction processes), `raw_calibration_events`, for a
    decoding job `raw_filtered_events` (what `ddd --filter-CAL` keeps), and for a merging job what all inputs hold
    together. `tick` is called several times a second and may raise.
    """
    checked = Checked()
    merged = [file for file in job.inputs if job.kind == "merging" and _may_be_root(directory / file.name)]
    summaries = _read_root([directory / file.name for file in merged], tick)
    for file in job.inputs:
        is_raw = file.name.endswith(".raw")
        if (is_raw or job.kind == "merging") and (directory / file.name).stat().st_size == 0:
            name = "raw-truncated" if is_raw else "input-damaged"
            checked.found(name, f"{file.name} is empty (0 bytes)", "stage-in", file.name)
        elif is_raw:
            _check_raw_input(job, file, directory / file.name, checked, tick)
        elif (summary := summaries.get(directory / file.name)) is not None:
            _check_merging_input(file, summary, checked)
    if job.kind == "merging" and checked.partly:
        _promise(job, checked)
    return checked


def _check_raw_input(job: Job, file: Input, path: Path, checked: Checked, tick: Callable[[], None]) -> None:
    try:
        summary = date_raw.walk(path, tick)
    except FormatError as error:
        checked.found("raw-damaged", str(error), "stage-in", file.name)
        return
    checked.count("raw_events", summary.physics)
    checked.count("raw_calibration_events", summary.calibration)
    if job.kind == "merging":
        checked.count("inputs.dump_events", summary.total)
        checked.count("inputs.dump_bytes", summary.size)
    promised = "" if file.events is None else f"; the catalogue promises {file.events}"
    if summary.damage is not None:
        name = "raw-truncated" if summary.damage.kind == "truncated" else "raw-damaged"
        text = f"{file.name}: at byte {summary.damage.offset}: {summary.damage.text}; {summary.physics} physics events"
        checked.found(name, text + promised, "stage-in", file.name)
    elif file.events is not None and summary.physics != file.events and job.kind != "merging":
        name = "raw-truncated" if summary.physics < file.events else "raw-damaged"
        text = f"{file.name} holds {summary.physics} physics events"
        checked.found(name, text + promised, "stage-in", file.name)
    elif job.kind == "decoding":
        filtered = sum(header.random_or_calibration for header in date_raw.iter_headers(path))
        checked.count("raw_filtered_events", filtered)


def _may_be_root(path: Path) -> bool:
    with path.open("rb") as opened:
        return not path.name.endswith(".raw") and (opened.read(4) == b"root" or path.name.endswith(".root"))


def _read_root(paths: Sequence[Path], tick: Callable[[], None]) -> dict[Path, RootSummary]:
    """The summaries of these files, by one child: its start takes longer than it reads most files."""
    return dict(zip(paths, root_file.check_all_in_child(paths, ROOT_CHECK_TIMEOUT_S, tick), strict=True))


def _check_merging_input(file: Input, summary: RootSummary, checked: Checked) -> None:
    """Check an input of a merge: a merge of a damaged chunk is damaged, and no program reports it."""
    if summary.problem is not None and summary.method != "not checked":
        where = "" if summary.offset is None else f" at byte {summary.offset}:"
        checked.found("input-damaged", f"{file.name}:{where} {summary.problem}", "stage-in", file.name)
    elif not checked.read_whole(summary):
        checked.partly.append(file.name)
    else:
        _count_merging_input(file, summary, checked)


def _count_merging_input(file: Input, summary: RootSummary, checked: Checked) -> None:
    entries = max(summary.trees.values(), default=0)
    if file.events is not None and summary.trees and entries != file.events:
        text = f"{file.name} holds {entries} entries, the catalogue promises {file.events}"
        checked.found("input-damaged", text, "stage-in", file.name)
    checked.count("inputs.events", entries)
    checked.count("inputs.tree_entries", sum(summary.trees.values()))
    checked.count("inputs.histogram_entries", sum(summary.histograms.values()))


def _promise(job: Job, checked: Checked) -> None:
    """Without a reader, the catalogue is all that is known of the inputs."""
    for name in ("inputs.events", "inputs.tree_entries", "inputs.histogram_entries"):
        checked.counters.pop(name, None)
    events = [file.events for file in job.inputs if file.events is not None]
    if len(events) == len(job.inputs):
        checked.count("inputs.events", sum(events))


def check_outputs(job: Job, directory: Path, counters: dict[str, int | float], tick: Callable[[], None]) -> Checked:
    """Prove every output whole, put the placeholder where the job allows it, and hold the job's law.

    `counters` are the numbers known so far. Counts `<kind>_entries` for ROOT files (entries of their largest tree; of
    histogram files, of everything in them) and `<kind>_events` for raw files, and for a merging job what all outputs
    hold together. `tick` is called several times a second and may raise.
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
            _check_root(job, output, summary, checked)
        else:
            _check_output(job, output, path, checked, tick)
    check_balances(job, {**counters, **checked.counters}, checked)
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
    elif output.check == "raw":
        _check_raw_output(job, output, path, checked, tick)


def _is_full(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _check_empty_output(output: Output, path: Path, checked: Checked) -> None:
    what = "is empty" if path.is_file() else "is not there"
    if output.when_empty != "placeholder":
        name = "output-empty" if path.is_file() else "output-missing"
        checked.found(name, f"{output.name} {what}", "validate", output.name)
        return
    replace_file(path, PLACEHOLDER)  # never written through a link that the payload has left
    if output.check == "raw":
        checked.count(f"{output.kind}_events", 0)
    text = f"{output.name} {what}; the placeholder of {len(PLACEHOLDER)} bytes takes its place"
    checked.found("output-replaced", text, "validate", output.name)


def _check_root(job: Job, output: Output, summary: RootSummary, checked: Checked) -> None:
    if summary.problem is not None:
        name = "output-unchecked" if summary.method == "not checked" else "output-damaged"
        where = "" if summary.offset is None else f" at byte {summary.offset}:"
        checked.found(name, f"{output.name}:{where} {summary.problem}", "validate", output.name)
        return
    if not checked.read_whole(summary):
        what = f"of {', '.join(summary.partly)} only the frame was read" if summary.partly else "by header and trailer"
        checked.found("output-checked-in-part", f"{output.name}: {what}", "validate", output.name)
    if output.kind == "hist" and (summary.trees or summary.histograms):
        entries = sum(summary.trees.values()) + round(sum(summary.histograms.values()))
        checked.count("hist_entries", entries)
    elif summary.trees:
        checked.count(f"{output.kind}_entries", max(summary.trees.values()))
    if job.kind == "merging" and summary.method == "every branch read":
        made_by = "mdst" if output.kind == "mdst" else "hist"  # everything but the mDST comes from hadd
        checked.count(f"{made_by}_tree_entries", sum(summary.trees.values()))
        checked.count(f"{made_by}_histogram_entries", sum(summary.histograms.values()))


def _check_raw_output(job: Job, output: Output, path: Path, checked: Checked, tick: Callable[[], None]) -> None:
    try:
        if is_placeholder(path):
            checked.count(f"{output.kind}_events", 0)
            return
        summary = date_raw.walk(path, tick)
    except FormatError as error:
        checked.found("output-damaged", str(error), "validate", output.name)
        return
    except OSError as error:
        checked.found("output-unchecked", f"{output.name}: {error.strerror}", "validate", output.name)
        return
    checked.count(f"{output.kind}_events", summary.total)
    if job.kind == "merging":
        checked.count("merged.dump_events", summary.total)
        checked.count("merged.dump_bytes", summary.size)
    if summary.damage is not None:
        text = f"{output.name}: at byte {summary.damage.offset}: {summary.damage.text}"
        checked.found("output-damaged", text, "validate", output.name)
