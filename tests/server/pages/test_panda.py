from __future__ import annotations

import pytest
from django.template.loader import render_to_string
from django.test import override_settings

from pilotext.server.pages.panda import PandaLink, links_of_attempt, links_of_task
from pilotext.server.production.models import Attempt
from tests.server.support import leased, submit

pytestmark = pytest.mark.usefixtures("database")


def attempt(task: int | None, job: int | None) -> Attempt:
    submit()
    given = leased()
    Attempt.objects.update(panda_task=task, panda_job=job)
    return Attempt.objects.get(pk=given.attempt)


def test_a_job_and_its_task_lead_to_the_monitor() -> None:
    row = attempt(40, 101)
    with override_settings(PANDA_MONITOR="https://monitor.example"):
        job = PandaLink("PanDA job 101", "https://monitor.example/job?pandaid=101")
        task = PandaLink("JEDI task 40", "https://monitor.example/task/40/")
        assert list(links_of_attempt(row)) == [job, task]
        assert links_of_task(row.task_id) == [task]


def test_without_a_monitor_the_numbers_are_shown_alone() -> None:
    row = attempt(40, 101)
    assert [link.address for link in links_of_attempt(row)] == ["", ""]
    assert links_of_task(row.task_id) == [PandaLink("JEDI task 40", "")]


def test_the_pages_show_links_only_where_there_is_an_address() -> None:
    linked, bare = PandaLink("PanDA job 101", "https://monitor.example/job?pandaid=101"), PandaLink("JEDI task 40", "")
    shown = render_to_string("pages/part_panda.html", {"panda": [linked, bare]})
    assert (
        '<a href="https://monitor.example/job?pandaid=101" rel="noreferrer">PanDA job 101</a> · JEDI task 40' in shown
    )
    assert render_to_string("pages/part_panda.html", {"panda": []}).strip() == ""


@pytest.mark.parametrize("task", [None, 0])
def test_what_is_not_in_panda_has_no_link(task: int | None) -> None:
    row = attempt(task, None)
    assert list(links_of_attempt(row)) == []
    assert links_of_task(row.task_id) == []
