from __future__ import annotations

import subprocess
import sys

import pytest

from pilotext.errors import UnsupportedError
from pilotext.storage import registry
from pilotext.storage.memory import MemoryStorage


def test_each_scheme_has_one_back_end() -> None:
    assert registry.schemes() == ("file", "root", "roots")
    assert registry.for_url("file:///a") is registry.for_url("file:///b")
    assert type(registry.for_url("root://h//a")).__name__ == "XRootDStorage"


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("/eos/compass/x", "no scheme"),
        ("rooot://h//x", "Did you mean `root`?"),
        ("https://h/x", "file, root, roots"),
        ("root://h/x", "double slash"),
    ],
)
def test_an_unusable_url_is_refused_with_a_hint(url: str, complaint: str) -> None:
    assert complaint in registry.why_unusable(url)
    with pytest.raises(UnsupportedError) as caught:
        registry.for_url(url)
    assert caught.value.url == url


def test_memory_is_known_only_while_it_is_registered(memory: MemoryStorage) -> None:
    assert registry.for_url("memory://x") is memory
    assert registry.why_unusable("memory://x") == ""
    registry.unregister("memory")
    assert "`memory`" in registry.why_unusable("memory://x")


def test_without_the_bindings_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    registry.unregister("root")
    monkeypatch.setitem(sys.modules, "XRootD.client", None)
    with pytest.raises(UnsupportedError, match="pip install xrootd"):
        registry.for_url("root://h//x")


def test_nothing_heavy_is_loaded_before_it_is_needed() -> None:
    program = """
import sys
from pilotext.storage import registry, stage_in, stage_out, transfer
registry.for_url("file:///tmp/x")
print(sorted({"XRootD", "pyxrootd", "requests", "rich", "uproot", "pytest"} & sys.modules.keys()))
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
