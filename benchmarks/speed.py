"""Measures `pilotext classify` on logs like CORAL's, beside rg, grep and a line-by-line loop, and prints ratios."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks import opponents
from benchmarks.corallog import KINDS, write_log
from benchmarks.inside import delay_behind_last_byte, many_rules, scan_seconds
from benchmarks.opponents import Run, measured
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import RuleSet

UNITS = {"K": 10**3, "M": 10**6, "G": 10**9}
MOST_FOR_LOOP = 20 * 10**6
"""The loop would take minutes on more; its time grows with the size, so it is measured on so much and scaled."""


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks/classify", description=__doc__)
    parser.add_argument("--size", type=size_of, default=size_of("1G"), help="of each log, as 300M or 1G (default: 1G)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median is taken (default: 3)")
    parser.add_argument("--kind", action="append", choices=[*KINDS], help="of log (default: all)")
    parser.add_argument("--stream", default="stdout", choices=["stdout", "stderr"], help="that the log is read as")
    parser.add_argument(
        "--more-memory", type=size_of, default=0, metavar="SIZE", help="measure the memory with this, too"
    )
    parser.add_argument("--without-loop", action="store_true", help="leave out the loop, which takes a minute a kind")
    options = parser.parse_args(words)
    if missing := [name for name in ("rg", "grep") if shutil.which(name) is None]:
        print(f"{' and '.join(missing)} must be installed (Debian: ripgrep, grep).", file=sys.stderr)
        return 64
    ruleset = load_rules("COMPASS")
    with tempfile.TemporaryDirectory(prefix="pilotext-benchmark-") as name:
        folder = Path(name)
        patterns = folder / "patterns"
        print(f"{opponents.write_patterns(patterns, ruleset)} patterns, {options.size / 1e6:.0f} MB, {options.stream}")
        for kind in options.kind or KINDS:
            log = folder / "log"
            write_log(log, kind, options.size)
            _against_others(kind, log, patterns, options)
            _inside(kind, log, ruleset, options)
        _memory(folder, options)
    return 0


def _against_others(kind: str, log: Path, patterns: Path, options: argparse.Namespace) -> None:
    commands = {
        "pilotext": _pilotext(log, options.stream),
        "rg": opponents.rg(patterns, log),
        "grep": opponents.grep(patterns, log),
    }
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            runs[name].append(measured(command))
    took = {name: median(run.seconds for run in of_one) for name, of_one in runs.items()}
    if not options.without_loop:
        took["loop"] = _loop_seconds(log, patterns)
    _print_ratios(kind, took, max(run.peak_kb for run in runs["pilotext"]))


def _loop_seconds(log: Path, patterns: Path) -> float:
    part = log.with_name("part")
    with log.open("rb") as file:
        part.write_bytes(file.read(MOST_FOR_LOOP))
    return measured(opponents.loop(patterns, part)).seconds * log.stat().st_size / part.stat().st_size


def _print_ratios(kind: str, took: Mapping[str, float], peak_kb: int) -> None:
    seconds = ", ".join(f"{name} {value:.2f} s" for name, value in took.items())
    own = took["pilotext"]
    print(f"{kind}: {seconds}")
    most = 0.6 if kind in ("normal", "flood") else 1.0
    print(f"{kind}: {own / took['rg']:.2f} x rg (at most {most}), {own / took['grep']:.2f} x grep (at most 1.0)")
    if "loop" in took:
        print(f"{kind}: {took['loop'] / own:.0f} times as fast as the loop (at least 40)")
    print(f"{kind}: {peak_kb / 1024:.1f} MB at most (at most 64)")


def _inside(kind: str, log: Path, ruleset: RuleSet, options: argparse.Namespace) -> None:
    one, ten = [], []
    more = many_rules(ruleset, 10)
    for _ in range(options.rounds):
        one.append(scan_seconds(ruleset, log, options.stream))
        ten.append(scan_seconds(more, log, options.stream))
    print(f"{kind}: with {len(more.rules)} rules {median(ten) / median(one):.2f} x the time of the scan (at most 1.3)")
    delays = [delay_behind_last_byte(ruleset, log, options.stream) for _ in range(options.rounds)]
    print(
        f"{kind}: verdict {1000 * median(delays):.1f} ms behind the last byte when following (at most 50)", flush=True
    )


def _memory(folder: Path, options: argparse.Namespace) -> None:
    for size in filter(None, (10**6, options.size, options.more_memory)):
        write_log(folder / "log", "normal", size)
        peak = measured(_pilotext(folder / "log", options.stream)).peak_kb
        print(f"memory: {peak / 1024:.1f} MB with a log of {size / 1e6:.0f} MB (at most 64)")


def _pilotext(log: Path, stream: str) -> list[str]:
    verb = [sys.executable, "-P", "-m", "pilotext", "classify", "--json"]
    verb += ["--experiment", "COMPASS", "--job-type", "mass production"]
    return [*verb, f"--{stream}", str(log), "--exit", "0"]


def size_of(word: str) -> int:
    return int(float(word[:-1]) * UNITS[word[-1]]) if word[-1:] in UNITS else int(word)


if __name__ == "__main__":
    sys.exit(main())
