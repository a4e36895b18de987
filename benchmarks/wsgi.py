"""The WSGI servers that the web part could run on: the same application, database and agents, one after the other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.support.pilotext_server import COMMAND, ProductionServer

THREADS = 64
_APPLICATION = "pilotext.server.wsgi:application"


def carriers(port: int) -> dict[str, list[str]]:
    """The command of each, with one process and the same threads; those that are installed."""
    python, here = [sys.executable, "-P", "-m"], f"127.0.0.1:{port}"
    known = {
        "granian": [*COMMAND, "server", "web", "--listen", here, "--threads", str(THREADS)],
        "granian, WSGI": [*python, "granian", "--interface=wsgi", f"--blocking-threads={THREADS}", "--host=127.0.0.1",
                          f"--port={port}", "--log-level=warning", _APPLICATION],
        "gunicorn": [*python, "gunicorn", "--worker-class=gthread", f"--threads={THREADS}", f"--bind={here}",
                     "--keep-alive=60", "--log-level=warning", _APPLICATION],
        "waitress": [*python, "waitress", f"--threads={THREADS}", f"--listen={here}", _APPLICATION],
    }  # fmt: skip
    return {name: words for name, words in known.items() if find_spec(name.partition(",")[0])}


@contextmanager
def carried(name: str, folder: Path) -> Iterator[ProductionServer]:
    """The web part on this server, with a new database, without a cycle."""
    folder.mkdir()
    server = ProductionServer(folder, environment={"PILOTEXT_LOG_LEVEL": "WARNING", "PILOTEXT_VERIFY_OUTPUTS": "no"})
    subprocess.run([*COMMAND, "server", "migrate"], env=server.env, check=True)
    with (folder / "web.log").open("wb") as log:
        server.processes.append(subprocess.Popen(carriers(server.port)[name], env=server.env, stdout=log, stderr=log))
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()
