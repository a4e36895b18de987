"""What managers change while a production runs, and who there is."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db.models import Count, Q

from pilotext.api.schemas.access import UserList, UserRow
from pilotext.api.schemas.agents import AgentMove
from pilotext.api.schemas.fields import Moved
from pilotext.api.schemas.sites import BreakerHold, SiteLimit
from pilotext.api.schemas.tasks import TaskSettings
from pilotext.server.api.endpoint import Call, Endpoint
from pilotext.server.database import transact
from pilotext.server.production.access.people import role_of
from pilotext.server.production.decisions import sites as site_decisions
from pilotext.server.production.decisions import tasks as task_decisions
from pilotext.server.production.transitions import Reason

MOST = 1000


def change_task(call: Call) -> Moved:
    asked: TaskSettings = call.body
    reason = Reason(call.caller.who, asked.why, "person")
    return Moved(tuple(transact(lambda: task_decisions.change_task(call.number("task"), asked, reason))))


def limit_site(call: Call) -> Moved:
    asked: SiteLimit = call.body
    return Moved(
        tuple(transact(lambda: site_decisions.limit_site(asked, Reason(call.caller.who, asked.why, "person"))))
    )


def hold(call: Call) -> Moved:
    asked: BreakerHold = call.body
    return Moved(tuple(transact(lambda: site_decisions.hold(asked, Reason(call.caller.who, asked.why, "person")))))


def move_agent(call: Call) -> Moved:
    asked: AgentMove = call.body
    reason = Reason(call.caller.who, asked.why, "person")
    return Moved(tuple(transact(lambda: site_decisions.drain_agent(call.number("agent"), reason))))


def users(_call: Call) -> UserList:
    good = Count("api_tokens", filter=Q(api_tokens__revoked=None))
    rows = User.objects.annotate(good=good).prefetch_related("groups").order_by("username")[:MOST]
    return UserList(
        tuple(
            UserRow(
                user=row.username,
                role=role_of(row) or "",
                last_login=row.last_login.timestamp() if row.last_login else None,
                tokens=row.good,
            )
            for row in rows
        )
    )


ENDPOINTS = (
    Endpoint(
        "POST",
        "/api/v1/tasks/{task}/settings",
        "manager",
        Moved,
        change_task,
        "Change the priority, the share or the attempts of a task.",
        TaskSettings,
    ),
    Endpoint(
        "POST", "/api/v1/sites/limit", "manager", Moved, limit_site, "Limit what runs at a site at once.", SiteLimit
    ),
    Endpoint("POST", "/api/v1/breakers", "manager", Moved, hold, "Open a breaker of the profile.", BreakerHold),
    Endpoint("POST", "/api/v1/agents/{agent}/move", "manager", Moved, move_agent, "Drain an agent.", AgentMove),
    Endpoint("GET", "/api/v1/users", "manager", UserList, users, "Who has an account, and may what."),
)
