"""Measures `pilotext run`: overhead for a trivial payload, CPU beside a busy one, memory beside a log of any size."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import psutil

from benchmarks.opponents import Run, measured
from benchmarks.speed import size_of

ROOT = Path(__file__).resolve().parents[1]
PILOTEXT = [sys.executable, "-P", "-X", "utf8", "-m", "pilotext", "run"]
IMPORTS = (
    "import sys; sys.argv = ['x']; "
    "import pilotext.cli.run, pilotext.classify.prefilter.hyperscan, hyperscan, regex, yaml"
)

BUSY = """
import sys, time
end = time.monotonic() + float(sys.argv[1])
number = 0
while time.monotonic() < end:
    number += 1
    for _ in range(20000):
        pass
    if number % 50 == 0:
        print("Event:", number, flush=True)
"""

WRITER = """
import sys
from benchmarks.corallog import pieces
for piece in pieces("normal", int(sys.argv[1])):
    sys.stdout.buffer.write(piece)
"""


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks/wrapper", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of which the median is taken (default: 5)")
    parser.add_argument("--busy-s", type=float, default=30.0, help="how long the busy payload runs (default: 30)")
    parser.add_argument("--log-size", type=size_of, default=size_of("1G"), help="of the log (default: 1G)")
    options = parser.parse_args(words)
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory(prefix="pilotext-benchmark-") as name:
        folder = Path(name)
        _trivial(folder, options.rounds)
        _busy(folder, options.busy_s)
        _memory(folder, options.log_size)
    return 0


def _trivial(folder: Path, rounds: int) -> None:
    """/bin/true, local files, report written; beside it Python with the same imports."""
    command = _job(folder, ["/bin/true"])
    bare = [sys.executable, "-P", "-X", "utf8", "-c", IMPORTS]
    runs: dict[str, list[Run]] = {"pilotext": [], "bare": []}
    for _ in range(rounds):
        runs["bare"].append(measured(bare))
        runs["pilotext"].append(measured(command))
    own, other = (median(run.seconds for run in runs[name]) for name in ("pilotext", "bare"))
    peaks = {name: max(run.peak_kb for run in of_one) / 1024 for name, of_one in runs.items()}
    print(f"/bin/true: {own:.2f} s (at most 0.40), bare Python with its imports {other:.2f} s: {own / other:.2f} x")
    print(f"/bin/true: {peaks['pilotext']:.1f} MB (at most 45), bare {peaks['bare']:.1f} MB", flush=True)


def _busy(folder: Path, seconds: float) -> None:
    """Return CPU seconds of wrapper, watchdog and subreaper per second of the payload, without start and end."""
    with subprocess.Popen(
        _job(folder, [sys.executable, "-c", BUSY, str(seconds)]), stdout=subprocess.DEVNULL
    ) as wrapper:
        time.sleep(min(3.0, seconds / 4))
        below = psutil.Process(wrapper.pid).children(recursive=True)
        ours = [process for process in (psutil.Process(wrapper.pid), *below) if "pilotext" in process.cmdline()]
        before, began = _cpu(ours), time.monotonic()
        time.sleep(seconds - min(3.0, seconds / 4) - 2.0)
        used, took = _cpu(ours) - before, time.monotonic() - began
        wrapper.wait()
    samples = json.loads((folder / "work/job.report.json").read_bytes())["usage"]["samples"]
    print(
        f"busy payload: {100 * used / took:.2f} % of a core over {took:.0f} s (at most 1 %), {samples} samples",
        flush=True,
    )


def _cpu(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _memory(folder: Path, size: int) -> None:
    """The wrapper's own peak while its payload writes a short log, and a long one."""
    peaks = {}
    for name, of in (("short", 1_000_000), ("long", size)):
        run = measured(_job(folder, [sys.executable, "-c", WRITER, str(of)]))
        peaks[name] = run.peak_kb / 1024
        log_mb = (folder / "work/payload_stdout.txt").stat().st_size / 1e6
        print(f"log of {log_mb:.0f} MB: {peaks[name]:.1f} MB (at most 64), {run.seconds:.1f} s in all", flush=True)
    print(f"long against short: {peaks['long'] / peaks['short']:.2f} x the memory")


def _job(folder: Path, command: list[str]) -> list[str]:
    document = {"format": 1, "experiment": "COMPASS", "type": "shell", "kind": "tool", "command": command}
    path = folder / "job.json"
    path.write_text(json.dumps(document))
    return [*PILOTEXT, str(path), "--workdir", str(folder / "work")]


if __name__ == "__main__":
    sys.exit(main())
