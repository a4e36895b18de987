"""Reports that wait: whole files, one owner at a time, bounded, and never in each other's way."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from msgspec.structs import replace

from pilotext.api import spool as spools
from pilotext.api.spool import Spool, Spooled, SpoolError, default_folder, name_of
from pilotext.errors import FieldError, UsageError
from pilotext.model.job import ReportTarget


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "state/spool")


def spooled(label: str = "task-1-1", **report: object) -> Spooled:
    target = ReportTarget(url="http://127.0.0.1:1/report", token="of-this-attempt")
    return Spooled(format=1, label=label, target=target, report=report, since=1.0)


def test_a_report_that_is_kept_waits_with_its_token_for_its_owner_alone(spool: Spool) -> None:
    spool.keep(spooled(state="done")).release()
    (path,) = spool.waiting()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(spool.folder.stat().st_mode) == 0o700
    held = spool.take(path)
    assert held is not None
    assert replace(held.read(), mac="") == spooled(state="done")
    held.release()


def test_the_same_attempt_replaces_its_report_and_another_one_does_not(spool: Spool) -> None:
    spool.keep(spooled(state="running")).release()
    spool.keep(spooled(state="done")).release()
    spool.keep(spooled("task-1-2")).release()
    assert len(spool.waiting()) == 2


@pytest.mark.fault("report", "another process sends the same report")
def test_a_report_has_one_owner_at_a_time(spool: Spool) -> None:
    owner = spool.keep(spooled(state="running"))
    (path,) = spool.waiting()
    assert spool.take(path) is None
    owner.replace(spooled(state="done"))
    assert spool.take(path) is None, "it is still ours behind the new text"
    owner.release()
    taken = spool.take(path)
    assert taken is not None
    taken.remove()
    assert spool.waiting() == []


@pytest.mark.fault("report", "owner of a spooled report killed")
def test_a_killed_owner_gives_its_report_back(spool: Spool) -> None:
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        spool.keep(spooled(state="done"))
        os.write(told, b".")
        os.kill(os.getpid(), 9)
    os.read(ready, 1)
    os.waitpid(child, 0)
    os.close(ready)
    os.close(told)
    (path,) = spool.waiting()
    held = spool.take(path)
    assert held is not None
    assert held.read().report == {"state": "done"}
    held.release()


def test_a_report_that_somebody_has_just_sent_is_left_alone(spool: Spool) -> None:
    owner = spool.keep(spooled())
    (path,) = spool.waiting()
    owner.remove()
    assert spool.take(path) is None


def test_what_is_set_aside_is_out_of_the_way_with_its_reason(spool: Spool) -> None:
    spool.set_aside(spool.keep(spooled()), "the server answers with status 410")
    assert spool.waiting() == []
    name = name_of(spooled()) + ".json"
    assert (spool.aside / f"{name}.reason").read_text() == "the server answers with status 410\n"
    assert (spool.aside / name).exists()


def test_only_so_much_is_set_aside(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spools, "MAX_ASIDE", 2)
    for number in range(4):
        spool.set_aside(spool.keep(spooled(f"task-1-{number}")), "no")
    assert len(list(spool.aside.iterdir())) == 4, "two reports and two reasons"


def test_a_full_spool_takes_no_more_but_lets_a_report_be_replaced(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.keep(spooled()).release()
    monkeypatch.setattr(spools, "MAX_REPORTS", 1)
    spool.keep(spooled(state="done")).release()
    with pytest.raises(SpoolError, match=r"the spool is full \(1 reports\)"):
        spool.keep(spooled("task-1-2"))
    monkeypatch.undo()
    monkeypatch.setattr(spools, "MAX_SPOOL_BYTES", 100)
    with pytest.raises(SpoolError, match="full"):
        spool.keep(spooled("task-1-2", text="x" * 100))


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_spool_that_others_can_write_is_not_used(spool: Spool, mode: int) -> None:
    spool.keep(spooled()).release()
    spool.folder.chmod(mode)
    with pytest.raises(SpoolError, match="others can write"):
        spool.keep(spooled())
    with pytest.raises(SpoolError, match="others can write"):
        spool.waiting()


def test_a_spool_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="Not a directory"):
        Spool(tmp_path / "file/spool").keep(spooled())


def test_a_spool_that_does_not_exist_is_empty(spool: Spool) -> None:
    assert spool.waiting() == []


def test_the_leftover_of_a_killed_writer_is_no_report_and_goes_after_a_while(spool: Spool) -> None:
    spool.keep(spooled()).release()
    fresh, old = spool.folder / ".a.json.123", spool.folder / ".b.json.123"
    fresh.write_text("{")
    old.write_text("{")
    os.utime(old, (1, 1))
    assert len(spool.waiting()) == 1
    assert (fresh.exists(), old.exists()) == (True, False)


def test_a_file_that_is_no_report_says_so_when_it_is_read(spool: Spool) -> None:
    spool.keep(spooled()).release()
    (path,) = spool.waiting()
    path.write_text('{"format": 1')
    held = spool.take(path)
    assert held is not None
    with pytest.raises(FieldError, match="not a JSON document"):
        held.read()
    held.release()


def test_the_spool_is_where_the_environment_says_else_with_the_users_state(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_folder({"PILOTEXT_SPOOL": "/pool/spool", "XDG_STATE_HOME": "/state"}) == Path("/pool/spool")
    assert default_folder({"XDG_STATE_HOME": "/state"}) == Path("/state/pilotext/spool")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_folder({}) == Path("/home/somebody/.local/state/pilotext/spool")


@pytest.mark.fault("report", "a payload fills the spool with what is no report")
def test_what_is_no_report_takes_no_room_and_is_not_read(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spools, "MAX_REPORTS", 2)
    spool.keep(spooled()).release()
    (spool.folder / "a.json/x").mkdir(parents=True)
    os.mkfifo(spool.folder / "b.json")
    spool.aside.touch()
    spool.keep(spooled("task-1-2")).release()
    with (spool.folder / "c.json").open("wb") as file:
        file.truncate(spools.MAX_REPORT_BYTES + 1)
    assert {path.name for path in spool.waiting()} >= {"c.json"}
    assert sorted(path.suffix for path in spool.folder.iterdir()) == ["", ".json", ".json", ".json"]
    held = spool.take(spool.folder / "c.json")
    assert held is not None
    with pytest.raises(UsageError, match="so large"):
        held.read()
    spool.set_aside(held, "why")
    assert (spool.aside / "c.json").exists()
    assert len(spool.waiting()) == 2
