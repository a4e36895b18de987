"""Pilots that speak PanDA's protocols with the application: the legacy one, and that of servers since 1.0."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from pilotext.model.job import Job as WorkerJob
from pilotext.server.boot import boot

boot()

from django.core.handlers.wsgi import WSGIHandler as Application  # noqa: E402

from pilotext.server.api.agents import dispatcher  # noqa: E402  needs boot
from pilotext.server.production.access.tokens import issue  # noqa: E402
from pilotext.server.production.dispatch.dispatcher import Lease  # noqa: E402
from pilotext.server.production.profiles import remember_all  # noqa: E402
from pilotext.server.times import EPOCH  # noqa: E402
from tests.server.calls import Answered, request  # noqa: E402
from tests.server.support import SITE, report_of  # noqa: E402

Encoding = Callable[[dict[str, Any]], tuple[bytes, str]]


def form(fields: dict[str, Any]) -> tuple[bytes, str]:
    return urlencode(fields).encode(), "application/x-www-form-urlencoded"


def gzipped(fields: dict[str, Any]) -> tuple[bytes, str]:
    return gzip.compress(json.dumps(fields).encode()), "application/json"


def plain(fields: dict[str, Any]) -> tuple[bytes, str]:
    return json.dumps(fields).encode(), "application/json"


class Pilot:
    """Speaks as a pilot does; what it was given is kept."""

    def __init__(self, encoding: Encoding = form, label: str = "pilots", site: str | None = None) -> None:
        remember_all()
        dispatcher.forget()
        self.application = Application()
        self.token = issue(label, "agent", site)
        self.encoding = encoding

    def send(self, verb: str, token: str | None = None, **fields: Any) -> Answered:
        body, kind = self.encoding(fields)
        token = self.token if token is None else token
        return request(self.application, "POST", f"/server/panda/{verb}", body, token=token, CONTENT_TYPE=kind)

    def get_job(self, **fields: Any) -> dict[str, Any]:
        asked = {"siteName": SITE, "node": "slot1@wn1", "prodSourceLabel": "managed", "mem": 3000}
        answer: dict[str, Any] = self.send("getJob", **{**asked, **fields}).json
        return answer

    def update(self, job: dict[str, Any], state: str, **fields: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.send("updateJob", jobId=job["PandaID"], state=state, **fields).json
        return answer

    def fetch(self, job: dict[str, Any], claim: str = "") -> Answered:
        """What the wrapper fetches by its job parameters."""
        option, address = job["jobPars"].split()
        assert option == "--job-url"
        parts = urlsplit(address)
        return request(self.application, "GET", f"{parts.path}?{parts.query}{'&claim=' if claim else ''}{claim}")

    def report(self, whole: WorkerJob, **of: Any) -> Answered:
        assert whole.report is not None
        lease = Lease(0, "", whole, EPOCH, 0.0)
        body = msgspec.json.encode(report_of(lease, **of))
        return request(self.application, "POST", urlsplit(whole.report.url).path, body, token=whole.report.token)


NEW_NAME = {
    "siteName": "site_name",
    "prodSourceLabel": "prod_source_label",
    "mem": "memory",
    "pilotErrorCode": "pilot_error_code",
    "pilotErrorDiag": "pilot_error_diag",
    "transExitCode": "trans_exit_code",
    "exeErrorCode": "exe_error_code",
    "exeErrorDiag": "exe_error_diag",
    "metaData": "meta_data",
    "batchID": "batch_id",
}
"""Fields of the legacy protocol that the tests send, by their names since 1.0."""


class NewPilot(Pilot):
    """Speaks as a pilot will do; it is asked in the words of the legacy protocol, and answers in them."""

    def __init__(self, encoding: Encoding = gzipped, label: str = "pilots", site: str | None = None) -> None:
        super().__init__(encoding, label, site)

    def call(self, name: str, token: str | None = None, **fields: Any) -> Answered:
        body, kind = self.encoding(fields)
        token = self.token if token is None else token
        more = {"CONTENT_TYPE": kind, "HTTP_ACCEPT": "application/json"}
        if self.encoding is gzipped:
            more["HTTP_CONTENT_ENCODING"] = "gzip"
        return request(self.application, "POST", f"/api/v1/{name}", body, token=token, **more)

    def get_job(self, **fields: Any) -> dict[str, Any]:
        asked = {"siteName": SITE, "node": "slot1@wn1", "prodSourceLabel": "managed", "mem": 3000, **fields}
        answered = self.call("pilot/acquire_jobs", **{NEW_NAME.get(name, name): each for name, each in asked.items()})
        envelope = answered.json
        if envelope["success"]:
            assert envelope["data"]["StatusCode"] == 0
            (job,) = envelope["data"]["jobs"]
            return dict(job)
        assert envelope["data"] is None
        return {"StatusCode": 20 if answered.status == 200 else answered.status, "errorDialog": envelope["message"]}

    def update(self, job: dict[str, Any], state: str, **fields: Any) -> dict[str, Any]:
        said = {NEW_NAME.get(name, name): value for name, value in fields.items()}
        envelope = self.call("pilot/update_job", job_id=job["PandaID"], job_status=state, **said).json
        assert envelope["success"] is (envelope["data"]["StatusCode"] == 0)
        return dict(envelope["data"])
