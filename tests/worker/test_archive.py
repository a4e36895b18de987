from __future__ import annotations

import tarfile
from pathlib import Path

from pilotext.worker.archive import archive_name, make_archive
from tests.support.jobs import make_job


def test_the_archive_is_named_after_the_attempt_unless_the_job_says_otherwise() -> None:
    assert archive_name(make_job(task="dvcs2016", job=588, attempt=2)) == "dvcs2016-588-2.job.log.tgz"
    assert archive_name(make_job(log={"destinations": [], "name": "mine.tgz"})) == "mine.tgz"


def test_what_exists_is_packed_below_the_name_of_the_attempt(tmp_path: Path) -> None:
    (tmp_path / "payload_stdout.txt").write_bytes(b"End of Job\n")
    (tmp_path / "mDST.root").write_bytes(b"not a log")
    with tarfile.open(make_archive(make_job(), tmp_path)) as archive:
        assert archive.getnames() == ["test-1-1/payload_stdout.txt"]
        member = archive.extractfile("test-1-1/payload_stdout.txt")
        assert member is not None
        assert member.read() == b"End of Job\n"
