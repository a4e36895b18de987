"""The server's processes: web, cycle, or both and somebody who looks after them."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger("pilotext.serve")

AGAIN_AFTER_S = 1.0
"""A part that ended by itself is started again after this time."""

STOP_WITHIN_S = 20.0

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def serve_web(host: str, port: int, threads: int, tls: tuple[Path, Path] | None = None) -> None:
    """Answer requests until SIGTERM or SIGINT; what has begun is answered before. `tls`: certificate, key."""
    from granian import Granian  # noqa: PLC0415  only this process needs it
    from granian.constants import Interfaces, SSLProtocols  # noqa: PLC0415

    Granian(
        target="pilotext.server.wsgi:application",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        ssl_cert=tls[0] if tls else None,
        ssl_key=tls[1] if tls else None,
        ssl_protocol_min=SSLProtocols.tls12,  # the curl of old nodes, which pilots use, knows no newer one
        workers=1,  # the database is the bottleneck; with SQLite, further writers only wait for each other
        blocking_threads=threads,
        respawn_failed_workers=True,
        workers_kill_timeout=int(STOP_WITHIN_S / 2),
        log_level=os.environ.get("PILOTEXT_LOG_LEVEL", "warning").lower(),  # type: ignore[arg-type]  # Granian takes text
    ).serve()


def serve_cycle() -> None:
    """Advance everything until SIGTERM or SIGINT."""
    from pilotext.server.production.cycle import run_until  # noqa: PLC0415  needs Django to be set up

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run_until(stop)


def serve_all(parts: Sequence[Sequence[str]]) -> None:
    """Run `pilotext server PART…` for each part until SIGTERM or SIGINT; a part that ends before is started again."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    running = {tuple(part): _start(part) for part in parts}
    while not stop.wait(0.1):
        for part, process in running.items():
            if process.poll() is not None:
                log.error("%s ended with status %d; it is started again", part[0], process.returncode)
                if not stop.wait(AGAIN_AFTER_S):
                    running[part] = _start(part)
    _stop_all(list(running.values()))


def _start(part: Sequence[str]) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-P", "-X", "utf8", "-m", "pilotext", "server", *part]
    return subprocess.Popen(words, preexec_fn=_end_with_parent)  # noqa: PLW1509  there are no other threads


def _end_with_parent() -> None:
    """A part whose parent was killed would keep the port, and nobody would know of it."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop_all(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    end = time.monotonic() + STOP_WITHIN_S
    for process in processes:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("process %d did not end in time", process.pid)
            process.kill()
            process.wait()
