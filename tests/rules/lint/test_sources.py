"""References of rules: our own rules have one, and a module of this package that one names exists."""

from __future__ import annotations

import pytest

from pilotext.rules.lint import references
from pilotext.rules.lint.group import Group
from pilotext.rules.lint.references import missing_sources
from pilotext.rules.source import read_source
from tests.rules.packs import EXAMPLES, RULE, Pack

TEXT = f"rules:\n  - {{id: boom, code: 1299, {RULE}, match: boom, SOURCE {EXAMPLES}}}\n"


def said(pack: Pack, source: str) -> list[str]:
    read = read_source([pack.add(TEXT.replace("SOURCE", source))])
    assert read.problems == ()
    return [str(problem) for problem in missing_sources(Group("COMPASS", read.rules, ()))]


def test_our_own_rule_without_a_reference_is_refused(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "find_rules_root", pack.root.resolve)
    [problem] = said(pack, "")
    assert ":4:6: boom: nothing says where its text comes from. Add `references:`" in problem
    assert said(pack, "references: ['signal(7)'],") == []


def test_rules_of_a_site_need_no_reference(pack: Pack) -> None:
    assert said(pack, "") == []


def test_a_module_that_does_not_exist_is_refused(pack: Pack) -> None:
    assert said(pack, "references: [pilotext/worker/validation.py],") == []
    [problem] = said(pack, "references: ['signal(7)', pilotext/worker/nowhere.py],")
    assert "boom: there is no module pilotext/worker/nowhere.py. Correct the path." in problem


def test_the_check_is_one_of_lint() -> None:
    assert missing_sources in references.REFERENCE_CHECKS
