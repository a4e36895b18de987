"""Every verb that prints is given names and logs that would steer a terminal, or look like lines of ours."""

from __future__ import annotations

import ast
import json
import logging
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

import pilotext.cli
from pilotext.api.client import RequestRefusedError
from pilotext.cli import connection
from pilotext.cli.main import main
from pilotext.cli.output import say
from pilotext.cli.report_summary import render
from pilotext.model.report import Report
from pilotext.server.logs import JsonLines

HOSTILE = "a\x1b]0;owned\x07\x9b31m\u202e\u2066[red]\nFORGED: all is well\rFORGED\u2028FORGED\x7f\x00b"
SGR = re.compile(r"\x1b\[[0-9;]*m")
"""What `rich` makes itself, for colours."""


def hostile(kind: Any) -> Any:  # noqa: PLR0911  one for each kind of type
    """A value of this type, as msgspec describes it, with a hostile text wherever there may be any."""
    info = msgspec.inspect
    if isinstance(kind, info.StructType):
        record: type[Any] = kind.cls
        return record(**{each.name: hostile(each.type) for each in kind.fields})
    if isinstance(kind, info.UnionType):
        return hostile(next(each for each in kind.types if not isinstance(each, info.NoneType)))
    if isinstance(kind, info.StrType):
        return HOSTILE
    if isinstance(kind, info.DictType):
        return {hostile(kind.key_type): hostile(kind.value_type)}
    if isinstance(kind, info.VarTupleType | info.ListType):
        return (hostile(kind.item_type),)
    if isinstance(kind, info.TupleType):
        return tuple(map(hostile, kind.item_types))
    if isinstance(kind, info.LiteralType):
        return kind.values[0]
    simple = {info.IntType: 7, info.FloatType: 7.5, info.BoolType: True}
    return simple[type(kind)]


def record(kind: type[Any]) -> Any:
    made = hostile(msgspec.inspect.type_info(kind))
    return msgspec.structs.replace(made, next=None) if hasattr(made, "next") else made


class Server:
    """Answers everything with records whose texts are hostile; with `refusing`, refuses in hostile words."""

    refusing = False

    def get(self, _path: str, kind: type[Any], _query: object = None) -> Any:
        return self._answer(kind)

    def post(self, _path: str, _body: object, kind: type[Any]) -> Any:
        return self._answer(kind)

    def _answer(self, kind: type[Any]) -> Any:
        if self.refusing:
            raise RequestRefusedError(404, f"there is no task {HOSTILE}")
        return record(kind)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(connection, "connect", lambda _options: made)
    return made


WHY = ("--why", "x", "--yes")
VERBS = [
    ("jobs",),
    ("jobs", "manual"),
    ("jobs", "show", "7"),
    ("jobs", "resend", "7", "--why", "x"),
    ("jobs", "resend", "--task", "t", *WHY),
    ("jobs", "resend", "--task", "t", "--why", "x"),
    ("jobs", "rejudge"),
    ("jobs", "rejudge", "--task", "t", "--act", *WHY),
    ("tasks",),
    ("tasks", "show", HOSTILE),
    ("tasks", "history", "t"),
    ("tasks", "pause", HOSTILE, "--why", "x"),
    ("tasks", "wait", "t", "--within", "0"),
    ("runs", "t"),
    ("runs", "show", "t"),
    ("runs", "show", "t", "--run", "7"),
    ("runs", "accept", "t", "--state", "manual", *WHY),
    ("runs", "accept", "t", "--run", "7", "--why", "x"),
    ("errors", "--by", "code,cause,site,task,day"),
    ("signatures",),
    ("sites",),
    ("sites", "close", HOSTILE, "--why", "x"),
    ("agents",),
    ("agents", "drain", "--site", "s", *WHY),
    ("agents", "drain", HOSTILE, "--why", "x"),
    ("tokens",),
    ("tokens", "revoke", HOSTILE, "--why", "x"),
    ("users",),
]


def check(said: str) -> None:
    plain = SGR.sub("", said)
    bad = {character for character in plain if not character.isprintable() and character != "\n"}
    assert not bad, [hex(ord(character)) for character in bad]
    assert not [line for line in plain.split("\n") if line.startswith("FORGED")]


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
@pytest.mark.parametrize("words", VERBS, ids=lambda words: " ".join(words).replace(HOSTILE, "HOSTILE"))
def test_no_name_reaches_the_terminal_as_it_is(
    server: Server,
    words: tuple[str, ...],
    terminal: bool,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if terminal:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "200")
    main(words)
    said = capfd.readouterr()
    assert said.out
    check(said.out + said.err)


@pytest.mark.parametrize("words", VERBS, ids=lambda words: " ".join(words).replace(HOSTILE, "HOSTILE"))
def test_a_json_document_says_the_names_escaped(
    server: Server, words: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    main((*words, "--json"))
    said = capfd.readouterr()
    check(said.out + said.err)
    for line in said.out.splitlines():
        json.loads(line)


@pytest.mark.parametrize("words", [("jobs",), ("tasks", "show", "t"), ("agents", "drain", HOSTILE, "--why", "x")])
def test_a_refusal_is_one_line(server: Server, words: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    server.refusing = True
    assert main(words) == 64
    said = capfd.readouterr().err
    check(said)
    assert said.count("\n") == 1


def test_wrong_words_are_said_without_what_they_hide(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["jobs", HOSTILE])
    check(capfd.readouterr().err)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "std\x1b[31m\u202eerr\nFORGED"
    path.write_bytes(
        b"** TLattice::TLattice: Cannot Allocate 132503040 Bytes in Memory! \xc2\x9b31m \xe2\x80\xae evil\n"
        b"\xc2\x9b before \x1b[2J\nKilled \xe2\x80\xae\xc2\x9b\n"
    )
    return path


@pytest.mark.parametrize("more", [(), ("--json",)], ids=["page", "json"])
@pytest.mark.parametrize(
    "verb", [("classify",), ("rules", "explain", "cannot-allocate"), ("rules", "explain", "killed")]
)
def test_no_log_reaches_the_terminal_as_it_is(
    log: Path, verb: tuple[str, ...], more: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    main([*verb, "--stderr", str(log), "--exit", "1", *more])
    said = capfd.readouterr()
    assert "evil" in said.out or "killed" in verb
    check(said.out + said.err)


@pytest.mark.parametrize("verb", ["lint", "test", "draft"])
def test_no_rule_file_reaches_the_terminal_as_it_is(
    tmp_path: Path, log: Path, verb: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "compass\x9b"
    folder.mkdir()
    rule = {"id": HOSTILE, "code": 1241, HOSTILE: HOSTILE, "title": HOSTILE, "match": [{"regex": f"({HOSTILE}"}]}
    file = folder / "bad\nFORGED\u202e.yaml"
    file.write_text(yaml.safe_dump({"format": 1, "rules": [rule]}, allow_unicode=True))
    words = ["draft", "--stderr", str(log), "--line", "stderr:2"] if verb == "draft" else [verb, str(file)]
    main(["rules", *words])
    said = capfd.readouterr()
    assert said.out + said.err
    check(said.out + said.err)


def test_the_summary_of_a_job_is_lines_of_ours(capfd: pytest.CaptureFixture[str]) -> None:
    report = record(Report)
    for state in ("success", "failure"):
        verdict = msgspec.structs.replace(report.verdict, verdict=state)
        say(render(msgspec.structs.replace(report, verdict=verdict)))
    check(capfd.readouterr().out)


def test_the_log_of_the_server_is_safe_to_look_at() -> None:
    line = JsonLines().format(logging.LogRecord("pilotext", logging.ERROR, "", 0, "no site %s", (HOSTILE,), None))
    check(line)
    assert json.loads(line)["message"].startswith("no site a\x1b")


def prints_by_itself(text: str) -> list[str]:
    """Calls that print without `cli.output`, and texts for `rich` that were not looked at."""
    calls = [ast.unparse(node.func) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    ways = ("print", "sys.stdout.write", "sys.stderr.write", "os.write", "Text", "Text.assemble", "Console")
    return [call for call in calls if call in ways]


OWN = {"output.py": {"os.write"}, "styled_text.py": {"Text.assemble", "Console"}, "tables.py": {"Text", "Console"}}
"""The modules that may: where everything that is printed comes through."""


def test_nothing_prints_beside_the_one_way() -> None:
    found = {
        path.name: set(calls) - OWN.get(path.name, set())
        for path in Path(pilotext.cli.__file__).parent.rglob("*.py")
        if (calls := prints_by_itself(path.read_text()))
    }
    assert {name: calls for name, calls in found.items() if calls} == {}


def test_a_way_beside_it_is_seen() -> None:
    assert prints_by_itself("print(1)\nsys.stdout.write('x')\nText(cell)") == ["print", "sys.stdout.write", "Text"]
