from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.classify.conditions import exit_fits, file_fits
from pilotext.model.job import PLACEHOLDER
from pilotext.model.verdict import ExitStatus
from pilotext.rules.conditions import ExitCondition, FileCondition

CODE_3 = ExitStatus(code=3)
ABORTED = ExitStatus(signal="SIGABRT")
DUMPED = ExitStatus(signal="SIGABRT", core=True)


@pytest.mark.parametrize(
    ("wanted", "status", "fits"),
    [
        (ExitCondition(codes=(1, 3)), CODE_3, True),
        (ExitCondition(codes=(1, 2)), CODE_3, False),
        (ExitCondition(ranges=("2-4",)), CODE_3, True),
        (ExitCondition(ranges=("4-9",)), CODE_3, False),
        (ExitCondition(signals=("SIGABRT",)), ABORTED, True),
        (ExitCondition(signals=("SIGKILL",)), ABORTED, False),
        (ExitCondition(codes=(6,), ranges=("0-255",)), ABORTED, False),
        (ExitCondition(signals=("SIGABRT",), core=True), DUMPED, True),
        (ExitCondition(signals=("SIGABRT",), core=True), ABORTED, False),
        (ExitCondition(signals=("SIGABRT",), core=False), DUMPED, False),
        (ExitCondition(core=True), DUMPED, True),
        (ExitCondition(core=True), CODE_3, False),
    ],
)
def test_a_wait_status_fits_or_not(wanted: ExitCondition, status: ExitStatus, fits: bool) -> None:
    assert exit_fits(wanted, status) is fits


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (FileCondition("testevtdump.raw", "missing"), "testevtdump.raw is missing"),
        (FileCondition("good.root", "missing"), ""),
        (FileCondition("*.raw", "empty"), "void.raw is empty"),
        (FileCondition("*.root", "empty"), ""),
        (FileCondition("good.root", "smaller-than", 100), "good.root has 8 bytes, fewer than 100"),
        (FileCondition("good.root", "smaller-than", 8), ""),
        (FileCondition("*.root", "not-root"), "text.root is not a ROOT file"),
        (FileCondition("good.root", "not-root"), ""),
        (FileCondition("dump.raw", "placeholder"), "dump.raw is the placeholder for a file without events"),
        (FileCondition("void.raw", "placeholder"), ""),
    ],
)
def test_a_file_is_in_a_state_or_not(tmp_path: Path, wanted: FileCondition, said: str) -> None:
    contents = {"good.root": b"root\0\0\1\2", "text.root": b"not one", "void.raw": b"", "dump.raw": PLACEHOLDER}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    assert file_fits(wanted, tmp_path) == said


def test_the_placeholder_has_the_size_by_which_the_production_system_knows_it() -> None:
    assert len(PLACEHOLDER) == 33
