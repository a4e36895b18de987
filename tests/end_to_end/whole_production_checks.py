"""What a whole production must have come to, read from the API and from the storage itself."""

from __future__ import annotations

import math
import tarfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil
import uproot
from msgspec.structs import replace

from pilotext.api.schemas.attempts import AttemptRow
from pilotext.api.schemas.jobs import JobPage
from pilotext.api.schemas.runs import ProductRow
from pilotext.formats import root_file
from pilotext.model.report import Report
from pilotext.serialization.json import from_json
from pilotext.storage.base import adler32_of
from pilotext.storage.urls import canonical
from tests.end_to_end.whole_production import PERSON, PILOTS, RAW, SITE, TASK, Production
from tests.end_to_end.whole_production_faults import (
    ASKED_ABOUT,
    BAD_MERGE,
    KILLED_AGENT,
    TRUNCATED,
    Fault,
    events_of,
)

from django.db.models import QuerySet  # isort: skip  needs the boot
from pilotext.server.production.models import AttemptReport, LogArchive, Output  # isort: skip  needs the boot

MERGES = ("mdst", "hist", "dump")


def products_hold_the_good_events(production: Production, rows: tuple[ProductRow, ...]) -> None:
    """Each good raw file's events are in the merged mDST on its final storage, once."""
    for run in production.scale.runs:
        good = [place for place in production.places if place[0] == run and place != TRUNCATED]
        events = production.good_events(run)
        assert events == sum(events_of(place) for place in good)
        of_run = {row.merge: row for row in rows if row.run == run}
        assert {row.state for row in of_run.values()} == {"kept"}
        assert of_run["mdst"].events == events
        assert all(row.left_out == of_run["mdst"].left_out for row in of_run.values())
        assert len(of_run["mdst"].left_out) == len(production.scale.chunks) - len(good)
        for merge in MERGES:
            (merged,) = of_run[merge].files
            assert merged.inputs == len(good), of_run[merge]
        (mdst,) = of_run["mdst"].files
        file = production.tape.store / mdst.kept.partition("//castor/")[2].join(("castor/", ""))
        assert root_file.check(file).trees == {"phast": events}
        assert _numbers_of_events(file) == _numbers_in_raw_files(production, [place[1] for place in good], run)


def _numbers_of_events(file: Path) -> Counter[tuple[int, int, int]]:
    """How often each event is in an mDST, by run, spill and number."""
    with uproot.open(file) as opened:
        columns = opened["phast"].arrays(["run", "spill", "event"], library="np")
    return Counter(zip(*(map(int, columns[name]) for name in ("run", "spill", "event")), strict=True))


def _numbers_in_raw_files(production: Production, chunks: list[int], run: int) -> Counter[tuple[int, int, int]]:
    """The same of raw files: no two of them have the same number of events, so a missing or doubled one shows."""
    from pilotext.formats.date_raw import PHYSICS, iter_headers

    headers = (header for chunk in chunks for header in iter_headers(production.raw_on_tape((run, chunk))))
    return Counter((header.run, header.burst, header.number) for header in headers if header.type == PHYSICS)


def every_attempt_is_explained(pages: list[JobPage], nodes: set[str]) -> None:
    """Each job's audit trail is a chain without a gap, in which each attempt begins and ends with a reason."""
    for page in pages:
        moves = [event for event in page.events if event.before != event.after]
        assert all(one.after == other.before for one, other in pairwise(moves)), page
        assert all(event.who and event.why and event.at for event in page.events), page
        assert all(one.ended is not None and one.ended <= other.leased for one, other in pairwise(page.attempts)), page
        assert [attempt.number for attempt in page.attempts] == list(range(1, len(page.attempts) + 1))
        for attempt in page.attempts:
            who = "pilot on" if attempt.agent == PILOTS else attempt.agent
            assert attempt.agent == PILOTS or attempt.agent in nodes
            assert (attempt.site, bool(attempt.node), attempt.ended is None) == (SITE, True, False), (page, attempt)
            told = [event.why for event in moves if event.why.startswith(f"attempt {attempt.number}")]
            begins = [why for why in told if why.startswith(f"attempt {attempt.number} for {who}")]
            assert len(begins) == 1, (page, attempt)
            assert begins[0].endswith(f" at {SITE}")
            if attempt.state == "finished":
                assert (attempt.verdict, attempt.code, attempt.exit_status) == ("success", "", 0), (page, attempt)
                assert f"attempt {attempt.number} succeeded" in told, (page, attempt)
            else:
                assert attempt.state in ("failed", "lost")
                assert attempt.state == "lost" or (attempt.verdict == "failure" and attempt.code and attempt.diag)
                decided = attempt.decision.partition(": ")
                assert f"attempt {attempt.number}: {decided[2]}" in told, (page, attempt)


def every_fault_was_understood(production: Production, pages: list[JobPage]) -> None:
    """The first attempt of each chunk has the verdict that its fault deserves, and what followed is the policy's."""
    jobs = {(page.job.run, page.job.chunk): page for page in pages if not page.job.product}
    assert jobs.keys() == set(production.places)
    for place in production.places:
        page = _but_for_outages(production, jobs[place])
        fault = production.faults.get(place)
        if fault is None:
            assert [each.state for each in page.attempts] == ["finished"], page
        else:
            _fault_was_understood(fault, page)
            if fault.action == "retry-elsewhere":
                _next_was_elsewhere(page.attempts[0], jobs[place])
    merges = {(page.job.run, page.job.product): page for page in pages if page.job.product}
    assert merges.keys() == {(run, merge) for run in production.scale.runs for merge in MERGES}
    for (run, merge), whole_page in merges.items():
        page = _but_for_outages(production, whole_page)
        again = (run, merge) == (BAD_MERGE, "mdst")
        assert [each.state for each in page.attempts] == [*(["failed"] if again else []), "finished"]
        if again:
            assert (page.attempts[0].code, page.attempts[0].cause) == ("COMPASS-2105", "root-io")


def _but_for_outages(production: Production, page: JobPage) -> JobPage:
    """Without the attempts that failed for a storage that was away."""
    own = tuple(each for each in page.attempts if not _failed_by_an_outage(production, each))
    return replace(page, attempts=own)


def _failed_by_an_outage(production: Production, attempt: AttemptRow) -> bool:
    failed = attempt.cause == "storage" and "-3" in attempt.code and not attempt.charged
    return failed and _within_an_outage(production, attempt)


def _within_an_outage(production: Production, attempt: AttemptRow) -> bool:
    """Whether a storage was away during a part of it."""
    ended = attempt.ended or math.inf
    return any(attempt.leased <= outage.end and ended >= outage.begin for outage in production.outages)


def _fault_was_understood(fault: Fault, page: JobPage) -> None:
    first, *others = page.attempts
    assert (first.code, first.cause, first.action) == (fault.code, fault.cause, fault.action), page
    said = f"{fault.cause or 'lost'}, {fault.action or 'no action'}: "
    assert first.decision.startswith(f"{fault.then}: {said}"), page
    assert first.state == ("lost" if fault.place == KILLED_AGENT else "failed")
    if fault.place == TRUNCATED:
        assert [each.code for each in others] == [fault.code] * 2
        assert others[-1].decision == f"manual: {said}it came 3 times"
        assert page.job.state == "failed"
        return
    assert [each.state for each in others] == ["finished"], page
    if fault.place == ASKED_ABOUT:
        assert any(event.who == PERSON and event.before == "manual" for event in page.events), page


def _next_was_elsewhere(failed: AttemptRow, page: JobPage) -> None:
    """The attempt right after it ran on another node; one after an outage may run anywhere, see `hours_pass`."""
    following = next(each for each in page.attempts if each.number == failed.number + 1)
    assert following.node != failed.node, page


def tapes_were_given_back(production: Production) -> None:
    """As often as a file was asked for, it was given back, and none is left on disk."""
    asked: Counter[str] = Counter()
    for call in production.tape.calls:
        program, *words = call.split()
        if program != "tape-prep":
            continue
        verb = next(word for word in words if word in ("stage", "evict", "cancel", "query"))
        paths = words[words.index(verb) + 1 :]
        if verb != "query":
            asked.update({path: 1 if verb == "stage" else -1 for path in paths if path.startswith("/castor")})
    raws = {path: count for path, count in asked.items() if path.endswith(".raw")}
    assert len(raws) == len(production.places)
    assert set(raws.values()) == {0}, raws
    assert not any(production.raw_on_disk(place).exists() for place in production.places)


def on_eos(production: Production) -> set[str]:
    """Names of what the main task has published."""
    folders = ("gen/soft", "generalprod/testcoral/PanDALogs/dvcs")
    return _names(production.eos.store / "eos/experiment/compass" / each for each in folders)


def kept_on_tape(production: Production) -> set[str]:
    folders = ("compass/gen/oracle_dst/soft", "user/n/na58dst1/prodlogs")
    return _names(production.tape.store / "castor/cern.ch" / each for each in folders)


def _names(folders: Iterable[Path]) -> set[str]:
    return {path.name for folder in folders for path in folder.rglob("*") if path.is_file()}


def chunk_files_are_still_there(production: Production) -> None:
    """Nothing of a good chunk is removed before somebody puts the task away."""
    good = [place for place in production.places if place != TRUNCATED]
    names = {
        name
        for run, chunk in good
        for name in (f"mDST-{run}-{chunk}-0-7.root", f"{run}-{chunk}-0.root", f"evtdump0-{chunk}-{run}.raw")
    }
    assert names <= on_eos(production), names - on_eos(production)


def only_what_is_kept_is_left(production: Production, rows: tuple[ProductRow, ...]) -> None:
    merged = {file.name for row in rows for file in row.files}
    archives = {f"dvcs.{run}.tar.gz" for run in production.scale.runs}
    assert on_eos(production) == merged | archives
    assert kept_on_tape(production) == merged | {"dvcs_logFiles.tar"}


def the_archives_hold_the_log_of_every_report(production: Production, pages: list[JobPage]) -> None:
    """And perhaps those of attempts that were lost: their wrappers end like every other, but nobody is told.

    Only an attempt for which a storage was away may have delivered none.
    """
    for run in production.scale.runs:
        (path,) = production.eos.store.rglob(f"dvcs.{run}.tar.gz")
        with tarfile.open(path) as archive:
            held = set(archive.getnames())
        of_run = [(page, attempt) for page in pages if page.job.run == run for attempt in page.attempts]
        logs = dict(AttemptReport.objects.filter(attempt__job__run=run).values_list("attempt", "report"))
        delivered = {pk for pk, report in logs.items() if from_json(report, Report).log is not None}
        reported = {
            _log_of(page, attempt.number)
            for page, attempt in of_run
            if attempt.verdict and (attempt.attempt in delivered or not _within_an_outage(production, attempt))
        }
        assert reported <= held <= {_log_of(page, attempt.number) for page, attempt in of_run}
    (whole,) = production.tape.store.rglob("dvcs_logFiles.tar")
    with tarfile.open(whole) as archive:
        assert set(archive.getnames()) == {f"dvcs.{run}.tar.gz" for run in production.scale.runs}


def _log_of(page: JobPage, attempt: int) -> str:
    job = page.job
    of_what = f"{job.task}-{job.job}" if job.product else f"{job.run}-{job.chunk}-0-7-{job.job}"
    return f"dvcs-{of_what}-{attempt}.job.log.tgz"


@dataclass(frozen=True)
class StoredFile:
    """A file as a storage has it, or as a record describes it."""

    size: int
    adler32: str


def stored_files(production: Production) -> dict[str, StoredFile]:
    """Return every file on EOS and on the tape server but raw files, by its URL."""
    found = {}
    for server in (production.eos, production.tape):
        raws = server.store / RAW.lstrip("/")
        for path in server.store.rglob("*"):
            if path.is_file() and raws not in path.parents:
                url = canonical(server.url(str(path.relative_to(server.store))))
                found[url] = StoredFile(path.stat().st_size, adler32_of(path))
    return found


def every_file_is_what_its_record_says(production: Production) -> None:
    """Compare the files of every task by checksum: none is missing, and no other is there but logs of attempts."""
    there, recorded, logs = stored_files(production), _recorded_files(), _reported_logs()
    assert set(Output.objects.filter(state="valid").values_list("job__task__name", flat=True)) > {TASK}
    wrong = {url: (file, there.get(url)) for url, file in recorded.items() if there.get(url) != file}
    assert not wrong, wrong
    removed = _urls_of(Output.objects.filter(state="removed")).keys() - recorded.keys()
    assert removed
    assert not removed & there.keys()
    strange = {url: file for url, file in there.items() if url not in recorded and logs.get(url) != file}
    assert not strange, strange
    put_away = AttemptReport.objects.filter(attempt__task__state="archived")
    missing = logs.keys() - _logs_in(put_away).keys() - there.keys()
    assert not missing, missing


def _recorded_files() -> dict[str, StoredFile]:
    """Return what should be there: valid outputs, their copies for good, the archives of logs."""
    found = _urls_of(Output.objects.filter(state="valid"))
    for archive in LogArchive.objects.filter(state__in=("kept", "cleaned")):
        found[canonical(archive.url)] = StoredFile(archive.size, archive.adler32)
    return found


def _urls_of(outputs: QuerySet[Output]) -> dict[str, StoredFile]:
    places = ((url, output) for output in outputs for url in (output.url, output.kept) if url)
    return {canonical(url): StoredFile(output.size, output.adler32) for url, output in places}


def _reported_logs() -> dict[str, StoredFile]:
    return _logs_in(AttemptReport.objects.all())


def _logs_in(reports: QuerySet[AttemptReport]) -> dict[str, StoredFile]:
    logs = (from_json(text, Report).log for text in reports.values_list("report", flat=True))
    return {canonical(log.url): StoredFile(log.size, log.adler32) for log in logs if log is not None and log.url}


def nothing_is_left_running(production: Production) -> None:
    """No process of a job, of a transfer or of a check is there when those who ran them have gone."""
    folder = str(production.server.folder)
    left = [process for process in psutil.process_iter() if _works_in(process, folder)]
    _, alive = psutil.wait_procs(left, 30)
    assert not alive, alive


def _works_in(process: psutil.Process, folder: str) -> bool:
    try:
        return any(f"{folder}/{part}" in f"{process.cwd()}/ {' '.join(process.cmdline())}" for part in ("wn", "pilot"))
    except (psutil.Error, OSError):  # as in tests/support/processes.py
        return False
