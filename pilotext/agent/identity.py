"""Name of an agent: its own for good, also where many nodes share one host name and one process number."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import socket
from pathlib import Path

from pilotext.agent.folders import open_own

FILE_NAME = "agent.name"
_MAX_HOST_CHARACTERS = 150


class Identity:
    """The name of the agent that works in a folder, kept there in a file for the next one in the same folder.

    Whoever holds the file's lock has the name; another agent in the folder at the same time gets a name of its own.
    """

    def __init__(self, folder: Path) -> None:
        host = re.sub(r"[^!-~]|/", "-", socket.gethostname())[:_MAX_HOST_CHARACTERS] or "node"
        fresh = f"{host}-{secrets.token_hex(6)}"
        self.name = fresh
        folder.mkdir(parents=True, exist_ok=True)
        self._file = open_own(folder / FILE_NAME)
        if self._file is None:  # it works under a name of its own all the same
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        known = os.pread(self._file, 1000, 0).decode("ascii", "replace").strip()
        if re.fullmatch(rf"{re.escape(host)}-[0-9a-f]{{12}}", known):
            self.name = known
            return
        with contextlib.suppress(OSError):  # the disk is full: the next agent here has another name
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, fresh.encode(), 0)

    def close(self) -> None:
        """Let the next agent have the name."""
        if self._file is not None:
            os.close(self._file)
