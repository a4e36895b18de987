from __future__ import annotations

import pytest

from pilotext.classify.signature import masked, signature


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
