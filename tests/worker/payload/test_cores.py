from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from pilotext.storage.transfer import no_tick
from pilotext.worker.payload import cores
from pilotext.worker.payload.cores import STACK_NAME, discard_cores, find_cores, take_cores
from pilotext.worker.stop_signals import ToldToStop


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A work directory with a core of `sleep`, and a file that is only named like one."""
    with subprocess.Popen(["/bin/sleep", "600"]) as process:
        subprocess.run(["gcore", "-o", str(tmp_path / "core"), str(process.pid)], check=True, capture_output=True)
        process.kill()
    (tmp_path / "core.txt").write_text("the core of the matter")
    return tmp_path


def test_a_core_becomes_a_stack_trace_and_goes(work: Path) -> None:
    (core,) = find_cores(work)
    (finding,) = take_cores(work, keep=False, trace=True, tick=no_tick)
    assert finding.name == "core-taken"
    assert core.name in finding.text
    assert "sleep" in finding.text
    assert "removed" in finding.text
    assert "#0 " in (work / STACK_NAME).read_text()
    assert {path.name for path in work.iterdir()} == {STACK_NAME, "core.txt"}


def test_a_core_that_is_wanted_stays_under_a_name_that_no_pilot_looks_for(work: Path) -> None:
    (core,) = find_cores(work)
    take_cores(work, keep=True, trace=False, tick=no_tick)
    assert (work / f"payload_{core.name}").stat().st_size > 0
    assert find_cores(work) == []
    assert not (work / STACK_NAME).exists()


def test_without_gdb_the_core_goes_and_no_trace_is_promised(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    (finding,) = take_cores(work, keep=False, trace=True, tick=no_tick)
    assert STACK_NAME not in finding.text
    assert find_cores(work) == []


def test_a_debugger_that_hangs_is_ended(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_GDB", ("sleep", "600"))
    monkeypatch.setattr(cores, "_TRACE_WITHIN_S", 0.3)
    (finding,) = take_cores(work, keep=False, trace=True, tick=no_tick)
    assert STACK_NAME not in finding.text
    assert (work / STACK_NAME).read_text() == ""


def test_an_order_to_stop_does_not_wait_for_the_debugger(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ordered() -> None:
        raise ToldToStop("SIGTERM")

    monkeypatch.setattr(cores, "_GDB", ("sleep", "600"))
    began = time.monotonic()
    with pytest.raises(ToldToStop):
        take_cores(work, keep=False, trace=True, tick=ordered)
    assert time.monotonic() - began < 20


def test_what_an_earlier_attempt_left_is_discarded(work: Path) -> None:
    (work / STACK_NAME).write_text("of yesterday")
    discard_cores(work)
    assert {path.name for path in work.iterdir()} == {"core.txt"}


def test_a_link_named_core_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "core.1").symlink_to("/bin/ls")
    (tmp_path / "core.2").mkdir()
    assert find_cores(tmp_path) == []
