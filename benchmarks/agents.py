"""Simulated agents in processes of their own: whole job lives as fast as they go, or heartbeats at a given rate."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import msgspec

from benchmarks.http import Connection
from pilotext.api.schemas.agents import AgentRegistered, AgentRegistration, JobAnswer, JobRequest
from pilotext.api.schemas.attempts import Heartbeat, LeasedJob
from tests.support.success import success_of

SITES = ("CERN_COMPASS_PROD", "FRONTERA_COMPASS_MCORE")
PROCESSES = 2
MAX_SLOTS = 10_000
CALLERS = 48
"""Threads of a process that send heartbeats: as many requests as may wait for an answer at once."""


class Held(NamedTuple):
    """What is needed to keep an attempt alive, every `every_s` seconds."""

    attempt: int
    token: str
    every_s: float


@dataclass(frozen=True)
class Load:
    """Where to, and how much of it: `rate` requests a second, where it is not as many as can be."""

    port: int
    token: str
    agents: int
    seconds: float
    keep: bool = True
    rate: float = 0.0
    held: tuple[Held, ...] = ()
    """Attempts whose heartbeats are sent."""


@dataclass
class Done:
    """What became of it; times of requests in seconds, from when they were due."""

    seconds: float = 0.0
    lives: int = 0
    times: dict[str, list[float]] = field(default_factory=dict)

    def add(self, other: Done) -> None:
        self.seconds = max(self.seconds, other.seconds)
        self.lives += other.lives
        for name, times in other.times.items():
            self.times.setdefault(name, []).extend(times)


def drive(work: Callable[[Load], Done], loads: Sequence[Load]) -> Done:
    """Do the same work with each of the loads, each in a process of its own, all at once."""
    with multiprocessing.get_context("spawn").Pool(len(loads)) as pool:
        parts = pool.map(work, loads, chunksize=1)
    whole = Done()
    for part in parts:
        whole.add(part)
    return whole


def lives(load: Load) -> Done:
    """Agents that each take job after job through its life, getJob, two updates, report, while there are any."""
    done = Done()
    stop = time.monotonic() + load.seconds
    began = time.monotonic()
    _in_threads(load.agents, lambda number: _one_agent(load, number, stop, done))
    done.seconds = done.seconds - began
    return done


def hold(load: Load) -> list[Held]:
    """Lease one job for each agent, at one site after the other."""
    connection = Connection(load.port, load.token)
    held: list[Held] = []
    for site in SITES:
        agent = _hello(connection, f"holder-{site}", site)
        while len(held) < load.agents and (lease := _job(connection, agent)[0]) is not None:
            held.append(Held(lease.attempt, lease.token, lease.heartbeat_s))
    return held


def heartbeats(load: Load) -> Done:
    """Heartbeats of many attempts at a steady rate, each on a connection of its own, as pilots do."""
    done = Done()
    due: SimpleQueue[tuple[float, int, str]] = SimpleQueue()
    _in_threads(CALLERS + 1, lambda number: _feed(load, due) if number == 0 else _beat(load, due, done))
    done.seconds = load.seconds
    return done


def _feed(load: Load, due: SimpleQueue[tuple[float, int, str]]) -> None:
    began = time.perf_counter()
    for number in range(int(load.rate * load.seconds)):
        at = began + number / load.rate
        time.sleep(max(0.0, at - time.perf_counter()))
        lease = load.held[number % len(load.held)]
        due.put((at, lease.attempt, lease.token))
    for _ in range(CALLERS):
        due.put((0.0, 0, ""))


def _beat(load: Load, due: SimpleQueue[tuple[float, int, str]], done: Done) -> None:
    connection = Connection(load.port, load.token, keep=load.keep)
    beat = Heartbeat("payload", "wn1", {"events_processed": 1000})
    times = done.times.setdefault("heartbeat", [])
    while True:
        try:
            at, attempt, token = due.get(timeout=load.seconds)
        except Empty:
            return
        if not attempt:
            return
        connection.post(f"/api/v1/attempts/{attempt}/heartbeat", beat, token)
        times.append(time.perf_counter() - at)


def _one_agent(load: Load, number: int, stop: float, done: Done) -> None:
    connection = Connection(load.port, load.token, keep=load.keep)
    agent = _hello(connection, f"agent-{multiprocessing.current_process().pid}-{number}")
    while time.monotonic() < stop:
        lease, seconds = _job(connection, agent)
        if lease is None:
            break
        done.times.setdefault("job", []).append(seconds)
        _live(connection, lease, done)
        done.lives += 1
        done.seconds = time.monotonic()
    connection.close()


def _live(connection: Connection, lease: LeasedJob, done: Done) -> None:
    path = f"/api/v1/attempts/{lease.attempt}"
    requests: tuple[tuple[str, Any], ...] = (
        ("heartbeat", Heartbeat("stage-in", "wn1")),
        ("heartbeat", Heartbeat("payload", "wn1", {"events_processed": 50})),
        ("report", success_of(lease.job)),
    )
    for name, body in requests:
        began = time.perf_counter()
        connection.post(f"{path}/{name}", body, lease.token)
        done.times.setdefault(name, []).append(time.perf_counter() - began)


def _hello(connection: Connection, name: str, site: str = SITES[0]) -> int:
    said = connection.post(
        "/api/v1/agents", AgentRegistration(name=name, site=site, slots=MAX_SLOTS if name.startswith("holder") else 1)
    )
    return msgspec.json.decode(said, type=AgentRegistered).agent


def _job(connection: Connection, agent: int) -> tuple[LeasedJob | None, float]:
    began = time.perf_counter()
    answer = connection.post(f"/api/v1/agents/{agent}/job", JobRequest("wn1"))
    seconds = time.perf_counter() - began
    return msgspec.json.decode(answer, type=JobAnswer).lease, seconds


def _in_threads(number: int, work: Callable[[int], None]) -> None:
    problems: list[BaseException] = []

    def run(each: int) -> None:
        try:
            work(each)
        except Exception as error:  # noqa: BLE001  told by the thread that waits
            problems.append(error)

    threads = [threading.Thread(target=run, args=(each,)) for each in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
