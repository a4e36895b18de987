"""Registry of storage back-ends by URL scheme.

Back-ends are imported on first use, so that a job without XRootD neither needs nor loads it.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from pilotext.errors import UnsupportedError, did_you_mean, known_words
from pilotext.storage.base import Storage
from pilotext.storage.urls import scheme_of, why_malformed

__all__ = ["for_url", "register", "scheme_of", "schemes", "unregister", "why_unusable"]


@dataclass(frozen=True)
class BackEnd:
    """Place of a back-end, as `module:Class`, and the sentence for a machine that lacks what it needs."""

    place: str
    if_missing: str = ""


_XROOTD = BackEnd(
    "pilotext.storage.backends.xrootd:XRootDStorage",
    "Install the XRootD bindings for this Python: pip install xrootd.",
)
BACK_ENDS = {
    "file": BackEnd("pilotext.storage.backends.local:LocalStorage"),
    "root": _XROOTD,
    "roots": _XROOTD,
}

_made: dict[str, Storage] = {}


def for_url(url: str) -> Storage:
    """The back-end for a URL. Raises UnsupportedError when the URL or this machine does not allow it."""
    if problem := why_unusable(url):
        raise UnsupportedError(url, problem)
    scheme = scheme_of(url)
    if scheme not in _made:
        _made[scheme] = _make(BACK_ENDS[scheme], url)
    return _made[scheme]


def schemes() -> tuple[str, ...]:
    """Every scheme that `for_url` serves."""
    return tuple(sorted({*BACK_ENDS, *_made}))


def register(scheme: str, storage: Storage) -> None:
    """Serve a scheme by this object from now on, in this process only; tests use it for `MemoryStorage`."""
    _made[scheme] = storage


def unregister(scheme: str) -> None:
    """Undo `register`."""
    _made.pop(scheme, None)


def why_unusable(url: str) -> str:
    """Return the problem of a URL, as a sentence with its remedy; empty when it can be used."""
    scheme = scheme_of(url)
    if not scheme and url.startswith("file:"):
        return "its path is relative; write three slashes and an absolute path: file:///path."
    if not scheme:
        return "it has no scheme; write file:///path or root://HOST//path."
    if scheme not in schemes():
        hint = did_you_mean(scheme, schemes(), otherwise=known_words(schemes()), quoted="`{}`")
        return f"there is no storage back-end for the scheme `{scheme}`. {hint}"
    return why_malformed(url)


def _make(back_end: BackEnd, url: str) -> Storage:
    module, _, name = back_end.place.partition(":")
    try:
        storage: Storage = getattr(importlib.import_module(module), name)()
    except ImportError as error:
        raise UnsupportedError(url, f"this machine cannot do that: {error}.", advice=back_end.if_missing) from error
    return storage
