from __future__ import annotations

import pytest

from pilotext.profile import load_experiment
from pilotext.profile.records import BreakerRule
from pilotext.server.production.cycle.breakers import Ended, tripped, watch_breakers
from pilotext.server.production.dispatch.dispatcher import Asker, Dispatcher, Lease
from pilotext.server.production.models import Attempt, AuditEntry, Breaker, Job
from pilotext.server.times import EPOCH
from tests.server.support import fail, lease, leased, raw, site, submit, succeed

pytestmark = pytest.mark.usefixtures("database")

RULES = load_experiment("COMPASS").breakers
CDB = "conditions-db"
OTHER_SITE = "FRONTERA_COMPASS_TEST"


def chunks(number: int) -> list[str]:
    return [raw(1, chunk) for chunk in range(number)]


def fail_jobs(number: int, cause: str, action: str = "retry", *, nodes: int = 100) -> None:
    """Different jobs, each once, on this many nodes."""
    for index in range(number):
        node = f"wn{index % nodes}"
        fail(leased(node), cause, action, host=node)


def at_other_site(node: str = "f1") -> Lease | None:
    return Dispatcher().give(Asker(site(OTHER_SITE), node))


def due() -> None:
    Breaker.objects.update(due=EPOCH)


def the_breaker() -> Breaker:
    return Breaker.objects.get()


def opened(cause: str = CDB) -> None:
    submit(chunks(30))
    fail_jobs(12, cause)
    assert watch_breakers() == 1


@pytest.mark.fault("dispatch", "conditions database dead")
def test_a_dead_conditions_database_opens_the_breaker_everywhere() -> None:
    """Known problem 24 of the legacy system: it burned five attempts of every job in under an hour."""
    opened()
    assert (the_breaker().state, the_breaker().scope) == ("open", "")
    assert lease() is None
    assert at_other_site() is None
    assert Job.objects.filter(charged__gt=0).count() == 0


def test_a_broken_site_gets_no_jobs_and_the_others_go_on() -> None:
    """Known problem 24 of the legacy system: a broken site got the same jobs again at once."""
    opened("software-setup")
    assert (the_breaker().rule, the_breaker().scope) == ("broken site", "CERN_COMPASS_PROD")
    assert lease() is None
    assert at_other_site() is not None


def test_a_broken_node_gets_no_jobs_and_its_site_goes_on() -> None:
    submit(chunks(30))
    fail_jobs(8, "software-setup", nodes=1)
    assert watch_breakers() == 1
    assert the_breaker().node == "wn0"
    assert lease("wn0") is None
    assert lease("wn1") is not None


def test_one_bad_job_opens_nothing_however_often_it_fails() -> None:
    submit(max_attempts=100)
    for _ in range(15):
        Job.objects.update(not_before=EPOCH)
        fail(leased(), CDB)
    assert watch_breakers() == 0
    assert not Breaker.objects.exclude(state="closed").exists()


def test_failures_among_many_successes_open_nothing() -> None:
    submit(chunks(60))
    for number in range(50):
        given = leased()
        fail(given, CDB) if number % 4 == 0 else succeed(given)
    assert watch_breakers() == 0


def test_other_causes_open_nothing() -> None:
    submit(chunks(30))
    fail_jobs(20, "crash")
    assert watch_breakers() == 0


def test_failures_of_long_ago_open_nothing() -> None:
    submit(chunks(30))
    fail_jobs(12, CDB)
    Attempt.objects.update(ended=EPOCH)
    assert watch_breakers() == 0


def test_after_the_pause_one_job_is_given_out_as_a_probe() -> None:
    opened()
    due()
    given = leased()
    assert (the_breaker().state, the_breaker().probe_id) == ("probing", given.attempt)
    assert lease() is None, "one at a time"
    assert watch_breakers() == 0, "it is still under way"


def test_a_probe_that_succeeds_closes_the_breaker() -> None:
    opened()
    due()
    succeed(leased())
    assert watch_breakers() == 1
    assert the_breaker().state == "closed"
    assert all(lease() for _ in range(3))
    assert watch_breakers() == 0, "failures from before do not open it again"


def test_a_probe_that_fails_alike_makes_the_pause_longer() -> None:
    opened()
    first = the_breaker().due
    due()
    fail(leased(), CDB)
    assert watch_breakers() == 1
    assert (the_breaker().state, the_breaker().trips) == ("open", 2)
    assert the_breaker().due > first
    assert lease() is None


def test_a_probe_that_fails_otherwise_proves_nothing_and_another_one_may_try() -> None:
    opened()
    due()
    given = leased()
    fail(given, "crash")
    assert watch_breakers() == 1
    assert (the_breaker().state, the_breaker().trips) == ("open", 1)
    assert leased().attempt != given.attempt


def test_a_probe_is_not_charged_and_another_failure_is() -> None:
    opened("software-setup")
    due()
    given = leased()
    fail(given, "software-setup", "retry-elsewhere")
    assert Attempt.objects.get(pk=given.attempt).charged is False
    assert Attempt.objects.filter(charged=True).exists()


def test_of_two_webs_only_one_gives_out_the_probe() -> None:
    opened()
    due()
    webs = [Dispatcher(), Dispatcher()]
    for web in webs:  # both look ahead, and see a breaker that is due
        web._next(Asker(site(), "wn50"), set())
    assert [web.give(Asker(site(), f"wn{number}")) is not None for number, web in enumerate(webs)] == [True, False]


def test_jobs_that_do_not_need_what_is_broken_go_on() -> None:
    opened()
    submit([raw(2, 1)], name="t2", type="DDD filtering")
    assert leased().job.task == "t2"


def test_every_opening_and_closing_is_in_the_audit_trail_with_its_reason() -> None:
    opened()
    due()
    succeed(leased())
    watch_breakers()
    told = list(AuditEntry.objects.filter(subject="breaker").order_by("pk"))
    assert [event.after for event in told] == ["open", "probing", "closed"]
    assert "12 of the last 12 attempts failed by conditions-db" in told[0].why


def test_a_breaker_that_the_profile_no_longer_has_closes() -> None:
    opened()
    Breaker.objects.update(rule="of long ago")
    assert watch_breakers() >= 1
    assert Breaker.objects.get(rule="of long ago").state == "closed"


@pytest.mark.parametrize(("nodes", "opens"), [(1, False), (2, True)])
def test_a_rule_may_ask_for_failures_on_several_nodes(nodes: int, opens: bool) -> None:
    rule = BreakerRule(per="site", cause=("storage",), failures=4, of=5, nodes=2)
    assert tripped(rule, [Ended(job, f"wn{job % nodes}", "storage") for job in range(4)]) is opens
