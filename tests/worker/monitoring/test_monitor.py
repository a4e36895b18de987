"""Limits, with real processes: each limit passed, and a payload within all of them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pilotext.model.job import Limits
from pilotext.model.verdict import Finding
from pilotext.storage.transfer import no_tick
from pilotext.worker.monitoring.control_group import NO_GROUP
from pilotext.worker.monitoring.disk_usage import SharedMemory
from pilotext.worker.monitoring.monitor import Monitor
from pilotext.worker.payload.process import Payload
from tests.support.jobs import make_job

HUNGRY = "import time; block = bytearray(80_000_000); print('fed', flush=True); time.sleep(600)"
BUSY = "print('fed', flush=True)\nwhile True: pass"
IDLE = "print('fed', flush=True); import time; time.sleep(600)"

# What plays the subreaper: a process with the program below it.
SUBREAPER = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


@pytest.fixture
def subreaper_of(request: pytest.FixtureRequest) -> Iterator[int]:
    subreaper = subprocess.Popen([sys.executable, "-c", SUBREAPER, request.param], stdout=subprocess.PIPE)
    assert subreaper.stdout is not None
    assert subreaper.stdout.readline() == b"fed\n"
    yield subreaper.pid
    subprocess.run(["pkill", "-KILL", "-P", str(subreaper.pid)], check=False)
    subreaper.kill()
    subreaper.wait()
    subreaper.stdout.close()


def first_finding(monitor: Monitor, output_bytes: int = 0) -> Finding:
    end = time.monotonic() + 20
    while (finding := monitor.sample(output_bytes, {})) is None:
        assert time.monotonic() < end, "the limit was never passed"
        time.sleep(0.05)
    return finding


@pytest.mark.parametrize("subreaper_of", [HUNGRY], indirect=True)
def test_memory_over_the_limit_is_a_finding_with_value_and_limit(subreaper_of: int, tmp_path: Path) -> None:
    finding = first_finding(Monitor(Limits(memory_mb=60), tmp_path, subreaper_of))
    assert finding.name == "limit-memory"
    assert finding.fields["limit"] == 60
    assert float(finding.fields["value"]) > 80


@pytest.mark.parametrize("subreaper_of", [HUNGRY], indirect=True)
def test_a_payload_within_its_limits_is_left_alone_and_its_peak_is_kept(subreaper_of: int, tmp_path: Path) -> None:
    limits = Limits(memory_mb=2000, wall_s=600, cpu_s=600, disk_mb=100, stall_s=600, silence_s=600)
    monitor = Monitor(limits, tmp_path, subreaper_of)
    assert monitor.sample(0, {}) is None
    assert monitor.usage.peak_memory_mb > 80
    assert monitor.usage.peak_processes == 1


@pytest.mark.parametrize("subreaper_of", [BUSY], indirect=True)
def test_cpu_time_is_limited(subreaper_of: int, tmp_path: Path) -> None:
    assert first_finding(Monitor(Limits(cpu_s=0.2), tmp_path, subreaper_of)).name == "limit-cpu"


@pytest.mark.parametrize("subreaper_of", [IDLE], indirect=True)
def test_disk_in_the_work_directory_is_limited(subreaper_of: int, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below/big").write_bytes(b"x" * 3_000_000)
    assert first_finding(Monitor(Limits(disk_mb=2), tmp_path, subreaper_of)).name == "limit-disk"


@pytest.mark.parametrize("subreaper_of", [IDLE], indirect=True)
@pytest.mark.parametrize(
    ("limits", "wall_s", "name"),
    [
        (Limits(), 0.2, "limit-wall"),
        (Limits(stall_s=0.2), None, "limit-stall"),
        (Limits(silence_s=0.2), None, "limit-silence"),
    ],
)
def test_time_is_limited(subreaper_of: int, tmp_path: Path, limits: Limits, wall_s: float | None, name: str) -> None:
    assert first_finding(Monitor(limits, tmp_path, subreaper_of, wall_s=wall_s)).name == name


@pytest.mark.parametrize("subreaper_of", [IDLE], indirect=True)
def test_output_and_progress_keep_a_slow_payload_alive(subreaper_of: int, tmp_path: Path) -> None:
    monitor = Monitor(Limits(stall_s=0.3, silence_s=0.3), tmp_path, subreaper_of)
    for number in range(8):
        assert monitor.sample(output_bytes=number, progress={"event": number}) is None
        time.sleep(0.1)


@pytest.mark.parametrize("subreaper_of", [IDLE], indirect=True)
@pytest.mark.parametrize(
    ("limits", "name"),
    [(Limits(min_free_mb=1e9), "limit-free-disk"), (Limits(output_mb=2), "limit-output")],
)
def test_free_disk_and_the_size_of_outputs_are_limited(
    subreaper_of: int, tmp_path: Path, limits: Limits, name: str
) -> None:
    (tmp_path / "mDST.root").write_bytes(b"x" * 3_000_000)
    monitor = Monitor(limits, tmp_path, subreaper_of, outputs=[tmp_path / "mDST.root", tmp_path / "not-yet.root"])
    assert first_finding(monitor).name == name


@pytest.mark.parametrize("subreaper_of", [IDLE], indirect=True)
def test_outputs_and_disk_within_their_limits_are_left_alone(subreaper_of: int, tmp_path: Path) -> None:
    (tmp_path / "mDST.root").write_bytes(b"x" * 3_000_000)
    limits = Limits(min_free_mb=0.001, output_mb=4, processes=5, disk_mb=10)
    assert Monitor(limits, tmp_path, subreaper_of, outputs=[tmp_path / "mDST.root"]).sample(0, {}) is None


@pytest.mark.parametrize("subreaper_of", [HUNGRY], indirect=True)
def test_the_account_has_samples_and_what_was_heard_at_the_end(subreaper_of: int, tmp_path: Path) -> None:
    monitor = Monitor(Limits(), tmp_path, subreaper_of)
    monitor.sample(5_000_000, {})
    usage = monitor.finish(cpu_s=7.5, left_behind=2)
    assert (usage.cpu_s, usage.left_behind, usage.log_mb, usage.samples) == (7.5, 2, 5.0, 1)
    assert usage.peak_pss_mb > 80
    assert usage.average_memory_mb == usage.peak_memory_mb == usage.series.memory_mb[0]


AUTO_REAPED = """
import os, signal, sys, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("fed", flush=True)
end = time.monotonic() + 60
while time.monotonic() < end:
    if os.fork() == 0:
        begin = time.process_time()
        while time.process_time() - begin < 0.05:
            pass
        os._exit(0)
    time.sleep(0.06)
"""


def sampled(folder: Path, script: str, limits: Limits, until: Callable[[Monitor], bool]) -> Monitor:
    """The monitor of a real payload, after enough samples."""
    job = make_job(command=[sys.executable, "-S", "-c", script])
    with Payload(job, folder, os.environ) as payload:
        payload.start(no_tick)
        monitor = Monitor(limits, folder, payload.subreaper_pid, group=payload.group)
        end = time.monotonic() + 60
        while not until(monitor):
            assert time.monotonic() < end, monitor.usage
            time.sleep(0.1)
    assert not any(folder.exists() for folder in (payload.group.cpu, payload.group.memory) if folder is not None)
    return monitor


@pytest.mark.fault("payload", "CPU time of children that nobody waits for")
def test_cpu_time_of_children_that_nobody_waits_for_is_seen(tmp_path: Path) -> None:
    """Where the system lets us make a control group: as root, and below a delegated one."""
    with Payload(make_job(command=["/bin/true"]), tmp_path, os.environ) as payload:
        if payload.group.cpu is None:
            pytest.skip("no control group can be made here")
    limits = Limits(cpu_s=2)
    monitor = sampled(
        tmp_path,
        AUTO_REAPED,
        limits,
        lambda monitor: (passed := monitor.sample(0, {})) is not None and passed.name == "limit-cpu",
    )
    assert monitor.usage.cpu_s > 2


IN_SHM = """
import os, time
files = []
for number in range(6):
    files.append(open(f"/dev/shm/pilotext-test-{os.getpid()}-{number}", "wb"))
    os.unlink(files[-1].name)
    files[-1].write(bytes(20_000_000))
    files[-1].flush()
time.sleep(600)
"""


@pytest.mark.fault("payload", "memory in /dev/shm that no process maps")
@pytest.mark.parametrize("group", [True, False])
def test_memory_in_files_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, group: bool) -> None:
    if not group:
        monkeypatch.setattr("pilotext.worker.payload.process.make_group", lambda _: NO_GROUP)
    limits = Limits(memory_mb=100)
    monitor = sampled(
        tmp_path,
        IN_SHM,
        limits,
        lambda monitor: (passed := monitor.sample(0, {})) is not None and passed.name == "limit-memory",
    )
    assert monitor.usage.peak_memory_mb >= 100, "rounded to a tenth, as a sample just above the limit may be"


MAPPED = """
import mmap, os, time
block = mmap.mmap(-1, 60_000_000)
block.write(bytes(60_000_000))
if os.fork() == 0:
    block[:] = bytes(60_000_000)
    open("mapped", "w").close()
    time.sleep(600)
time.sleep(600)
"""


def test_memory_that_two_processes_map_counts_once(tmp_path: Path) -> None:
    limits = Limits(memory_mb=110)
    seen: list[object] = []

    def enough(monitor: Monitor) -> bool:
        seen.append(monitor.sample(0, {}))
        return (tmp_path / "mapped").exists() and monitor.usage.samples > 10

    assert sampled(tmp_path, MAPPED, limits, enough).usage.peak_memory_mb < 110
    assert not any(seen)


def test_files_in_memory_of_other_processes_are_not_the_payloads() -> None:
    memory = SharedMemory()
    with tempfile.TemporaryFile(dir="/dev/shm") as file:
        file.write(bytes(20_000_000))
        file.flush()
        assert memory.look(lambda: ()) == 0
    shared = SharedMemory()
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.write(bytes(20_000_000))
        file.flush()
        assert shared.look(lambda: (os.getpid(),)) >= 20_000_000
