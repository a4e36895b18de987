"""Texts from public reports: of each kind of failure at least four, each from another source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pilotext.serialization.yaml import read_yaml

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "logs"
MIN_TEXTS = 4

KINDS = {
    "readers in Python, and numbers of errors": (
        "deserializationerror-of-a-truncated-tree",
        "keyinfileerror",
        "key-of-an-older-uproot",
        "truncated-file",
        "zeroed-parquet-file",
        "data-set-with-a-broken-file",
        "corrupt-footer",
        "truncated-archive",
        "locks",
        "stale-handle",
        "prefix-of-a-rank",
    ),
    "errors of ROOT and XRootD in the words of a framework": (
        "a-basket-that-cannot-be-read",
        "read-of-another-size",
        "basket-at-byte-0",
        "art-s-messages",
        "athena-file-missing",
        "framework-error-of-a-device",
        "missing-file-behind-a-redirector",
    ),
    "conditions databases other than MySQL": (
        "frontier-gives-up",
        "oracle-host",
        "oracle-listener",
        "ccdb-over-curl",
        "conditions-refused",
        "conditions-unreachable",
    ),
    "no further thread or process": (
        "too-many-processes",
        "threads-refused-then-sigint",
        "go-runtime",
        "python-threads",
        "threads-refused-in-chinese",
        "thread-pool-refused",
    ),
    "kills by batch systems": (
        "pbs-walltime",
        "lsf-memory",
        "lsf-threads",
        "lsf-summary-on-stdout",
        "slurm-memory",
        "condor-memory",
        "time-limit",
    ),
    "kills by batch systems for disk": (
        "jobfs-quota",
        "node-storage",
        "pod-storage",
        "container-storage",
    ),
    "status 127 and 126": (
        "exec-format",
        "binary-given-to-a-shell",
        "older-glibc",
        "module-command-broken",
        "old-processor",
    ),
    "libraries, modules and containers": (
        "library-missing",
        "cudnn",
        "cudnn-of-another-version",
        "extraction-without-user-namespaces",
        "lmod-unknown",
        "geant4-data",
        "container-not-started",
    ),
    "banners of old frameworks": (
        "geant4-nuclides-missing",
        "fortran-end-of-file",
        "fluka",
        "old-framework-fatal",
        "zebra-from-outside",
    ),
    "exceptions of Python that end nothing": (
        "atexit",
        "destructor-without-argument",
        "destructor-of-python-2",
        "shutting-down",
        "a-log-handler-on-a-stale-mount",
    ),
    "messages of good jobs": (
        "a-retry-that-succeeded",
        "good-athena-without-histograms",
        "good-cudnn-left-out",
        "good-modules-unknown",
        "good-fewer-threads",
    ),
    "CORAL, by its source": ("program-no-space", "cdb-refused", "coral-exception", "core-dumped", "segmentation-fault"),
}
SOURCE = re.compile(
    r"https?://github\.com/[\w.-]+/[\w.-]+(?:/(?:issues|pull)/\d+| \()"  # a thread, or a record that is named
    r"|https?://(?!github\.com)[\w.-]+/\S+"  # a page of a manual
    r"|[\w ]+: \S*\w\.\w+|\w+\(\d\)"  # a program and its source file, or a manual page
)


def source_of(name: str) -> str:
    return str(read_yaml(FOLDER / f"public-{name}" / "case.yaml").data["note"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_failure_has_texts_from_several_reports(kind: str) -> None:
    sources = {name: SOURCE.match(source_of(name)) for name in KINDS[kind]}
    assert [name for name, source in sources.items() if source is None] == []
    assert len({source[0] for source in sources.values() if source}) >= MIN_TEXTS


def test_a_report_serves_one_kind() -> None:
    names = [name for kind in KINDS.values() for name in kind]
    assert len(names) == len(set(names))
