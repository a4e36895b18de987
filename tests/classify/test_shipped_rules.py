"""The packs as the engine sees them."""

from __future__ import annotations

import pytest

from pilotext.rules.conditions import Condition
from pilotext.rules.literals import required_literals
from pilotext.rules.loader import load_rules

CONDITIONS = [
    pytest.param(condition, id=f"{rule.id}-{number}")
    for rule in load_rules("COMPASS").rules
    for number, condition in enumerate(rule.conditions)
    if condition.match or condition.contains or condition.absent
]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_text_is_found_without_a_look_at_every_line(condition: Condition) -> None:
    """One pattern without a text of its own sends each line of a flood to `regex`, at a hundredth of the speed."""
    assert required_literals(condition) is not None
