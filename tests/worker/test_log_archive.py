"""The archive of the logs: bounded, without secrets, the same for the same logs, and made whatever the logs do."""

from __future__ import annotations

import errno
import gzip
import os
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from pilotext.model.log_index import Index
from pilotext.model.report import Report
from pilotext.model.verdict import Evidence, Match, Verdict
from pilotext.redaction import Redactor
from pilotext.serialization.json import from_json
from pilotext.worker.log_archive import archive_name, make_archive
from tests.support.jobs import CHECKOUT, make_job
from tests.support.reports import make_report

ROOM = 100_000


def evidence(stream: str, line: int, offset: int) -> Evidence:
    return Evidence(rule="r", stream=stream, line=line, offset=offset, text="x")


def report_of(*seen: Evidence) -> Report:
    also = (Match(rule="s", code="COMPASS-1242", action="note", count=1, evidence=seen[1:]),)
    return make_report(verdict=Verdict(verdict="failure", evidence=seen[:1], also=also))


def pack(folder: Path, *seen: Evidence, room: int = ROOM, secret: str = "", **job: Any) -> dict[str, bytes]:
    """What stands in the archive, by name."""
    path = make_archive(make_job(**job), folder, report_of(*seen), Redactor([secret]), room)
    with tarfile.open(path) as archive:
        files = {member.name: archive.extractfile(member) for member in archive}
        return {name.removeprefix("test-1-1/"): file.read() for name, file in files.items() if file is not None}


def index_of(members: dict[str, bytes]) -> Index:
    return from_json(members["INDEX.json"], Index)


def numbered_lines(count: int) -> bytes:
    return b"".join(b"line %07d\n" % number for number in range(1, count + 1))


def test_the_archive_is_named_after_the_attempt_unless_the_job_says_otherwise() -> None:
    assert archive_name(make_job(task="dvcs2016", job=588, attempt=2)) == "dvcs2016-588-2.job.log.tgz"
    assert archive_name(make_job(log={"destinations": [], "name": "mine.tgz"})) == "mine.tgz"


def test_reports_and_logs_are_packed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "payload_stdout.txt").write_bytes(b"End of Job\n")
    (tmp_path / "job.report.json").write_bytes(b'{"authz": "authz=as-written"}')
    (tmp_path / "pilotext_traceback.txt").write_bytes(b"Traceback")
    (tmp_path / "payload_stack_trace.txt").write_bytes(b"#0 TLattice")
    (tmp_path / "coral.log").write_bytes(b"of the program")
    (tmp_path / "coral2.log").write_bytes(b"an output")
    for name in ("mDST.root", "core", "core.123", "pilotext_secret.key"):
        (tmp_path / name).write_bytes(b"not a log")
    (tmp_path / "pilotext_link.txt").symlink_to("mDST.root")
    members = pack(
        tmp_path,
        evidence("coral.log", 1, 0),
        evidence("core.123", 1, 0),
        evidence("wrapper", 0, 0),
        evidence("../outside", 1, 0),
        outputs=[{"name": "coral2.log", "kind": "log"}],
    )
    assert set(members) == {
        "job.report.json",
        "payload_stdout.txt",
        "pilotext_traceback.txt",
        "payload_stack_trace.txt",
        "coral.log",
        "coral2.log",
        "INDEX.json",
    }
    assert members["payload_stdout.txt"] == b"End of Job\n"
    assert members["job.report.json"] == b'{"authz": "authz=as-written"}', "it has no secrets, and stays JSON"


def test_a_job_without_any_log_has_an_archive_that_says_so(tmp_path: Path) -> None:
    assert index_of(pack(tmp_path)).members == ()


def test_the_index_proves_every_member(tmp_path: Path) -> None:
    (tmp_path / "payload_stdout.txt").write_bytes(b"one\ntwo\r\nthree\rfour")
    members = pack(tmp_path)
    (told,) = index_of(members).members
    assert (told.name, told.size, told.bytes, told.lines) == ("payload_stdout.txt", 19, 19, 4)
    assert told.adler32 == f"{zlib.adler32(members['payload_stdout.txt']):08x}"
    assert [(part.start, part.end, part.first_line) for part in told.parts] == [(0, 19, 1)]


def test_of_a_log_that_is_too_long_begin_end_and_evidence_are_kept_at_places_that_the_index_tells(
    tmp_path: Path,
) -> None:
    log = numbered_lines(100_000)
    (tmp_path / "payload_stdout.txt").write_bytes(log)
    (tmp_path / "payload_stderr.txt").write_bytes(b"short\n")
    place = log.index(b"line 0050000")
    members = pack(tmp_path, evidence("stdout", 50_000, place), evidence("stderr", 1, 0))
    kept = members["payload_stdout.txt"]
    assert len(kept) < ROOM + 500
    assert members["payload_stderr.txt"] == b"short\n"
    assert kept.startswith(b"line 0000001\n")
    assert kept.endswith(b"line 0100000\n")
    assert b"line 0050000\n" in kept
    (told,) = [member for member in index_of(members).members if member.name == "payload_stdout.txt"]
    assert (told.size, told.lines) == (len(log), len(kept.splitlines()))
    for part in told.parts:
        assert kept[part.at : part.at + part.end - part.start] == log[part.start : part.end]
        if part.first_line is not None:
            assert part.first_line == log.count(b"\n", 0, part.start) + 1
    assert [part.first_line is None for part in told.parts] == [False, False, True]
    assert kept.count(b"are left out]") == 2


def test_the_same_logs_give_the_same_archive(tmp_path: Path) -> None:
    (tmp_path / "payload_stdout.txt").write_bytes(numbered_lines(20_000))
    first = make_archive(make_job(), tmp_path, report_of(), Redactor(), ROOM).read_bytes()
    assert make_archive(make_job(), tmp_path, report_of(), Redactor(), ROOM).read_bytes() == first
    assert int.from_bytes(first[4:8]) == 0, "no time of packing stands in it"


def test_secrets_are_illegible_also_where_a_part_begins_in_one(tmp_path: Path) -> None:
    secret = "correct-horse-battery-staple"
    log = bytearray(numbered_lines(100_000))
    for place in (1000, ROOM // 4 - 10, len(log) - ROOM // 2 - 10):
        log[place : place + len(secret)] = secret.encode()
    log[2000:2040] = b"?authz=shape-of-a-secret-" + b"x" * 15
    (tmp_path / "payload_stdout.txt").write_bytes(log)
    kept = pack(tmp_path, secret=secret)["payload_stdout.txt"]
    for part in ("correct", "battery", "horse", "staple", "shape-of"):
        assert part.encode() not in kept
    assert kept[1000 : 1000 + len(secret)] == b"*" * len(secret)


@pytest.mark.fault("report", "log grows while it is packed")
def test_a_log_that_grows_is_packed_as_long_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "payload_stdout.txt"
    log.write_bytes(b"a\n" * 1000)
    on_read(monkeypatch, lambda: grow(log))
    members = pack(tmp_path)
    assert members["payload_stdout.txt"] == b"a\n" * 1000
    assert log.stat().st_size > 2000


@pytest.mark.fault("report", "log cut short while it is packed")
def test_a_log_that_is_cut_short_meanwhile_is_packed_as_far_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "payload_stdout.txt"
    log.write_bytes(b"a\n" * 1000)
    on_read(monkeypatch, lambda: os.truncate(log, 500))
    members = pack(tmp_path)
    assert members["payload_stdout.txt"] == b"a\n" * 250 + b"\n" * 1500
    assert index_of(members).members[0].missing == 1500


@pytest.mark.fault("report", "log gone before it is packed")
def test_a_log_that_disappears_meanwhile_is_said_and_the_others_are_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "job.report.json").write_bytes(b"{}")
    (tmp_path / "payload_stdout.txt").write_bytes(b"a")
    (tmp_path / "payload_stderr.txt").write_bytes(b"b")
    on_read(monkeypatch, lambda: (tmp_path / "payload_stderr.txt").unlink(missing_ok=True))
    members = pack(tmp_path)
    assert set(members) == {"job.report.json", "payload_stdout.txt", "INDEX.json"}
    assert index_of(members).left_out == {"payload_stderr.txt": "No such file or directory"}


def grow(log: Path) -> None:
    with log.open("ab") as file:
        file.write(b"more\n")


def on_read(monkeypatch: pytest.MonkeyPatch, action: Any) -> None:
    """Do something to the work directory at the moment when a log is read."""
    read = os.pread

    def disturbed(descriptor: int, size: int, offset: int) -> bytes:
        action()
        return read(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", disturbed)


ON_A_SMALL_DISK = """
import os, sys
from pathlib import Path
from tests.worker.test_log_archive import pack

disk = Path(sys.argv[1])
(disk / "payload_stdout.txt").write_bytes(os.urandom(300_000) + b"the last line\\n")
with (disk / "in the way").open("wb") as file:
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    file.write(bytes(max(0, free - int(sys.argv[2]))))
try:
    kept = pack(disk, room=10**7)["payload_stdout.txt"]
except OSError as error:
    print(error.strerror)
else:
    print(kept.endswith(b"the last line\\n"), len(kept) < 60_000)
print(sorted(path.name for path in disk.iterdir()))
"""


def on_a_small_disk(folder: Path, free: int) -> list[str]:
    """What is said on a disk of its own, with so many bytes free beside a log."""
    alone = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    mount = 'mount -t tmpfs -o size=600k tmpfs "$0" && exec "$@"'
    words = [sys.executable, "-P", "-c", ON_A_SMALL_DISK, str(folder), str(free)]
    ended = subprocess.run(
        [*alone, "sh", "-c", mount, str(folder), *words],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


@pytest.mark.fault("report", "too little room on the disk for the logs")
def test_with_little_room_on_the_disk_fewer_logs_are_packed(tmp_path: Path) -> None:
    said, left = on_a_small_disk(tmp_path, free=150_000)
    assert said == "True True"
    assert left == "['in the way', 'payload_stdout.txt', 'test-1-1.job.log.tgz']"


@pytest.mark.fault("report", "disk full before the logs are packed")
def test_on_a_full_disk_nothing_half_is_left(tmp_path: Path) -> None:
    said, left = on_a_small_disk(tmp_path, free=0)
    assert said == "No space left on device"
    assert left == "['in the way', 'payload_stdout.txt']"


HUGE = 8 * 10**9
MEASURED = """
import resource, sys
from pathlib import Path
from tests.worker.test_log_archive import evidence, pack, index_of

members = pack(Path(sys.argv[1]), evidence("stdout", 1, 4 * 10**9), room=int(sys.argv[2]))
print(index_of(members).members[0].size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_kb(folder: Path, size: int) -> int:
    """The peak of memory of a process that packs a log of so many bytes and reads the archive."""
    with (folder / "payload_stdout.txt").open("wb") as file:
        file.truncate(size)
    ended = subprocess.run(
        [sys.executable, "-P", "-c", MEASURED, str(folder), str(ROOM)],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=True,
    )
    packed, peak = map(int, ended.stdout.split())
    assert packed == size
    return peak


def test_a_log_of_gigabytes_takes_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    small = peak_kb(tmp_path, 50_000)
    assert peak_kb(tmp_path, HUGE) < small + 16_000


def test_a_whole_gzip_stream_is_written(tmp_path: Path) -> None:
    (tmp_path / "payload_stdout.txt").write_bytes(numbered_lines(1000))
    path = make_archive(make_job(), tmp_path, report_of(), Redactor(), ROOM)
    assert numbered_lines(1000) in gzip.decompress(path.read_bytes())
    assert not list(tmp_path.glob(".*.part"))


def test_what_the_system_refuses_is_raised_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "payload_stdout.txt").write_bytes(b"a")

    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    with pytest.raises(OSError, match="Input/output error"):
        pack(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["payload_stdout.txt"]
