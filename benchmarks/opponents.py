"""What `pilotext classify` is held against: the same patterns, as far as they know them, in rg, grep and `re`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pilotext.rules.conditions import Condition
from pilotext.rules.literals import required_literals
from pilotext.rules.schema import RuleSet

LOOP = """
import re, sys
patterns = [re.compile(line.rstrip(b"\\n")) for line in open(sys.argv[1], "rb")]
with open(sys.argv[2], "rb") as log:
    print(sum(any(pattern.search(line) for pattern in patterns) for line in log))
"""

_LOOK_AROUND = re.compile(r"\(\?<?[!=](?:[^()\\]|\\.|\((?:[^()\\]|\\.)*\))*\)")
_WORDS = {"(?:": "(", r"\d": "[0-9]", r"\S": "[^ ]", r"\s": "[ ]", r"\b": "", ".+?": ".+", ".*?": ".*", r"\D": "[^0-9]"}


@dataclass(frozen=True)
class Run:
    """One run of a program: its wall time and the largest memory it had."""

    seconds: float
    peak_kb: int


def measured(command: Sequence[str]) -> Run:
    """Run a command to its end. Its output is not wanted; raises RuntimeError if it could not do its work."""
    begin = time.perf_counter()
    locale = {**os.environ, "LC_ALL": "C"}
    peak = 0
    # Not /dev/null: grep would stop at the first line. Not ru_maxrss: that of a child begins with its parent's.
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=locale) as process:
        while process.poll() is None:
            peak = max(peak, _peak_kb(process.pid))
            time.sleep(0.005)
    seconds = time.perf_counter() - begin
    if process.returncode not in (0, 1):  # grep: nothing found
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return Run(seconds, peak)


def _peak_kb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) if found else 0


def write_patterns(path: Path, ruleset: RuleSet) -> int:
    """Every text condition and counter as one pattern a line that rg, `grep -E` and `re` all understand."""
    conditions = [condition for rule in ruleset.rules for condition in rule.conditions]
    conditions += [Condition(match=counter.match) for counter in ruleset.counters]
    patterns = [pattern for condition in conditions for pattern in _extended(condition)]
    path.write_text("".join(f"{pattern}\n" for pattern in patterns))
    return len(patterns)


def rg(patterns: Path, log: Path) -> list[str]:
    return ["rg", "-c", "-a", "-f", str(patterns), str(log)]


def grep(patterns: Path, log: Path) -> list[str]:
    return ["grep", "-cE", "-f", str(patterns), str(log)]


def loop(patterns: Path, log: Path) -> list[str]:
    return [sys.executable, "-c", LOOP, str(patterns), str(log)]


def _extended(condition: Condition) -> list[str]:
    literal = condition.contains or condition.absent
    if literal is not None:
        return [_escaped(literal)]
    if condition.match is None:
        return []
    pattern = re.sub(r"\(\?P?<\w+>", "(", condition.match)
    while (without := _LOOK_AROUND.sub("", pattern)) != pattern:
        pattern = without
    for word, other in _WORDS.items():
        pattern = re.sub(r"(\[[^\]]*)" + re.escape(word), r"\1 ", pattern) if word == r"\s" else pattern
        pattern = pattern.replace(word, other)
    pattern = pattern.replace(r"\w", "_a-zA-Z0-9") if "[" in pattern and re.search(r"\[[^\]]*\\w", pattern) else pattern
    pattern = pattern.replace(r"\w", "[_a-zA-Z0-9]")
    if r"\n" not in pattern and _understood(pattern):
        return [pattern]
    needed = required_literals(condition)
    return [_escaped(text) for text in needed.texts] if needed else []


def _understood(pattern: str) -> bool:
    try:
        with warnings.catch_warnings(action="error"):
            re.compile(pattern.encode())
    except (re.error, FutureWarning):
        return False
    checks = (["grep", "-E", "-e", pattern, "/dev/null"], ["rg", "-e", pattern, "/dev/null"])
    return all(subprocess.run(check, capture_output=True, check=False).returncode == 1 for check in checks)


def _escaped(text: str) -> str:
    return re.sub(r"([.^$*+?()\[\]{}|\\])", r"\\\1", text)
