"""Alerts and the dashboard ask for metrics that a server has."""

from __future__ import annotations

import json
import re
import signal

import pytest
import requests
import yaml

from tests.support.hostile import SITE, hostile_server, page, submit, wait_for
from tests.support.jobs import CHECKOUT
from tests.support.pilotext_server import ProductionServer

FOLDER = CHECKOUT / "docs/deployment/monitoring"
_LABELS = re.compile(r'(\w+) *(?:=~|!~|!=|=) *"')
_SAMPLE = re.compile(r"^(\w+)(\{.*\})? \S+$", re.MULTILINE)


def expressions() -> list[str]:
    alerts = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    asked = [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    return [*asked, *(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])]


def unknown(expression: str, offered: str) -> list[str]:
    """Return the metrics of an expression that are not offered, or not with the labels that it names."""
    labels = {name: {*_LABELS.findall(given)} for name, given in _SAMPLE.findall(offered)}
    wanted = [
        (name, {*_LABELS.findall(given)}) for name, given in re.findall(r"(pilotext_\w+)(\{[^}]*\})?", expression)
    ]
    return [name for name, named in wanted if name not in labels or not named <= labels[name]]


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The metrics of a server with a job, an agent and a cycle."""
    with hostile_server(tmp_path_factory.mktemp("metrics")) as server:
        submit(server, "sleeping", "sleep 600")
        agent = server.agent("--site", SITE, "--stop-within", "0")
        wait_for(lambda: page(server, "sleeping").job.state == "running", server)
        wait_for(lambda: "pilotext_attempts_active{" in metrics(server), server)
        wait_for(lambda: "pilotext_cycle_last_seconds{" in metrics(server), server)
        told = metrics(server)
        agent.send_signal(signal.SIGTERM)
        agent.wait(100)
        return told


def metrics(server: ProductionServer) -> str:
    return requests.get(f"{server.url}/metrics", timeout=10).text


@pytest.mark.parametrize("expression", expressions())
def test_every_metric_that_is_asked_for_is_offered_with_its_labels(expression: str, offered: str) -> None:
    assert "pilotext_" in expression or expression == 'up{job="pilotext"} == 0'
    assert unknown(expression, offered) == []


@pytest.mark.parametrize("expression", ["pilotext_job > 1", 'pilotext_jobs{status="ready"}'])
def test_a_metric_or_a_label_that_is_not_offered_is_found(expression: str, offered: str) -> None:
    assert unknown(expression, offered) != []


def test_every_metric_of_the_document_is_offered_with_its_labels(offered: str) -> None:
    named = re.findall(r"^\| `(pilotext_\w+)\{([\w,]+)\}`", (CHECKOUT / "docs/operate.md").read_text(), re.MULTILINE)
    assert len(named) == 7
    forms = [name + "{" + ",".join(f'{label}="x"' for label in labels.split(",")) + "}" for name, labels in named]
    assert [form for form in forms if unknown(form, offered)] == []
