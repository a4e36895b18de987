"""What agents and the attempts that they run say."""

from __future__ import annotations

from pilotext.api.schemas.agents import AgentRegistered, AgentRegistration, JobAnswer, JobRequest
from pilotext.api.schemas.attempts import Heartbeat, HeartbeatAnswer, LeasedJob, ReportAnswer, Ticket
from pilotext.model.job import Job
from pilotext.model.report import Report
from pilotext.server.api import auth
from pilotext.server.api.endpoint import MEGA, Call, Endpoint
from pilotext.server.database import transact
from pilotext.server.production.dispatch.agents import come_back, register
from pilotext.server.production.dispatch.dispatcher import Asker, Dispatcher
from pilotext.server.production.dispatch.leases import heartbeat
from pilotext.server.production.dispatch.tickets import fetch_job
from pilotext.server.production.lookup import site_named
from pilotext.server.production.models import Agent
from pilotext.server.production.models.common import now
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.reports.accept import take_report
from pilotext.server.rows import ById
from pilotext.server.settings import LEASE_S

ASK_AGAIN_S = 2.0
HEARTBEAT_S = min(LEASE_S / 4, 300.0)
SEEN_EVERY_S = 30.0

dispatcher = Dispatcher()
_AGENT = ById(lambda: Agent.objects.select_related("site"))


def hello(call: Call) -> AgentRegistered:
    said: AgentRegistration = call.body
    site = site_named(said.site)
    if call.caller.site not in (None, site.pk):
        raise RefusalError("forbidden", f"this token is for another site than {said.site!r}.")
    known = Agent.objects.filter(name=said.name).first()
    if known is not None and call.caller.site not in (None, known.site_id):
        raise RefusalError("forbidden", f"an agent of another site has the name {said.name!r}.")
    return AgentRegistered(transact(lambda: register(said, site, call.caller.label)), HEARTBEAT_S)


def get_job(call: Call) -> JobAnswer:
    agent = _AGENT.get(call.number("agent"))
    if agent is None:
        raise RefusalError("not-found", "there is no such agent; say hello first.")
    if call.caller.site not in (None, agent.site_id):
        raise RefusalError("forbidden", "this token is for another site.")
    if now() - agent.seen > SEEN_EVERY_S:
        transact(lambda: Agent.objects.filter(pk=agent.pk).update(seen=now()))
    # One that was away for a while is the same one still.
    state = transact(lambda: come_back(agent)) if agent.state == "gone" else agent.state
    if state != "active":
        drain = "somebody drains it" if state == "draining" else ""
        return JobAnswer(ask_again_s=ASK_AGAIN_S, drain=drain)
    request: JobRequest = call.body
    asker = Asker(agent.site, request.node or agent.host, agent, request.key)
    lease = (request.again and dispatcher.give_again(asker)) or dispatcher.give(asker)
    if lease is None:
        return JobAnswer(ask_again_s=ASK_AGAIN_S)
    auth.proved(lease.token)
    return JobAnswer(LeasedJob(lease.attempt, lease.token, lease.job, lease.until, lease.lease_s, HEARTBEAT_S))


def beat(call: Call) -> HeartbeatAnswer:
    return heartbeat(call.number("attempt"), call.token, call.body)


def fetch(call: Call) -> Job:
    asked: Ticket = call.body
    return fetch_job(call.number("attempt"), asked.ticket, asked.claim)


def report(call: Call) -> ReportAnswer:
    return take_report(call.number("attempt"), call.token, call.raw)


ENDPOINTS = (
    Endpoint(
        "POST",
        "/api/v1/agents",
        "agent",
        AgentRegistered,
        hello,
        "An agent registers.",
        AgentRegistration,
    ),
    Endpoint("POST", "/api/v1/agents/{agent}/job", "agent", JobAnswer, get_job, "Lease a job.", JobRequest),
    Endpoint(
        "POST", "/api/v1/attempts/{attempt}/heartbeat", "attempt", HeartbeatAnswer, beat, "Renew a lease.", Heartbeat
    ),
    Endpoint(
        "GET", "/api/v1/attempts/{attempt}/job", "ticket", Job, fetch, "A pilot's wrapper gets its job.", query=Ticket
    ),
    Endpoint(
        "POST",
        "/api/v1/attempts/{attempt}/report",
        "attempt",
        ReportAnswer,
        report,
        "The final report of an attempt; the same one may be sent again.",
        Report,
        limit=16 * MEGA,
        raw=True,
    ),
)
