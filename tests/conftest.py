"""What holds for every test."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings

# The short form tries the same examples each time, so that no change is blamed for bad luck; the soak does not.
settings.register_profile("short", deadline=None, derandomize=True)
settings.register_profile("soak", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("soak" if os.environ.get("PILOTEXT_SOAK") else "short")

# XRootD's client takes these from the environment once, when it is first imported in a process: dead servers are given
# up after seconds, in this process and in those it starts.
os.environ.update(
    XRD_CONNECTIONWINDOW="2",
    XRD_CONNECTIONRETRY="1",
    XRD_REQUESTTIMEOUT="10",
    XRD_STREAMTIMEOUT="5",
    XRD_TIMEOUTRESOLUTION="1",
    XRD_STREAMERRORWINDOW="2",
    # Tests start processes while the client has threads; its fork handler then sometimes waits for itself for ever.
    XRD_RUNFORKHANDLER="0",
)

# Most tests are about its rules; the tests of the default remove it.
os.environ["PILOTEXT_EXPERIMENT"] = "COMPASS"


@pytest.fixture(scope="session", autouse=True)
def _spool_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Reports that tests leave behind wait in no spool of the user's; children inherit this."""
    os.environ["PILOTEXT_SPOOL"] = str(tmp_path_factory.mktemp("spools") / "spool")


pytest_plugins = ["tests.support.fault_matrix"]

USES_SERVERS = ("XrdServer", "serving")
"""Names that a test module has when some of its tests start an XRootD server."""

WHOLE_PROGRAMS = ("browser", "end_to_end", "fixtures", "fuzz")
"""Folders of tests that run whole programs, or long."""


_NO_PARAMETERS = SimpleNamespace(params={})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the unit tests, which are all that `bin/test --fast` runs, and begin with the longest tests.

    The processes of a parallel run share the list out in consecutive parts, and the end of a part is done by whoever
    has nothing left. So one process has the long tests, which mostly wait, while the others use the processor, and no
    long test is begun when everything else has ended.
    """
    items.sort(key=_seconds, reverse=True)
    for item in items:
        module = getattr(item, "module", None)
        over_servers = any(hasattr(module, name) for name in USES_SERVERS)
        on_postgres = "postgresql" in getattr(item, "callspec", _NO_PARAMETERS).params.values()
        if item.path.parent.name not in WHOLE_PROGRAMS and not over_servers and not on_postgres:
            item.add_marker("unit")


def pytest_collection_finish() -> None:
    """Let Python's cyclic collector leave the tests and what they import alone: an eighth of the time went to it."""
    from pilotext.server.boot import collect_garbage_less_often

    collect_garbage_less_often()


def _seconds(item: pytest.Item) -> float:
    """Return how long the test takes by its mark `long`; 0 without one."""
    mark = item.get_closest_marker("long")
    return float(mark.args[0]) if mark else 0.0
