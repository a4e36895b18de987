"""References of rules: our own rules have one, and a module of this package that one names exists."""

from __future__ import annotations

import pytest

from pilotext.rules.lint import references
from pilotext.rules.lint.runner import lint
from tests.rules.packs import EXAMPLES, RULE, Pack

TEXT = f"rules:\n  - {{id: boom, code: 1299, {RULE}, match: boom, SOURCE {EXAMPLES}}}\n"


def said(pack: Pack, source: str) -> list[str]:
    path = pack.add(TEXT.replace("SOURCE", source))
    return [str(problem) for problem in lint([path])]


def test_our_own_rule_without_a_reference_is_refused(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "find_rules_root", lambda: pack.root.resolve())
    [problem] = said(pack, "")
    assert ":4:5: boom: nothing says where its text comes from. Add `references:`" in problem
    assert said(pack, "references: ['signal(7)'],") == []


def test_rules_of_a_site_need_no_reference(pack: Pack) -> None:
    assert said(pack, "") == []


def test_a_module_that_does_not_exist_is_refused(pack: Pack) -> None:
    assert said(pack, "references: [pilotext/worker/validation.py],") == []
    [problem] = said(pack, "references: ['signal(7)', pilotext/worker/nowhere.py],")
    assert "boom: there is no module pilotext/worker/nowhere.py. Correct the path." in problem
