from __future__ import annotations

import json
from pathlib import Path

import pytest

from pilotext.rules.lint.runner import lint
from pilotext.rules.lock import update_lock
from tests.rules.packs import EXAMPLES, RULE, Pack

BOOM = f"{{id: boom, code: 1299, match: boom, {RULE}, {EXAMPLES}}}"
BANG = f"{{id: bang, code: 1298, match: bang, {RULE}, examples: [{{match: bang}}, {{no-match: x}}]}}"


def write(pack: Pack, *rules: str) -> Path:
    pack.add("number: 62\njob_types: {}\n", "na62/experiment.yaml")
    return pack.add("rules:\n" + "".join(f"- {rule}\n" for rule in rules), "na62/a.yaml")


def problems(pack: Pack) -> list[str]:
    root = pack.root.resolve()
    return [str(problem).removeprefix(f"{root}/") for problem in lint([root])]


def test_a_folder_without_a_lock_is_not_watched(pack: Pack) -> None:
    write(pack, BOOM)
    assert problems(pack) == []


def test_a_lock_that_was_just_written_agrees(pack: Pack) -> None:
    write(pack, BOOM, BANG)
    update_lock(pack.root)
    assert problems(pack) == []
    locked = json.loads((pack.root / "lock.json").read_text())["na62"]
    assert (list(locked), locked["boom"]["code"], locked["boom"]["cause"]) == (["bang", "boom"], 1299, "memory")


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (BOOM.replace("1299", "1297"), "na62/a.yaml:4:14: boom: the rule's code was 1299."),
        (BOOM.replace("memory", "crash"), "na62/a.yaml:4:39: boom: the cause was 'memory'"),
        (BOOM.replace("action: retry", "action: fail"), "na62/a.yaml:4:54: boom: the action was 'retry'"),
        (BOOM.replace("match: boom,", "match: bo+m,"), "na62/a.yaml:4:3: boom: the rule matches something else"),
        (BOOM.replace("id: boom", "id: bum"), "na62/a.yaml:4:13: bum: code 1299 was agreed for boom"),
    ],
)
def test_a_silent_change_is_told(pack: Pack, now: str, words: str) -> None:
    write(pack, BOOM)
    update_lock(pack.root)
    write(pack, now)
    assert any(problem.startswith(words) for problem in problems(pack)), problems(pack)


def test_what_is_no_change_of_meaning_is_left_alone(pack: Pack) -> None:
    write(pack, BOOM)
    update_lock(pack.root)
    write(pack, BOOM.replace("title: t", "title: other, remedy: pray, status: retired"))
    assert problems(pack) == []


def test_a_rule_that_is_gone_is_told_with_its_line_in_the_lock(pack: Pack) -> None:
    write(pack, BOOM, BANG)
    update_lock(pack.root)
    write(pack, BANG)
    [problem] = problems(pack)
    assert problem.startswith("lock.json:4:1: boom: the rule with code 1299 is gone. Put it back, with")


def test_a_new_rule_asks_for_the_lock(pack: Pack) -> None:
    write(pack, BOOM)
    update_lock(pack.root)
    write(pack, BOOM, BANG)
    [problem] = problems(pack)
    assert problem.startswith("na62/a.yaml:5:4: bang: the rule is not in lock.json.")
    assert "pilotext rules lint --update-lock" in problem


def test_an_update_agrees_to_meanings_and_never_to_codes_or_lost_rules(pack: Pack) -> None:
    write(pack, BOOM, BANG)
    update_lock(pack.root)
    write(pack, BOOM.replace("1299", "1297").replace("memory", "crash"))
    update_lock(pack.root)
    assert [problem.partition(": ")[2][:28] for problem in problems(pack)] == [
        "bang: the rule with code 129",
        "boom: the rule's code was 12",
    ]
    write(pack, BOOM.replace("memory", "crash"), BANG)
    update_lock(pack.root)
    assert problems(pack) == []


def test_an_update_does_not_agree_to_a_rule_that_is_wrong(pack: Pack) -> None:
    write(pack, BOOM)
    update_lock(pack.root)
    before = (pack.root / "lock.json").read_text()
    write(pack, BOOM.replace("memory", "memry"))
    update_lock(pack.root)
    assert (pack.root / "lock.json").read_text() == before


def test_a_lock_that_cannot_be_read_is_told(pack: Pack) -> None:
    write(pack, BOOM)
    (pack.root / "lock.json").write_text('{"na62": {"boom": {"code": "x"}}}')
    [problem] = problems(pack)
    assert problem.startswith("lock.json:1:1: ")
    assert "expected `int`" in problem


def test_a_folder_that_is_gone_is_told_rule_by_rule(pack: Pack) -> None:
    write(pack, BOOM)
    pack.add(f"rules: [{BOOM}]\n", "amber/a.yaml")
    update_lock(pack.root)
    (pack.root / "amber" / "a.yaml").unlink()
    (pack.root / "amber").rmdir()
    [problem] = problems(pack)
    assert problem.startswith("lock.json:3:1: boom: the rule with code 1299 is gone.")


def test_our_own_rules_without_their_lock_are_a_problem(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    write(pack, BOOM)
    update_lock(pack.root)
    (pack.root / "lock.json").unlink()
    monkeypatch.setattr("pilotext.rules.lock.find_rules_root", pack.root.resolve)
    [problem] = problems(pack)
    assert problem.startswith("lock.json:1:1: the lock file is missing. Take it back from version control;")
