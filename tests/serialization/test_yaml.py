from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pilotext.errors import FieldError
from pilotext.serialization import yaml as yaml_file
from pilotext.serialization.yaml import Document, path_steps, read_yaml


def document(folder: Path, text: str) -> Document:
    path = folder / "x.yaml"
    path.write_text(text)
    return read_yaml(path)


def test_every_value_has_its_line_and_column(tmp_path: Path) -> None:
    read = document(tmp_path, "a: 1\nb:\n  - c: 2\n  - {d: 3}\n")
    assert read.data == {"a": 1, "b": [{"c": 2}, {"d": 3}]}
    assert read.problems == ()
    assert read.position(("b", 1, "d")) == (4, 6)


def test_the_position_of_what_is_not_there_is_that_of_the_nearest_thing_around_it(tmp_path: Path) -> None:
    read = document(tmp_path, "a: 1\nb:\n  - c: 2\n")
    assert read.position(("b", 0, "missing", 3)) == read.position(("b", 0)) == (3, 5)
    assert document(tmp_path, "").position(("b",)) == (1, 1)


def test_a_date_stays_text(tmp_path: Path) -> None:
    assert document(tmp_path, "since: 2017-09-12\n").data == {"since": "2017-09-12"}


@pytest.mark.parametrize(("text", "value"), [("4.5e9", 4.5e9), ("-1E3", -1000.0), ("e9", "e9"), ("1.2.3e4", "1.2.3e4")])
def test_a_number_with_an_exponent_is_a_number(tmp_path: Path, text: str, value: float | str) -> None:
    assert document(tmp_path, f"limit: {text}\n").data == {"limit": value}


def test_a_key_that_stands_twice_is_told_with_both_lines(tmp_path: Path) -> None:
    read = document(tmp_path, "a: {x: 1}\nb: [{y: 1,\n  y: 2}]\n")
    assert [str(problem) for problem in read.problems] == [
        f"{read.path}:3:3: `y` is given a second time. Remove one; the first is on line 2."
    ]


def test_equal_keys_in_different_mappings_are_no_problem(tmp_path: Path) -> None:
    assert document(tmp_path, "a: {x: 1}\nb: {x: 1}\n").problems == ()


def test_an_alias_is_read_once(tmp_path: Path) -> None:
    read = document(tmp_path, "a: &one {x: 1}\nb: *one\n")
    assert read.data == {"a": {"x": 1}, "b": {"x": 1}}
    assert read.problems == ()


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        (b"a: [1\nb: 2\n", (2, 2), "this is not YAML"),
        (b"a: b: c\n", (1, 5), "mapping values are not allowed"),
        (b"a: !ghost x\n", (1, 4), "could not determine a constructor"),
        (b"a: \xff\n", (1, 1), "not UTF-8 text: byte 3"),
        (b"a: '\x07'\n", (1, 1), "this is not YAML"),
    ],
)
def test_what_cannot_be_read_is_a_problem_with_its_place(
    tmp_path: Path, content: bytes, place: tuple[int, int], words: str
) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    read = read_yaml(path)
    [problem] = read.problems
    assert read.data is None
    assert (problem.line, problem.column) == place
    assert words in problem.message


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    [problem] = read_yaml(tmp_path / "none.yaml").problems
    assert "No such file" in problem.message


@pytest.mark.parametrize(("line", "words"), [("format: 2", "Upgrade"), ("a: 1", "Begin it with `format: 1`")])
def test_another_format_is_refused_before_its_fields_are(tmp_path: Path, line: str, words: str) -> None:
    problem = document(tmp_path, line).format_problem(1)
    assert problem is not None
    assert words in problem.advice


def test_the_known_format_is_accepted(tmp_path: Path) -> None:
    assert document(tmp_path, "format: 1").format_problem(1) is None


def test_the_former_name_of_the_format_is_read_and_told(tmp_path: Path) -> None:
    former = document(tmp_path, "# a\nengine: 1")
    assert former.format_problem(1) is None
    assert [str(one).partition(".yaml:")[2] for one in former.former_format_problem()] == [
        "2:1: `engine` is now called `format`. Rename it: the next release does not read it."
    ]
    problem = document(tmp_path, "engine: 2").format_problem(1)
    assert problem is not None
    assert problem.advice == "Upgrade pilotext."


def test_a_wrong_field_is_told_at_its_own_line(tmp_path: Path) -> None:
    read = document(tmp_path, "rules:\n  - id: a\n    lines: x\n")
    problem = read.field_problem(("rules", 0), FieldError("lines", "this is no number."), rule="a")
    assert str(problem) == f"{read.path}:3:5: a: `lines`: this is no number."


def test_a_path_is_read_as_steps() -> None:
    assert path_steps("any[0].exit.codes[12]") == ("any", 0, "exit", "codes", 12)
    assert path_steps("") == ()


@pytest.mark.parametrize("number", ["9" * 5000, "0b_", "-0x_"])
def test_a_number_that_python_cannot_read_is_a_problem_with_its_place(tmp_path: Path, number: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"format: 1\ncode: {number}\n")
    [problem] = read_yaml(path).problems
    assert (problem.line, problem.column) == (2, 7)
    assert "this number cannot be read" in problem.message


@pytest.mark.parametrize("text", ["a: " + "[" * 900 + "]" * 900, "a: " + "[" * 5000, "- " * 900 + "x", "{a: " * 3000])
def test_what_is_nested_without_end_is_told_where_it_gets_too_deep(tmp_path: Path, text: str) -> None:
    read = document(tmp_path, text)
    assert read.data is None
    assert [(one.line, one.message) for one in read.problems] == [(1, "this is nested deeper than 40 levels.")]


def test_some_levels_and_many_brackets_are_no_deep_nesting(tmp_path: Path) -> None:
    read = document(tmp_path, "a: " + "[" * 20 + "]" * 20 + "\nb: [" + "[], " * 3000 + "]\n")
    assert read.problems == ()


@pytest.mark.parametrize("text", ["a: " + "[" * 900 + "]" * 900, "- " * 900 + "x", "{a: " * 3000, "a: " + "[" * 5000])
@pytest.mark.parametrize("refusal", [yaml.parser.ParserError(None, None, "too deep for me"), RecursionError("stack")])
def test_the_depth_is_ours_where_a_library_refuses_it_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, refusal: Exception
) -> None:
    class Strict(yaml_file._Loader):
        def get_single_node(self) -> yaml.Node:
            raise refusal

        def get_event(self) -> yaml.Event:
            raise refusal

        def check_event(self, *choices: type[yaml.Event]) -> bool:
            raise refusal

    monkeypatch.setattr(yaml_file, "_Loader", Strict)
    read = document(tmp_path, text)
    assert [(one.line, one.message) for one in read.problems] == [(1, "this is nested deeper than 40 levels.")]


def test_brackets_in_a_quoted_text_and_an_error_behind_it_are_no_nesting(tmp_path: Path) -> None:
    [problem] = document(tmp_path, "a: '" + "[" * 3000 + "'\nb: 1: 2\n").problems
    assert (problem.line, "mapping values are not allowed" in problem.message) == (2, True)


def test_what_is_refused_at_forty_levels_is_read_at_thirty_nine(tmp_path: Path) -> None:
    assert document(tmp_path, "a: " + "[" * 39 + "]" * 39).problems == ()
    assert len(document(tmp_path, "a: " + "[" * 40 + "]" * 40).problems) == 1


@pytest.mark.parametrize(
    ("text", "meaning", "advice"),
    [
        ("title: ROOT: no file\n", "a second colon in the line", "Put the text into single quotes"),
        ("- id: a\n  code: 1\n title: t\n", "does not continue the list", "Correct the indentation"),
        ("a:\n - b\n c: d\n", "does not continue the list above it", "Correct the indentation"),
        ("a:\n  b: c\n\td: e\n", "a tab where blanks must stand", "Indent with blanks."),
        ('match: "a\\d+"\n', "a backslash begins an escape", "Put patterns into single quotes"),
        ("match: 'a\nb: c\n", "a quote is not closed", "Close it"),
        ("match: *** Break ***\n", "begins with `*` or `&`", "Put the text into single quotes"),
        ("match: *Break\n", "begins with `*`", "Put the text into single quotes"),
        ("match: %MSG-e\n", "begins with a sign that has a meaning in YAML", "Put the text into single quotes"),
        ("match: @SUB=x\n", "begins with a sign that has a meaning in YAML", "Put the text into single quotes"),
        ("match: [ERROR] x\n", "does not fit what stands around it", "Put the text into single quotes"),
        ("jobs: [a, b\nid: c\n", "a bracket or brace is not closed", "Put the text into single quotes"),
        ("match: !!! FATAL\n", "begins with `!`", "Put the text into single quotes"),
        ("a:\n  b c\nd\ne: f\n", "a key without a colon", "Put the text into single quotes"),
    ],
)
def test_a_mistake_in_yaml_is_told_in_the_words_of_the_file(
    tmp_path: Path, text: str, meaning: str, advice: str
) -> None:
    [problem] = document(tmp_path, text).problems
    assert meaning in problem.message
    assert advice in problem.advice
