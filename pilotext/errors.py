"""The errors that pilotext raises itself.

    PilotextError              anything that we can say in one sentence
    ├── UsageError             what the caller gave cannot be used; nothing was started
    │   ├── FieldError         a field of a job, rule or report file is wrong; carries its path
    │   └── RuleFilesError     rule files are wrong; carries every problem found
    ├── BatchError             a batch system refused, or gave no answer
    ├── FormatError            a data file is not what its name says; carries the byte offset
    └── StorageError           a storage system said no, or said nothing; carries the URL
        ├── NotFoundError          the file is not there
        ├── OfflineError           it is on tape only
        ├── DeniedError            we may not read or write it
        ├── CredentialError        our proxy or token was not accepted
        ├── NoSpaceError           the disk or the quota is full, here or there
        ├── ExistsError            something with that name is already there
        ├── ChecksumError          the bytes that arrived are not the bytes that left
        │   └── SizeError              there are more or fewer of them than there should be
        ├── UnsupportedError       this storage cannot do that at all
        └── TransientError         worth another try after a while
            └── StalledError       nothing, or far too little, moved for too long, so the transfer was ended

Each says what happened and, where somebody can mend it, how (`advice`). The command line is the one place that catches
them all; the job's life turns the storage errors into findings for the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pilotext.model.report import Try


class PilotextError(Exception):
    """An error of ours: one sentence for people, and how to mend it."""

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message} {self.advice}".rstrip()


class UsageError(PilotextError):
    """The input of the caller is invalid; nothing was started."""


class FieldError(UsageError):
    """A field of a job, rule or report file is missing or wrong.

    `where` is the file or its role, `path` the way to the field, for example `outputs[0].name`.
    """

    def __init__(self, path: str, message: str, *, where: str = "", advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.path = path
        self.where = where

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.where, self.path) if part)
        return f"{place}: {super().__str__()}" if place else super().__str__()


@dataclass(frozen=True, order=True)
class FileProblem:
    """One thing wrong in a rule file: where, in which rule, what, and the sentence that mends it."""

    file: Path
    line: int
    column: int
    rule: str
    message: str
    advice: str = ""

    def __str__(self) -> str:
        who = f"{self.rule}: " if self.rule else ""
        return f"{self.file}:{self.line}:{self.column}: {who}{self.message} {self.advice}".rstrip()


class RuleFilesError(UsageError):
    """The rule files cannot be used; `problems` holds every problem of every file, sorted by place."""

    def __init__(self, problems: Sequence[FileProblem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class BatchError(PilotextError):
    """A batch system refused what was asked, or gave no answer that can be understood."""


class FormatError(PilotextError):
    """A data file is not what its name says; `offset` is the byte where that shows."""

    def __init__(self, path: Path, offset: int, message: str) -> None:
        super().__init__(f"{path}: at byte {offset}: {message}")
        self.path = path
        self.offset = offset


class StorageError(PilotextError):
    """A storage system said no, or said nothing.

    `fault` names the class of the error; a stage-in that ends with it becomes the finding `stage-in-<fault>`.
    Where the error ends a whole stage-in or stage-out, `tries` holds every try that failed, and `silent` the servers
    (as `urls.server_of` names them) that were given up because they were away.
    """

    fault: ClassVar[str] = "failed"
    retryable: ClassVar[bool] = False

    def __init__(self, url: str, message: str, *, advice: str = "") -> None:
        super().__init__(f"{url}: {message}", advice=advice)
        self.url = url
        self.reason = message
        self.tries: tuple[Try, ...] = ()
        self.silent: frozenset[str] = frozenset()


class NotFoundError(StorageError):
    """The file is not there."""

    fault = "not-found"


class OfflineError(StorageError):
    """The file is on tape only; it must be prepared before it can be read."""

    fault = "offline"


class DeniedError(StorageError):
    """We are known, and may not read or write this file."""

    fault = "denied"


class CredentialError(StorageError):
    """Our proxy or token is missing, expired, or was not accepted."""

    fault = "credentials"


class NoSpaceError(StorageError):
    """The disk or the quota is full, here or there."""

    fault = "no-space"


class ExistsError(StorageError):
    """Something with that name is already there."""

    fault = "exists"


class ChecksumError(StorageError):
    """The bytes that arrived are not the bytes that left, or not those of the catalogue."""

    fault = "checksum"


class SizeError(ChecksumError):
    """The file is longer or shorter than its source or the catalogue says."""

    fault = "size"


class UnsupportedError(StorageError):
    """This storage cannot do what was asked at all."""

    fault = "unsupported"


class TransientError(StorageError):
    """Storage away: the server is busy, restarting or unreachable, and another try after a while may succeed.

    Raised by `stage_out`, it says more: every local file is whole and untouched, the outputs are not published, and the
    same call may be made again at any later time, also by another process. `stage_out` raises it whenever a destination
    was given up for being away, whatever the other destinations of that file have answered.
    """

    fault = "unreachable"
    retryable = True


class RenewalError(TransientError):
    """A credential would end before the operation, and has not been renewed: the server was not asked."""


class StalledError(TransientError):
    """Nothing, or far too little, moved for too long, so the transfer was ended."""

    fault = "stalled"


STORAGE_ERRORS: dict[str, type[StorageError]] = {
    error.fault: error
    for error in (
        StorageError,
        NotFoundError,
        OfflineError,
        DeniedError,
        CredentialError,
        NoSpaceError,
        ExistsError,
        ChecksumError,
        SizeError,
        UnsupportedError,
        TransientError,
        StalledError,
    )
}
"""Every class of storage error by its name, as a transfer's child process spells it."""


def nearest_word(word: str, known: Iterable[str]) -> str:
    """Return the known word that `word` was probably meant to be, or an empty string."""
    import difflib  # noqa: PLC0415  needed for errors only

    return next(iter(difflib.get_close_matches(word, list(known), n=1)), "")


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str = "", quoted: str = "{!r}") -> str:
    """Return the advice for an unknown word: the nearest known one, formatted by `quoted`, or else `otherwise`."""
    meant = nearest_word(word, known)
    return f"Did you mean {quoted.format(meant)}?" if meant else otherwise


def known_words(known: Iterable[str]) -> str:
    """Return the advice that lists all known words."""
    return f"Known are: {', '.join(known)}."
