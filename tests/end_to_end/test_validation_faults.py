"""Payloads that end well and whose files are not: nothing of them is published."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from fixtures.payloads.standin import rootout
from pilotext.formats.date_raw import walk
from pilotext.formats.date_raw_writer import make_raw
from tests.end_to_end.conftest import EVENTS, HISTOGRAMS, MDST, RAW, Ended
from tests.end_to_end.local import Local, assert_failed, local
from tests.end_to_end.test_payload_faults import CORAL, DDD, THEN, until
from tests.support.processes import processes_below

__all__ = ["local"]

FILTER = [DDD, "--filter-CAL", "--out=out.raw", RAW]


ZERO_A_BASKET = """
import sys, uproot
with uproot.open(sys.argv[1]) as file:
    branch = file["phast"].branches[0]
    end = int(branch.member("fBasketSeek")[0]) + int(branch.member("fBasketBytes")[0])
with open(sys.argv[1], "r+b") as file:
    file.seek(end - 40)
    file.write(bytes(30))
"""


def mdst(path: Path, events: int) -> Path:
    """An mDST as the stand-in writes it, with so many entries."""
    written = rootout.Events()
    for number in range(events):
        written.add(275772, 1, number, 1)
    rootout.write_mdst(path, written)
    return path


def merge(local: Local, command: list[str], chunks: list[Path], name: str = "merged.root", **fields: Any) -> None:
    """Make the job a merge of these chunks."""
    kind = "dump" if name.endswith(".raw") else "mdst"
    check = "raw" if kind == "dump" else "root"
    local.job |= {
        "type": f"merging {kind}",
        "kind": "merging",
        "command": command,
        "inputs": [{"name": path.name, "sources": [f"file://{path}"]} for path in chunks],
        "outputs": [{"name": name, "kind": kind, "check": check, "destinations": [f"file://{local.folder}/eos/"]}],
    }
    local.job.pop("law", None)
    local.job |= fields


@pytest.mark.fault("stage-in", "raw input cut inside an event")
def test_a_cut_raw_file_is_not_processed(local: Local) -> None:
    os.truncate(local.raw, local.raw.stat().st_size - 100)
    for name in ("size", "adler32"):
        del local.job["inputs"][0][name]
    assert_failed(local, local.run(), "raw-truncated", "input-corrupt", 65)


@pytest.mark.fault("stage-in", "raw input is empty")
def test_an_empty_raw_file_is_not_filtered_though_no_catalogue_knows_its_size(local: Local) -> None:
    os.truncate(local.raw, 0)
    local.ddd(*FILTER)
    local.job["outputs"][0]["when_empty"] = "placeholder"  # as a production's jobs say
    source = local.job["inputs"][0]
    local.job["inputs"] = [{"name": source["name"], "sources": source["sources"]}]
    ended = local.run()
    assert_failed(local, ended, "raw-truncated", "input-corrupt", 65)
    assert "is empty (0 bytes)" in ended.report.verdict.evidence[0].text


@pytest.mark.fault("stage-in", "raw input cut between two events")
def test_a_raw_file_cut_between_two_events_is_held_against_the_catalogue(local: Local) -> None:
    make_raw(local.raw, run=275772, events=EVENTS - 1)
    for name in ("size", "adler32"):
        del local.job["inputs"][0][name]
    assert_failed(local, local.run(), "raw-truncated", "input-corrupt", 65)


@pytest.mark.fault("validate", "mDST cut")
def test_a_cut_mdst_is_not_published(local: Local) -> None:
    local.job["environment"]["PILOTEXT_STANDIN"] = "truncated-mdst"
    assert_failed(local, local.run(), "output-damaged", "output-invalid", 67)


@pytest.mark.fault("validate", "mDST whole, with fewer entries than the program says")
def test_an_mdst_with_fewer_entries_than_were_written_is_not_published(local: Local) -> None:
    short = mdst(local.folder / "short.root", EVENTS - 7)
    local.job["command"] = [*THEN, f"cp {short} {MDST}", *CORAL]
    ended = local.run()
    assert_failed(local, ended, "law-broken", "incomplete", 67)
    assert "mdst_entries == events_written" in ended.report.verdict.evidence[0].text


@pytest.mark.parametrize(
    ("script", "rule"),
    [
        pytest.param(f"rm {HISTOGRAMS}", "output-missing", marks=pytest.mark.fault("validate", "output missing")),
        pytest.param(f": > {HISTOGRAMS}", "output-empty", marks=pytest.mark.fault("validate", "output empty")),
        pytest.param(
            f"{sys.executable} -c '{ZERO_A_BASKET}' {MDST}",
            "output-damaged",
            marks=pytest.mark.fault("validate", "bytes of a basket are zero"),
        ),
        pytest.param(
            f"echo more >> {MDST}", "output-damaged", marks=pytest.mark.fault("validate", "output longer than it says")
        ),
        pytest.param(
            f"rm {MDST}; mkfifo {MDST}", "output-damaged", marks=pytest.mark.fault("validate", "output is a pipe")
        ),
        pytest.param(
            f"head -c 300 /dev/urandom > {MDST}", "output-damaged", marks=pytest.mark.fault("validate", "not ROOT")
        ),
    ],
)
def test_an_output_that_is_not_whole_is_not_published(local: Local, script: str, rule: str) -> None:
    local.job["command"] = [*THEN, script, *CORAL]
    assert_failed(local, local.run(), rule, "output-invalid", 67)


@pytest.mark.fault("validate", "silent short write at the end of a full disk")
def test_a_silent_short_write_at_the_end_of_a_full_disk_is_found(local: Local) -> None:
    """The disk is a real one, of a size that the last buffer of the decoder does not fit on."""
    ended = _with_disk(local, "")
    assert ended.status == 0, ended.stdout
    size = (ended.workdir / "out.raw").stat().st_size
    (local.folder / "eos/out.raw").unlink()
    ended = _with_disk(local, f"size={(size - 1) // 4096 * 4}k")
    assert ended.report.payload is not None
    assert ended.report.payload.code == 0
    assert "End of the decoding!" in (ended.workdir / "payload_stdout.txt").read_text()
    assert_failed(local, ended, "output-damaged", "output-invalid", 67)
    assert walk(ended.workdir / "out.raw").damage is not None


def _with_disk(local: Local, options: str) -> Ended:
    """Filter onto a disk of our own, copy what is there to the work directory, and let it be validated."""
    script = """
        mkdir -p small && mount -t tmpfs -o "${1:-size=10m}" tmpfs small && shift || exit 90
        "$@"; status=$?
        cp small/out.raw out.raw; exit $status"""
    filters = [DDD, "--filter-CAL", "--out=small/out.raw", RAW]
    local.ddd("/usr/bin/unshare", "--map-root-user", "--mount", "/bin/bash", "-c", script, "bash", options, *filters)
    return local.run()


@pytest.mark.fault("validate", "filter output cut between two events")
def test_a_filter_output_that_lost_whole_events_is_held_against_the_input(local: Local) -> None:
    few = local.folder / "few.raw"
    make_raw(few, run=275772, events=EVENTS // 2)
    local.ddd(*THEN, f"{DDD} --filter-CAL --out=out.raw {few} >/dev/null", *FILTER)
    ended = local.run()
    assert_failed(local, ended, "law-broken", "incomplete", 67)
    assert "dump_events == raw_filtered_events" in ended.report.verdict.evidence[0].text


def test_a_good_filter_is_published(local: Local) -> None:
    local.ddd(*FILTER)
    assert local.run().status == 0
    assert "out.raw" in local.published()


PHAST = [str(CORAL[0]).replace("coral.exe", "phast.exe"), "-m", "-o", "merged.root"]


def test_a_good_merge_is_published(local: Local) -> None:
    chunks = [mdst(local.folder / f"chunk{number}.root", 10 + number) for number in range(3)]
    merge(local, [*PHAST, *(path.name for path in chunks)], chunks, law="events_saved == sum(inputs.events)")
    ended = local.run()
    assert ended.status == 0, ended.stdout
    assert ended.report.verdict.counters["mdst_entries"] == 33


@pytest.mark.fault("validate", "merge loses a chunk and exits 0")
def test_a_merge_that_lost_a_chunk_is_not_published(local: Local) -> None:
    chunks = [mdst(local.folder / f"chunk{number}.root", 10 + number) for number in range(3)]
    merge(local, [*PHAST, *(path.name for path in chunks[:2])], chunks)
    ended = local.run()
    assert_failed(local, ended, "law-broken", "incomplete", 67)
    assert "mdst_entries == inputs.events" in ended.report.verdict.evidence[0].text


@pytest.mark.fault("stage-in", "chunk of a merge is cut")
def test_a_cut_chunk_is_not_merged(local: Local) -> None:
    chunks = [mdst(local.folder / f"chunk{number}.root", 10) for number in range(2)]
    os.truncate(chunks[1], chunks[1].stat().st_size // 2)
    merge(local, [*PHAST, *(path.name for path in chunks)], chunks)
    ended = local.run()
    assert_failed(local, ended, "input-damaged", "input-corrupt", 65)
    assert "chunk1.root" in ended.report.verdict.evidence[0].text


@pytest.mark.fault("validate", "dump merge cut at an event")
def test_a_merged_dump_that_lost_a_chunk_is_not_published(local: Local) -> None:
    chunks = [local.folder / f"evtdump0-{number}-275772.raw" for number in (1, 2)]
    for path in chunks:
        make_raw(path, run=275772, events=5)
    merge(local, ["/bin/bash", "-c", f"cat {chunks[0].name} > merged.raw"], chunks, name="merged.raw", setup=None)
    del local.job["setup"]
    assert_failed(local, local.run(), "law-broken", "incomplete", 67)


@pytest.mark.fault("validate", "the checker is killed")
def test_a_check_that_cannot_be_done_blames_nobody_and_publishes_nothing(local: Local) -> None:
    wrapper = local.start()
    while wrapper.poll() is None:
        for process in checkers(local):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    assert_failed(local, local.end(wrapper), "output-unchecked", "output-invalid", 67)


def checkers(local: Local) -> list[psutil.Process]:
    """The processes that read the outputs of this job."""
    found = [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"]]
    return [
        process
        for process in found
        if "pilotext.formats.root_file" in process.info["cmdline"]
        and process.info["cmdline"][-1].startswith(str(local.folder))
    ]


@pytest.mark.fault("validate", "SIGTERM")
def test_sigterm_while_the_outputs_are_checked_publishes_nothing(local: Local) -> None:
    wrapper = local.start()
    until(lambda: checkers(local) or wrapper.poll() is not None)
    wrapper.send_signal(signal.SIGTERM)
    ended = local.end(wrapper)
    assert_failed(local, ended, "evicted", "evicted", 69)
    assert ended.report.phase in ("validate", "stage-out")


@pytest.mark.fault("stage-in", "wall time over")
def test_a_stage_in_that_takes_all_the_time_leaves_none_to_the_payload(local: Local) -> None:
    os.mkfifo(local.folder / "never.raw")
    local.job["inputs"] = [{"name": "never.raw", "sources": [f"file://{local.folder}/never.raw"]}]
    local.job["limits"] = {"wall_s": 3, "transfer_stall_s": 60, "transfer_tries": 1}
    ended = local.run()
    assert_failed(local, ended, "limit-wall", "limit", 69)
    assert ended.report.payload is None


@pytest.mark.fault("prepare", "too little room")
def test_too_little_room_is_told_before_anything_is_copied(local: Local) -> None:
    local.job["inputs"][0]["size"] = 10**18
    assert_failed(local, local.run(), "work-directory-unusable", "output-write", 65)


@pytest.mark.fault("prepare", "something in the way of an output")
def test_a_folder_in_the_way_of_an_output_is_told_first(local: Local) -> None:
    (local.workdir / MDST / "below").mkdir(parents=True)
    assert_failed(local, local.run(), "work-directory-unusable", "output-write", 65)


@pytest.mark.fault("prepare", "leftovers of an earlier attempt")
def test_leftovers_of_an_earlier_attempt_are_not_taken_for_its_own(local: Local) -> None:
    local.workdir.mkdir()
    mdst(local.workdir / MDST, EVENTS)
    (local.workdir / ".stage-in-old").mkdir()
    (local.workdir / "payload_stack_trace.txt").write_text("#0 of yesterday")
    shutil.copy("/bin/true", local.workdir / "core.12")
    local.job["command"] = [*THEN, f"rm -f {MDST}", *CORAL]
    assert_failed(local, local.run(), "output-missing", "output-invalid", 67)
    assert not (local.workdir / "payload_stack_trace.txt").exists()


BROKEN_CLASSIFIER = """
import sys
from pilotext.classify import LogScan
def broken(*_, **__):
    raise ZeroDivisionError("a bug in the classifier")
LogScan.read = broken
from pilotext.cli.main import main
sys.exit(main())
"""


@pytest.mark.fault("classify", "the classifier has a bug")
def test_a_bug_of_the_classifier_is_not_taken_for_success(local: Local) -> None:
    command = [sys.executable, "-P", "-c", BROKEN_CLASSIFIER, *local.command()[4:]]
    ended = local.end(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    assert (ended.report.verdict.rule, ended.status) == ("classifier-failed", 70)
    assert local.published() <= {"job.log.tgz"}


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("rm payload_stdout.txt", marks=pytest.mark.fault("classify", "log removed by the payload")),
        pytest.param(": > payload_stdout.txt", marks=pytest.mark.fault("classify", "log emptied by the payload")),
        pytest.param(
            "rm payload_stdout.txt; mkfifo payload_stdout.txt", marks=pytest.mark.fault("classify", "log became a pipe")
        ),
    ],
)
def test_a_log_that_is_tampered_with_is_judged_as_far_as_it_was_read_or_is_no_success(
    local: Local, script: str
) -> None:
    local.job["command"] = [*THEN, f"sleep 0.6; {script}", *CORAL]
    ended = local.run()
    well = ended.status == 0
    assert ended.report.state == ("done" if well else "failed")
    assert (MDST in local.published()) == well
    assert processes_below(local.folder) == []
