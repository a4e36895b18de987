"""Reports on their way: on disk until the server has taken them or said that it never will.

The payload's user owns the disk. So the files are signed with a key that no file holds, the tokens of attempts are
hidden in them by the same key, and a file that was changed is set aside, not sent.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from pathlib import Path

import msgspec
from msgspec.structs import replace

from pilotext.agent.sealing import Seal
from pilotext.api.client import Client, ServerError
from pilotext.api.flush import Answer, flush
from pilotext.api.spool import Spool, Spooled, SpoolError
from pilotext.errors import FieldError
from pilotext.model.job import ReportTarget
from pilotext.model.report import Report
from pilotext.serialization.json import from_json, from_plain


class _AgentSealing:
    """Files that only an agent with this seal can make, without a secret that others could read."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def sealed(self, spooled: Spooled) -> bytes:
        hidden = replace(spooled.target, token=self._seal.hide(spooled.target.token))
        return self._seal.sign(msgspec.json.encode(replace(spooled, target=hidden)))

    def opened(self, data: bytes) -> Spooled:
        opened = self._seal.opened(data, "this report")
        spooled = from_json(opened.content, Spooled)
        return replace(spooled, target=replace(spooled.target, token=opened.show(spooled.target.token)))


class AgentSpool:
    """A folder of reports, of an agent with this seal; only its owner may read it."""

    def __init__(self, folder: Path, seal: Seal) -> None:
        self._spool = Spool(folder, _AgentSealing(seal))
        self._sending = threading.Lock()
        """Held by the one thread that sends: reports of one attempt arrive in their order."""
        self._in_memory: list[Spooled] = []
        """Those for which the disk had no room."""

    def keep(self, attempt: int, token: str, report: Report) -> None:
        """Put a report on disk, whole or not at all; where that cannot be done it is kept in memory."""
        spooled = _spooled(attempt, token, report)
        try:
            self._spool.keep(spooled).release()
        except SpoolError:
            self._in_memory.append(spooled)

    def deliver(self, client: Client) -> int:
        """Send what is there; returns how many reports stay. Those that the server refuses for good are set aside.

        A server that does not answer is asked once, not for every report.
        """
        with self._sending:
            while self._in_memory and _send(client, self._in_memory[0]).outcome != "later":
                del self._in_memory[0]
            try:
                flushed = flush(self._spool, lambda spooled: _send(client, spooled), within_s=math.inf)
            except SpoolError:  # something else lies where the folder should be, and all is in memory
                return len(self._in_memory)
            return len(self._in_memory) + len(flushed.kept)


def _send(client: Client, spooled: Spooled) -> Answer:
    """Send a report by the agent's own client, which knows the address and the authorities of its server."""
    try:
        client.report(int(spooled.label.partition("-")[0]), spooled.target.token, from_plain(spooled.report, Report))
    except ServerError as error:
        return Answer("later" if error.worth_another_try else "refused", str(error))
    except (FieldError, ValueError) as error:
        return Answer("refused", f"it is no report of an attempt: {error}")
    return Answer("delivered")


def _spooled(attempt: int, token: str, report: Report) -> Spooled:
    """Return the report as a file of its own, also where an earlier one of the attempt is just being sent.

    The agent's server is the one it works for: the address is only the place there.
    """
    target = ReportTarget(f"/api/v1/attempts/{attempt}/report", token)
    return Spooled(
        format=1,
        label=f"{attempt}-{secrets.token_hex(4)}",
        target=target,
        report=msgspec.to_builtins(report),
        since=time.time(),
    )
