"""Requests of a job to tape systems: each request is given back exactly once, also when the wrapper was killed.

Tape systems count how many want a file on disk. A request that is never given back keeps the file there, one that is
given back twice takes it from somebody else. So requests are noted in the work directory, before they are made and
until they are given back. A request whose answer is lost may have arrived or not: it is never given back, since that
could take the file from somebody else, and it is reported.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import msgspec

from pilotext.errors import NotFoundError, OfflineError, RenewalError, StorageError, TransientError
from pilotext.model import Record
from pilotext.model.report import Try
from pilotext.serialization.json import from_json
from pilotext.storage.base import Residence
from pilotext.storage.os_errors import translated
from pilotext.storage.retry import Policy
from pilotext.storage.transfer import Mover

NOTES = ".tape-requests.json"


class TapeRequest(Record, frozen=True):
    """One file asked for, by the id that the tape system gave; None while the answer is not there."""

    url: str
    id: str | None


class TapeRequests:
    """The requests of one work directory, those of a killed attempt in it included."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NOTES
        self._open: list[TapeRequest] = []
        with translated(f"file://{self._path}"), suppress(FileNotFoundError):
            self._open = list(from_json(self._path.read_bytes(), tuple[TapeRequest, ...], where=NOTES))

    def bring_online(self, url: str, mover: Mover, policy: Policy, deadline: float) -> None:
        """Ask for a file and wait until it is on disk; one question at least is put.

        Raises OfflineError when it is not there at `deadline` (of time.monotonic), or when the tape system says that it
        will not come, and NotFoundError when the system does not have it.
        """
        request = self._ask(url, mover)
        began, polls = time.monotonic(), 0
        while (where := _residence(request, mover)) == "offline":
            polls += 1
            left = deadline - time.monotonic()
            if left <= 0:
                waited = time.monotonic() - began
                raise OfflineError(url, f"still on tape {waited:.0f} s after it was asked for.")
            mover.pause(min(left, policy.poll_wait_s(polls)))
        if where == "missing":
            raise NotFoundError(url, "the tape system does not have this file.")

    def _ask(self, url: str, mover: Mover) -> TapeRequest:
        asked, before = TapeRequest(url, None), self._open
        self._note([*before, asked])
        try:
            request = TapeRequest(url, mover.do("prepare", urls=[url]))
        except StorageError as error:
            if not error.retryable or isinstance(error, RenewalError):  # it was refused, so nothing is asked for
                self._note(before)
            raise
        self._note([*before, request])
        return request

    def give_back(self, urls: Collection[str], mover: Mover) -> list[Try]:
        """Give back every request for these files, each with one call; the returned list names what failed.

        The note goes first: a request that stays with the tape system is better than one given back twice.
        """
        problems = []
        for request in [each for each in self._open if each.url in urls]:
            self._note([each for each in self._open if each is not request])
            began = time.monotonic()
            if request.id is None:
                message = "perhaps still asked from the tape system: the answer to the request was lost"
                problems.append(Try(request.url, TransientError.fault, message, 0.0))
                continue
            try:
                mover.do("release", request=request.id, urls=[request.url])
            except StorageError as error:
                message = f"not given back to the tape system: {error.reason}"
                problems.append(Try(request.url, error.fault, message, round(time.monotonic() - began, 3)))
        return problems

    def _note(self, requests: list[TapeRequest]) -> None:
        self._open = requests
        with translated(f"file://{self._path}"):
            if not requests:
                self._path.unlink(missing_ok=True)
                return
            whole = self._path.with_suffix(".new")
            whole.write_bytes(msgspec.json.encode(requests))
            whole.replace(self._path)


def _residence(request: TapeRequest, mover: Mover) -> Residence:
    answer: dict[str, Residence] = mover.do("status", request=request.id, urls=[request.url])
    return answer[request.url]
