from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotext.errors import UsageError
from pilotext.profile import load_experiment
from pilotext.profile.templates import Scope, parse, parts_of

RAW = "cdr{chunk:d}-{run:d}.raw"


def test_a_name_is_parsed_and_printed_back() -> None:
    assert parse(RAW, "cdr13040-275772.raw") == {"chunk": 13040, "run": 275772}
    assert Scope({"chunk": 13040, "run": 275772}).print(RAW) == "cdr13040-275772.raw"


@pytest.mark.parametrize(
    "name", ["cdrpccoeb01-275772-0.1.raw", "cdr013-5.raw", "cdr1-2.raw.gz", "xcdr1-2.raw", "cdr-2.raw", ""]
)
def test_a_name_of_another_form_is_not_parsed(name: str) -> None:
    assert parse(RAW, name) is None


def test_numbers_of_a_width_keep_it() -> None:
    form = "mcr{chunk:05d}-{run:d}.xml"
    assert parse(form, "mcr00012-7.xml") == {"chunk": 12, "run": 7}
    assert parse(form, "mcr12-7.xml") is None
    assert Scope({"chunk": 12, "run": 7}).print(form) == "mcr00012-7.xml"


@given(st.integers(0, 10**8), st.integers(0, 10**8))
def test_every_form_of_compass_reads_what_it_prints(run: int, chunk: int) -> None:
    values = {"run": run, "chunk": chunk, "prodslt": 0, "phastver": 7}
    experiment = load_experiment("COMPASS")
    for form in ("raw", "mdst", "hist", "dump", "merged mdst", "merged hist", "merged dump", "mc settings"):
        text = Scope(values).print(experiment.names[form])
        found = parse(experiment.names[form], text)
        assert found is not None
        assert {name: int(value) for name, value in found.items()} == {name: values[name] for name in found}


def test_a_value_may_be_made_of_others() -> None:
    assert Scope({"a": "{b}/x", "b": "{c}", "c": 3}).print("{a}") == "3/x"


def test_a_later_layer_hides_an_earlier_one() -> None:
    assert Scope({"a": "1"}, {"a": "2"}).print("{a}") == "2"


@pytest.mark.parametrize(
    ("values", "template", "words"),
    [
        ({"a": "{b}", "b": "{a}"}, "{a}", "made of itself: a → b"),
        ({"soft": None}, "{soft}", "Give `soft` among the task's parameters"),
        ({"soft": "x"}, "{sotf}", "Did you mean {soft}?"),
        ({"run": "x"}, "{run:d}", "needs a whole number"),
    ],
)
def test_what_cannot_be_printed_says_why(values: dict[str, str | None], template: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Scope(values).print(template)


@pytest.mark.parametrize("template", ["{", "{a", "{a:x}", "{a.b}", "{0}", "{a:>5}"])
def test_what_is_no_template_is_refused(template: str) -> None:
    with pytest.raises(UsageError):
        parts_of(template)
