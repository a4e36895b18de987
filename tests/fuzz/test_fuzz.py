"""Whatever a rule file, a job or a log holds: our own errors and a verdict, nothing else, and no failure is missed."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotext import profile
from pilotext.classify import Case, LogScan, classify_files, decide_verdict
from pilotext.errors import RuleFilesError, UsageError
from pilotext.model.job import Job
from pilotext.model.verdict import ExitStatus, Verdict
from pilotext.profile import load_experiment
from pilotext.rules.lint import runner
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import Rule
from pilotext.worker.job_source import read_spec
from tests.classify.test_same_without_hyperscan import engine
from tests.rules.test_fatal_lines import GOOD, LOGS, RULES

UNHURRIED = settings(deadline=None)
WELL = ExitStatus(code=0)
STREAMS = ("stdout", "stderr")
COMPASS = load_experiment("COMPASS")


# ---------------------------------------------------------------------------------------------------------- rule files

SHIPPED = [path for path in sorted(profile.find_rules_root().glob("*/*.yaml")) if path.name != profile.PROFILE]
PROFILE = profile.find_rules_root() / "compass" / profile.PROFILE
WORDS = ["", "- ", "[", "]", "{", "}", "any:", "null", "1", "-1", "1e400", "'", '"', "&a", "*a", "!!set", "!!binary"]
WORDS += ["(", ")", "(?<n>", "(a|aa)+$", "\\", "*", "all:", "rate:", "exit:", "SIGKILL", "wrong", "2024-01-01", "<<:"]
WORDS += ["\t", "\0", "\ud7ff", "?", ": ", "---", "...", "true", "match:", "format: 1", "9" * 5000, "{" * 2000]


@st.composite
def mutated_rules(draw: st.DrawFn) -> tuple[str, bytes]:
    """A few rules that we ship, with lines and words of theirs deleted, doubled, moved or replaced."""
    path = draw(st.sampled_from(SHIPPED))
    text = path.read_text().split("\n")
    start = draw(st.integers(0, len(text)))
    lines = text[:12] + text[start : start + 40]
    for _ in range(draw(st.integers(1, 6))):
        at, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        how = draw(st.sampled_from(["delete", "double", "swap", "word", "word", "word"]))
        if how == "delete" and len(lines) > 2:
            del lines[at]
        elif how == "double":
            lines.insert(other, lines[at])
        elif how == "swap":
            lines[at], lines[other] = lines[other], lines[at]
        else:
            words = lines[at].split(" ")
            words[draw(st.integers(0, len(words) - 1))] = draw(st.sampled_from(WORDS) | st.text(max_size=6))
            lines[at] = " ".join(words)
    return path.parent.name, "\n".join(lines).encode("utf-8", "surrogatepass")


def use_rules(folder: str, content: bytes) -> None:
    """Load and lint a root that holds our profile and one file with this content."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        root = Path(name)
        for experiment in ("common", "compass"):
            (root / experiment).mkdir()
        (root / "compass" / profile.PROFILE).write_bytes(PROFILE.read_bytes())
        (root / folder / "system.yaml").write_bytes(content)
        for module in (profile, runner):
            patch.setattr(module, "find_rules_root", lambda: root)
        try:
            load_rules("COMPASS")
        except (RuleFilesError, UsageError) as error:
            assert str(error)
        assert all(str(problem) for problem in runner.lint([root / folder / "system.yaml"]))


@UNHURRIED
@given(st.binary() | st.text().map(str.encode) | st.binary().map(b"format: 1\nrules:\n- ".__add__))
def test_any_bytes_as_a_rule_file_are_rules_or_problems(content: bytes) -> None:
    use_rules("common", content)


@UNHURRIED
@given(mutated_rules())
def test_our_rules_with_mistakes_are_rules_or_problems(mutated: tuple[str, bytes]) -> None:
    use_rules(*mutated)


# ---------------------------------------------------------------------------------------------------------------- jobs

URL = "root://eos.example//data/a.root"
JOB = {
    "format": 1,
    "experiment": "COMPASS",
    "type": "mass production",
    "kind": "reconstruction",
    "command": ["./coral.exe", "opt"],
    "task": "t",
    "environment": {"A": "b"},
    "inputs": [{"name": "a.raw", "sources": [URL, "file:/x/a.raw"], "size": 5, "adler32": "0000abcd", "events": 3}],
    "outputs": [{"name": "a.root", "kind": "mdst", "destinations": ["file:/out/"], "as": "b.root", "check": "root"}],
    "log": {"destinations": ["file:/out/"], "name": "log.tgz"},
    "law": "events_processed == raw_events",
    "limits": {"wall_s": 5, "memory_mb": 2000.5},
    "report": {"url": "https://a.example/x", "token": "secret"},
}
ODD = ["", "\0", "/", "..", "[", "//[", "http://[::1", "root://", "file:", "x" * 300, "\ud800", "\u2028", "a == ("]
ODD += [
    "http://a:99999999/",
    "root://a:x//b",
    "root://é//b",
    "file:///%00",
    "events_processed ==",
    "(" * 3000,
    "9" * 5000,
]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([*ODD, 1e308])
VALUES = st.recursive(
    LEAVES, lambda some: st.lists(some, max_size=2) | st.dictionaries(st.text(max_size=4), some), max_leaves=4
)


@st.composite
def mutated_jobs(draw: st.DrawFn) -> bytes:
    job = json.loads(json.dumps(JOB))
    for _ in range(draw(st.integers(1, 3))):
        here = job
        while True:
            key = draw(st.sampled_from([*here] if isinstance(here, dict) else range(len(here)))) if here else None
            if key is None or not isinstance(here[key], dict | list) or not here[key] or draw(st.booleans()):
                break
            here = here[key]
        if key is not None:
            here[key] = draw(VALUES)
    text = json.dumps(job, ensure_ascii=draw(st.booleans()))
    data = text.encode("utf-8", "surrogatepass")
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data


@UNHURRIED
@given(st.binary() | mutated_jobs())
def test_any_bytes_as_a_job_are_a_job_or_a_usage_error(data: bytes) -> None:
    try:
        job = read_spec(base64.b64encode(data).decode())
    except UsageError as error:
        assert str(error)
    else:
        assert msgspec.json.decode(msgspec.json.encode(job), type=Job) == job


@UNHURRIED
@given(st.text())
def test_any_text_as_a_spec_is_a_job_or_a_usage_error(spec: str) -> None:
    with pytest.raises(UsageError):
        read_spec(spec)


# ---------------------------------------------------------------------------------------------------------------- logs

EXAMPLES = [text for rule in RULES.rules for one in rule.text.examples if (text := one.match or one.no_match)]
GENUINE = {job: {name: (LOGS / GOOD[job] / name).read_bytes() for name in STREAMS} for job in GOOD}
GENUINE_LINES = [line for log in GENUINE.values() for text in log.values() for line in text.split(b"\n")][::7]
CONTROL = [b"\x1b[31m", b"\x1b]0;t\x07", b"\x1b]", b"\x1b[", b"\0", b"\x07", b"\r", b"\b", b"\x7f", b"\t", b"\xc2\x9b"]
BROKEN = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", "é\u2028\u0085".encode(), b"\xfe\xff"]
LONG = [b"a" * 17_000, b"Fatal: " * 2500, b" " * 9000, b"9" * 5000]
LINE = st.one_of(
    st.sampled_from([text.encode() for text in EXAMPLES]),
    st.sampled_from(GENUINE_LINES),
    st.sampled_from(CONTROL),
    st.sampled_from(BROKEN),
    st.binary(max_size=30),
    st.sampled_from(LONG),
)
END = st.sampled_from([b"\n", b"\n", b"\n", b"\n", b"\r\n", b"\r", b"", b" "])
LOG = st.lists(st.tuples(LINE, END, st.sampled_from([1, 1, 1, 2, 60])), max_size=8).map(
    lambda parts: b"".join((line[: 1 << 20 if times < 3 else 200] + end) * times for line, end, times in parts)
)
JOB_TYPE = st.sampled_from([*GOOD])
EXIT = st.sampled_from([WELL, ExitStatus(code=1), ExitStatus(signal="SIGKILL"), None])


@contextmanager
def written(streams: Mapping[str, bytes]) -> Iterator[dict[str, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder, name) for name in streams}
        for name, path in paths.items():
            path.write_bytes(streams[name])
        yield paths


def judged(streams: Mapping[str, bytes], job_type: str, exit: ExitStatus | None = WELL) -> Verdict:
    with written(streams) as paths:
        kind = COMPASS.kind_of(job_type)
        return classify_files(RULES, kind=kind, job_type=job_type, streams=paths, exit=exit)


@UNHURRIED
@given(LOG, LOG, JOB_TYPE, EXIT)
def test_any_log_has_a_verdict_that_can_be_written(
    stdout: bytes, stderr: bytes, job_type: str, exit: ExitStatus | None
) -> None:
    verdict = judged({"stdout": stdout, "stderr": stderr}, job_type, exit)
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict
    assert verdict.dropped == tuple(one for one in verdict.dropped if "given up" not in one.reason)


def streams_of(rule: Rule) -> set[str]:
    return {one.stream for one in rule.conditions if one.match or one.contains}


def fatal_texts(job_type: str) -> list[tuple[str, str]]:
    """Streams and texts that alone make such a job a failure."""
    kind = COMPASS.kind_of(job_type)
    rules = [
        rule
        for rule in RULES.rules
        if rule.text.status == "active" and rule.text.action != "note" and rule.applies_to(kind, job_type)
        if not rule.text.unless and not any(one.unless for one in rule.conditions)
        if len(streams_of(rule)) == 1 and streams_of(rule) <= {"any", *STREAMS}
    ]
    return [
        (stream, one.match)
        for rule in rules
        for one in rule.text.examples
        if one.match is not None
        for stream in STREAMS
        if streams_of(rule) <= {"any", stream}
    ]


FATAL = {job: fatal_texts(job) for job in GOOD}
NOISE = st.lists(st.sampled_from([*CONTROL, *BROKEN, *LONG, b"", b"\r"]), max_size=3)


@UNHURRIED
@given(st.data(), JOB_TYPE, NOISE)
def test_a_fatal_line_anywhere_in_a_good_log_is_never_a_success(
    data: st.DataObject, job_type: str, noise: Sequence[bytes]
) -> None:
    stream, text = data.draw(st.sampled_from(FATAL[job_type]))
    lines = GENUINE[job_type][stream].split(b"\n")
    for line in noise:
        lines.insert(data.draw(st.integers(0, len(lines) - 1)), line)
    lines.insert(data.draw(st.integers(0, len(lines) - 1)), text.encode())
    assert judged({**GENUINE[job_type], stream: b"\n".join(lines)}, job_type).verdict != "success"


@pytest.mark.parametrize("job_type", GOOD)
def test_the_good_logs_are_successes_without_it(job_type: str) -> None:
    assert len(FATAL[job_type]) > 20
    assert judged(GENUINE[job_type], job_type).verdict == "success"


SIZE = st.integers(0, 100) | st.integers(0, 200_000)
READINGS = st.lists(st.tuples(SIZE, SIZE, SIZE), max_size=5)
"""How much more of stdout and of stderr is written, and how much is read then."""


@UNHURRIED
@given(LOG, LOG, JOB_TYPE, READINGS)
def test_how_a_growing_log_is_read_never_changes_the_verdict(
    stdout: bytes, stderr: bytes, job_type: str, readings: Sequence[tuple[int, int, int]]
) -> None:
    log = {"stdout": stdout, "stderr": stderr}
    kind = COMPASS.kind_of(job_type)
    with written(dict.fromkeys(log, b"")) as paths:
        scan = LogScan(RULES, kind=kind, job_type=job_type, streams=paths)
        for out, err, budget in (*readings, (len(stdout), len(stderr), 0)):
            for name, size in zip(STREAMS, (out, err), strict=True):
                done = paths[name].stat().st_size
                with paths[name].open("ab") as file:
                    file.write(log[name][done : done + size])
            scan.read(budget)
        verdict = decide_verdict(RULES, scan.finish(), Case(kind, job_type, WELL))
    assert verdict == judged(log, job_type)


@UNHURRIED
@given(LOG, LOG, JOB_TYPE, EXIT)
def test_hyperscan_never_changes_a_verdict(
    stdout: bytes, stderr: bytes, job_type: str, exit: ExitStatus | None
) -> None:
    log = {"stdout": stdout, "stderr": stderr}
    with engine(large=1 << 30, flood=1 << 30, hyperscan=False):
        plain = judged(log, job_type, exit)
    with engine(large=0, flood=1):
        assert judged(log, job_type, exit) == plain
