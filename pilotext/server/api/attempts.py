"""Attempts: heartbeat, report, and the job of a pilot's wrapper."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from dmr import Path

from pilotext.api.schemas.attempts import Heartbeat, HeartbeatAnswer, ReportAnswer, Ticket
from pilotext.api.schemas.fields import Id
from pilotext.model import Record
from pilotext.model.job import Job
from pilotext.model.report import Report
from pilotext.server.api import auth
from pilotext.server.api.base import MEGA, ApiController, Body, Query, RawBody, operation
from pilotext.server.production.dispatch.leases import heartbeat
from pilotext.server.production.dispatch.tickets import fetch_job
from pilotext.server.production.reports.accept import take_report


class AttemptPath(Record, frozen=True):
    attempt: Id


class AttemptController(ApiController):
    """Base of the controllers whose caller proves itself by the attempt's own token or ticket."""

    is_abstract = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        answer = super().dispatch(request, *args, **kwargs)
        if answer.status_code == 200:
            auth.proved(self.token)
        elif answer.status_code == 403:
            auth.failed(self.token, auth.address_of(request.META))
        return answer


class HeartbeatController(AttemptController):
    @operation("attempt")
    def post(self, parsed_path: Path[AttemptPath], parsed_body: Body[Heartbeat]) -> HeartbeatAnswer:
        """Renew a lease."""
        return heartbeat(parsed_path.attempt, self.token, parsed_body)


class ReportController(AttemptController):
    @operation("attempt", max_body_bytes=16 * MEGA)
    def post(self, parsed_path: Path[AttemptPath], parsed_body: Annotated[bytes, RawBody(Report)]) -> ReportAnswer:
        """Send the final report of an attempt; the same one may be sent again."""
        return take_report(parsed_path.attempt, self.token, parsed_body)


class JobOfTicketController(AttemptController):
    @operation("ticket")
    def get(self, parsed_path: Path[AttemptPath], parsed_query: Query[Ticket]) -> Job:
        """Return the job of a pilot's wrapper."""
        return fetch_job(parsed_path.attempt, parsed_query.ticket, parsed_query.claim)
