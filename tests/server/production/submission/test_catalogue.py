from __future__ import annotations

from pathlib import Path

import pytest

from pilotext.errors import UsageError
from pilotext.profile import load_experiment
from pilotext.server.production.submission.catalogue import Wanted, read_catalogue
from pilotext.server.production.submission.document import read_task
from pilotext.server.production.submission.listing import list_folder
from pilotext.server.production.submission.plan import Plan, make_plan
from tests.server.support import raw

ALL = Wanted(frozenset(), None)
RUN_7 = Wanted(frozenset({7}), frozenset())
TASK = """experiment: COMPASS
name: t
type: mass production
files: {FILES}
catalogue: {CATALOGUE}
parameters: {production: p, path: x/, soft: s, year: 2016}
"""


def lines(*entries: tuple[int, int, str], before: str = "") -> str:
    """Return a text catalogue of files of run and chunk with their events."""
    return "".join(f"{before}{run} {raw(run, chunk)}\t  {events}\n" for run, chunk, events in entries)


def facts(folder: Path, wanted: Wanted = ALL, name: str = "known") -> list[tuple[str, int | None]]:
    return [(entry.file, entry.events) for entry in read_catalogue(folder, name, wanted)]


def planned(folder: Path, files: str, catalogue: str = "known") -> Plan:
    path = folder / "task.yaml"
    path.write_text(TASK.replace("{FILES}", files).replace("{CATALOGUE}", catalogue))
    return make_plan(load_experiment("COMPASS"), read_task(path), list_folder)


def chunks(plan: Plan) -> list[tuple[int | None, int | None, int | None]]:
    return [(job.run, job.chunk, job.file.events) for job in plan.jobs]


@pytest.mark.parametrize("before", ["", "W14 ", "  ", "/dumps/2016W14.txt:7: ", "/dumps/2016W14.txt:7:"])
def test_each_line_of_a_text_catalogue_is_a_run_a_file_and_its_events(tmp_path: Path, before: str) -> None:
    (tmp_path / "known").write_text("# run, file, events\n" + lines((7, 1, "100"), (7, 2, "0"), before=before))
    assert facts(tmp_path) == [(raw(7, 1), 100), (raw(7, 2), 0)]


def test_of_a_text_catalogue_of_a_year_only_what_the_task_asks_for_is_read(tmp_path: Path) -> None:
    (tmp_path / "known").write_text(lines((7, 1, "100"), (8, 1, "unknown"), (77, 1, "5"), (9, 2, "6")) + "77 rows\n")
    assert facts(tmp_path, RUN_7) == [(raw(7, 1), 100)]
    by_name = Wanted(frozenset(), frozenset({raw(9, 2).rpartition("/")[2]}))
    assert facts(tmp_path, by_name) == [(raw(9, 2), 6)]


@pytest.mark.parametrize("line", ["7 file.raw unknown", "7 file.raw -1", "7 file.raw", "the run 7 has no files"])
def test_a_line_about_a_wanted_run_that_is_no_entry_is_told_with_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "known").write_text(lines((7, 1, "100")) + f"\n{line}\n")
    with pytest.raises(UsageError, match=r"known:3: .* is no run, file and number of events"):
        facts(tmp_path, RUN_7)


def test_a_pattern_or_a_folder_is_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "dumps" / "late").mkdir(parents=True)
    (tmp_path / "dumps" / "2016W14").write_text(lines((7, 1, "100")))
    (tmp_path / "dumps" / "late" / "2016W15").write_text(lines((8, 1, "200"), (7, 1, "100")))
    (tmp_path / "dumps" / "2017W01").write_text(lines((9, 1, "300")))
    assert facts(tmp_path, name="dumps/2016*") == [(raw(7, 1), 100)]
    assert [events for _, events in facts(tmp_path, name="dumps")] == [100, 300, 200]
    assert facts(tmp_path, name=f"{tmp_path}/dumps/2017*") == [(raw(9, 1), 300)]


def test_a_pattern_that_no_file_has_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"2015\*: no file has such a name"):
        facts(tmp_path, name="2015*")


def test_two_lines_that_differ_about_a_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "known").write_text(lines((7, 1, "100"), (7, 1, "101")))
    with pytest.raises(UsageError, match="100 and 101 events of"):
        facts(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("name\nx\n", "known:1: the head"),
        ("7 file.raw many\n", "known:1: the head"),
        ("file,events\nx\n", ":2: 1 columns"),
        ("# known\n\nfile,events\nx,y\n", ":4: "),
    ],
)
def test_a_wrong_catalogue_is_told_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "known").write_text(text)
    with pytest.raises(UsageError, match=words):
        facts(tmp_path)


def test_a_run_list_makes_jobs_of_the_files_of_the_catalogue_with_their_events(tmp_path: Path) -> None:
    (tmp_path / "known").write_text(lines((7, 1, "100"), (7, 2, "0"), (8, 1, "200"), (9, 1, "300")))
    plan = planned(tmp_path, "{runs: [7, 9]}")
    assert chunks(plan) == [(7, 1, 100), (9, 1, 300)]
    assert [each.why for each in plan.refused] == ["the catalogue says that it has 0 events."]


def test_a_list_of_files_gets_the_events_of_a_text_catalogue(tmp_path: Path) -> None:
    (tmp_path / "known").write_text(lines((7, 1, "100"), (7, 2, "200")))
    (tmp_path / "list").write_text(f"{raw(7, 2)}\n")
    assert chunks(planned(tmp_path, f"{{list: list, these: ['{raw(7, 1)}']}}")) == [(7, 1, 100), (7, 2, 200)]


def test_a_run_that_the_catalogue_does_not_have_is_refused(tmp_path: Path) -> None:
    (tmp_path / "known").write_text(lines((7, 1, "100"), (70, 1, "200")))
    plan = planned(tmp_path, "{runs: [7, 8]}")
    assert chunks(plan) == [(7, 1, 100)]
    assert [(each.file, each.why) for each in plan.refused] == [("run 8", "the catalogue has no file of this run.")]
