from __future__ import annotations

import os
from pathlib import Path

import pytest

from pilotext.classify import LogScan, Matches, log_reader, named_files
from pilotext.classify.log_reader import CHUNK_BYTES
from pilotext.classify.matching import StreamMatcher
from tests.classify.inline import counter, logs, rule, ruleset, verdict

KILLED = rule("killed", contains="Killed")
RULES = ruleset(KILLED, counter("events", r"^Event: (?<n>\d+)", progress=True))


def following(**streams: Path) -> LogScan:
    return LogScan(RULES, kind="tool", job_type="shell", streams=streams)


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_what_is_appended_is_read_as_it_comes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    scan = following(stdout=log)
    assert scan.read() == 0
    append(log, "Event: 5\nEve")
    assert scan.read() == 12
    assert (scan.progress().counters, scan.progress().bytes) == ({"events": 5}, 12)
    append(log, "nt: 10\n")
    assert scan.read() == 7
    assert scan.read() == 0
    assert scan.progress().counters == {"events": 10}
    assert scan.finish().streams["stdout"].bytes == 19


def test_no_more_is_read_at_once_than_the_budget_and_streams_take_turns(tmp_path: Path) -> None:
    flood, log = tmp_path / "flood", tmp_path / "log"
    flood.write_bytes(b"x" * 10 * CHUNK_BYTES)
    log.write_text("Event: 5\n")
    scan = following(stderr=flood, stdout=log)
    assert scan.read(2 * CHUNK_BYTES) == 2 * CHUNK_BYTES
    assert scan.progress().counters == {"events": 5}
    assert scan.finish().streams["stderr"].bytes == 10 * CHUNK_BYTES


def test_finish_reads_the_rest_and_says_the_same_twice(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a\nb\nKilled")
    scan = following(stdout=log)
    first = scan.finish()
    append(log, "Killed\n")
    assert scan.finish() is first
    assert [(one.count, one.evidence[0].line) for one in first.rule_matches] == [(1, 3)]


def test_a_truncated_file_is_read_anew_and_what_was_seen_stays_seen(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a\nb\nKilled\n")
    scan = following(stdout=log)
    scan.read()
    log.write_text("Event: 5\n")
    scan.read()
    matches = scan.finish()
    assert matches.counters == {"events": 5}
    assert matches.rule_matches[0].evidence[0].line == 3
    assert [line.text for line in matches.streams["stdout"].tail] == ["Event: 5"]


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Event: 5\n")
    scan = following(stdout=log)
    scan.read()
    log.rename(tmp_path / "log.1")
    append(tmp_path / "log.1", "Killed\n")
    log.write_text("Event: 10\n")
    matches = scan.finish()
    assert matches.counters == {"events": 10}
    assert [one.rule.id for one in matches.rule_matches] == ["killed"]


def test_a_file_that_vanished_is_read_to_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Event: 5\n")
    scan = following(stdout=log)
    scan.read()
    append(log, "Event: 10\n")
    log.unlink()
    assert scan.finish().counters == {"events": 10}


def test_a_stream_that_never_came_is_no_stream(tmp_path: Path) -> None:
    matches = following(stdout=tmp_path / "log").finish()
    assert matches.streams == {}
    assert matches.unread == ()


def test_a_pipe_or_a_folder_is_told_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    matches = following(stdout=tmp_path / "pipe", stderr=tmp_path).finish()
    assert matches.streams == {}
    assert matches.unread == ("stderr: not a regular file", "stdout: not a regular file")


STREAMED = ruleset(
    rule("on-stdout", contains="Killed", stream="stdout"),
    rule("on-stderr", contains="Killed", stream="stderr"),
    counter("seen", r"^Event: (?<n>\d+)"),
)


def streamed(folder: Path, **streams: str) -> Matches:
    return LogScan(STREAMED, kind="tool", job_type="shell", streams=logs(folder, **streams)).finish()


def test_each_rule_looks_at_its_own_stream_only(tmp_path: Path) -> None:
    found = streamed(tmp_path, stderr="Killed\nEvent: 5\n", stdout="Event: 3\n")
    assert [one.rule.id for one in found.rule_matches] == ["on-stderr"]
    assert [one.rule.id for one in found.astray] == ["on-stdout"]
    assert found.counters == {"seen": 3}


@pytest.mark.parametrize("beside", [{}, {"stdout": ""}])
def test_one_stream_for_both_is_read_for_both(tmp_path: Path, beside: dict[str, str]) -> None:
    found = streamed(tmp_path, stderr="Killed\nEvent: 5\n", **beside)
    assert [one.rule.id for one in found.rule_matches] == ["on-stdout", "on-stderr"]
    assert found.counters == {"seen": 5}


def test_a_large_log_is_read_for_its_own_stream_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "MAX_SHARED_STREAM_BYTES", 10)
    found = streamed(tmp_path, stderr="Killed\nEvent: 5\n")
    assert [one.rule.id for one in found.rule_matches] == ["on-stderr"]
    assert found.counters == {}


def test_rules_of_other_jobs_and_retired_ones_do_not_look(tmp_path: Path) -> None:
    rules = ruleset(
        rule("mine", contains="Killed", jobs=["reconstruction"]),
        rule("other", contains="Killed", jobs=["merging mdst"]),
        rule("old", contains="Killed", status="retired"),
    )
    assert verdict(tmp_path, rules, stderr="Killed\n").also == ()
    assert verdict(tmp_path, rules, stderr="Killed\n").rule == "mine"


def test_a_file_of_the_work_directory_is_judged_by_the_rules_that_name_it(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "setup.log").write_text("Killed\n")
    (work / "other.txt").write_text("Killed\n")
    named = rule("named", contains="Killed", stream="*.log")
    assert named_files(ruleset(KILLED, named), work) == {"setup.log": work / "setup.log"}
    judged = verdict(tmp_path, ruleset(KILLED, named), workdir=work, stdout="fine\n")
    assert (judged.rule, judged.evidence[0].stream, judged.also) == ("named", "setup.log", ())


def test_the_clock_is_checked_often_where_there_is_little_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large chunk of a log that is slow to read takes seconds, and a pilot leaves three."""
    log = tmp_path / "log"
    log.write_bytes((b"x" * 79 + b"\n") * 20_000)
    scan = following(stdout=log)
    clock, feed = [0.0], StreamMatcher.feed

    def slow(matcher: StreamMatcher, chunk: bytes) -> None:
        clock[0] += len(chunk) * 2e-6
        feed(matcher, chunk)

    monkeypatch.setattr(StreamMatcher, "feed", slow)
    monkeypatch.setattr("pilotext.classify.log_reader.time.monotonic", lambda: clock[0])
    matches = scan.finish(within_s=0.4)
    assert clock[0] < 0.6
    assert "were not read: the time was over" in matches.unread[0]


def test_what_there_is_no_time_to_read_is_told_and_never_taken_for_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Event: 5\nKilled\n")
    matches = following(stdout=log).finish(within_s=0)
    assert matches.rule_matches == ()
    assert matches.unread == ("stdout: the last 16 bytes were not read: the time was over",)
