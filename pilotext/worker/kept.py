"""Outputs that are kept on the node, since their storage was away until the job's time was over.

Each job has a folder of its own, for its owner alone, with its files and a document that says where they go and what is
reported then. The document's digest is in the job's report; where the report has a token of its own, the document is
signed with that. Programs of the same user can still take the files away: that costs the outputs, and no more.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from pilotext.directory_tree import remove_tree
from pilotext.errors import FieldError, PilotextError
from pilotext.model import Record
from pilotext.model.job import Job, Limits, ReportTarget
from pilotext.model.report import Kept, Report
from pilotext.serialization.json import from_json
from pilotext.storage.base import CHUNK, Copied, adler32_of
from pilotext.storage.stage_out import Upload
from pilotext.storage.transfer import no_tick

DOCUMENT = "kept.json"
MAX_BYTES = 100 * 10**9
MAX_JOBS = 200
KEEP_FOR_S = 48 * 3600.0
MAX_DOCUMENT_BYTES = 64_000_000
_ORPHAN_AFTER_S = 3600.0
_BLOCK = 512


class KeepError(PilotextError):
    """Outputs cannot be kept, or what was kept cannot be used."""


class KeptFile(Record, frozen=True):
    """One output: its name in the folder, where it goes, and what it was when it was kept."""

    name: str
    destinations: tuple[str, ...]
    published_name: str
    size: int
    adler32: str | None
    """None where there was no time to read it."""
    known: tuple[Copied, ...] = ()
    """Files of earlier attempts that it may replace."""


class KeptOutputs(Record, frozen=True):
    """All that is needed to publish the outputs of a job later; `success` is its report then, but for the outputs."""

    format: Literal[1]
    label: str
    earlier: tuple[str, ...]
    files: tuple[KeptFile, ...]
    limits: Limits
    target: ReportTarget | None
    success: Report
    since: float
    until: float
    known_only: bool
    """Whether only known files may be replaced."""


class Keeping(Record, frozen=True):
    """Folder where outputs are kept, and seconds that a stage-out is tried before; None: as long as the job says."""

    folder: Path
    after: float | None = None

    def after_s(self, limits: Limits) -> float:
        """Return how long the job itself tries."""
        return limits.stage_out_s if self.after is None else min(self.after, limits.stage_out_s)


def keep_outputs(
    job: Job,
    uploads: Sequence[Upload],
    success: Report,
    keeping: Keeping,
    *,
    hurried: bool,
    tick: Callable[[], None] = no_tick,
) -> Kept:
    """Move the outputs of a job into a folder of their own. Raises KeepError or OSError, and then moves them back.

    Who is in a hurry reads and copies nothing. `tick` is called several times a second and may raise, with the same
    end.
    """
    _make_private(keeping.folder)
    same_disk = _same_disk(keeping.folder, uploads)
    if hurried and not same_disk:
        raise KeepError(f"{keeping.folder}: it is on another disk, and there is no time to copy them.")
    _check_room(keeping.folder, uploads)
    kept = _document(job, uploads, success, None if hurried else tick)
    data = signed(kept)
    name = hashlib.sha256(f"{job.label}\0{job.report.url if job.report else ''}".encode()).hexdigest()[:32]
    folder = keeping.folder / name
    remove(folder)
    folder.mkdir(mode=0o700)
    _fill(folder, uploads, data, same_disk=same_disk, tick=tick)
    digest = hashlib.sha256(data).hexdigest()
    return Kept(str(folder), digest, sum(file.size for file in kept.files), kept.since, kept.until)


def _document(job: Job, uploads: Sequence[Upload], success: Report, tick: Callable[[], None] | None) -> KeptOutputs:
    """Return what stands beside the files; without `tick` there is no time to read them."""
    files = tuple(
        KeptFile(
            name=upload.name,
            destinations=upload.destinations,
            published_name=upload.published_name,
            size=upload.path.stat().st_size,
            adler32=None if tick is None else adler32_of(upload.path, lambda _: tick()),
            known=upload.known,
        )
        for upload in uploads
    )
    now = time.time()
    return KeptOutputs(
        format=1,
        label=job.label,
        earlier=job.earlier_labels,
        files=files,
        limits=job.limits,
        target=job.report,
        success=success,
        since=now,
        until=now + KEEP_FOR_S,
        known_only=not job.replaces_any,
    )


def _fill(folder: Path, uploads: Sequence[Upload], data: bytes, *, same_disk: bool, tick: Callable[[], None]) -> None:
    """Bring files and document into a folder; whatever goes wrong, the files are where they were."""
    moved: list[Upload] = []
    try:
        for upload in uploads:
            if same_disk:
                moved.append(upload)
                upload.path.rename(folder / upload.name)
            else:
                _copy(upload.path, folder / upload.name, tick)
        _write(folder / DOCUMENT, data)
    except BaseException:
        for upload in moved:
            if (folder / upload.name).exists():
                (folder / upload.name).rename(upload.path)
        remove(folder)
        raise
    if not same_disk:
        for upload in uploads:
            remove_tree(upload.path)


def read_kept(folder: Path, sha256: str | None = None) -> KeptOutputs:
    """Read what stands in a folder. Raises KeepError if it is not what a job put there.

    It is held against `sha256`, where that is known, or else against the signature by the report's token.
    """
    try:
        descriptor = os.open(folder / DOCUMENT, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(MAX_DOCUMENT_BYTES)
    except OSError as error:
        raise KeepError(f"{folder / DOCUMENT}: it cannot be read: {error.strerror}.") from None
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise KeepError(f"{folder / DOCUMENT}: it was changed since the job kept it.")
    try:
        kept = from_json(data.partition(b"\n")[2], KeptOutputs, where=str(folder / DOCUMENT))
    except FieldError as error:
        raise KeepError(str(error)) from None
    if not hmac.compare_digest(signed(kept), data):
        raise KeepError(f"{folder / DOCUMENT}: its signature is wrong.")
    return kept


def check_files(folder: Path, kept: KeptOutputs) -> list[Upload]:
    """Return the uploads of what is kept. Raises KeepError when a file is not what the job kept."""
    for file in kept.files:
        path = folder / file.name
        try:
            size = path.lstat().st_size if path.is_file() and not path.is_symlink() else -1
            good = size == file.size and file.adler32 in (None, adler32_of(path))
        except OSError as error:
            raise KeepError(f"{path}: it cannot be read: {error.strerror}.") from None
        if not good:
            raise KeepError(f"{path}: it is not the file any more that the job kept.")
    return [
        Upload(file.name, folder / file.name, file.destinations, file.published_name, file.known) for file in kept.files
    ]


def waiting(root: Path) -> list[Path]:
    """Return the folders of jobs whose outputs are kept, oldest first. Raises KeepError if others can write there."""
    try:
        check_private(root)
        folders = [path for path in root.iterdir() if (path / DOCUMENT).is_file()]
    except FileNotFoundError:
        return []
    return sorted(folders, key=lambda path: (path.stat().st_mtime, path.name))


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Hold a folder inside the block; False where somebody else does, or it is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def remove(folder: Path) -> None:
    """Remove what is kept, whatever a payload has made of it."""
    if not folder.is_symlink():
        remove_tree(folder / DOCUMENT)  # first: what is half removed is nothing that waits
    remove_tree(folder)


def signed(kept: KeptOutputs) -> bytes:
    """Return the document as it stands on disk: its signature, and the record."""
    data = msgspec.json.encode(kept)
    key = kept.target.token if kept.target else ""
    return hmac.digest(key.encode(), data, "sha256").hex().encode() + b"\n" + data


def check_private(root: Path) -> None:
    """Raise KeepError for a folder that others can write to; FileNotFoundError where there is none."""
    found = root.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise KeepError(f"{root}: others can write there.", advice="Give another folder, or mend its owner and mode.")


def _make_private(root: Path) -> None:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_private(root)


def _check_room(root: Path, uploads: Sequence[Upload]) -> None:
    _remove_orphans(root)
    folders = [path.parent for path in root.glob(f"*/{DOCUMENT}")]
    there = sum(path.lstat().st_blocks * _BLOCK for folder in folders for path in folder.iterdir())
    wanted = sum(upload.path.stat().st_size for upload in uploads)
    if len(folders) >= MAX_JOBS or there + wanted > MAX_BYTES:
        raise KeepError(f"{root}: there are outputs of {len(folders)} jobs with {there} bytes already.")
    if not _same_disk(root, uploads) and wanted > shutil.disk_usage(root).free:
        raise KeepError(f"{root}: {wanted} bytes are needed, {shutil.disk_usage(root).free} are free.")


def _same_disk(root: Path, uploads: Sequence[Upload]) -> bool:
    return all(upload.path.stat().st_dev == root.stat().st_dev for upload in uploads)


def _copy(path: Path, copy: Path, tick: Callable[[], None]) -> None:
    with path.open("rb") as source, copy.open("xb") as target:
        while piece := source.read(CHUNK):
            target.write(piece)
            tick()


def _remove_orphans(root: Path) -> None:
    """Remove what nobody looks after any more: its time was over long ago, or it was never whole."""
    old = time.time() - KEEP_FOR_S - _ORPHAN_AFTER_S
    for folder in root.iterdir():
        with contextlib.suppress(OSError):
            if re.fullmatch("[0-9a-f]{32}", folder.name) and folder.lstat().st_mtime < old:
                remove(folder)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
