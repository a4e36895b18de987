"""The secrets that a job is run with: what stands in it and in the environment, and in the files that these name."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from pilotext.model.job import Job
from pilotext.redact import Redactor
from pilotext.secretshapes import is_secret_name, shapes_in

LARGEST_FILE = 256 * 1024
SHORTEST = 6
"""Characters of a value that is hidden wherever it stands; a shorter one only beside its name."""

SHORTEST_WORD = 12
"""The same for a value of nothing but letters, which may well be a word that logs use."""


def redactor_for(job: Job | None, environment: Mapping[str, str]) -> Redactor:
    """Knows the secrets of this job (None: of a command without one) in this environment."""
    around = {**environment, **(job.environment if job else {})}
    values = [*_by_name(around), *_by_shape(around.values()), *_in_files(around)]
    if job is not None:
        values += _by_shape(_texts(msgspec.to_builtins(job)))
        values += [job.report.token] if job.report else []
    return Redactor(form for value in values if _telling(value) for form in (value, unquote(value)))


def _telling(value: str) -> bool:
    return len(value) >= (SHORTEST_WORD if value.isalpha() else SHORTEST)


def _by_name(environment: Mapping[str, str]) -> Iterator[str]:
    """Values whose name says what they are; a path is the place of a secret, and none itself."""
    for name, value in environment.items():
        if is_secret_name(name) and not value.startswith("/"):
            yield value.strip()


def _by_shape(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        data = text.encode("utf-8", "replace")
        for start, end in shapes_in(data):
            yield from _lines(data[start:end].decode("utf-8", "replace"))


def _lines(secret: str) -> Iterator[str]:
    """A key is known by each of its lines, since logs put something before each."""
    yield from (line.strip() for line in secret.splitlines())


def _texts(plain: Any) -> Iterator[str]:
    if isinstance(plain, str):
        yield plain
    elif isinstance(plain, dict | list | tuple):
        for each in plain.values() if isinstance(plain, dict) else plain:
            yield from _texts(each)


def _in_files(environment: Mapping[str, str]) -> Iterator[str]:
    """Proxies, keys and tokens in files, where the grid's own tools look for them."""
    user = os.getuid()
    proxy = environment.get("X509_USER_PROXY") or f"/tmp/x509up_u{user}"  # noqa: S108  its standard place
    for path in (proxy, environment.get("X509_USER_KEY"), environment.get("XrdSecSSSKT")):
        yield from _by_shape([_content(path)])
    folder = environment.get("XDG_RUNTIME_DIR") or "/tmp"  # noqa: S108
    for path in (environment.get("BEARER_TOKEN_FILE"), f"{folder}/bt_u{user}"):
        yield from _lines(_content(path))


def _content(path: str | None) -> str:
    """What a small file holds; nothing, if it is none or cannot be read: then the job cannot show it either."""
    if not path:
        return ""
    try:
        # Without waiting: a pipe in its place must not hold up the job.
        descriptor = os.open(Path(path), os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError):
        return ""
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        return file.read(LARGEST_FILE).decode("utf-8", "replace")
