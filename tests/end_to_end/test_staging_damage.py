"""Files that are missing, closed, cut or changed, and disks that are full, on either side of a transfer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.servers.relay import Relay
from pilotext.model.report import Report
from tests.support.copy_job import (
    CONTENT,
    FOLDER,
    MIDDLE,
    SMALL,
    CopyJob,
    aim,
    ended,
    faults,
    outcome,
    put,
    stored,
)
from tests.support.servers import server_adler32
from tests.support.xrootd_server import XrdServer, serving

CORRUPT = {
    "checksum": (65, "COMPASS-3108", "input-corrupt", "restage"),
    "size": (65, "COMPASS-3112", "input-corrupt", "restage"),
}


@pytest.fixture
def job(open_folder: Path) -> CopyJob:
    return CopyJob(open_folder, CONTENT)


@pytest.fixture
def server() -> Iterator[XrdServer]:
    with serving([("/eos/compass", "r/w"), ("/eos/closed", "r/o")]) as running:
        put(running, CONTENT)
        yield running


@pytest.fixture
def relay(server: XrdServer) -> Iterator[Relay]:
    with Relay(server.port) as running:
        yield running


def assert_nothing_came_out(job: CopyJob, server: XrdServer) -> None:
    assert stored(server) == {}
    assert not job.published.exists()
    if job.report().exit_status == 65:
        assert job.left_in_workdir() == set()


def refused(report: Report) -> tuple[int, str | None, list[str]]:
    return report.exit_status, report.verdict.code, faults(report)


# --------------------------------------------------------------------------------------------- missing and closed


@pytest.mark.fault("stage-in", "source missing on a real server")
def test_a_source_that_is_missing_is_not_asked_twice(job: CopyJob, server: XrdServer) -> None:
    aim(job, "stage-in", server.port, folder="/eos/compass/elsewhere")
    report = job.run()
    assert refused(report) == (65, "COMPASS-3102", ["not-found"])
    assert_nothing_came_out(job, server)


@pytest.mark.fault("stage-in", "source unreadable")
def test_a_source_that_is_closed_is_not_asked_twice(job: CopyJob, server: XrdServer) -> None:
    aim(job, "stage-in", server.port)
    (server.store / FOLDER[1:] / "in.bin").chmod(0)
    report = job.run()
    assert refused(report) == (65, "COMPASS-3104", ["denied"])
    assert_nothing_came_out(job, server)


@pytest.mark.parametrize(
    "folder",
    [
        pytest.param("/eos/closed", marks=pytest.mark.fault("stage-out", "destination read-only")),
        pytest.param("/eos/na62", marks=pytest.mark.fault("stage-out", "destination not exported")),
    ],
)
def test_a_destination_that_is_closed_is_not_asked_twice(job: CopyJob, server: XrdServer, folder: str) -> None:
    aim(job, "stage-out", server.port, folder=folder)
    report = job.run()
    assert refused(report)[:2] == (68, "COMPASS-3204")
    assert faults(report)[0] == "denied"
    assert_nothing_came_out(job, server)


@pytest.mark.fault("stage-out", "a folder has the name of the output")
def test_a_folder_in_place_of_the_output_is_left_alone(job: CopyJob, server: XrdServer) -> None:
    inside = server.store / FOLDER[1:] / "out.bin/inside"
    inside.parent.mkdir()
    inside.touch()
    server.give_to_server()
    aim(job, "stage-out", server.port)
    report = job.run()
    assert refused(report)[:2] == (68, "COMPASS-3207")
    assert set(stored(server)) == {"inside"}


# ------------------------------------------------------------------------------------------------ cut and changed


@pytest.mark.fault("stage-in", "source shorter than the catalogue says")
def test_a_source_that_is_cut_is_not_copied(job: CopyJob, server: XrdServer) -> None:
    aim(job, "stage-in", server.port)
    put(server, CONTENT[:-1])
    report = job.run()
    assert outcome(report) == CORRUPT["size"]
    assert faults(report) == ["size", "size"]
    assert_nothing_came_out(job, server)


@pytest.mark.fault("stage-in", "source cut in mid transfer")
@pytest.mark.parametrize("catalogue", [True, False])
def test_a_source_that_is_cut_meanwhile_is_not_used(
    job: CopyJob, server: XrdServer, relay: Relay, *, catalogue: bool
) -> None:
    aim(job, "stage-in", relay.port)
    if not catalogue:
        job.catalogue = {}
        job.limits["transfer_tries"] = 1
    relay.hold("down", MIDDLE)
    with ended(job.start()) as process:
        relay.wait_until_held("down")
        os.truncate(server.store / FOLDER[1:] / "in.bin", MIDDLE)
        relay.release()
        report = job.end(process)
    if catalogue:
        assert outcome(report) in CORRUPT.values()
        assert_nothing_came_out(job, server)
    else:  # nobody knows that there was more; the fresh copy is what the source is now, and whole
        assert report.exit_status == 0
        assert (job.published / "out.bin").read_bytes() == CONTENT[:MIDDLE]
        assert len(report.inputs[0].tries) == 1


@pytest.mark.fault("stage-in", "checksum unlike the catalogue, of all sources")
def test_a_source_unlike_the_catalogue_is_copied_twice_and_blamed(job: CopyJob, server: XrdServer) -> None:
    aim(job, "stage-in", server.port)
    job.catalogue["adler32"] = "deadbeef"
    report = job.run()
    assert outcome(report) == CORRUPT["checksum"]
    assert faults(report) == ["checksum", "checksum"]
    assert_nothing_came_out(job, server)


@pytest.mark.fault("stage-in", "server reports another checksum")
def test_a_source_that_rotted_is_copied_twice_and_blamed(job: CopyJob, server: XrdServer) -> None:
    aim(job, "stage-in", server.port)
    job.catalogue = {}
    path = server.store / FOLDER[1:] / "in.bin"
    server_adler32(job.sources[0])
    then = path.stat()
    with path.open("r+b") as stream:
        stream.write(b"rot")
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))  # the server goes on trusting the checksum it remembers
    report = job.run()
    assert outcome(report) == CORRUPT["checksum"]
    assert faults(report) == ["checksum", "checksum"]
    assert_nothing_came_out(job, server)


@pytest.mark.fault("stage-out", "server reports another checksum")
def test_a_destination_with_another_checksum_publishes_nothing(job: CopyJob, open_folder: Path) -> None:
    program = open_folder / "liar"
    program.write_text("#!/bin/sh\necho deadbeef\n")
    program.chmod(0o755)
    with serving(extra=f"xrootd.chksum max 2 adler32 {program}") as liar:
        aim(job, "stage-out", liar.port)
        report = job.run()
        assert outcome(report) == (68, "COMPASS-3208", "storage", "retry")
        assert faults(report) == ["checksum", "checksum"]
        assert_nothing_came_out(job, liar)


@pytest.mark.parametrize(
    ("phase", "direction"),
    [
        pytest.param("stage-in", "down", marks=pytest.mark.fault("stage-in", "bytes changed on the way, always")),
        pytest.param("stage-out", "up", marks=pytest.mark.fault("stage-out", "bytes changed on the way, always")),
    ],
)
def test_a_line_that_changes_bytes_publishes_what_was_written_or_nothing(
    job: CopyJob, server: XrdServer, relay: Relay, phase: str, direction: str
) -> None:
    """The XRootD client asks for each damaged page again, by itself. Such a page is small: it may come unchanged.

    Where several of their answers go together, the changed byte may be one of a header. That answer reaches nobody, and
    the transfer ends as stalled when the client's request has expired, instead of with a wrong checksum.
    """
    aim(job, phase, relay.port)
    relay.flip("down" if direction == "down" else "up")
    report = job.run()
    here = stored(server) if phase == "stage-out" else {path.name: path.read_bytes() for path in _files(job.published)}
    if report.exit_status == 0:
        assert here["out.bin"] == job.content
    else:
        assert 2 <= len(faults(report)) <= 3, "two tries, and the one fresh copy that a wrong checksum deserves"
        assert set(faults(report)) <= {"checksum", "stalled"}
        kind = {"checksum": "08", "stalled": "11"}[faults(report)[-1]]
        status, code = (65, "31") if phase == "stage-in" else (68, "32")
        assert outcome(report)[:2] == (status, f"COMPASS-{code}{kind}")
        assert "out.bin" not in here


def _files(folder: Path) -> list[Path]:
    return [*folder.iterdir()] if folder.exists() else []


@pytest.mark.parametrize(
    ("phase", "direction"),
    [
        pytest.param("stage-in", "down", marks=pytest.mark.fault("stage-in", "bytes changed on the way, once")),
        pytest.param("stage-out", "up", marks=pytest.mark.fault("stage-out", "bytes changed on the way, once")),
    ],
)
def test_bytes_changed_once_do_not_reach_the_output(
    job: CopyJob, server: XrdServer, relay: Relay, phase: str, direction: str
) -> None:
    aim(job, phase, relay.port)
    relay.flip("down" if direction == "down" else "up", pieces=1)
    report = job.run()
    assert report.exit_status == 0, report.verdict.diag
    arrived = stored(server)["out.bin"] if phase == "stage-out" else (job.published / "out.bin").read_bytes()
    assert arrived == CONTENT


# ---------------------------------------------------------------------------------------------------- full disks


@pytest.mark.fault("stage-in", "work directory's disk full")
def test_a_full_node_is_not_tried_again(job: CopyJob, server: XrdServer) -> None:
    aim(job, "stage-in", server.port)
    job.catalogue = {}
    job.on_small_disk(4)
    report = job.run()
    assert outcome(report) == (65, "COMPASS-3106", "storage", "retry-elsewhere")
    assert faults(report) == ["no-space"]
    assert_nothing_came_out(job, server)


@pytest.mark.fault("prepare", "work directory's disk too small for the inputs")
def test_a_node_too_small_is_told_before_anything_moves(job: CopyJob, server: XrdServer) -> None:
    aim(job, "stage-in", server.port)
    job.on_small_disk(4)
    report = job.run()
    assert report.exit_status == 65
    assert report.verdict.evidence[0].rule == "work-directory-unusable"
    assert report.tries == ()
    assert_nothing_came_out(job, server)


@pytest.mark.fault("stage-out", "server's disk full")
def test_a_full_server_is_not_tried_again(job: CopyJob) -> None:
    with serving(disk_mb=4) as full:
        aim(job, "stage-out", full.port)
        report = job.run()
        assert outcome(report) == (68, "COMPASS-3206", "storage", "manual-check")
        assert faults(report) == ["no-space"]
        assert [path.name for path in full.seen_store.rglob("*") if path.is_file()] == []


@pytest.mark.fault("stage-out", "first of two servers full")
def test_the_next_server_serves_when_the_first_is_full(job: CopyJob, server: XrdServer) -> None:
    with serving(disk_mb=4) as full:
        aim(job, "stage-out", server.port)
        spare = job.destinations
        aim(job, "stage-out", full.port)
        job.destinations += spare
        report = job.run()
        assert report.exit_status == 0
        assert [each.fault for each in report.outputs[0].tries] == ["no-space"]
        assert stored(server) == {"out.bin": CONTENT}
        assert [path.name for path in full.seen_store.rglob("*") if path.is_file()] == []


def test_a_small_disk_is_enough_for_a_small_file(open_folder: Path) -> None:
    job = CopyJob(open_folder, SMALL)
    job.on_small_disk(4)
    with serving(disk_mb=4) as small:
        aim(job, "stage-out", small.port)
        assert job.run().exit_status == 0
        assert (small.seen_store / FOLDER[1:] / "out.bin").read_bytes() == SMALL
