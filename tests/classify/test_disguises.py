"""Verdicts on logs whose lines have a prefix, tabs for blanks or breaks, or another encoding: they stay as they are."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from pilotext.classify import classify_files
from pilotext.cli.rules.log_cases import LogCase
from pilotext.model.verdict import Verdict
from pilotext.profile import load_experiment
from pilotext.rules.loader import load_rules
from pilotext.serialization.json import from_plain
from pilotext.serialization.yaml import read_yaml
from tests.classify.inline import WELL, logs, rule, ruleset, verdict

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "logs"
CASES = [path for path in sorted(FOLDER.glob("*/case.yaml"))[::12] if not path.parent.name.startswith("one-log")]

rules_of = cache(load_rules)
profile_of = cache(load_experiment)

Disguise = Callable[[bytes], bytes]


def prefixed(prefix: str) -> Disguise:
    return lambda log: b"".join(prefix.encode() + line for line in log.splitlines(keepends=True))


def wrapped(log: bytes) -> bytes:
    """The log as a terminal of 80 columns shows it."""
    return re.sub(rb"([^\r\n]{80})(?=[^\r\n])", rb"\1\n", log)


DISGUISES: dict[str, Disguise] = {
    "container": prefixed("2026-11-28T10:00:00Z stdout F "),
    "syslog": prefixed("Nov 28 10:00:00 wn12 job[4711]: "),
    "rank": prefixed("[rank 3] "),
    "device": prefixed("[3574:device]: [04:45:21][ERROR] "),
    "logger": prefixed("2026-11-28 10:00:00,123 - INFO - "),
    "indented": prefixed("    "),
    "indented by a tab": prefixed("\t"),
    "tabs": lambda log: log.replace(b" ", b"\t"),
    "wrapped": wrapped,
    "byte order mark": lambda log: codecs.BOM_UTF8 + log,
    "UTF-16": lambda log: log.decode(errors="replace").encode("utf-16"),
}
MOST_LOST = 1
"""Of the cases in one disguise, those that may come to another cause; none may become a success."""


def judge(folder: Path, path: Path, disguise: Disguise) -> Verdict:
    case = from_plain(read_yaml(path).data, LogCase)
    found = {name: path.parent / name for name in ("stdout", "stderr")}
    streams = logs(folder, **{name: disguise(log.read_bytes()) for name, log in found.items() if log.is_file()})
    workdir = path.parent / "workdir"
    return classify_files(
        rules_of(case.experiment),
        kind=profile_of(case.experiment).kind_of(case.job_type),
        job_type=case.job_type,
        streams=streams,
        exit=case.exit,
        workdir=workdir if workdir.is_dir() else None,
        findings=case.findings,
        counters=case.counters,
        software=case.software,
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Verdict]:
    return {path: judge(tmp_path_factory.mktemp("plain"), path, lambda log: log) for path in CASES}


@pytest.mark.parametrize("name", DISGUISES)
def test_a_disguise_changes_no_verdict(tmp_path: Path, plain: dict[Path, Verdict], name: str) -> None:
    lost = []
    for path, expected in plain.items():
        found = judge(tmp_path, path, DISGUISES[name])
        for stream in ("stdout", "stderr"):
            (tmp_path / stream).unlink(missing_ok=True)
        if (found.verdict, found.cause) != (expected.verdict, expected.cause):
            lost.append((path.parent.name, found.verdict, found.rule))
    assert [one for one in lost if one[1] == "success"] == []
    assert len(lost) <= MOST_LOST, lost


ANCHORED = rule("boom", match=r"^boom at (?<where>\w+)$", stream="stderr")


@pytest.mark.parametrize(
    "prefix", ["12:00:01 ", "[2026-11-28 10:00:00] ", "[1,0]<stderr>:", " 3: ", "coral_1  | ", "[a][b][ERROR] ", "\t "]
)
def test_a_match_behind_a_prefix_is_quoted_whole_with_its_place(tmp_path: Path, prefix: str) -> None:
    log = f"{prefix}one\n{prefix}boom at sea\n"
    [match] = verdict(tmp_path, ruleset(ANCHORED), exit=WELL, stderr=log).evidence
    assert match.text == f"{prefix}boom at sea".replace("\t", " ")
    assert (match.line, match.offset) == (2, len(f"{prefix}one\n"))


@pytest.mark.parametrize("text", ["a boom at sea", "x: boom at sea", "the [rank 3] boom at sea"])
def test_words_before_a_text_are_no_prefix(tmp_path: Path, text: str) -> None:
    assert verdict(tmp_path, ruleset(ANCHORED), exit=WELL, stderr=f"{text}\n").rule is None


def test_a_text_of_several_lines_is_found_behind_their_prefixes(tmp_path: Path) -> None:
    two = rule("two", match=r"^what\(\):\n^boom$", lines=2, stream="stderr")
    [match] = verdict(tmp_path, ruleset(two), stderr="[rank 3] what():\n[rank 3] boom\n[rank 3] after\n").evidence
    assert match.text == "[rank 3] what():\n[rank 3] boom"
