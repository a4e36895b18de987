"""The fault matrix: which faults are injected in which phase, as told by the tests that inject them.

A test names its cell with `@pytest.mark.fault("stage-in", "server killed in mid transfer")`; one that goes over several
phases or faults gives each parameter its mark. `bin/test -- --fault-matrix` prints the cells and their outcomes.
"""

from __future__ import annotations

from collections import defaultdict

import pytest

KEY = "fault-cell"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-matrix", action="store_true", help="print the faults injected, phase by phase")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(phase, fault): this test really injects that fault in that phase")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The cells travel with each test's outcome, so that they arrive from parallel processes too."""
    for item in items:
        for mark in item.iter_markers("fault"):
            phase, fault = mark.args
            item.user_properties.append((KEY, f"{phase}: {fault}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.getoption("--fault-matrix"):
        return
    outcomes: defaultdict[str, set[str]] = defaultdict(set)
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, ()):
            for key, cell in getattr(report, "user_properties", ()):
                if key == KEY:
                    outcomes[cell].add(outcome)
    terminalreporter.section("fault matrix")
    for cell, seen in sorted(outcomes.items()):
        terminalreporter.write_line(f"{'ok' if seen == {'passed'} else 'NOT ok':8}{cell}")
    good = sum(seen == {"passed"} for seen in outcomes.values())
    terminalreporter.write_line(f"{good} of {len(outcomes)} cells are green")
