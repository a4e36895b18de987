"""The server as its clients see it: records in, records out, over `/api/v1`."""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
import requests

import pilotext
from pilotext.api.http import RETRYABLE_STATUSES
from pilotext.api.schemas.agents import AgentKey, AgentRegistered, AgentRegistration, JobAnswer, JobRequest
from pilotext.api.schemas.attempts import Heartbeat, HeartbeatAnswer, ReportAnswer
from pilotext.api.schemas.errors import Problem
from pilotext.errors import FieldError, PilotextError, UsageError
from pilotext.model.report import Report
from pilotext.serialization.json import from_json

T = TypeVar("T")

_WITHIN_S = (10.0, 60.0)


class ServerError(PilotextError):
    """The server refused a request (`status` is that of HTTP), or did not answer (0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def worth_another_try(self) -> bool:
        return self.status == 0 or self.status in RETRYABLE_STATUSES


class RequestRefusedError(ServerError, UsageError):
    """The server cannot do what was asked: a name that there is not, a wrong value, a state that does not allow it."""


_REFUSALS = (404, 409, 422)


class Client:
    """One server, one token; not to be shared between threads."""

    def __init__(self, url: str, token: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"{url!r} is not the address of a server.", advice="Write http://HOST:PORT.")
        self.url = url.rstrip("/")
        self._token = token
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"pilotext/{pilotext.__version__}"
        self._session.trust_env = False  # a .netrc or a proxy for other servers is none of ours
        # Laboratories have authorities of their own, named by the variables that other programs heed, too.
        self._session.verify = os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE") or True

    def post(self, path: str, body: Any, kind: type[T], *, token: str | None = None) -> T:
        """Send a record, get one back. Raises ServerError."""
        return self._ask("POST", path, kind, token, data=msgspec.json.encode(body))

    def get(self, path: str, kind: type[T], query: dict[str, Any] | None = None) -> T:
        """Raises ServerError."""
        known = {name: value for name, value in (query or {}).items() if value is not None}
        return self._ask("GET", path, kind, None, params=known)

    def hello(self, said: AgentRegistration) -> AgentRegistered:
        return self.post("/api/v1/agents", said, AgentRegistered)

    def key_of_site(self, agent: int) -> str | None:
        """Return the key with which this agent seals its files; None by a server of a former version, which has none.

        Raises ServerError.
        """
        try:
            return self.get(f"/api/v1/agents/{agent}/key", AgentKey).key
        except ServerError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None

    def job(
        self, agent: int, node: str, key: str = "", *, again: bool = False, left_s: float | None = None
    ) -> JobAnswer:
        return self.post(f"/api/v1/agents/{agent}/job", JobRequest(node, key, again, left_s), JobAnswer)

    def heartbeat(self, attempt: int, token: str, beat: Heartbeat) -> HeartbeatAnswer:
        return self.post(f"/api/v1/attempts/{attempt}/heartbeat", beat, HeartbeatAnswer, token=token)

    def report(self, attempt: int, token: str, report: Report) -> ReportAnswer:
        return self.post(f"/api/v1/attempts/{attempt}/report", report, ReportAnswer, token=token)

    def _ask(self, method: str, path: str, kind: type[T], token: str | None, **more: Any) -> T:
        headers = {"Authorization": f"Bearer {token or self._token}", "Content-Type": "application/json"}
        try:
            answer = self._session.request(
                method, f"{self.url}{path}", headers=headers, timeout=_WITHIN_S, allow_redirects=False, **more
            )
        except requests.exceptions.SSLError:
            why = "its certificate is not trusted here; SSL_CERT_FILE names the file of its authority"
            raise ServerError(0, f"{self.url} is not asked: {why}.") from None
        except requests.RequestException as error:
            raise ServerError(0, f"{self.url} does not answer: {type(error).__name__}.") from None
        except OSError as error:  # the file of authorities is not there
            raise ServerError(0, f"{self.url} is not asked: {error}") from None
        try:
            if answer.status_code == 200:
                return from_json(answer.content, kind, where=path)
            problem = from_json(answer.content, Problem)
        except FieldError as error:
            raise ServerError(answer.status_code, f"{self.url} answers {answer.status_code}: {error}") from None
        kind_of_error = RequestRefusedError if answer.status_code in _REFUSALS else ServerError
        raise kind_of_error(answer.status_code, problem.message)
