"""Each verb has a parser of its own; command lines that were understood before there were such parsers still are."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator

import pytest

from pilotext.api.schemas.fields import words_of
from pilotext.api.schemas.jobs import JobState
from pilotext.cli.main import COMMANDS, main
from pilotext.cli.parser import Command, Noun, Verb, build, parse


def verbs() -> Iterator[tuple[str, Verb]]:
    """Yield every verb of every noun, with its words."""
    _, nouns = build(COMMANDS, COMMANDS)
    for noun, of_noun in nouns.items():
        for name, verb in of_noun.verbs.items():
            yield f"{noun} {name}", verb


VERBS = dict(verbs())
NOTHING = {"completion", "users"}
"""Commands and verbs whose example is not longer than their name."""


def help_of(words: str, capfd: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        main([*words.split(), "--help"])
    assert end.value.code == 0
    return capfd.readouterr().out


def parsed(line: str) -> argparse.Namespace:
    words = shlex.split(line)
    return parse(COMMANDS, words[1:] if words[:1] == ["pilotext"] else words)


def test_the_help_of_a_verb_is_about_that_verb(capfd: pytest.CaptureFixture[str]) -> None:
    resend = help_of("jobs resend", capfd)
    assert "usage: pilotext jobs resend" in resend
    assert "Run jobs again." in resend
    assert 'pilotext jobs resend 4711 --why "the file was copied again"' in resend
    assert "--why REASON" in resend
    for option in ("--act", "--to", "--limit"):
        assert option not in resend
    assert "--act" in help_of("jobs rejudge", capfd)
    assert "--why" not in help_of("jobs list", capfd)


@pytest.mark.parametrize("words", [*COMMANDS, *VERBS])
def test_every_verb_has_a_description_and_an_example(words: str, capfd: pytest.CaptureFixture[str]) -> None:
    text = help_of(words, capfd)
    assert f"usage: pilotext {words}" in text
    if not any(verb.startswith(f"{words} ") for verb in VERBS):
        assert f"\n  pilotext {words}" in text.partition("\nexample")[2]


@pytest.mark.parametrize("words", VERBS)
def test_every_example_is_understood(words: str) -> None:
    for line in VERBS[words].example.split("\n"):
        options = parsed(line.partition(" > ")[0])
        assert options.function is VERBS[words].run


OLD = {
    "jobs": "jobs list",
    "jobs --task t --limit 5": "jobs list",
    "jobs --task t resend --why x": "jobs resend",
    "jobs --all-tasks --yes fail --state manual --why x": "jobs fail",
    "jobs --task list": "jobs list",
    "jobs --task=t manual": "jobs manual",
    "jobs --json show 7": "jobs show",
    "tasks --state running": "tasks list",
    "tasks --json": "tasks list",
    "tasks --why x cancel t": "tasks cancel",
    "runs t": "runs list",
    "runs t --run 5": "runs list",
    "runs --state manual t": "runs list",
    "runs --run 5 show t": "runs show",
    "sites": "sites list",
    "sites --why x close --breaker 3": "sites close",
    "agents --site s --state active": "agents list",
    "tokens": "tokens list",
    "tokens --role agent make n": "tokens make",
    "server": "server all",
    "server --listen 127.0.0.1:1": "server all",
    "server --database sqlite:///x migrate": "server migrate",
    "server --label x --role agent token": "server token",
}


@pytest.mark.parametrize("line", OLD)
def test_a_verb_may_be_left_out_or_stand_behind_options(line: str) -> None:
    assert parsed(line).function is VERBS[OLD[line]].run


def test_an_option_with_the_name_of_a_verb_is_no_verb() -> None:
    assert parsed("jobs --task resend").task == "resend"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("jobs list --why x", "--why: `pilotext jobs list` takes no such argument; it is an option of: resend,"),
        ("jobs list 7", "7: `pilotext jobs list` takes no such argument; see `pilotext jobs list --help`"),
        ("jobs --stat manul", "argument --state: there is no state 'manul'. Did you mean 'manual'?"),
        ("jobs undo", "invalid choice: 'undo'"),
        ("jobs 7", "invalid choice: '7'"),
        ("tasks show", "the following arguments are required: TASK"),
        ("tasks pause t --why ''", "a decision needs a reason"),
        ("run a.json --bogus", "--bogus: `pilotext run` takes no such argument; see `pilotext run --help`"),
        ("--bogus", "--bogus: `pilotext` takes no such argument"),
        ("rules", "the following arguments are required: VERB"),
    ],
)
def test_a_wrong_use_names_the_remedy(line: str, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parsed(line)
    assert end.value.code == 64
    assert said in capfd.readouterr().err


@pytest.mark.parametrize("state", words_of(JobState))
def test_the_states_of_the_api_are_those_of_the_options(state: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert parsed(f"jobs --state {state}").state == state
    assert state in help_of("jobs list", capfd)


def test_a_noun_without_a_default_verb_takes_its_words_as_they_are() -> None:
    verb = Verb("try", "pilotext noun try", lambda _parser: None, lambda _options: 0)
    assert Noun({"try": verb}).with_verb(["--x", "try"]) == ["--x", "try"]


def test_only_the_module_of_the_command_is_imported() -> None:
    commands = {"a": Command("pilotext.cli.users", "list"), "b": Command("no.such.module", "fail")}
    assert parse(commands, ["a"]).command == "a"
    with pytest.raises(ModuleNotFoundError):
        parse(commands, ["b"])
