"""Files of rules and profiles: this process reads them once, and reports here when those on disk are others."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pilotext.profile import rules_roots

Roots = tuple[Path, ...]


@dataclass(frozen=True)
class _FileState:
    """Time and size, which are compared first, and the digest, which decides."""

    modified_ns: int
    size: int
    digest: bytes


def changed_rule_files() -> list[str]:
    """Return the files that were changed, added or removed since the first call, which the server makes at its start.

    Raises UsageError for a folder of PILOTEXT_RULES that does not exist.
    """
    roots = rules_roots()
    before, now = _at_start(roots), set(_files(roots))
    changed = {path for path in before.keys() & now if _differs(path, before[path])}
    return sorted(map(str, changed | (before.keys() ^ now)))


@functools.cache
def _at_start(roots: Roots) -> dict[Path, _FileState]:
    return {path: _state(path) for path in _files(roots)}


def _files(roots: Roots) -> Iterator[Path]:
    for root in roots:
        yield from root.glob("*/*.yaml")


def _state(path: Path) -> _FileState:
    told = path.stat()
    return _FileState(told.st_mtime_ns, told.st_size, hashlib.sha256(path.read_bytes()).digest())


def _differs(path: Path, before: _FileState) -> bool:
    try:
        told = path.stat()
        same = (told.st_mtime_ns, told.st_size) == (before.modified_ns, before.size)
        return not same and _state(path).digest != before.digest
    except OSError:  # removed at this moment, or not to be read any more
        return True
