"""Conditions that no text fulfils: how the program ended, and the state of a file in the work directory."""

from __future__ import annotations

from pathlib import Path

from pilotext.model.job import PLACEHOLDER
from pilotext.model.verdict import ExitStatus
from pilotext.rules.meaning import exit_range
from pilotext.rules.schema import ExitCondition, FileCondition

CRASH_SIGNALS = frozenset(
    f"SIG{name}" for name in ("SEGV", "ABRT", "IOT", "BUS", "FPE", "ILL", "TRAP", "SYS", "EMT", "STKFLT")
)
"""Signals that a program brings upon itself; any other was sent to it."""


def exit_fits(wanted: ExitCondition, status: ExitStatus) -> bool:
    """Whether a program that ended so fulfils the condition."""
    if wanted.core is not None and wanted.core != status.core:
        return False
    if not (wanted.codes or wanted.ranges or wanted.signals):
        return True
    if status.signal is not None:
        return status.signal in wanted.signals
    code = status.code
    return code is not None and (code in wanted.codes or any(code in exit_range(text) for text in wanted.ranges))


def file_fits(wanted: FileCondition, workdir: Path) -> str:
    """The sentence that names the file that is in the wanted state; empty if none is."""
    files = sorted(path for path in workdir.glob(wanted.name.lstrip("/")) if path.is_file())
    if wanted.state == "missing":
        return "" if files else f"{wanted.name} is missing"
    return next((said for path in files if (said := _state(wanted, path))), "")


def _state(wanted: FileCondition, path: Path) -> str:
    size = path.stat().st_size
    if wanted.state == "empty":
        return f"{path.name} is empty" if size == 0 else ""
    if wanted.state == "smaller-than":
        return f"{path.name} has {size} bytes, fewer than {wanted.bytes}" if size < wanted.bytes else ""
    if wanted.state == "placeholder":
        return f"{path.name} is the placeholder for a file without events" if is_placeholder(path) else ""
    return "" if _begin(path, 4) == b"root" else f"{path.name} is no ROOT file"


def is_placeholder(path: Path) -> bool:
    """Whether a file holds just the text that stands for an event dump without events."""
    return _begin(path, len(PLACEHOLDER) + 1) == PLACEHOLDER


def _begin(path: Path, length: int) -> bytes:
    with path.open("rb") as file:
        return file.read(length)
