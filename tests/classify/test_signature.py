from __future__ import annotations

import pytest

from pilotext.classify.cleaning import Line
from pilotext.classify.signature import decisive_place, masked, quote_tail, signature


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("at 0x7f3a12 in main", "at 0x55ffffb0 in main"),
        ("12:31:08.123 on lxb0123.cern.ch: died", "01:02:03 on b7g07.cern.ch: died"),
        ("2017-09-12 read cdr13040-275772.raw", "2026-11-22 read cdr12019-275000.raw"),
        ("Mon, 11/Sep/2017 11:30:05.012345 (GMT)", "Sun, 22/Nov/2026 12:40:28.072250 (GMT)"),
        ("Sep 12 open /afs/cern.ch/a/b.opt failed", "Nov  2 open /cvmfs/x.opt failed"),
        ("root://eosuser.cern.ch//eos/a.root: no", "root://castor.cern.ch//castor/b.root: no"),
        ("peer 137.138.1.2 went  away", "peer 10.0.0.1 went away"),
        ("energy -1.5e-3 GeV", "energy 7 GeV"),
    ],
)
def test_what_differs_from_job_to_job_is_masked(one: str, other: str) -> None:
    assert masked(one) == masked(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("cannot open map", "cannot open list"), ("detector GM#X dead", "detector DC#Y dead"), ("feed the beef", "feed")],
)
def test_words_are_not_masked(one: str, other: str) -> None:
    assert masked(one) != masked(other)


def test_equal_failures_have_equal_signatures_however_often_a_line_repeats() -> None:
    one = signature(["Event: 5", "Event: 10", "", "died in phase 3"], "exit status 3")
    assert one == signature(["Event: 5", "died in phase 7"], "exit status 3")
    assert len(one) == 16


def test_other_failures_have_others() -> None:
    one = signature(["died in phase 3"], "exit status 3")
    assert one != signature(["died in phase 3"], "exit status 4")
    assert one != signature(["stopped in phase 3"], "exit status 3")


def lines_of(text: str) -> list[Line]:
    """The lines of a text that are not blank, as the tail of a log has them."""
    numbered = enumerate(text.strip("\n").split("\n"), 1)
    return [Line(number, 100 * number, line) for number, line in numbered if line.strip()]


@pytest.mark.parametrize(
    ("text", "decisive"),
    [
        ("Run 1\ncannot open the map\n", "cannot open the map"),
        ("cannot open the map\n----- End Fatal Exception -----\n", "cannot open the map"),
        ("cannot open the map\nreco.exe had nonzero exit code 1\n", "cannot open the map"),
        ("cannot open the map\nrc=1\nexit status: 3\n", "cannot open the map"),
        ("cannot open the map\nmake: *** [Makefile:7: run] Error 2\n", "cannot open the map"),
        ("ERROR: no field map\nERROR: giving up\nINFO: bye\n", "ERROR: no field map"),
        ("ERROR: an older one\n\nnow\nFATAL: no field map\nbye\n", "FATAL: no field map"),
        ("FATAL: no field map\n\nbye\nbye bye\n", "FATAL: no field map"),
        (
            'Traceback (most recent call last):\n  File "a.py", line 3, in <module>\n    raise X\n'
            "pkg.mod.BadMapError: no field map\n",
            "pkg.mod.BadMapError: no field map",
        ),
        ("terminate called\n  what():  no field map\nAborted\n", "  what():  no field map"),
        ("panic: no field map\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:7\n", "panic: no field map"),
        ("no field map\nrax: 0000000000000000\nrip 0x7f001122\n#3  0x0 in main ()\n", "no field map"),
        ("-----\n=====\n", "====="),
    ],
)
def test_the_quoted_line_of_an_unknown_failure_is_the_one_that_says_why(text: str, decisive: str) -> None:
    lines = lines_of(text)
    assert lines[decisive_place(lines)].text == decisive
    assert quote_tail("r", "stderr", lines).text == decisive


def test_the_lines_around_the_quoted_one_are_kept_in_order() -> None:
    quote = quote_tail("r", "stderr", lines_of("one\nERROR: why\nthree\nfour\nfive\nsix\n"))
    assert (quote.before, quote.text, quote.after) == (("one",), "ERROR: why", ("three", "four", "five"))
    assert (quote.line, quote.offset) == (2, 200)
