"""The output files of a job: all are published, or none.

Each file goes to a temporary name in its destination's folder and is compared there; only when all are whole, all are
renamed. The temporary name is `.<name>.<tag>.part`, another one for each try (see `leftovers`); a file that is replaced
waits as `.<name>.<tag>.old` until all are published. An attempt that was killed leaves such names behind, and the next
one knows them by their tags.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

from msgspec.structs import replace

from pilotext.errors import ChecksumError, ExistsError, NotFoundError, SizeError, StorageError, TransientError
from pilotext.model import Record
from pilotext.model.report import Transfer, Try
from pilotext.storage.base import Copied, FileStat
from pilotext.storage.leftovers import aside_of, clear, discard, part_of, remove_if_there
from pilotext.storage.os_errors import translated
from pilotext.storage.retry import Policy, Retries
from pilotext.storage.transfer import Mover
from pilotext.storage.urls import is_folder, join, server_of


class Upload(Record, frozen=True):
    """A local file and where it goes, best destination first; one that ends in `/` is a folder for `published_name`."""

    name: str
    path: Path
    destinations: tuple[str, ...]
    published_name: str
    known: tuple[Copied, ...] = ()
    """Earlier files of this name that may be replaced."""

    def target(self, destination: str) -> str:
        return join(destination, self.published_name) if is_folder(destination) else destination


class _Placed(Record, frozen=True):
    """A file that lies whole under its temporary name."""

    upload: Upload
    temporary: str
    target: str
    copied: Copied
    seconds: float
    tries: tuple[Try, ...]


def stage_out(
    uploads: Sequence[Upload],
    *,
    tag: str,
    mover: Mover,
    policy: Policy,
    earlier: Sequence[str] = (),
    known_only: bool = False,
    confirm: Callable[[], None] | None = None,
) -> tuple[Transfer, ...]:
    """Publish every file, and say where.

    An earlier file of the same name is replaced; with `known_only` just the same file, or one that the upload knows, by
    size and adler32: any other one stays, and ExistsError is raised before anything is published.
    `confirm` is called when all files are uploaded and none is published yet; what it raises ends the call likewise.
    `tag` marks the temporary names as this attempt's, `earlier` are the tags of attempts before it. What one of them
    that was killed left at any destination is removed first, and what it had replaced is brought back.
    If any file cannot be published, what this call has published or uploaded is removed, and a StorageError is raised
    with every failed try, also of the tidying, in `tries`. It is a TransientError (`error.retryable`) when the storage
    was away: every local file is as it was, and the same call may be made again at any later time, also by another
    process; it removes what this one could not while the server was away. It may lose a try to each lock that this
    one has left on a temporary name, so its policy should have more than one. `error.silent` names the servers that
    were given up; `policy.tries` and `policy.retry_within_s` say how long this call itself tries. Any other error
    stays however long one waits. The same tidying is tried, quickly, when the mover's tick raises.
    """
    _refuse_same_targets(uploads)
    call = _Call(tag, mover, Retries(mover, policy), known_only)
    targets = [upload.target(destination) for upload in uploads for destination in upload.destinations]
    uncleared = clear(targets, (*earlier, tag), mover)
    try:
        placed = [call.place(upload) for upload in uploads]
        for each in placed:
            call.check_place(each)
        if confirm is not None:
            confirm()
        # The last rename replaces in one step; what the others replace may be wanted back until then.
        published = [call.publish(each, keep_replaced=True) for each in placed[:-1]]
        published += [call.publish(each, keep_replaced=False) for each in placed[-1:]]
    except StorageError as error:
        call.tidy(mover)
        error.tries = (*call.retries.tries, *uncleared)
        error.silent = frozenset(call.retries.silent)
        raise
    except BaseException:
        call.tidy(mover.tidier())
        raise
    if call.replaced:
        told = (*published[-1].tries, *call.forget_replaced())
        published[-1] = replace(published[-1], tries=told)
    return tuple(published)


@dataclass
class _Call:
    """One call of `stage_out`: the tries that failed, and what to undo if it fails."""

    tag: str
    mover: Mover
    retries: Retries
    known_only: bool
    numbers: defaultdict[str, Iterator[int]] = field(default_factory=lambda: defaultdict(count))
    """Target → numbers for the temporary names of its tries."""
    parts: list[str] = field(default_factory=list)
    renamed: list[_Placed] = field(default_factory=list)
    """Also those whose rename failed: it may have happened, and only its answer was lost."""
    replaced: dict[str, str] = field(default_factory=dict)
    """Target → where the file of an earlier attempt waits until all files are published."""

    def place(self, upload: Upload) -> _Placed:
        """Upload to the first destination that takes the file."""
        began, before, parts_before = time.monotonic(), len(self.tries), len(self.parts)
        last: StorageError = NotFoundError(upload.name, "the job names no destination for this file.")
        for target in self._silent_last(upload):
            try:
                copied = self.retries.run(partial(self._upload, upload.path, target), target)
            except StorageError as error:
                last = error if error.retryable or not last.retryable else last
                continue
            temporary = self.parts[-1]
            self.tries.extend(discard(self.parts[parts_before:-1], self.mover))
            seconds = time.monotonic() - began
            return _Placed(upload, temporary, target, copied, seconds, tuple(self.tries[before:]))
        raise last

    @property
    def tries(self) -> list[Try]:
        return self.retries.tries

    def _silent_last(self, upload: Upload) -> list[str]:
        """Targets in order; what lies on a server that was given up for another file is tried after the others."""
        targets = [upload.target(destination) for destination in upload.destinations]
        return sorted(targets, key=lambda target: server_of(target) in self.retries.silent)

    def _upload(self, path: Path, target: str) -> Copied:
        """Upload under a temporary name that no earlier try of this call has used."""
        temporary = part_of(target, self.tag, next(self.numbers[target]))
        self.parts.append(temporary)
        return _upload(path, temporary, self.mover)

    def check_place(self, placed: _Placed) -> None:
        """Raise ExistsError when the file would be published over one that is not of this job."""
        if not self.known_only:
            return
        look = partial(_there_if_any, placed.target, self.mover)
        found = self.retries.run(look, placed.target)
        if found is None or found == placed.copied or found in placed.upload.known:
            return
        which = f"a file of {found.size} bytes, adler32 {found.adler32}, is there already"
        raise ExistsError(
            placed.target,
            f"{which}, which no attempt of this job has reported; it is not replaced.",
            advice="Find out who owns it, and move it away or give this task other names.",
        )

    def publish(self, placed: _Placed, *, keep_replaced: bool) -> Transfer:
        began, before = time.monotonic(), len(self.tries)
        if keep_replaced:
            self.retries.run(partial(self._put_aside, placed.target), placed.target)
        self.renamed.append(placed)
        self.retries.run(partial(_rename, placed, self.mover), placed.target)
        return Transfer(
            placed.upload.name,
            placed.target,
            placed.copied.size,
            placed.copied.adler32,
            round(placed.seconds + time.monotonic() - began, 3),
            (*placed.tries, *self.tries[before:]),
        )

    def _put_aside(self, target: str) -> None:
        """Keep what an earlier attempt has published, to bring it back if this one fails."""
        aside = aside_of(target, self.tag)
        try:
            self.mover.do("move", source=target, target=aside)
        except NotFoundError:
            return
        self.replaced[target] = aside

    def forget_replaced(self) -> list[Try]:
        """All is published, and nothing that happens now changes that: no order to stop, no server that is away."""
        return discard(self.replaced.values(), self.mover.tidier())

    def tidy(self, mover: Mover) -> None:
        """Take back what was published, remove the parts, and bring back what was replaced.

        `tries` names what stays. A server that was given up has little time to answer, and one that does not
        answer is not asked again.
        """
        undoing = [(placed.target, partial(_take_back, placed, mover)) for placed in reversed(self.renamed)]
        undoing += [(part, partial(remove_if_there, part, mover)) for part in reversed(self.parts)]
        undoing += [
            (aside, partial(mover.do, "move", source=aside, target=target)) for target, aside in self.replaced.items()
        ]
        silent: set[str] = set()
        for url, undo in undoing:
            if server_of(url) in silent:
                continue
            began = time.monotonic()
            try:
                with mover.hurried() if server_of(url) in self.retries.silent else nullcontext():
                    undo()
            except StorageError as error:
                message = f"left behind: {error.reason}"
                self.tries.append(Try(url, error.fault, message, round(time.monotonic() - began, 3)))
                if isinstance(error, TransientError):
                    silent.add(server_of(url))


def _take_back(placed: _Placed, mover: Mover) -> None:
    """Remove what we have published there, unless it is a later attempt's by now, or an earlier one's still."""
    with suppress(NotFoundError):
        mover.do("stat", url=placed.temporary)
        return  # it was never renamed
    with suppress(NotFoundError):
        if _there(placed.target, mover) == placed.copied:
            mover.do("remove", url=placed.target)


def _refuse_same_targets(uploads: Iterable[Upload]) -> None:
    taken: dict[str, str] = {}
    for upload in uploads:
        for target in {upload.target(destination) for destination in upload.destinations}:
            if target in taken:
                raise ExistsError(target, f"both {taken[target]} and {upload.name} would be published there.")
            taken[target] = upload.name


def _upload(path: Path, temporary: str, mover: Mover) -> Copied:
    """One fresh copy, compared with what lies at the destination."""
    left: Copied = mover.do("put", path=path, url=temporary)
    with translated(f"file://{path}"):
        size = path.stat().st_size
    arrived = _there(temporary, mover)
    if not left.size == size == arrived.size:
        raise SizeError(temporary, f"{arrived.size} bytes arrived, the file has {size}.")
    if arrived.adler32 != left.adler32:
        raise ChecksumError(temporary, f"adler32 {left.adler32} left and {arrived.adler32} arrived.")
    return left


def _rename(placed: _Placed, mover: Mover) -> None:
    try:
        mover.do("move", source=placed.temporary, target=placed.target)
    except NotFoundError:
        # An earlier try may have renamed it, and only its answer was lost.
        if _there(placed.target, mover) != placed.copied:
            raise


def _there_if_any(url: str, mover: Mover) -> Copied | None:
    try:
        return _there(url, mover)
    except NotFoundError:
        return None


def _there(url: str, mover: Mover) -> Copied:
    found: FileStat = mover.do("stat", url=url)
    return Copied(found.size, mover.do("checksum", url=url))
