"""Do the files hold what they should: raw inputs before the payload runs, outputs after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pilotext.classify.conditions import is_placeholder
from pilotext.errors import FormatError
from pilotext.formats import raw, rootfile
from pilotext.model import PLACEHOLDER, Finding, Input, Job, Output, Phase
from pilotext.rules import law

ROOT_CHECK_TIMEOUT_S = 1800.0


@dataclass
class Checked:
    """What the checks found out, and what they counted."""

    findings: list[Finding] = field(default_factory=list)
    counters: dict[str, int | float] = field(default_factory=dict)

    def count(self, name: str, number: int) -> None:
        self.counters[name] = self.counters.get(name, 0) + number


def check_inputs(job: Job, directory: Path, tick: Callable[[], None]) -> Checked:
    """Walk the events of every raw input: a cut file must not cost hours of CPU and then look like a small one.

    Counts `raw_events` (physics events, the ones that a reconstruction processes) and `raw_calibration_events`. `tick`
    is called many times a second and may raise.
    """
    checked = Checked()
    for file in job.inputs:
        if file.name.endswith(".raw"):
            _check_raw_input(file, directory / file.name, checked, tick)
    return checked


def _check_raw_input(file: Input, path: Path, checked: Checked, tick: Callable[[], None]) -> None:
    try:
        summary = raw.walk(path, tick)
    except FormatError as error:
        checked.findings.append(_finding("raw-damaged", str(error), "stage-in", file.name))
        return
    checked.count("raw_events", summary.physics)
    checked.count("raw_calibration_events", summary.calibration)
    promised = "" if file.events is None else f"; the catalogue promises {file.events}"
    if summary.damage is not None:
        name = "raw-truncated" if summary.damage.kind == "truncated" else "raw-damaged"
        text = f"{file.name}: at byte {summary.damage.offset}: {summary.damage.text}; {summary.physics} physics events"
        checked.findings.append(_finding(name, text + promised, "stage-in", file.name))
    elif file.events is not None and summary.physics != file.events:
        name = "raw-truncated" if summary.physics < file.events else "raw-damaged"
        text = f"{file.name} holds {summary.physics} physics events"
        checked.findings.append(_finding(name, text + promised, "stage-in", file.name))


def check_outputs(job: Job, directory: Path, counters: dict[str, int | float], tick: Callable[[], None]) -> Checked:
    """Prove every output whole, put the placeholder where the job allows it, and hold the job's law.

    `counters` are the numbers known so far. Counts `<kind>_entries` for ROOT files (entries of their largest tree; of a
    file of histograms, of everything in it) and `<kind>_events` for raw files. `tick` is called several times a second
    and may raise.
    """
    checked = Checked()
    for output in job.outputs:
        checked.findings.extend(_check_output(output, directory / output.name, checked, tick))
    if job.law is not None:
        result = law.check(job.law, {**counters, **checked.counters})
        if not result.holds:
            checked.findings.append(Finding(name="law-broken", text=result.sentence, phase="validate"))
    return checked


def _check_output(output: Output, path: Path, checked: Checked, tick: Callable[[], None]) -> Iterable[Finding]:
    if path.exists() and not path.is_file():
        return [_finding("output-damaged", f"{output.name} is not a regular file", "validate", output.name)]
    if not path.is_file() or path.stat().st_size == 0:
        return [_check_empty_output(output, path, checked)]
    if output.check == "root":
        return _check_root(output, path, checked, tick)
    if output.check == "raw":
        return _check_raw_output(output, path, checked, tick)
    return []


def _check_empty_output(output: Output, path: Path, checked: Checked) -> Finding:
    what = "is empty" if path.is_file() else "is not there"
    if output.when_empty != "placeholder":
        name = "output-empty" if path.is_file() else "output-missing"
        return _finding(name, f"{output.name} {what}", "validate", output.name)
    path.unlink(missing_ok=True)  # never write through a link that the payload has left
    path.write_bytes(PLACEHOLDER)
    if output.check == "raw":
        checked.count(f"{output.kind}_events", 0)
    text = f"{output.name} {what}; the placeholder of {len(PLACEHOLDER)} bytes takes its place"
    return _finding("output-replaced", text, "validate", output.name)


def _check_root(output: Output, path: Path, checked: Checked, tick: Callable[[], None]) -> Iterable[Finding]:
    summary = rootfile.check_in_child(path, timeout_s=ROOT_CHECK_TIMEOUT_S, tick=tick)
    if summary.problem is not None:
        name = "output-unchecked" if summary.method == "not checked" else "output-damaged"
        where = "" if summary.offset is None else f" at byte {summary.offset}:"
        return [_finding(name, f"{output.name}:{where} {summary.problem}", "validate", output.name)]
    if output.kind == "hist" and (summary.trees or summary.histograms):
        checked.count("hist_entries", sum(summary.trees.values()) + summary.filled)
    elif summary.trees:
        checked.count(f"{output.kind}_entries", max(summary.trees.values()))
    return []


def _check_raw_output(output: Output, path: Path, checked: Checked, tick: Callable[[], None]) -> Iterable[Finding]:
    try:
        if is_placeholder(path):
            checked.count(f"{output.kind}_events", 0)
            return []
        summary = raw.walk(path, tick)
    except FormatError as error:
        return [_finding("output-damaged", str(error), "validate", output.name)]
    except OSError as error:
        return [_finding("output-unchecked", f"{output.name}: {error.strerror}", "validate", output.name)]
    checked.count(f"{output.kind}_events", sum(summary.events.values()))
    if summary.damage is not None:
        text = f"{output.name}: at byte {summary.damage.offset}: {summary.damage.text}"
        return [_finding("output-damaged", text, "validate", output.name)]
    return []


def _finding(name: str, text: str, phase: Phase, file: str) -> Finding:
    return Finding(name=name, text=text, phase=phase, fields={"file": file})
