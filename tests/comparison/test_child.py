from __future__ import annotations

import os
from pathlib import Path

import pytest

from pilotext.comparison.child import ComparisonError, compare_files
from pilotext.comparison.records import Tolerances
from tests.comparison.files import write_file

WITHIN_S = 120.0


def test_two_files_are_compared_in_a_process_of_its_own(tmp_path: Path) -> None:
    old, new = write_file(tmp_path / "old.root"), write_file(tmp_path / "new.root", shift=0.05)
    assert compare_files([old], [old], Tolerances(), WITHIN_S).agrees
    result = compare_files([old], [new], Tolerances(entries=0.1), WITHIN_S)
    assert [each.name for each in result.objects if each.finding == "differs"] == ["plots/mass"]


def test_a_file_that_is_no_root_file_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.root"
    wrong.write_bytes(b"nothing of ROOT" * 100)
    with pytest.raises(ComparisonError, match=r"wrong\.root"):
        compare_files([write_file(tmp_path / "old.root")], [wrong], Tolerances(), WITHIN_S)


def test_a_reader_that_hangs_is_ended(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.root"
    os.mkfifo(pipe)
    with pytest.raises(ComparisonError, match=r"not finished after 0\.5 s"):
        compare_files([pipe], [pipe], Tolerances(), 0.5)


def test_without_scipy_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = tmp_path / "path"
    hidden.mkdir()
    (hidden / "scipy.py").write_text("raise ImportError('not installed', name='scipy')\n")
    monkeypatch.setenv("PYTHONPATH", str(hidden))
    file = write_file(tmp_path / "old.root")
    with pytest.raises(ComparisonError, match=r"needs scipy: install pilotext\[compare\]"):
        compare_files([file], [file], Tolerances(), WITHIN_S)
