"""Pages of logs: evidence without storage, slices with their lines, search, and honest words about what is missing."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

from pilotext.server.boot import boot

boot()

from msgspec.structs import replace  # noqa: E402  needs boot

from pilotext.model.report import Kept, Transfer  # noqa: E402
from pilotext.model.verdict import Evidence, Finding  # noqa: E402
from pilotext.server.production.models import Attempt, AttemptReport, Job, LogArchive  # noqa: E402
from pilotext.server.production.storage import log_cache, operations  # noqa: E402
from pilotext.storage.memory import MemoryStorage  # noqa: E402
from tests.server.merged import ON_MEMORY, storage  # noqa: E402, F401
from tests.server.pages.browsing import HOSTILE, assert_harmless, browser, text_of  # noqa: E402
from tests.server.pages.test_job import whole_report  # noqa: E402
from tests.server.production.storage.test_log_cache import archive_of  # noqa: E402
from tests.server.support import leased, send, submit  # noqa: E402

pytestmark = pytest.mark.usefixtures("database", "quick_hashes", "own_cache", "storage")

LINES = [f"Event: {number}" for number in range(1, 2001)]
LINES[811] = f"FATAL {HOSTILE} at line 812"


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of this test alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    log_cache._paused.clear()


def failed(storage: MemoryStorage | None = None, *, url: str | None = None, **fields: Any) -> str:  # noqa: F811
    """A job that failed, with its archive where that is said; returns the address of its log."""
    submit(parameters=ON_MEMORY)
    given = leased()
    assert given.job.log is not None
    place = f"{given.job.log.destinations[0]}{given.job.log.name}"
    if storage is not None:
        files = {"payload_stderr.txt": ("\n".join(LINES) + "\n").encode(), "payload_stdout.txt": b"short"}
        storage.files[place] = archive_of(files)
    log = Transfer("log.tgz", url or place, 1, "0", 1.0)
    send(given, replace(whole_report(given), **{"log": log, **fields}))
    return f"/jobs/{given.job.job}/attempts/1/log"


def get(path: str, status: int = 200) -> str:
    answer = browser("viewer").get(path)
    assert answer.status_code == status
    text = text_of(answer)
    assert_harmless(text)
    return text


def test_the_evidence_comes_out_of_the_report_and_no_storage_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(operations, "open_mover")
    text = get(failed())
    assert re.search(r'class="hit"><td class="n">812</td>', text)
    assert 'href="/jobs/1/attempts/1/log/payload_stderr.txt?lines=812#L812"' in re.sub(r"/jobs/\d+", "/jobs/1", text)


def test_a_log_begins_at_its_evidence(storage: MemoryStorage) -> None:  # noqa: F811
    text = get(f"{failed(storage)}/payload_stderr.txt")
    numbers = [int(number) for number in re.findall(r'id="L(\d+)"', text)]
    assert numbers == list(range(792, 1192))
    assert re.findall(r'<tr class="hit" id="L(\d+)"', text) == ["812"]
    assert "2\u2009000 lines" in text


def test_one_goes_to_the_part_before_and_behind_and_to_the_ends(storage: MemoryStorage) -> None:  # noqa: F811
    path = f"{failed(storage)}/payload_stderr.txt"
    text = get(path)
    for name, first, last in (("Earlier", 392, 791), ("Later", 1192, 1591), ("Begin", 1, 400), ("End", 1601, 2000)):
        link = re.search(rf'href="([^"]+)">{name}', text)
        assert link is not None
        numbers = re.findall(r'id="L(\d+)"', get(link[1]))
        assert (int(numbers[0]), int(numbers[-1])) == (first, last), name


def test_an_address_names_lines(storage: MemoryStorage) -> None:  # noqa: F811
    path = f"{failed(storage)}/payload_stderr.txt"
    text = get(f"{path}?lines=120-122")
    assert re.findall(r'<tr class="chosen" id="L(\d+)"', text) == ["120", "121", "122"]
    assert "Line 9999 is not in the archive" in get(f"{path}?lines=9999")


@pytest.mark.parametrize("query", ["lines=x", "lines=1-", "lines=-5", "at=x", "at=-1", "lines=1%00"])
def test_lines_that_there_cannot_be_are_refused(storage: MemoryStorage, query: str) -> None:  # noqa: F811
    get(f"{failed(storage)}/payload_stderr.txt?{query}", 422)


def test_the_server_searches_all_of_a_log(storage: MemoryStorage) -> None:  # noqa: F811
    path = f"{failed(storage)}/payload_stderr.txt"
    text = get(f"{path}?q=event%3A+1999")
    assert "1 line with" in text
    assert f'href="{path}?lines=1999#L1999"' in text
    assert "The first 100 lines" in get(f"{path}?q=event")
    assert "is not a pattern" in get(f"{path}?q=%28&amp;kind=pattern".replace("&amp;", "&"))
    assert "Nothing." in get(f"{path}?q=nowhere")


def test_a_file_is_downloaded_as_plain_text(storage: MemoryStorage) -> None:  # noqa: F811
    answer = browser("viewer").get(f"{failed(storage)}/payload_stderr.txt/raw")
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert re.fullmatch(r'attachment; filename="\d+-1-payload_stderr.txt"', answer["Content-Disposition"])
    assert answer.content.decode().splitlines()[0] == "Event: 1"


@pytest.mark.parametrize("name", ["nothing", "INDEX.json", "..", "%2e%2e%2fetc"])
def test_a_file_that_is_not_in_the_archive_is_not_found(storage: MemoryStorage, name: str) -> None:  # noqa: F811
    path = failed(storage)
    assert browser("viewer").get(f"{path}/{name}").status_code == 404
    assert browser("viewer").get(f"{path}/{name}/raw").status_code == 404


@pytest.mark.parametrize("url", ["file:///etc/passwd", "root://evil.example//x", "memory://eos/other.job.log.tgz"])
def test_a_report_cannot_have_the_server_read_another_place(storage: MemoryStorage, url: str) -> None:  # noqa: F811
    storage.files[url] = archive_of({"payload_stderr.txt": b"secret"})
    path = failed(url=url)
    assert "belong elsewhere, so it is not read." in get(path)
    text = get(f"{path}/payload_stderr.txt")
    assert "There is no archive to read" in text
    assert "secret" not in text


def test_an_archive_that_is_away_is_said_and_the_evidence_is_a_link_away(storage: MemoryStorage) -> None:  # noqa: F811
    path = failed()
    text = get(f"{path}/payload_stderr.txt")
    assert "The log cannot be read now" in text
    assert f'href="{path}"' in text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"log": None}, "The report names no log"),
        ({"log": None, "findings": (Finding("log-not-delivered", "no space there", "report"),)}, "no space there"),
        ({"log": None, "kept": Kept("/var/kept", "0", 1, 1.0, 2e9, log_only=True)}, "it waits in /var/kept on wn1"),
        ({"findings": (Finding("classifier-failed", "a bug", "classify"),)}, "The classifier failed"),
        ({"findings": (Finding("no-log", "there was none", "classify"),)}, "There was no log to judge"),
        ({"findings": (Finding("unclassified", "unknown", "classify"),)}, "No rule knows this failure"),
    ],
)
def test_what_is_missing_is_said_in_words(fields: dict[str, Any], said: str) -> None:
    assert said in get(failed(**fields))


def test_the_log_of_an_attempt_that_is_at_work_is_still_to_come() -> None:
    submit()
    leased()
    path = f"/jobs/{Job.objects.get().pk}/attempts/1/log"
    assert "its log comes with its end" in get(path)
    Attempt.objects.update(state="lost")
    assert "it is looked for where it belongs" in get(path)


def test_logs_that_were_put_into_the_archive_of_the_run_are_found_there() -> None:
    path = failed()
    row = Job.objects.get()
    LogArchive.objects.create(task=row.task, run=row.run, state="cleaned", name="run.tar", url="root://ctp/run.tar")
    assert "put into one archive, root://ctp/run.tar" in get(path)


@pytest.mark.parametrize("attempt", ["2", "99999999999"])
def test_an_attempt_that_there_is_not_has_no_log(attempt: str) -> None:
    path = failed().removesuffix("1/log")
    assert browser("viewer").get(f"{path}{attempt}/log").status_code == 404
    assert browser("viewer").get(f"{path}{attempt}/log/payload_stderr.txt").status_code == 404


def test_a_stream_whose_name_is_a_path_breaks_no_page() -> None:
    path = failed()
    kept = AttemptReport.objects.get()
    AttemptReport.objects.update(report=kept.report.replace('"stream":"stderr"', '"stream":"a/../b"'))
    assert "open the log there" not in get(path)
    assert Evidence("r", "a/../b", 1, 0, "x").stream in get(path)


def test_nobody_else_reads_a_log() -> None:
    assert browser().get(failed()).status_code == 302
