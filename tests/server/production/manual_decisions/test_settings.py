"""What managers change while a production runs."""

from __future__ import annotations

import pytest

from pilotext.api.schemas.sites import BreakerHold, SiteLimit
from pilotext.api.schemas.tasks import TaskSettings
from pilotext.server.database import transact
from pilotext.server.production.dispatch.agents import forget_agents
from pilotext.server.production.manual_decisions import sites as site_decisions
from pilotext.server.production.manual_decisions import tasks as task_decisions
from pilotext.server.production.models import Agent, Attempt, AuditEntry, Breaker, Job, Site, Task
from pilotext.server.production.profiles import remember_all
from pilotext.server.production.refusal import RefusalError
from pilotext.server.times import EPOCH
from tests.server.api.test_api import Caller
from tests.server.support import SITE, WHY, events, fail, lease, leased, raw, site, submit

pytestmark = pytest.mark.usefixtures("database")


def change(task: int, **settings: float) -> list[int]:
    return transact(lambda: task_decisions.change_task(task, TaskSettings("to see", **settings), WHY))  # type: ignore[arg-type]


def limit(most: int | None, where: str = SITE) -> list[int]:
    return transact(lambda: site_decisions.limit_site(SiteLimit(where, "to see", most), WHY))


def hold(rule: str, **place: str) -> list[int]:
    return transact(lambda: site_decisions.hold(BreakerHold(rule, "maintenance", **place), WHY))


def test_a_task_of_higher_priority_goes_first_from_now_on() -> None:
    submit([raw(1, 1), raw(1, 2)], name="first")
    second = submit([raw(2, 1), raw(2, 2)], name="second").task
    assert leased().job.task == "first"
    assert change(second, priority=50) == [second]
    assert [leased().job.task, leased().job.task, leased().job.task] == ["second", "second", "first"]
    assert set(Job.objects.filter(task=second).values_list("priority", flat=True)) == {2050}
    told = AuditEntry.objects.filter(subject="task setting").values_list("who", "before", "after")
    assert list(told) == [("maria", "priority 0", "priority 50")]


def test_share_and_attempts_can_be_changed() -> None:
    task = submit().task
    assert change(task, share=2.5, max_attempts=1) == [task]
    assert (Task.objects.get().share, Task.objects.get().max_attempts) == (2.5, 1)
    fail(leased(), "crash")
    assert Job.objects.get().state == "manual"


def test_a_task_that_has_the_settings_already_or_is_not_there_is_told() -> None:
    task = submit().task
    assert change(task, priority=0) == []
    with pytest.raises(RefusalError, match="no setting is given"):
        change(task)
    with pytest.raises(RefusalError, match="there is no task 99"):
        change(99, share=1.0)
    assert not AuditEntry.objects.filter(subject="task setting").exists()


def test_a_limit_set_by_hand_outlives_a_restart_until_it_is_given_back() -> None:
    submit([raw(1, 1), raw(1, 2)])
    assert limit(1) == [site().pk]
    assert limit(1) == []
    assert lease() is not None
    assert lease() is None
    remember_all()
    assert site().max_active == 1
    assert limit(None) == [site().pk]
    assert site().max_active == 10_000
    assert lease() is not None
    Site.objects.update(max_active=7)
    remember_all()
    assert site().max_active == 10_000
    with pytest.raises(RefusalError, match="there is no site 'NOWHERE'"):
        limit(1, "NOWHERE")


def test_what_a_breaker_holds_can_be_held_by_hand() -> None:
    submit([raw(1, 1)])
    submit([raw(2, 1)], name="t2", type="DDD filtering")
    (breaker,) = hold("conditions database")
    assert leased().job.task == "t2"
    assert lease() is None
    assert hold("conditions database") == [], "it is held already"
    transact(lambda: site_decisions.move_breaker(breaker, "close", WHY))
    assert lease() is not None


def test_what_a_breaker_holds_by_itself_for_a_while_can_be_held_for_good() -> None:
    submit()
    (breaker,) = hold("conditions database")
    Breaker.objects.update(due=EPOCH, why="10 of the last 20 attempts failed", trips=1)  # as one that opened by itself
    assert hold("conditions database") == [breaker]
    assert lease() is None, "no probe, either"
    assert Breaker.objects.get().why == WHY.why
    assert events("breaker", breaker) == [("closed", "open"), ("open", "open")]


def test_a_breaker_of_no_experiment_is_that_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    submit()
    assert len(hold("conditions database")) == 1
    assert hold("conditions database", experiment="COMPASS") == [], "it is held already"
    monkeypatch.delenv("PILOTEXT_EXPERIMENT")
    with pytest.raises(RefusalError, match="to one of: COMPASS, NA62"):
        hold("conditions database")


def test_one_node_can_be_held() -> None:
    submit([raw(1, 1)])
    hold("broken node", site=SITE, node="wn1")
    assert lease("wn1") is None
    assert lease("wn2") is not None


@pytest.mark.parametrize(
    ("rule", "place", "told"),
    [
        ("conditions databse", {}, "Did you mean 'conditions database'"),
        ("conditions database", {"site": SITE}, "give no place"),
        ("broken site", {}, "give a site"),
        ("broken node", {"site": SITE}, "give a site and a node"),
        ("broken node", {"node": "wn1"}, "give a site and a node"),
        ("broken site", {"site": "CERN_NA62"}, "is not a site of COMPASS"),
        ("broken site", {"site": "NOWHERE"}, "there is no site"),
        ("broken site", {"experiment": "LHCB"}, "there is no experiment"),
    ],
)
def test_what_cannot_be_held_is_told(rule: str, place: dict[str, str], told: str) -> None:
    remember_all()
    with pytest.raises(RefusalError, match=told):
        hold(rule, **place)
    assert not Breaker.objects.exists()


# -------------------------------------------------------------------------------------------------------------- agents


class AnAgent:
    def __init__(self, name: str = "a1") -> None:
        self.caller = Caller("agent")
        _, said = self.caller.post("/api/v1/agents", {"name": name, "site": SITE, "host": "wn1"})
        self.number: int = said["agent"]

    def ask(self) -> dict[str, object]:
        status, said = self.caller.post(f"/api/v1/agents/{self.number}/job", {"node": "wn1"})
        assert status == 200
        return dict(said)


def test_a_drained_agent_is_told_to_ask_no_more() -> None:
    submit()
    agent = AnAgent()
    assert transact(lambda: site_decisions.drain_agent(agent.number, WHY)) == [agent.number]
    said = agent.ask()
    assert (said["lease"], bool(said["drain"])) == (None, True)
    assert transact(lambda: site_decisions.drain_agent(agent.number, WHY)) == []
    with pytest.raises(RefusalError, match="there is no agent 99"):
        transact(lambda: site_decisions.drain_agent(99, WHY))
    assert AnAgent().number == agent.number, "started again"
    assert agent.ask()["lease"] is not None


def test_an_agent_that_was_away_gets_jobs_when_it_asks_again() -> None:
    """One whose slots are all at work does not ask, for hours."""
    submit([raw(1, 1), raw(1, 2)])
    agent = AnAgent()
    assert agent.ask()["lease"] is not None
    Agent.objects.update(seen=EPOCH)
    assert forget_agents() == 0, "it is at work"
    Attempt.objects.update(state="finished")
    assert forget_agents() == 1
    assert Agent.objects.get().state == "gone"
    assert agent.ask()["lease"] is not None
    assert Agent.objects.get().state == "active"


def test_a_drained_agent_that_was_away_is_drained_still() -> None:
    submit()
    agent = AnAgent()
    transact(lambda: site_decisions.drain_agent(agent.number, WHY))
    Agent.objects.update(seen=EPOCH)
    assert forget_agents() == 1
    said = agent.ask()
    assert (said["lease"], bool(said["drain"])) == (None, True)
    assert [after for _, after in events("agent", agent.number)] == ["active", "draining", "gone", "draining"]
    AnAgent()
    assert agent.ask()["lease"] is not None, "started again"


def test_an_agent_of_another_site_cannot_take_the_name_of_one() -> None:
    """Else its jobs would be refused to it from then on, and what was drained would be active again."""
    submit()
    mine, other = Caller("agent", SITE), Caller("agent", "FRONTERA_COMPASS_TEST")
    status, said = mine.post("/api/v1/agents", {"name": "node7", "site": SITE})
    assert status == 200
    status, refused = other.post("/api/v1/agents", {"name": "node7", "site": "FRONTERA_COMPASS_TEST"})
    assert (status, refused["error"]) == (403, "forbidden")
    assert Agent.objects.get().site.name == SITE
    status, said = mine.post(f"/api/v1/agents/{said['agent']}/job", {})
    assert (status, said["lease"] is None) == (200, False)
