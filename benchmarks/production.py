"""Measures the production server: job lives a second, heartbeats of many agents, tasks defined, lists with many jobs.

The server runs as its own processes; agents are simulated, in processes of their own, over HTTP. All share
this machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

import psutil

from benchmarks import agents
from benchmarks.agents import PROCESSES, Done, Load
from benchmarks.http import Connection
from benchmarks.rows import fill, task_document
from benchmarks.wsgi import carried, carriers
from fixtures.servers.postgres import serving_postgres
from tests.support.pilotext_server import ProductionServer, serving

PARTS = ("lives", "heartbeats", "define", "growth")
LISTS = {
    "tasks": "/api/v1/tasks",
    "a task": "/api/v1/tasks/{task}",
    "first page of jobs": "/api/v1/jobs",
    "jobs of a task": "/api/v1/jobs?task={name}",
    "last page of jobs": "/api/v1/jobs?after={late}",
    "jobs to decide on": "/api/v1/jobs?state=manual",
    "jobs of a task to decide on": "/api/v1/jobs?task={name}&state=manual",
    "jobs of a run": "/api/v1/jobs?run=270000",
    "jobs of a code": "/api/v1/jobs?code=COMPASS-1241",
    "a code that nobody has": "/api/v1/jobs?code=COMPASS-1246",
    "a job": "/api/v1/jobs/{job}",
    "metrics": "/metrics",
}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks/server", description=__doc__)
    parser.add_argument("--part", action="append", choices=[*PARTS, "wsgi"], help="what to measure (default: all)")
    parser.add_argument("--database", action="append", choices=["sqlite", "postgresql"], help="(default: both)")
    parser.add_argument("--folder", type=Path, help="where the databases lie (default: a temporary one)")
    parser.add_argument("--agents", type=int, default=32, help="that take jobs through their lives (default: 32)")
    parser.add_argument("--held", type=int, default=12_000, help="attempts that send heartbeats (default: 12000)")
    parser.add_argument("--faster", type=float, default=10.0, help="than real are their heartbeats (default: 10)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement (default: 10)")
    parser.add_argument("--sizes", default="1000,100000,1000000", help="jobs in the database, one after the other")
    parser.add_argument("--define", default="30000,300000", help="jobs of tasks that are submitted")
    parser.add_argument("--close", action="store_true", help="a new connection for each request of a life")
    options = parser.parse_args(words)
    if options.part == ["wsgi"]:
        return _wsgi(options)
    for kind in options.database or ("sqlite", "postgresql"):
        for part in options.part or PARTS:
            with _server(kind, options.folder) as server:
                globals()[f"_{part}"](kind, server, options)
    return 0


def _wsgi(options: argparse.Namespace) -> int:
    """Each WSGI server twice, with connections that stay and with a new one for each request."""
    with tempfile.TemporaryDirectory(prefix="pilotext-benchmark-", dir=options.folder) as name:
        for carrier in (*carriers(0), *carriers(0)):
            for options.close in (False, True):
                kind = "close" if options.close else "keep"
                with carried(carrier, Path(name, f"{carrier}-{kind}-{time.monotonic_ns()}")) as server:
                    _define_task(server, "lives", 30_000)
                    done = _live(server, options)
                rate = f"{done.lives / done.seconds:.0f} /s"
                _row(carrier, f"job lives, connections: {kind}", rate, _spread(done.times["heartbeat"]))
    return 0


@contextmanager
def _server(kind: str, where: Path | None) -> Iterator[ProductionServer]:
    with tempfile.TemporaryDirectory(prefix="pilotext-benchmark-", dir=where) as name:
        environment = {"PILOTEXT_LOG_LEVEL": "WARNING", "PILOTEXT_VERIFY_OUTPUTS": "no"}  # simulated agents
        if kind == "sqlite":
            with serving(ProductionServer(Path(name), environment=environment)) as server:
                yield server
            return
        with serving_postgres(durable=True, options=["max_connections=200"]) as database:
            environment["DATABASE_URL"] = database.url()
            with serving(ProductionServer(Path(name), environment=environment)) as server:
                yield server


def _lives(kind: str, server: ProductionServer, options: argparse.Namespace) -> None:
    _define_task(server, "lives", 30_000)
    before = _cpu_seconds(server)
    done = _live(server, options)
    spent = _cpu_seconds(server) - before
    _row(kind, "  CPU of the server", f"{1000 * spent / max(1, done.lives):.2f} ms a life", "")
    _row(kind, f"job lives, {options.agents} agents", f"{done.lives / done.seconds:.0f} /s", "at least 400 /s")
    for name, times in done.times.items():
        _row(kind, f"  {name}", _spread(times), "")


def _live(server: ProductionServer, options: argparse.Namespace) -> Done:
    each = Load(
        server.port, server.token("agent"), options.agents // PROCESSES, options.seconds, keep=not options.close
    )
    return agents.drive(agents.lives, [each] * PROCESSES)


def _cpu_seconds(server: ProductionServer) -> float:
    """That its processes have used so far."""
    roots = [psutil.Process(process.pid) for process in server.processes]
    used = [part.cpu_times() for root in roots for part in (root, *root.children(recursive=True))]
    return sum(times.user + times.system for times in used)


def _heartbeats(kind: str, server: ProductionServer, options: argparse.Namespace) -> None:
    _define_task(server, "held", options.held)
    token = server.token("agent")
    held = agents.hold(Load(server.port, token, options.held, 0.0))
    rate = options.faster * options.held / held[0].every_s
    loads = [
        Load(server.port, token, 0, options.seconds, False, rate / PROCESSES, tuple(held[part::PROCESSES]))
        for part in range(PROCESSES)
    ]
    times = agents.drive(agents.heartbeats, loads).times["heartbeat"]
    what = f"heartbeats of {len(held)} attempts, {rate:.0f} /s"
    _row(kind, what, _spread(times), "99 %: at most 50 ms")


def _define(kind: str, server: ProductionServer, options: argparse.Namespace) -> None:
    for text in options.define.split(","):
        number = int(text)
        seconds = _define_task(server, f"defined-{number}", number)
        _row(kind, f"{number} jobs defined", f"{seconds:.2f} s", "at most 3 s" if number == 30_000 else "")


def _growth(kind: str, server: ProductionServer, options: argparse.Namespace) -> None:
    first: float | None = None
    for text in options.sizes.split(","):
        fill(server.env["DATABASE_URL"], int(text))
        _define_task(server, f"lives-{text}", 4000, priority=1)
        done = _live(server, options)
        rate = done.lives / done.seconds
        first = first or rate
        _row(kind, f"job lives with {text} jobs", f"{rate:.0f} /s", f"{first / rate:.2f} x the cost of the first")
        _lists(kind, server, text)


def _lists(kind: str, server: ProductionServer, size: str) -> None:
    asks = Connection(server.port, server.token("viewer"))
    values = {"task": 1, "name": "filled-1", "late": int(size) - 500, "job": int(size) // 2}
    for name, path in LISTS.items():
        times = []
        for _ in range(3):
            began = time.perf_counter()
            asks.get(path.format(**values))
            times.append(time.perf_counter() - began)
        _row(kind, f"  {name}, {size} jobs", f"{1000 * median(times):.1f} ms", "at most 200 ms")


def _define_task(server: ProductionServer, name: str, number: int, **fields: object) -> float:
    manager = Connection(server.port, server.token("manager"))
    document = {"task": {"task": {**task_document(name, number), **fields}}}
    began = time.perf_counter()
    manager.post("/api/v1/tasks", document)
    return time.perf_counter() - began


def _spread(times: Sequence[float]) -> str:
    cuts = quantiles(times, n=100)
    return f"half in {1000 * cuts[49]:.1f} ms, 99 % in {1000 * cuts[98]:.1f} ms, all in {1000 * max(times):.1f} ms"


def _row(kind: str, what: str, value: str, target: str) -> None:
    print(f"{kind:<11}{what:<48}{value:<58}{target}".rstrip(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
