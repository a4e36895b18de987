"""Pages of a site: what runs and fails there, and its settings."""

from __future__ import annotations

import re

import pytest

from pilotext.server.boot import boot

boot()

from pilotext.profile.records import Site as ProfileSite  # noqa: E402  needs boot
from pilotext.server.database import transact  # noqa: E402
from pilotext.server.production.manual_decisions.sites import move_site  # noqa: E402
from pilotext.server.production.models import (  # noqa: E402
    Agent,
    Attempt,
    AuditEntry,
    Breaker,
    Experiment,
    HourlyAttempts,
    Site,
    Task,
)
from pilotext.server.production.profiles import profile_of, remember_all  # noqa: E402
from pilotext.server.production.statistics.hourly import hour_of  # noqa: E402
from pilotext.server.times import earlier, now  # noqa: E402
from tests.server.pages.browsing import HOSTILE, assert_harmless, browser, text_of  # noqa: E402
from tests.server.support import SITE, WHY, fail, leased, raw, site, submit  # noqa: E402

pytestmark = pytest.mark.usefixtures("database", "quick_hashes")

OTHER = "BW_COMPASS_MCORE"


@pytest.fixture(autouse=True)
def _sites(database: str) -> None:
    remember_all()


def page(part: str = "", *, of: str = SITE, role: str = "viewer") -> str:
    answer = browser(role).get(f"/sites/{site(of).pk}{part}")
    assert answer.status_code == 200
    return text_of(answer)


def setting(name: str) -> list[str]:
    """Return what is in force, what the profile says and what was set manually, of the table of the settings."""
    row = page("/settings").partition(f'<th scope="row">{name}</th>')[2].partition("</tr>")[0]
    return [re.sub("<[^>]*>", "", cell).strip() for cell in re.findall("<td>(.*?)</td>", row)]


def test_a_site_shows_what_runs_and_fails_there_and_nothing_of_other_sites() -> None:
    submit([raw(1, chunk) for chunk in range(1, 4)])
    fail(leased(), "calibration", "manual-check")
    leased("wn7")
    Agent.objects.create(name="here", site=site(), host="wn7")
    Agent.objects.create(name="silent", site=site(), seen=earlier(now(), 5000))
    Agent.objects.create(name="away", site=site(), state="gone")
    Agent.objects.create(name="there", site=site(OTHER))
    same = {"experiment": Experiment.objects.get(name="COMPASS"), "state": "open", "why": "all failed"}
    Breaker.objects.create(rule="broken site", scope=SITE, site=site(), **same)
    Breaker.objects.create(rule="broken site", scope=OTHER, site=site(OTHER), **same)
    text = page()
    for part in ("COMPASS-1241", "calibration", "wn7", ">here<", ">silent<", "“broken site”: all failed", "/settings"):
        assert part in text
    for part in (">there<", ">away<", OTHER):
        assert part not in text
    assert "1</b><span>attempt active" in text
    failed = re.search(r'href="(/failures/attempts\?since=24h[^"]+)"', text)
    assert failed is not None
    assert text_of(browser("viewer").get(failed[1].replace("&amp;", "&"))).count("<tr><td") == 1
    empty = page(of="STAMPEDE_COMPASS_MCORE")
    for sentence in (
        "Nothing runs here",
        "No agent is at work here",
        "No attempt failed here",
        "No breaker keeps jobs",
    ):
        assert sentence in empty


def test_sites_have_their_cpu_efficiency_of_the_last_day() -> None:
    submit()
    task, hour = Task.objects.get(), hour_of(now())
    for place, at, cpu_s in ((SITE, hour, 300.0), (SITE, hour - 2, 500.0), (SITE, hour - 30, 9e9), (OTHER, hour, 0.0)):
        wall_s = 1000.0 if place == SITE else 0.0
        HourlyAttempts.objects.create(
            hour=at, task=task, site=site(place), state="finished", attempts=1, wall_s=wall_s, cpu_s=cpu_s
        )
    text = text_of(browser("viewer").get("/sites"))
    shares = re.findall(r'href="(/plots/efficiency[^"]+)">([^<]+)</a>', text)
    assert shares == [(f"/plots/efficiency?site={SITE}", "40\u2009%")], "and none where nothing has ended"
    assert browser("viewer").get(shares[0][0]).status_code == 200


def test_agents_of_a_site_go_on_on_the_next_page() -> None:
    for number in range(60):
        Agent.objects.create(name=f"a{number:02d}", site=site())
    viewer, found = browser("viewer"), []
    link = f"/sites/{site().pk}"
    for _ in range(2):
        text = text_of(viewer.get(link))
        found += re.findall(r'<td><a href="/jobs\?agent=(a\d\d)">\1</a>', text)
        link = (re.search(r'href="([^"]+)#agents">Further', text) or [link, link])[1]
    assert found == [f"a{number:02d}" for number in range(60)]
    assert viewer.get(f"/sites/{site().pk}?after=x").status_code == 422


def test_settings_tell_the_profile_from_what_was_set_manually() -> None:
    assert setting("New jobs") == ["open", "open", "not set"]
    profile = setting("Attempts at once")
    assert profile[0] == profile[1]
    assert profile[2] == "not set"
    manager = browser("manager")
    manager.post(f"/sites/{site().pk}/limit", {"most": "17", "to": "limit", "why": "slow storage"})
    assert site().max_active == 17
    in_force, of_profile, manual = setting("Attempts at once")
    assert (in_force, of_profile) == ("at most 17", profile[1])
    assert manual.startswith("at most 17 by person:a-manager")
    manager.post(f"/sites/{site().pk}/decide", {"to": "close", "why": "maintenance"})
    in_force, of_profile, manual = setting("New jobs")
    assert (in_force, of_profile) == ("closed: maintenance", "open")
    assert "by person:a-manager" in manual
    assert setting("Inputs on tape")[2] == "only by the profile"
    history = page("/settings").partition("<h2>History</h2>")[2]
    assert history.index("maintenance") < history.index("slow storage")
    assert "profile → 17" in history
    manager.post(f"/sites/{site().pk}/limit", {"to": "profile", "most": "17", "why": "fast again"})
    assert setting("Attempts at once") == profile
    manager.post(f"/sites/{site().pk}/decide", {"to": "open", "why": "it is over"})
    assert setting("New jobs") == ["open", "open", "not set"]


def test_a_manual_setting_is_shown_after_any_number_of_other_entries() -> None:
    manager = browser("manager")
    manager.post(f"/sites/{site().pk}/limit", {"most": "17", "to": "limit", "why": "slow storage"})
    manager.post(f"/sites/{site().pk}/decide", {"to": "close", "why": "maintenance"})
    same = {"subject": "site", "subject_id": site().pk, "before": "closed", "after": "closed", "who": "profile"}
    AuditEntry.objects.bulk_create(AuditEntry(**same, why="staging") for _ in range(60))
    for name in ("New jobs", "Attempts at once"):
        assert "by person:a-manager" in setting(name)[2]


def test_a_site_that_its_profile_has_no_more_has_no_settings_of_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = ProfileSite(max_active=5, staging=False, merging=OTHER)
    names = ("Attempts at once", "Inputs on tape", "Merges of its tasks")
    monkeypatch.setitem(profile_of("COMPASS").sites, SITE, changed)
    assert [setting(name)[1] for name in names] == ["at most 5", "used where they are", f"at {OTHER}"]
    monkeypatch.delitem(profile_of("COMPASS").sites, SITE)
    for name in names:
        in_force, of_profile, _ = setting(name)
        assert of_profile == "not in the profile"
        assert in_force != of_profile


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({"to": "limit", "most": "17"}, 422, "needs a reason"),
        ({"to": "limit", "most": "many", "why": "x"}, 422, "no whole number"),
        ({"to": "limit", "most": "-1", "why": "x"}, 422, "no whole number"),
        ({"to": "limit", "most": "", "why": "x"}, 422, "no whole number"),
        ({"to": "limit", "most": "99999999", "why": "x"}, 422, "The limit cannot be set"),
        ({"to": "profile", "why": "x"}, 409, "nothing was changed"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(form: dict[str, str], status: int, said: str) -> None:
    before = (site().max_active, AuditEntry.objects.filter(subject="site limit").count())
    answer = browser("manager").post(f"/sites/{site().pk}/limit", form)
    assert answer.status_code == status
    assert said in text_of(answer)
    assert (site().max_active, AuditEntry.objects.filter(subject="site limit").count()) == before


def test_a_site_that_is_closed_already_is_not_closed_again() -> None:
    transact(lambda: move_site(SITE, "close", WHY))
    answer = browser("manager").post(f"/sites/{site().pk}/decide", {"to": "close", "why": "x"})
    assert answer.status_code == 409
    assert WHY.why in page("/settings")


def test_only_a_manager_is_offered_to_change_settings() -> None:
    assert "Set the limit" in page("/settings", role="manager")
    for role in ("viewer", "expert"):
        text = page("/settings", role=role)
        assert "Set the limit" not in text
        assert "A manager limits" in text


def test_what_pilots_get_says_what_the_profile_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    sites = profile_of("COMPASS").sites
    monkeypatch.setitem(sites, SITE, ProfileSite(panda={"maxrss": 4321, "odd": [1, "x"]}))
    told = page("/settings").partition("What PanDA pilots get")[2].partition("History")[0]
    rows = re.findall(r'class="mono">([^<]+)</th><td class="mono wide">([^<]*)</td><td>(.*?)</td>', told)
    found = {name: (value, "profile" in where) for name, value, where in rows}
    assert found["maxrss"] == ("4321", True)
    assert found["odd"] == ("[1,&quot;x&quot;]", True)
    assert found["nickname"] == (SITE, False)


def test_a_site_that_there_is_not_is_not_found() -> None:
    for part in ("", "/settings"):
        assert browser("viewer").get(f"/sites/99999{part}").status_code == 404
    assert browser("manager").post("/sites/99999/limit", {"to": "profile", "why": "x"}).status_code == 404
    assert browser("manager").post("/sites/99999/decide", {"to": "close", "why": "x"}).status_code == 404


def test_texts_of_people_agents_and_nodes_stay_texts() -> None:
    submit()
    leased(HOSTILE)
    Attempt.objects.update(node=HOSTILE)
    Agent.objects.create(name=HOSTILE, site=site(), host=HOSTILE)
    Site.objects.update(closed=HOSTILE)
    for part in ("", "/settings"):
        assert_harmless(page(part, role="manager"))
