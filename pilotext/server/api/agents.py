"""Agents: registration, leases, lists and draining."""

from __future__ import annotations

from dmr import Path

from pilotext.api.schemas.agents import (
    AgentKey,
    AgentList,
    AgentMove,
    AgentQuery,
    AgentRegistered,
    AgentRegistration,
    JobAnswer,
    JobRequest,
)
from pilotext.api.schemas.attempts import LeasedJob
from pilotext.api.schemas.fields import Id, Moved
from pilotext.model import Record
from pilotext.server.api import auth
from pilotext.server.api.base import ApiController, Body, Query, operation
from pilotext.server.database import transact
from pilotext.server.production.dispatch.agents import come_back, key_of, register
from pilotext.server.production.dispatch.dispatcher import Asker, Dispatcher
from pilotext.server.production.dispatch.leases import HEARTBEAT_S
from pilotext.server.production.lookup import site_named
from pilotext.server.production.manual_decisions.sites import drain_agent
from pilotext.server.production.models import Agent
from pilotext.server.production.refusal import RefusalError
from pilotext.server.production.states import AgentState
from pilotext.server.production.statistics.sites import list_agents
from pilotext.server.rows import ById
from pilotext.server.times import earlier, now, to_seconds

ASK_AGAIN_S = 2.0
SEEN_EVERY_S = 30.0

dispatcher = Dispatcher()
_AGENT = ById(Agent, "site", "site__experiment")


class AgentPath(Record, frozen=True):
    agent: Id


class AgentsController(ApiController):
    @operation("viewer")
    def get(self, parsed_query: Query[AgentQuery]) -> AgentList:
        """List agents."""
        asked = parsed_query
        return list_agents(name=asked.name, site=asked.site, state=asked.state, after=asked.after, limit=asked.limit)

    @operation("agent")
    def post(self, parsed_body: Body[AgentRegistration]) -> AgentRegistered:
        """Register an agent, or update its state."""
        said = parsed_body
        site = site_named(said.site)
        if self.caller.site not in (None, site.pk):
            raise RefusalError("forbidden", f"this token is for another site than {said.site!r}.")
        known = Agent.objects.filter(name=said.name).first()
        if known is not None and self.caller.site not in (None, known.site_id):
            raise RefusalError("forbidden", f"an agent of another site has the name {said.name!r}.")
        number = transact(lambda: register(said, site, self.caller.label))
        return AgentRegistered(number, HEARTBEAT_S, site.experiment.name if said.experiments else "")


class AgentKeyController(ApiController):
    @operation("agent")
    def get(self, parsed_path: Path[AgentPath]) -> AgentKey:
        """Return the key with which agents of a site seal their files."""
        agent = _agent(parsed_path.agent, self.caller.site)
        return AgentKey(transact(lambda: key_of(agent.site)))


class AgentJobController(ApiController):
    @operation("agent")
    def post(self, parsed_path: Path[AgentPath], parsed_body: Body[JobRequest]) -> JobAnswer:
        """Lease a job."""
        agent = _agent(parsed_path.agent, self.caller.site)
        if agent.seen < earlier(now(), SEEN_EVERY_S):
            transact(lambda: Agent.objects.filter(pk=agent.pk).update(seen=now()))
        # One that was away for a while is the same one still.
        state = transact(lambda: come_back(agent)) if agent.state == AgentState.GONE else agent.state
        if state != AgentState.ACTIVE:
            drain = "somebody drains it" if state == AgentState.DRAINING else ""
            return JobAnswer(ask_again_s=ASK_AGAIN_S, drain=drain)
        return _job_for(agent, parsed_body)


class AgentMoveController(ApiController):
    @operation("manager")
    def post(self, parsed_path: Path[AgentPath], parsed_body: Body[AgentMove]) -> Moved:
        """Drain an agent."""
        reason = self.reason(parsed_body.why)
        return Moved(tuple(transact(lambda: drain_agent(parsed_path.agent, reason))))


def _agent(number: int, site: int | None) -> Agent:
    """Return an agent for a caller whose token is for this site; None: any. Raises RefusalError."""
    agent = _AGENT.get(number)
    if agent is None:
        raise RefusalError("not-found", "there is no such agent; register it first.")
    if site not in (None, agent.site_id):
        raise RefusalError("forbidden", "this token is for another site.")
    return agent


def _job_for(agent: Agent, request: JobRequest) -> JobAnswer:
    asker = Asker(agent.site, request.node or agent.host, agent, request.key, request.left_s)
    lease = (request.again and dispatcher.give_again(asker)) or dispatcher.give(asker)
    if lease is None:
        return JobAnswer(ask_again_s=ASK_AGAIN_S)
    auth.proved(lease.token)
    return JobAnswer(
        LeasedJob(lease.attempt, lease.token, lease.job, to_seconds(lease.until), lease.lease_s, HEARTBEAT_S)
    )
