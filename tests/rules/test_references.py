"""Sources of the shipped rules: each rule names one, and a finding names the module that makes it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pilotext.model.verdict import FINDINGS
from pilotext.rules.lint.references import OWN_MODULE
from pilotext.rules.loader import load_rules
from pilotext.rules.schema import Rule
from tests.support.jobs import CHECKOUT

RULES = {rule.id: rule for name in ("COMPASS", "NA62") for rule in load_rules(name).rules}
FORMS = (
    r"https?://\S+(?: \(.+\))?",
    r"[\w.]+\(\d\)(?:: .+)?",  # a manual page
    r"[\w.-]+(?: [\w.-]+){0,3}: \S.*",  # a program and its source file, or a chapter of its manual
    r"pilotext/[\w/]+\.py",
    r"CERN Program Library .+",
)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_says_where_its_text_comes_from(rule: Rule) -> None:
    assert rule.text.references
    for reference in rule.text.references:
        assert any(re.fullmatch(form, reference) for form in FORMS), reference
        assert "TODO" not in reference


def found_by(rule: Rule) -> list[str]:
    """The findings that a rule gives a code, as the wrapper writes them in its code."""
    names = [*(form.finding for form in rule.conditions if form.finding)]
    return [re.sub(r"^(stage-(?:in|out))-.*", r"\1-{", name) for name in names] + [
        "limit-{" for form in rule.conditions if form.limit
    ]


FOUND = {name: rule for name, rule in RULES.items() if found_by(rule)}


@pytest.mark.parametrize("rule", FOUND.values(), ids=FOUND)
def test_a_finding_names_the_module_that_makes_it(rule: Rule) -> None:
    modules = [path for reference in rule.text.references for path in OWN_MODULE.findall(reference)]
    texts = [Path(CHECKOUT, path).read_text() for path in modules]
    for name in found_by(rule):
        assert any(f'"{name}' in text for text in texts), (name, modules)


def test_every_finding_has_its_rule() -> None:
    assert len(FOUND) == len(FINDINGS)
