"""XRootD servers for tests, each with a folder of its own that vanishes with it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fixtures.servers.security import Security, authorization
from fixtures.servers.tape import TapeServer
from fixtures.servers.xrootd import XrdServer

__all__ = ["EOS", "TapeServer", "XrdServer", "serving", "serving_known", "serving_tape"]

EOS = (("/eos/compass", "r/w"),)


@contextmanager
def serving(
    exports: Sequence[tuple[str, str]] = EOS, *, extra: str = "", disk_mb: int | None = None
) -> Iterator[XrdServer]:
    """A running server with files on disk."""
    with _open_folder() as root, XrdServer(root, exports, extra=extra, disk_mb=disk_mb) as server:
        yield server


@contextmanager
def serving_known(kind: Callable[[Path, Path], Security], clients: Path) -> Iterator[tuple[XrdServer, Security]]:
    """A running server that lets the user it knows write below /eos/compass and nowhere else."""
    with _open_folder() as root:
        (root / "security").mkdir()
        security = kind(root / "security", clients)
        extra = f"{security.configuration}\n{authorization(root / 'security', '/eos/compass')}"
        with XrdServer(root, [*EOS, ("/eos/private", "r/w")], extra=extra) as server:
            yield server, security


@contextmanager
def serving_tape(path: str = "/castor/cern.ch/compass", *, open_recalls: bool = False) -> Iterator[TapeServer]:
    """A running server whose files are on tape."""
    with _open_folder() as root, TapeServer(root, path, open_recalls=open_recalls) as server:
        yield server


@contextmanager
def _open_folder() -> Iterator[Path]:
    """pytest's own temporary folders are closed to other users, and under root the server is one."""
    root = Path(tempfile.mkdtemp(prefix="xrootd-"))
    root.chmod(0o755)
    try:
        yield root
    finally:
        shutil.rmtree(root)
