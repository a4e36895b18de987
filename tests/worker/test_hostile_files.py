"""A payload that puts something strange into its work directory: status, report files and server say the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pilotext.model.report import Report
from pilotext.serialization.json import from_json
from tests.support.jobs import job_document
from tests.support.report_server import ReportServer, report_server

PATIENCE_S = 120.0


@dataclass
class Place:
    """A folder with a work directory, what is published, and a server for the report."""

    folder: Path
    server: ReportServer
    limits: dict[str, Any] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def run(self, script: str, *, prefix: tuple[str, ...] = (), **fields: Any) -> Report:
        """Run a job of this script with the output `a.txt`; all who are told of its end must be told the same."""
        document = job_document(
            command=["/bin/bash", "-c", script] if script else [],
            outputs=[{"name": "a.txt", "destinations": [f"file://{self.folder}/out/"]}],
            log={"destinations": [f"file://{self.folder}/logs/"]},
            report={"url": self.server.url(), "token": "t0ken"},
            limits={"wall_s": 100, **self.limits},
            **fields,
        )
        job = self.folder / "job.json"
        job.write_text(json.dumps(document))
        words = ["-P", "-m", "pilotext", "run", str(job), "--workdir", str(self.work)]
        environment = {**os.environ, "PILOTEXT_SPOOL": str(self.folder / "spool")}
        ended = subprocess.run(
            [*prefix, sys.executable, *words],
            env=environment,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
            cwd=self.folder,
        )
        assert b"Traceback" not in ended.stderr
        assert b"bug in pilotext" not in ended.stderr, ended.stderr.decode()
        (taken,) = self.server.requests
        report = from_json(taken.body, Report)
        assert report.exit_status == ended.returncode, ended.stderr.decode()
        return report

    def on_disk(self) -> Report:
        return from_json((self.work / "job.report.json").read_bytes(), Report)

    def pilot_code(self) -> int:
        return int(json.loads((self.work / "payload_error_report.json").read_bytes())["error_code"])

    def published(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in (self.folder / "out").glob("*")}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with report_server() as server:
        yield Place(tmp_path, server)


IN_THE_WAY = {
    "a folder": "rm -rf $f; mkdir -p $f/below",
    "a FIFO": "rm -rf $f; mkfifo $f",
    "a link": "rm -rf $f; ln -s ../precious $f",
    "a link to nothing": "rm -rf $f; ln -s ../nothing $f",
    "a read-only file": "rm -rf $f; touch $f; chmod 000 $f",
}
OURS = (
    *("job.report.json", "payload_error_report.json", "jobReport.json", ".pilotext.reserve"),
    *("test-1-1.job.log.tgz", ".test-1-1.job.log.tgz.part", "pilotext_traceback.txt", "payload_stack_trace.txt"),
)


@pytest.mark.fault("payload", "something else in the place of a file of the wrapper")
@pytest.mark.parametrize("what", IN_THE_WAY)
def test_nothing_in_the_place_of_our_files_is_an_obstacle(place: Place, what: str) -> None:
    (place.folder / "precious").write_text("precious")
    report = place.run(f"for f in {' '.join(OURS)}; do {IN_THE_WAY[what]}; done; echo hi > a.txt")
    assert (report.state, report.exit_status, report.verdict.verdict) == ("done", 0, "success")
    assert (place.on_disk().state, place.pilot_code()) == ("done", 0)
    assert place.published() == {"a.txt": "hi\n"}
    assert report.log is not None
    assert (place.folder / "precious").read_text() == "precious"
    assert not (place.folder / "nothing").exists()


@pytest.mark.fault("payload", "the work directory is closed by its mode")
@pytest.mark.parametrize("mode", ["000", "555", "300"])
def test_a_closed_work_directory_is_opened(place: Place, mode: str) -> None:
    report = place.run(f"echo hi > a.txt; chmod {mode} .")
    assert (report.state, report.exit_status, place.on_disk().state) == ("done", 0, "done")


@pytest.mark.fault("report", "a report file that cannot be replaced")
@pytest.mark.parametrize(("end", "verdict"), [("exit 0", "report-not-written"), ("exit 3", "exit-nonzero")])
def test_where_the_report_cannot_be_replaced_all_say_that_the_job_failed(place: Place, end: str, verdict: str) -> None:
    """A mount point cannot be replaced by anybody; it is on disk what was there when the payload began."""
    mount = "mount --bind job.report.json job.report.json"
    alone = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--mount")
    report = place.run(f"{mount} || exit 99; echo hi > a.txt; {end}", prefix=alone)
    assert (report.state, report.exit_status) == ("failed", 70)
    assert report.verdict.rule == verdict
    assert place.on_disk().state == "running"
    assert place.on_disk().verdict.verdict == "failure"


@pytest.mark.fault("payload", "names that are no text")
def test_names_that_are_no_text_change_nothing(place: Place) -> None:
    names = [r"$'payload_\xff.txt'", r"$'pilotext_\n.txt'", r"$'\xff'", r"$'pilotext_\u202e.txt'"]
    report = place.run(f"touch {' '.join(names)}; head -c 200 /bin/ls > $'core.\\xff'; echo hi > a.txt")
    assert (report.state, report.exit_status, place.pilot_code()) == ("done", 0, 0)
    assert place.on_disk().state == "done"
    assert report.log is not None
    assert place.published() == {"a.txt": "hi\n"}


@pytest.mark.fault("payload", "a flood of files with names like ours")
def test_the_members_of_the_archive_are_as_many_as_the_job_says(place: Place) -> None:
    flood = "for n in $(seq 3000); do echo x > payload_$n.txt; echo x > pilotext_$n.txt; done"
    report = place.run(f"{flood}; echo hi > a.txt")
    assert report.exit_status == 0
    with tarfile.open(place.folder / "logs/test-1-1.job.log.tgz") as archive:
        assert len(archive.getnames()) <= 6


OUTSIDE = {
    "a link": "ln -s ../precious a.txt",
    "a link by a link": "ln -s ../precious b; ln -s b a.txt",
    "a link through a folder": "ln -s .. up; ln -s up/precious a.txt",
    "an absolute link": 'ln -s "$PWD/../precious" a.txt',
    "a device": "ln -s /dev/zero a.txt",
    "a descriptor": "ln -s /proc/self/fd/0 a.txt",
}


@pytest.mark.fault("validate", "an output that is a link out of the work directory")
@pytest.mark.parametrize("what", OUTSIDE)
def test_an_output_that_leads_out_of_the_work_directory_is_refused(place: Place, what: str) -> None:
    (place.folder / "precious").write_text("precious")
    report = place.run(OUTSIDE[what])
    assert (report.state, report.exit_status, report.verdict.code) == ("failed", 67, "COMPASS-4012")
    assert report.verdict.rule == "output-outside"
    assert place.published() == {}


@pytest.mark.skipif(os.getuid() != 0, reason="others may not link to a file that is not theirs")
@pytest.mark.fault("validate", "an output that is another name of somebody else's file")
def test_an_output_that_is_a_hard_link_to_anothers_file_is_refused(place: Place) -> None:
    (place.folder / "precious").write_text("precious")
    os.chown(place.folder / "precious", 65534, 65534)
    report = place.run("ln ../precious a.txt")
    assert (report.exit_status, report.verdict.rule) == (67, "output-outside")
    assert place.published() == {}


@pytest.mark.parametrize(
    "script", ["echo hi > b; ln -s b a.txt", "echo hi > b; ln b a.txt", "mkdir d; echo hi > d/b; ln -s d/b a.txt"]
)
def test_an_output_that_is_a_link_within_the_work_directory_is_published(place: Place, script: str) -> None:
    assert place.run(script).exit_status == 0
    assert place.published() == {"a.txt": "hi\n"}


@pytest.mark.fault("payload", "a stream replaced by a link")
def test_a_stream_that_is_a_link_is_not_read(place: Place) -> None:
    (place.folder / "precious").write_text("Segmentation fault of somebody else\n")
    report = place.run(
        "echo boom >&2; for s in payload_stdout.txt payload_stderr.txt; do ln -sf ../precious $s; done; exit 1"
    )
    assert report.state == "failed"
    assert "somebody else" not in json.dumps(json.loads((place.work / "job.report.json").read_text()))
    with tarfile.open(place.folder / "logs/test-1-1.job.log.tgz") as archive:
        assert not any("payload_std" in name for name in archive.getnames())


@pytest.mark.fault("payload", "a stream replaced by a FIFO between two steps")
def test_the_next_step_writes_to_a_stream_that_the_one_before_has_replaced(place: Place) -> None:
    (place.folder / "precious").write_text("precious")
    first = "rm payload_stdout.txt payload_stderr.txt; mkfifo payload_stdout.txt; ln -s ../precious payload_stderr.txt"
    steps = [
        {"name": str(n), "command": ["/bin/bash", "-c", s]} for n, s in enumerate((first, "echo hi > a.txt; echo two"))
    ]
    report = place.run("", steps=steps)
    assert report.exit_status == 0
    assert (place.work / "payload_stdout.txt").read_text() == "two\n"
    assert (place.folder / "precious").read_text() == "precious"


FILL = "head -c 100000000 /dev/zero > f || exit 1"
DISK = (
    *(("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--mount")),
    *(
        "sh",
        "-c",
        'mkdir -p work && mount -t tmpfs -o size=8m tmpfs work && "$@"; s=$?; cp -r work kept; exit $s',
        "sh",
    ),
)


@pytest.mark.fault("payload", "the disk of the work directory is full")
@pytest.mark.parametrize(
    "script", [FILL, "head -c 100000000 /dev/zero > f; echo hi > a.txt; true", f"({FILL}); rm -f f; sleep 0; {FILL}"]
)
def test_a_full_disk_is_the_reason_whatever_follows_from_it(place: Place, script: str) -> None:
    report = place.run(script, prefix=DISK)
    assert (report.verdict.code, report.verdict.action) == ("COMPASS-5111", "retry-elsewhere")
    assert report.verdict.cause == "output-write"
    assert (report.state, report.exit_status) == ("failed", 66)
    on_disk = from_json((place.folder / "kept/job.report.json").read_bytes(), Report)
    assert (on_disk.state, on_disk.verdict.code) == ("failed", "COMPASS-5111")


@pytest.mark.fault("payload", "the disk of the work directory was full for a while")
def test_a_disk_that_was_full_while_the_program_ran_is_the_reason_of_its_failure(place: Place) -> None:
    report = place.run("head -c 100000000 /dev/zero > f || { sleep 2; rm f; exit 1; }", prefix=DISK)
    assert report.verdict.code == "COMPASS-5111"


def test_a_disk_with_room_is_no_finding(place: Place) -> None:
    report = place.run("head -c 4000000 /dev/zero > f; echo hi > a.txt", prefix=DISK)
    assert report.exit_status == 0
    assert report.findings == ()
