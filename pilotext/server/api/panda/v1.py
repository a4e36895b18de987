"""PanDA's pilot protocol of servers since 1.0, below `/api/v1`: other words for the functions of `handlers`.

As in panda-server (`api/v1/pilot_api.py`, `api/v1/common.py`), an answer is an envelope of success, message and data,
and what a function refuses has the HTTP status 200 and a message; what is refused before it has a status of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pilotext.errors import FieldError
from pilotext.serialization.json import from_plain
from pilotext.server.api.auth import Caller
from pilotext.server.api.panda.encoding import Sent, number_in, number_of, text_of
from pilotext.server.api.panda.handlers import TRY_AGAIN, answer_of_update, get_job, refuse_too_many, statuses
from pilotext.server.front.guard import Role
from pilotext.server.production.refusal import RefusalError

Method = Literal["GET", "POST"]

_JOB_STATES = ("starting", "running", "holding", "transferring", "finished", "failed")
_INVALID = 50
"""Status code of `jobdispatcher/Protocol.py` for a state that no pilot may say."""

_WORKER_STATES = ("started", "finished")
_LEGACY_NAME = {
    "site_name": "siteName",
    "prod_source_label": "prodSourceLabel",
    "job_id": "jobId",
    "job_status": "state",
    "pilot_error_code": "pilotErrorCode",
    "pilot_error_diag": "pilotErrorDiag",
    "trans_exit_code": "transExitCode",
    "exe_error_code": "exeErrorCode",
    "exe_error_diag": "exeErrorDiag",
    "meta_data": "metaData",
    "batch_id": "batchID",
    "node": "node",
    "remaining_time": "remaining_time",
    "harvester_id": "harvester_id",
    "worker_id": "worker_id",
}
"""Fields that the functions of `handlers` read, and the names that they have there."""

_NO_CREDENTIALS = "this server has no {}; the credentials of a job's transfers are those of its node (docs/pilot.md)."


@dataclass(frozen=True)
class Envelope:
    """The form of every answer."""

    success: bool
    message: str = ""
    data: Any = None


@dataclass(frozen=True)
class Function:
    """A function: the HTTP method it is called with, the fields it needs, and who may call it."""

    method: Method
    answer: Callable[[Sent, Caller], Envelope]
    needs: tuple[str, ...] = ()
    role: Role = field(default="agent", kw_only=True)

    def reply(self, method: str, sent: Sent, caller: Caller) -> Envelope:
        """Return the answer, also to what is refused. Raises RefusalError for what is to be sent again."""
        try:
            return self._call(method, sent, caller)
        except RefusalError as error:
            if error.kind in TRY_AGAIN:
                raise
            return Envelope(False, error.message)

    def _call(self, method: str, sent: Sent, caller: Caller) -> Envelope:
        if method != self.method:
            raise RefusalError("not-allowed", f"{method} is not for this function; call it with {self.method}.")
        _require(sent, self.needs)
        return self.answer(sent, caller)


def acquire_jobs(sent: Sent, caller: Caller) -> Envelope:
    """A list of one job, however many are asked for: the next one waits on the server, not behind it in a queue."""
    job = get_job(_legacy(sent), caller)
    if job["StatusCode"] != 0:
        return Envelope(False, job["errorDialog"])
    return Envelope(True, data={"StatusCode": 0, "jobs": [job]})


def update_job(sent: Sent, caller: Caller) -> Envelope:
    """A heartbeat, or the last word."""
    number_of(sent, "job_id")
    state = text_of(sent, "job_status", 20)
    if state not in _JOB_STATES:
        why = f"job_status is {state!r}; it must be one of {', '.join(_JOB_STATES)}."
        return Envelope(False, why, {"StatusCode": _INVALID})
    answer = answer_of_update(_legacy(sent), caller)
    code = answer["StatusCode"]
    return Envelope(True, data=answer) if code == 0 else Envelope(False, answer["errorDialog"], {"StatusCode": code})


_UPDATE = Function("POST", update_job, ("job_id", "job_status"))


def update_jobs_bulk(sent: Sent, caller: Caller) -> Envelope:
    """An envelope for each update; one that is refused does not stop the others."""
    try:
        updates = from_plain(sent["job_list"], list[dict[str, Any]])
    except FieldError:
        raise RefusalError("invalid", "job_list is not a list of updates, which are objects.") from None
    refuse_too_many(updates)
    return Envelope(True, data=[_UPDATE.reply("POST", update, caller) for update in updates])


def get_job_status(sent: Sent, caller: Caller) -> Envelope:
    """The state and the attempt of each job."""
    named = sent["job_ids"]
    jobs = [number_in(str(each), "job_ids") for each in (named if isinstance(named, list) else [named])]
    told = [
        {"job_id": each.job, "status": each.state or "not found", "attempt_number": each.attempt}
        for each in statuses(jobs, caller)
    ]
    return Envelope(True, data=told)


def update_worker_status(sent: Sent, _caller: Caller) -> Envelope:
    """Word of a pilot that begins or ends; the factories report what they start themselves."""
    state = text_of(sent, "status", 20)
    if state not in _WORKER_STATES:
        raise RefusalError("invalid", f"status is {state!r}; it must be one of {', '.join(_WORKER_STATES)}.")
    return Envelope(True)


def not_kept(_sent: Sent, _caller: Caller) -> Envelope:
    """Accept the description of a node, of which nothing is kept."""
    return Envelope(True, "this server keeps no descriptions of nodes.")


def get_resource_types(_sent: Sent, _caller: Caller) -> Envelope:
    """The list of resource types, which is empty."""
    return Envelope(True, data=[])


def is_alive(_sent: Sent, _caller: Caller) -> Envelope:
    return Envelope(True)


def _without(what: str) -> Callable[[Sent, Caller], Envelope]:
    return lambda _sent, _caller: Envelope(False, _NO_CREDENTIALS.format(what))


FUNCTIONS: Mapping[str, Function] = {
    "pilot/acquire_jobs": Function("POST", acquire_jobs, ("site_name",)),
    "pilot/update_job": _UPDATE,
    "pilot/update_jobs_bulk": Function("POST", update_jobs_bulk, ("job_list",)),
    "pilot/get_job_status": Function("GET", get_job_status, ("job_ids",)),
    "pilot/update_worker_status": Function("POST", update_worker_status, ("worker_id", "harvester_id", "status")),
    "pilot/update_worker_node": Function("POST", not_kept, ("site", "host_name", "cpu_model")),
    "pilot/update_worker_node_gpu": Function("POST", not_kept, ("site", "host_name", "vendor", "model", "count")),
    "creds/get_key_pair": Function("GET", _without("key pairs")),
    "creds/get_proxy": Function("GET", _without("proxies")),
    "creds/get_access_token": Function("GET", _without("access tokens")),
    "creds/get_token_key": Function("GET", _without("keys of tokens")),
    "metaconfig/get_resource_types": Function("GET", get_resource_types),
    "system/is_alive": Function("GET", is_alive, role="anyone"),
}


def _require(sent: Sent, names: tuple[str, ...]) -> None:
    """Raise RefusalError for a field that is missing; None is what a pilot sends for a value that it does not have."""
    missing = [name for name in names if sent.get(name) in (None, "")]
    if missing:
        raise RefusalError("invalid", f"the request lacks {', '.join(missing)}.")


def _legacy(sent: Sent) -> Sent:
    return {legacy: sent[name] for name, legacy in _LEGACY_NAME.items() if name in sent}
