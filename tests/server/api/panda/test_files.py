from __future__ import annotations

import pytest

from pilotext.server.boot import boot

boot()

from django.core.handlers.wsgi import WSGIHandler as Application  # noqa: E402

from pilotext.server.production.models import Experiment, Site  # noqa: E402  needs boot
from pilotext.server.production.profiles import remember_all  # noqa: E402
from tests.server.calls import Answered, request  # noqa: E402
from tests.server.support import SITE  # noqa: E402
from tests.support.jobs import CHECKOUT  # noqa: E402

pytestmark = pytest.mark.usefixtures("database")


def get(path: str) -> Answered:
    remember_all()
    return request(Application(), "GET", path)


def test_a_pilot_is_told_what_its_queue_is() -> None:
    queue = get(f"/cache/schedconfig/{SITE}.all.json").json
    assert (queue["nickname"], queue["state"], queue["catchall"]) == (SITE, "ACTIVE", "")
    assert queue["maxwdir"] > 20_000, "0 would end every job after a minute"
    assert get("/cache/schedconfig.json").json[SITE] == queue


def test_every_storage_that_a_queue_names_is_described() -> None:
    queue = get(f"/cache/schedconfig/{SITE}.all.json").json
    storages = get("/cache/ddmendpoints.json").json
    assert {name for names in queue["astorages"].values() for name in names} == set(storages)


def test_a_pilot_gets_the_transformation_as_it_is() -> None:
    answer = get("/trf/pilotext-trf")
    assert (answer.status, answer.body) == (200, (CHECKOUT / "bin/pilotext-trf").read_bytes())


@pytest.mark.parametrize(
    "path", ["/cache/schedconfig/MOON.all.json", "/cache/", "/trf/../setup.cfg", "/trf/passwd", "/cache/../etc/passwd"]
)
def test_nothing_else_is_to_be_had(path: str) -> None:
    assert get(path).status == 404


def test_a_queue_that_no_profile_names_is_described_by_the_servers_own_words() -> None:
    remember_all()
    Site.objects.create(name="NEW", experiment=Experiment.objects.get(name="COMPASS"))
    assert get("/cache/schedconfig/NEW.all.json").json["nickname"] == "NEW"
