"""The server's processes: web, cycle, or both and somebody who looks after them."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from pilotext.errors import UsageError

log = logging.getLogger("pilotext.serve")

AGAIN_AFTER_S = 1.0
"""A part that ended by itself is started again after this time."""

STOP_WITHIN_S = 20.0

HEADERS_WITHIN_MS = 15_000
"""A connection that has sent no whole head of a request for so long is closed, also one that is kept for the next."""

MAX_HEADERS_BYTES = 64 * 1024
MAX_CONNECTIONS = 16_384
BACKLOG = 4096
OTHER_FILES = 512
"""Open files of a web process that are no connections of clients."""

_ADVICE = {
    errno.EADDRINUSE: "Another program listens there, perhaps a server of yours: end it, or choose another --listen.",
    errno.EACCES: "Ports below 1024 are for root; choose another --listen, and put a proxy before it.",
}

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def serve_web(host: str, port: int, threads: int, tls: tuple[Path, Path] | None = None) -> None:
    """Answer requests until SIGTERM or SIGINT; what has begun is answered before. `tls`: certificate, key."""
    from granian import Granian  # noqa: PLC0415  only this process needs it
    from granian.constants import HTTPModes, Interfaces, SSLProtocols  # noqa: PLC0415
    from granian.http import HTTP1Settings  # noqa: PLC0415

    os.environ["PILOTEXT_THREADS"] = str(threads)  # its worker process reads it
    Granian(
        target="pilotext.server.rsgi:app",
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,  # what agents, pilots and curl speak; HTTP/2 has limits of its own to be attacked
        http1_settings=HTTP1Settings(header_read_timeout=HEADERS_WITHIN_MS, max_buffer_size=MAX_HEADERS_BYTES),
        websockets=False,
        backlog=BACKLOG,
        backpressure=_max_connections(),
        ssl_cert=tls[0] if tls else None,
        ssl_key=tls[1] if tls else None,
        ssl_protocol_min=SSLProtocols.tls12,  # the curl of old nodes, which pilots use, knows no newer one
        workers=1,  # the database is the bottleneck; with SQLite, further writers only wait for each other
        respawn_failed_workers=True,
        workers_kill_timeout=int(STOP_WITHIN_S / 2),
        log_level=os.environ.get("PILOTEXT_LOG_LEVEL", "warning").lower(),  # type: ignore[arg-type]  # Granian takes text
    ).serve()


def check_address(host: str, port: int) -> None:
    """Raise UsageError when this address cannot be listened at: Granian would try it again for ever, and say little."""
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "--listen takes HOST:PORT, an address of this machine.")
        raise UsageError(f"the server cannot listen at {name}: {error.strerror or error}.", advice=advice) from None


def _max_connections() -> int:
    """Return how many connections may be open at once, after raising the limit of open files as far as allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    most = MAX_CONNECTIONS if hard == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, hard - OTHER_FILES)
    return max(64, most)


def serve_cycle() -> None:
    """Advance everything until SIGTERM or SIGINT."""
    from pilotext.server.boot import collect_garbage_less_often  # noqa: PLC0415  imports Django
    from pilotext.server.production.cycle.runner import run_until  # noqa: PLC0415  needs Django to be set up

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    collect_garbage_less_often()
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
