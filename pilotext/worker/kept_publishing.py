"""Publish outputs that are kept on the node, for a job that is still ours to report on, and kept log archives."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from pilotext.api.schemas.attempts import OUTPUTS_KEPT
from pilotext.errors import StorageError
from pilotext.model import Record
from pilotext.model.report import PhaseRecord, Report, Transfer
from pilotext.model.verdict import Finding
from pilotext.storage.stage_out import stage_out
from pilotext.storage.transfer import Mover
from pilotext.worker.kept import (
    KeepError,
    KeptOutputs,
    alone,
    check_files,
    is_of_agent,
    keep_log_alone,
    read_kept,
    remove,
)
from pilotext.worker.permission import Ask, NotOursError, server_asker
from pilotext.worker.publishing import may_pass, policy_of

HEARTBEAT_S = 60.0
_OF_AGENT = (
    "it belongs to an agent, which alone knows whether it is still wanted. Start the agent again, with --workdir {},"
    " and it publishes what it has kept"
)


class Outcome(Record, frozen=True):
    """Result of publishing kept outputs; `report` is the success of those that are published.

    Where only a log archive was kept it is the job's report with the archive's address. `report.kept` is set where the
    archive alone stays in the folder.

    `lost`: they are gone, since they were changed, their job is somebody else's by now, or no storage takes them.
    """

    state: Literal["published", "later", "lost", "busy"]
    label: str
    said: str = ""
    report: Report | None = None


class SilentServerError(Exception):
    """The server of the job does not say whether it is still ours."""


def publish_kept(
    folder: Path,
    mover_for: Callable[[KeptOutputs, Callable[[], None]], Mover],
    tick: Callable[[], None],
    sha256: str | None = None,
    ask_agent: Ask | None = None,
) -> Outcome:
    """Try once to publish what is kept in a folder, and remove it when that is done or can never be.

    `tick` is called several times a second and may raise, which leaves everything as it is. `ask_agent` asks for the
    permission where the job names no server that could be asked.
    """
    with alone(folder) as mine:
        if not mine:
            return Outcome("busy", folder.name, "another process publishes it")
        try:
            kept = read_kept(folder, sha256)
        except KeepError as error:
            return _lost(folder, folder.name, str(error))
        if kept.target is None and ask_agent is None and is_of_agent(folder.parent):
            return Outcome("busy", kept.label, _OF_AGENT.format(folder.parent.parent))
        return _publish(folder, kept, mover_for, _lease_of(kept, tick, ask_agent))


def _lease_of(kept: KeptOutputs, tick: Callable[[], None], ask_agent: Ask | None) -> _Lease:
    if not kept.files:  # a job whose log alone is kept has ended
        return _Lease(None, tick)
    server = server_asker(kept.target, OUTPUTS_KEPT)
    return _Lease(ask_agent, tick) if server is None else _Lease(server, tick, HEARTBEAT_S)


def _publish(
    folder: Path,
    kept: KeptOutputs,
    mover_for: Callable[[KeptOutputs, Callable[[], None]], Mover],
    lease: _Lease,
) -> Outcome:
    try:
        lease.confirm()
        mover = mover_for(kept, lease.tick)
        try:
            report = _published(folder, kept, mover, lease.confirm)
        finally:
            mover.close()
    except SilentServerError:
        return _later(folder, kept, "its server does not answer")
    except NotOursError as error:
        return _lost(folder, kept.label, f"its server says: {error}")
    except KeepError as error:
        return _lost(folder, kept.label, str(error))
    except StorageError as error:
        return _later(folder, kept, str(error)) if may_pass(error) else _lost(folder, kept.label, str(error))
    return Outcome("published", kept.label, report=report)


def _published(folder: Path, kept: KeptOutputs, mover: Mover, confirm: Callable[[], None]) -> Report:
    """Publish what is kept, and return the report.

    Raises KeepError, StorageError, and what `confirm` and the mover's tick raise.
    """
    if not kept.files:
        return replace(kept.success, log=_publish_log(folder, kept, mover), kept=None)
    transfers = stage_out(
        check_files(folder, kept.files),
        tag=kept.label,
        mover=mover,
        policy=policy_of(kept.limits),
        earlier=kept.earlier,
        known_only=kept.known_only,
        confirm=confirm,
    )
    report = _success(kept, transfers)
    if kept.log is None:
        return report
    try:
        return replace(report, log=_publish_log(folder, kept, mover))
    except (StorageError, KeepError) as error:
        return _without_log(folder, kept, report, error)


def _publish_log(folder: Path, kept: KeptOutputs, mover: Mover) -> Transfer | None:
    uploads = check_files(folder, [kept.log] if kept.log else [])
    published = stage_out(uploads, tag=kept.label, mover=mover, policy=policy_of(kept.limits), known_only=True)
    return next(iter(published), None)


def _without_log(folder: Path, kept: KeptOutputs, report: Report, error: StorageError | KeepError) -> Report:
    """Return the report of published outputs whose log archive is not; it is kept on where a later try may help."""
    found = Finding(name="log-not-delivered", text=str(error), phase="report")
    report = replace(report, findings=(*report.findings, found))
    if isinstance(error, KeepError) or not may_pass(error):
        return report
    try:
        return replace(report, kept=keep_log_alone(folder, kept, report))
    except OSError:  # the disk is full: the outputs are published, and that must be reported
        return report


def _later(folder: Path, kept: KeptOutputs, said: str) -> Outcome:
    if time.time() > kept.until:
        return _lost(folder, kept.label, f"they were kept long enough; {said}")
    return Outcome("later", kept.label, said)


def _lost(folder: Path, label: str, said: str) -> Outcome:
    remove(folder)
    return Outcome("lost", label, said)


def _success(kept: KeptOutputs, transfers: tuple[Transfer, ...]) -> Report:
    now = time.time()
    phases = tuple(
        phase if phase.name != "stage-out" else PhaseRecord(phase.name, phase.started, now - phase.started, "done")
        for phase in kept.success.phases
    )
    return replace(kept.success, outputs=transfers, phases=phases, ended=now, kept=None)


class _Lease:
    """The claim of an attempt on its job, renewed while its outputs are published; without a server there is none.

    An agent renews it by itself.
    """

    def __init__(self, ask: Ask | None, tick: Callable[[], None], every_s: float = math.inf) -> None:
        self._ask = ask
        self._tick = tick
        self._every_s = every_s
        self._due = math.inf

    def tick(self) -> None:
        self._tick()
        if time.monotonic() >= self._due:
            self.renewed()

    def renewed(self) -> bool:
        """Whether the job is ours as far as the server says. Raises NotOursError if it says that it is not."""
        self._due = time.monotonic() + self._every_s
        if self._ask is None:
            return True
        permission = self._ask(self._tick)
        if permission.word == "no":
            raise NotOursError(permission.why)
        return permission.word == "yes"

    def confirm(self) -> None:
        """Ask whether the job is ours: before an upload, and after it, which may have waited for its storage.

        Raises NotOursError, and SilentServerError where nobody answers.
        """
        if not self.renewed():
            raise SilentServerError
