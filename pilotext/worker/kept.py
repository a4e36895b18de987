"""Outputs and log archives that are kept on the node, since their storage was away until the job's time was over.

Each job has a folder of its own, for its owner alone, with its files and a document that says where they go and what is
reported then. The log archive of a job that has failed has such a folder to itself. The document's digest is in the
job's report; where the report has a token of its own, the document is signed with that. Programs of the same user can
still take the files away: that costs the outputs, and no more.
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
from msgspec.structs import replace

from pilotext.directory_tree import remove_tree
from pilotext.errors import FieldError, PilotextError
from pilotext.model import Record
from pilotext.model.job import Job, Limits, ReportTarget
from pilotext.model.report import AGENT_RECORDS, Kept, Report
from pilotext.ordinary_file import read_ordinary
from pilotext.serialization.json import from_json
from pilotext.storage.base import CHUNK, Copied, adler32_of
from pilotext.storage.stage_out import Upload
from pilotext.storage.transfer import no_tick
from pilotext.worker.own_files import replace_file

DOCUMENT = "kept.json"
MAX_BYTES = 100 * 10**9
MAX_JOBS = 200
MAX_LOG_JOBS = 100
"""Jobs of which only the log archive is kept; they leave room for outputs."""

KEEP_FOR_S = 48 * 3600.0
MAX_DOCUMENT_BYTES = 64_000_000
ORPHAN_AFTER_S = 3600.0
_WRITTEN_WITHIN_S = 60.0
_NAME = re.compile("[0-9a-f]{32}")
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
    """All that is needed to publish the outputs of a job later; `success` is its report then, but for the outputs.

    Without files only the log archive is published, and `success` is the report of the job, good or bad.
    """

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
    log: KeptFile | None = None
    """The log archive."""


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
    log: Upload | None = None,
) -> Kept:
    """Move the outputs of a job, and its log archive, into a folder. Raises KeepError or OSError, and moves them back.

    Without outputs the archive alone is kept, with the report of a job that has ended.

    Who is in a hurry reads and copies nothing. `tick` is called several times a second and may raise, with the same
    end.
    """
    _make_private(keeping.folder)
    moved = [*uploads, log] if log else uploads
    same_disk = _same_disk(keeping.folder, moved)
    if hurried and not same_disk:
        raise KeepError(f"{keeping.folder}: it is on another disk, and there is no time to copy them.")
    _check_room(keeping.folder, moved, log_only=not uploads)
    kept = _document(job, uploads, success, None if hurried else tick, log)
    data = signed(kept)
    whose = (job.label, job.report.url if job.report else "", *([] if uploads else ["log"]))
    folder = keeping.folder / hashlib.sha256("\0".join(whose).encode()).hexdigest()[:32]
    remove(folder)
    folder.mkdir(mode=0o700)
    _fill(folder, moved, data, same_disk=same_disk, tick=tick)
    return _kept(folder, kept, data)


def keep_log_alone(folder: Path, kept: KeptOutputs, report: Report) -> Kept:
    """Keep the log archive in a folder whose outputs are published now, as `report` says. Raises OSError."""
    alone_now = replace(kept, files=(), success=report)
    data = signed(alone_now)
    replace_file(folder / DOCUMENT, data, 0o600)
    return _kept(folder, alone_now, data)


def _kept(folder: Path, kept: KeptOutputs, data: bytes) -> Kept:
    size = sum(file.size for file in (*kept.files, *([kept.log] if kept.log else [])))
    digest = hashlib.sha256(data).hexdigest()
    return Kept(str(folder), digest, size, kept.since, kept.until, log_only=not kept.files)


def _document(
    job: Job, uploads: Sequence[Upload], success: Report, tick: Callable[[], None] | None, log: Upload | None
) -> KeptOutputs:
    """Return what stands beside the files; without `tick` there is no time to read them."""
    now = time.time()
    return KeptOutputs(
        format=1,
        label=job.label,
        earlier=job.earlier_labels,
        files=tuple(_described(upload, tick) for upload in uploads),
        limits=job.limits,
        target=job.report,
        success=success,
        since=now,
        until=now + KEEP_FOR_S,
        known_only=not job.replaces_any,
        log=None if log is None else _described(log, tick),
    )


def _described(upload: Upload, tick: Callable[[], None] | None) -> KeptFile:
    return KeptFile(
        name=upload.name,
        destinations=upload.destinations,
        published_name=upload.published_name,
        size=upload.path.stat().st_size,
        adler32=None if tick is None else adler32_of(upload.path, lambda _: tick()),
        known=upload.known,
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
        data = read_ordinary(folder / DOCUMENT, MAX_DOCUMENT_BYTES, follow=False)
    except OSError as error:
        raise KeepError(f"{folder / DOCUMENT}: it cannot be read: {error.strerror}.") from None
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise KeepError(f"{folder / DOCUMENT}: it was changed since the job kept it.")
    signature, _, document = data.partition(b"\n")
    try:
        kept = from_json(document, KeptOutputs, where=str(folder / DOCUMENT))
    except FieldError as error:
        raise KeepError(str(error)) from None
    if not hmac.compare_digest(_signature(kept.target, document), signature):
        raise KeepError(f"{folder / DOCUMENT}: its signature is wrong.")
    return kept


def check_files(folder: Path, files: Sequence[KeptFile]) -> list[Upload]:
    """Return the uploads of what is kept. Raises KeepError when a file is not what the job kept."""
    for file in files:
        path = folder / file.name
        try:
            size = path.lstat().st_size if path.is_file() and not path.is_symlink() else -1
            good = size == file.size and file.adler32 in (None, adler32_of(path))
        except OSError as error:
            raise KeepError(f"{path}: it cannot be read: {error.strerror}.") from None
        if not good:
            raise KeepError(f"{path}: it is not the file any more that the job kept.")
    return [Upload(file.name, folder / file.name, file.destinations, file.published_name, file.known) for file in files]


def waiting(root: Path) -> list[Path]:
    """Return the folders of jobs whose outputs are kept, oldest first. Raises KeepError if others can write there."""
    try:
        check_private(root)
        folders = folders_of_jobs(root)
    except FileNotFoundError:
        return []
    return sorted(folders, key=lambda path: (path.stat().st_mtime, path.name))


def folders_of_jobs(root: Path) -> list[Path]:
    """Return the folders that have a name and a document as jobs make them. Raises FileNotFoundError."""
    return [path for path in root.iterdir() if is_name(path.name) and (path / DOCUMENT).is_file()]


def is_of_agent(root: Path) -> bool:
    """Whether an agent looks after the folders here, also when none is running."""
    return (root / AGENT_RECORDS).is_dir()


def is_name(name: str) -> bool:
    """Whether the folder of a job's kept outputs may have this name."""
    return _NAME.fullmatch(name) is not None


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
    return _signature(kept.target, data) + b"\n" + data


def _signature(target: ReportTarget | None, document: bytes) -> bytes:
    key = target.token if target else ""
    return hmac.digest(key.encode(), document, "sha256").hex().encode()


def check_private(root: Path) -> None:
    """Raise KeepError for a folder that others can write to; FileNotFoundError where there is none."""
    found = root.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise KeepError(
            f"{root}: others can write there.", advice="Give another folder, or correct its owner and mode."
        )


def _make_private(root: Path) -> None:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_private(root)


def _check_room(root: Path, uploads: Sequence[Upload], *, log_only: bool) -> None:
    _remove_orphans(root)
    wanted = sum(upload.path.stat().st_size for upload in uploads)
    for last_try in (False, True):
        folders = folders_of_jobs(root)
        there = sum(path.lstat().st_blocks * _BLOCK for folder in folders for path in folder.iterdir())
        if len(folders) < (MAX_LOG_JOBS if log_only else MAX_JOBS) and there + wanted <= MAX_BYTES:
            break
        if not last_try:
            _remove_false(folders)
    else:
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
    old = time.time() - KEEP_FOR_S - ORPHAN_AFTER_S
    for folder in root.iterdir():
        with contextlib.suppress(OSError):
            if is_name(folder.name) and folder.lstat().st_mtime < old:
                remove(folder)


def _remove_false(folders: Sequence[Path]) -> None:
    """Remove folders with a document that no job has signed: only another program can have put it there."""
    for folder in folders:
        with contextlib.suppress(OSError), alone(folder) as mine:
            if mine and time.time() - (folder / DOCUMENT).lstat().st_ctime > _WRITTEN_WITHIN_S:
                try:
                    read_kept(folder)
                except KeepError:
                    remove(folder)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
