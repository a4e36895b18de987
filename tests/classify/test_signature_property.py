"""One failure keeps its signature on any node, date, run, path and process; other failures have others."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotext.classify.signature import signature

DIGITS = st.integers(1, 9_999_999)
WORD = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=12)
PATH = st.lists(WORD, min_size=2, max_size=6).map(lambda parts: "/" + "/".join(parts))
NODE = st.builds(
    "{}{}.{}".format,
    st.sampled_from(["lxb", "b7g", "wn-", "node"]),
    st.integers(1, 9999),
    st.sampled_from(["cern.ch", "grid.example", "jinr.ru", "to.infn.it"]),
)
CLOCK = st.builds("{:02d}:{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
MONTH = st.sampled_from(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"])
WEEKDAY = st.sampled_from(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"])
DAY = st.integers(1, 28)
YEAR = st.integers(2002, 2039)
DATE = st.one_of(
    st.builds("{:04d}-{:02d}-{:02d} {}".format, YEAR, st.integers(1, 12), DAY, CLOCK),
)
CORAL_DATE = st.builds(
    "{}, {:02d}/{}/{} {}.{:06d} (GMT)".format, WEEKDAY, DAY, MONTH, YEAR, CLOCK, st.integers(0, 999999)
)
ADDRESS = st.integers(0, 2**48 - 1).map(hex)

FIELDS = {
    "node": NODE,
    "path": PATH,
    "pid": DIGITS,
    "run": st.integers(100_000, 399_999),
    "chunk": st.integers(1, 99_999),
    "date": DATE,
    "coral_date": CORAL_DATE,
    "address": ADDRESS,
    "clock": CLOCK,
}
TAILS = (
    "ERROR, on {coral_date}\n from: CsGeom.cc   210\n`Magnet field map is empty'",
    "ERROR, on {coral_date}\n from: CsGeom.cc   210\n`Target position is not known'",
    "[{date}] payload[{pid}] on {node}: cannot load geometry for run {run}",
    "[{date}] payload[{pid}] on {node}: cannot load alignment for run {run}",
    "reading {path}/cdr{chunk}-{run}.raw\n#0  {address} in CsEvent::decode() from {path}/libEvt.so",
    "reading {path}/cdr{chunk}-{run}.raw\n#0  {address} in CsEvent::clusterize() from {path}/libEvt.so",
    "cdr{chunk}-{run}.raw: bad magic at byte {pid}",
    "mDST-{run}-{chunk}-0-7.root: tree is not sorted",
    "{node} {clock} pid {pid}: lock is held by another process",
    "root://{node}/{path}: checksum differs",
)


@pytest.mark.parametrize("tail", TAILS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_belongs_to_one_job_does_not_change_the_signature(tail: str, data: st.DataObject) -> None:
    one, other = (
        signature(
            tail.format(**{name: data.draw(values) for name, values in FIELDS.items()}).split("\n"), "exit status 3"
        )
        for _ in range(2)
    )
    assert one == other


def test_other_failures_have_other_signatures() -> None:
    fields = {
        "node": "lxb12.cern.ch",
        "path": "/pool/a",
        "pid": 4711,
        "run": 275772,
        "chunk": 13040,
        "date": "2017-09-12 11:30:05",
        "coral_date": "Mon, 11/Sep/2017 11:30:05.012345 (GMT)",
        "address": "0x7f4dea0f1bd3",
        "clock": "11:30:05",
    }
    names = {signature(tail.format(**fields).split("\n"), status) for tail in TAILS for status in ("1", "2")}
    assert len(names) == 2 * len(TAILS)
