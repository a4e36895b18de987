"""Core files of real programs, whole and cut."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pilotext.formats.core_file import is_core, program_of


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A core as gdb's gcore writes it: where a crash leaves its core is for the machine to say."""
    folder = tmp_path_factory.mktemp("core")
    with subprocess.Popen(["/bin/sleep", "600"]) as process:
        subprocess.run(["gcore", "-o", str(folder / "core"), str(process.pid)], check=True, capture_output=True)
        process.send_signal(signal.SIGKILL)
    return next(folder.iterdir())


def test_a_core_is_known_with_its_program(core: Path) -> None:
    assert is_core(core)
    program = program_of(core)
    assert program is not None
    assert program.samefile(shutil.which("sleep") or "")


@pytest.mark.parametrize("size", [18, 64, 100, 1000, 3000])
def test_a_core_that_was_cut_is_still_one_and_its_reader_does_not_mind(core: Path, tmp_path: Path, size: int) -> None:
    cut = tmp_path / "core.1"
    shutil.copy(core, cut)
    os.truncate(cut, size)
    assert is_core(cut)
    assert program_of(cut) is None or size > 1000


@pytest.mark.parametrize("path", [sys.executable, "/etc/passwd", "/dev/null"])
def test_other_files_are_no_cores(path: str) -> None:
    assert not is_core(Path(path).resolve())
