"""Redaction of secrets in everything that leaves the node: proxies, tokens, passwords and keys.

Secrets are known by their value (from the job, the environment and the files that these name) or by their shape
(`authz=…`, a private key). Every byte of one becomes `*`, so that positions in a log stay true and nothing gets longer;
blanks and newlines stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from pilotext.environment import place_of_proxy, places_of_tokens
from pilotext.model.job import Job
from pilotext.ordinary_file import read_ordinary

_SECRET_NAME = re.compile(
    r"(?:TOKEN|PASSWORD|PASSWD|PASSPHRASE|SECRET|SECRETS|CREDENTIALS?|AUTHZ|COOKIE|_PWD|_PW"
    r"|(?:API|SECRET|ACCESS|PRIVATE)_?KEY(?:_ID)?)$",
    re.IGNORECASE,
)


_TOKEN_IN_URL = re.compile(r"[?&](?:authz|access_token)=", re.IGNORECASE)


def carries_token(url: str) -> bool:
    """Whether the opaque part of a URL holds a token."""
    return _TOKEN_IN_URL.search(url) is not None


def is_secret_name(name: str) -> bool:
    """Whether a variable or field of that name holds a secret itself, and not the place of one."""
    return _SECRET_NAME.search(name) is not None


@dataclass(frozen=True)
class Shape:
    """A pattern to try wherever its anchor stands; its group `secret` is what must not be seen."""

    anchor: bytes
    expression: bytes

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        """Compiled where it is needed: most jobs print no secrets, and their start must stay cheap."""
        return re.compile(self.expression)


def _shape(anchor: bytes, pattern: bytes) -> Shape:
    return Shape(anchor, pattern)


# A sign between a name and its value, as in environments, URLs, JSON and Python.
_IS = rb"(?:[\"']?[ \t]{0,2}=[ \t]{0,2}|%3[dD])[\"']?"
_COLON = rb"[\"']?[ \t]{0,2}:[ \t]{0,2}"
_VALUE = rb"[^\s\"'`,;&<>(){}\[\]|\\]"
# Said of a password, not one: "Access denied for user 'reader'@'node' (using password: YES)".
_NO_VALUE = rb"(?!(?i:yes|no|none|null|nil|true|false|required|expired|incorrect|invalid|missing|wrong|empty)\b|\*|\$)"
_NAMES_SAFE_WITH_COLON = rb"(?:" + _COLON + rb"[\"']?" + _NO_VALUE + rb"(?P<colon>" + _VALUE + rb"{4,4096}))"
_ASSIGNED = _IS + _NO_VALUE + rb"(?P<secret>" + _VALUE + rb"{1,8192})"
_TOLD = rb"(?:" + _ASSIGNED + rb"|" + _NAMES_SAFE_WITH_COLON + rb")"
# "unexpected token: foo" is of a parser; a token in quotes, or a long word with a digit in it, is one of ours.
_TOKEN_TOLD = (
    rb"(?:"
    + _IS
    + _NO_VALUE
    + rb"(?P<secret>"
    + _VALUE
    + rb"{4,8192})|[\"']?[ \t]{0,2}:[ \t]{0,2}(?:[\"'](?P<colon>"
    + _VALUE
    + rb"{8,8192})[\"']|(?=\S{0,60}[0-9])(?P<bare>"
    + _VALUE
    + rb"{16,8192})))"
)
_B64URL = rb"[A-Za-z0-9_-]"

SHAPES: tuple[Shape, ...] = (
    # Up to the end marker wherever that is near; a key that was cut ends where something else than a key begins.
    _shape(
        b"-----begin ",
        rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        rb"(?:(?P<secret>(?:(?!-----BEGIN)[\s\S]){0,16384}?)-----END|(?P<cut>(?:[A-Za-z0-9+/=\s\\,:]|-(?!----)){0,16384}))",
    ),
    _shape(
        b"authorization",
        rb"(?i:authorization)"
        + _COLON
        + rb"[\"']?(?:(?i:bearer|basic|negotiate|digest|token|aws4-hmac-sha256)[ \t]{1,3}"
        rb"(?P<secret>[^\r\n\"']{1,8192})|(?P<bare>" + _VALUE + rb"{16,8192}))",
    ),
    _shape(
        b"bearer",
        rb"(?i:bearer)(?:[ \t]|%20|\+){1,3}(?=[^\s]{0,60}[0-9])(?P<secret>[A-Za-z0-9._~+/=-]{12,8192})",
    ),
    _shape(
        b"eyj",
        rb"(?<!" + _B64URL + rb")(?P<secret>eyJ" + _B64URL + rb"{8,8192}\." + _B64URL + rb"{8,8192}"
        rb"(?:\." + _B64URL + rb"{0,8192})?)",
    ),
    _shape(b"mdaxy2xvy2f0aw9u", rb"(?P<secret>MDAxY2xvY2F0aW9u" + _B64URL + rb"{20,8192}=?)"),  # a macaroon
    _shape(b"://", rb"://[^\s/:@\"'<>]{0,256}:(?P<secret>[^\s/@\"'<>]{1,512})@"),
    _shape(b"authz", rb"(?i:authz)(?:=|%3[dD])(?:Bearer(?:%20|\+))?(?P<secret>" + _VALUE + rb"{1,8192})"),
    _shape(b"gsiusr", rb"(?i:gsiusr(?:pxy|key|crt))=(?P<secret>" + _VALUE + rb"{1,4096})"),
    _shape(
        b"token", rb"(?i:token)(?:" + _TOKEN_TOLD + rb"|(?<=--token)[ \t]{1,3}(?P<option>" + _VALUE + rb"{8,8192}))"
    ),
    _shape(
        b"pass",
        rb"(?i:password|passwd|passphrase)(?:"
        + _TOLD
        + rb"|(?:(?<=--password)|(?<=--passwd))[ \t]{1,3}(?P<option>"
        + _VALUE
        + rb"{1,512}))",
    ),
    _shape(b"pwd", rb"(?i:(?<=[a-z_?&;.])(?<!OLD)pwd)" + _ASSIGNED),
    _shape(b"secret", rb"(?i:secret(?:s|[_-]?(?:access)?[_-]?key)?)" + _TOLD),
    _shape(b"key", rb"(?i:(?:(?<=access_)|(?<=private_)|(?<=api_)|(?<=api-)|(?<=api))key(?:_id)?)" + _TOLD),
    _shape(b"x-amz-", rb"(?i:x-amz-(?:signature|credential|security-token))=(?P<secret>" + _VALUE + rb"{1,8192})"),
    _shape(b"sig", rb"(?<=[?&])(?i:sig(?:nature)?)=(?P<secret>" + _VALUE + rb"{8,8192})"),
    _shape(b"cookie", rb"(?i:cookie):[ \t]{0,2}(?P<secret>[^\r\n\"']{1,8192})"),
    _shape(b"akia", rb"(?<![A-Za-z0-9])(?P<secret>AKIA[A-Z0-9]{16})(?![A-Za-z0-9])"),
    _shape(b"asia", rb"(?<![A-Za-z0-9])(?P<secret>ASIA[A-Z0-9]{16})(?![A-Za-z0-9])"),
    _shape(b"glpat-", rb"(?P<secret>glpat-[A-Za-z0-9_-]{20,64})"),
    _shape(b"ghp_", rb"(?P<secret>ghp_[A-Za-z0-9]{36})"),
    _shape(b" k:", rb" k:(?P<secret>[0-9a-f]{32,512})"),  # a key of XRootD's sss, in a keytab
)


def shapes_in(data: bytes) -> Iterator[tuple[int, int]]:
    """Begin and end of everything in the bytes that has the shape of a secret."""
    lower = data.lower()
    for shape in SHAPES:
        place = lower.find(shape.anchor)
        while place >= 0:
            behind = place + 1
            if (found := shape.pattern.match(data, place)) and found.lastgroup is not None:
                start, end = found.span(found.lastgroup)
                yield start, end
                behind = max(behind, end)
            place = lower.find(shape.anchor, behind)


MAX_SECRET_BYTES = 32 * 1024
"""Bytes; what is longer may be seen only in part where a text is read piece by piece."""

STEP = 1 << 20
MAX_TEXT_CHARACTERS = 20_000
"""Characters of a text that travels in a report; nobody reads more, and a server may say anything."""

_STARS = bytes(byte if chr(byte).isspace() else ord("*") for byte in range(256))
_MIN_PART_CHARACTERS = 6
_CUT = "..."
_CUT_MARKS = ("[...]", _CUT)

NAMES_OF_THINGS = frozenset(
    [
        *("action", "cause", "code", "phase", "rule", "ruleset", "signature", "state", "stream", "outcome"),
        *("adler32", "format", "host", "job", "kind", "name", "number", "pilotext"),
    ]
)
"""Fields of a report that hold words of our own or of the production system, and are looked up by them."""

Read = Callable[[int, int], bytes]
"""The bytes of a file from an offset on, at most so many."""


class Redactor:
    """Makes known values, and everything that has the shape of a secret, illegible."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        longest_first = sorted({value for value in values if value}, key=len, reverse=True)
        self._texts = [value for value in longest_first if len(value.encode("utf-8", "replace")) <= MAX_SECRET_BYTES]
        self._values = [value.encode("utf-8", "replace") for value in self._texts]

    def data(self, data: bytes) -> bytes:
        """The same bytes, secrets illegible."""
        spans = [*shapes_in(data), *self._known_in(data)]
        if not spans:
            return data
        masked = bytearray(data)
        for start, end in spans:
            masked[start:end] = data[start:end].translate(_STARS)
        return bytes(masked)

    def text(self, text: str) -> str:
        """The same text, secrets illegible, and what cannot be written as UTF-8 escaped."""
        masked = self.data(text.encode("utf-8", "backslashreplace")).decode("utf-8", "replace")
        return self._without_parts(masked)

    def pieces(self, read: Read, start: int, end: int) -> Iterator[bytes]:
        """The bytes of a file from `start` to `end`, a piece at a time, as `data` would show them in the whole file.

        Ends earlier if the file does. Secrets may begin before `start`, end behind `end`, or lie across two pieces.
        """
        while start < end:
            before = min(start, MAX_SECRET_BYTES)
            size = min(STEP, end - start)
            piece = self.data(read(start - before, before + size + MAX_SECRET_BYTES))[before : before + size]
            if piece:
                yield piece
            if len(piece) < size:
                return
            start += size

    def plain(self, value: Any, key: str = "") -> Any:
        """Plain data, as a record becomes for JSON, with every text in it fit to travel."""
        if key in NAMES_OF_THINGS:
            return value
        if isinstance(value, str):
            return shortened(self.text(value))
        if isinstance(value, dict):
            shown = self._quote(value) if {"text", "before", "after"} <= value.keys() else value
            return {self.text(name): self.plain(each, name) for name, each in shown.items()}
        if isinstance(value, list | tuple):
            return [self.plain(each, key) for each in value]
        return value

    def _quote(self, evidence: dict[str, Any]) -> dict[str, Any]:
        """Redact a line with its neighbours as one text: a key has many lines."""
        texts = [*evidence["before"], evidence["text"], *evidence["after"]]
        lines = self.text("\n".join(texts)).split("\n")
        shown: list[str] = []
        for text in texts:
            count = text.count("\n") + 1
            shown.append("\n".join(lines[:count]))
            del lines[:count]
        middle = len(evidence["before"])
        return {**evidence, "before": shown[:middle], "text": shown[middle], "after": shown[middle + 1 :]}

    def _known_in(self, data: bytes) -> Iterator[tuple[int, int]]:
        for value in self._values:
            place = data.find(value)
            while place >= 0:
                yield place, place + len(value)
                place = data.find(value, place + len(value))

    def _without_parts(self, text: str) -> str:
        """A quoted line may have been cut within a known value: what is left of that goes too."""
        for mark in _CUT_MARKS:
            if mark in text:
                text = mark.join(self._without_ends(part) for part in text.split(mark))
        return self._without_ends(text)

    def _without_ends(self, text: str) -> str:
        inner = text.strip()
        for value in self._texts:
            if (size := _overlap(inner, value)) >= _MIN_PART_CHARACTERS:
                text = _starred_last(text, inner[-size:])
            if (size := _overlap(value, inner)) >= _MIN_PART_CHARACTERS:
                text = text.replace(inner[:size], "*" * size, 1)
        return text


def shortened(text: str, longest: int = MAX_TEXT_CHARACTERS) -> str:
    """The begin of a text that is too long to travel."""
    return text if len(text) <= longest else text[: longest - len(_CUT)] + _CUT


def _overlap(first: str, second: str) -> int:
    """Count the characters at the end of `first` that are the begin of `second`."""
    longest = min(len(first), len(second))
    if second[:_MIN_PART_CHARACTERS] not in first[-longest:]:
        return 0
    return next((size for size in range(longest, _MIN_PART_CHARACTERS - 1, -1) if first.endswith(second[:size])), 0)


def _starred_last(text: str, part: str) -> str:
    place = text.rfind(part)
    return text[:place] + "*" * len(part) + text[place + len(part) :]


MAX_SECRET_FILE_BYTES = 256 * 1024
MIN_SECRET_CHARACTERS = 6
"""Characters of a value that is hidden wherever it stands; a shorter one only beside its name."""

MIN_SECRET_WORD_CHARACTERS = 12
"""The same for a value of nothing but letters, which may well be a word that logs use."""


def redactor_for(job: Job | None, environment: Mapping[str, str]) -> Redactor:
    """Knows the secrets of this job (None: of a command without one) in this environment."""
    around = {**environment, **(job.environment if job else {})}
    values = [*_by_name(around), *_by_shape(around.values()), *_in_files(around)]
    if job is not None:
        values += _by_shape(_texts(msgspec.to_builtins(job)))
        values += [job.report.token] if job.report else []
    return Redactor(form for value in values if _telling(value) for form in (value, unquote(value)))


def _telling(value: str) -> bool:
    return len(value) >= (MIN_SECRET_WORD_CHARACTERS if value.isalpha() else MIN_SECRET_CHARACTERS)


def _by_name(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield values of variables with the name of a secret; a path is only the place of one."""
    for name, value in environment.items():
        if is_secret_name(name) and not value.startswith("/"):
            yield value.strip()


def _by_shape(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        data = text.encode("utf-8", "replace")
        for start, end in shapes_in(data):
            yield from _lines(data[start:end].decode("utf-8", "replace"))


def _lines(secret: str) -> Iterator[str]:
    """A key is known by each of its lines, since logs put something before each."""
    yield from (line.strip() for line in secret.splitlines())


def _texts(plain: Any) -> Iterator[str]:
    if isinstance(plain, str):
        yield plain
    elif isinstance(plain, dict | list | tuple):
        for each in plain.values() if isinstance(plain, dict) else plain:
            yield from _texts(each)


def _in_files(environment: Mapping[str, str]) -> Iterator[str]:
    """Proxies, keys and tokens in files, where the grid's own tools look for them."""
    keys = [Path(path) for path in map(environment.get, ("X509_USER_KEY", "XrdSecSSSKT")) if path]
    for path in (place_of_proxy(environment), *keys):
        yield from _by_shape([_content(path)])
    for path in places_of_tokens(environment):
        yield from _lines(_content(path))


def _content(path: Path) -> str:
    """Return the content of a small file; empty if it cannot be read: then the job cannot show it either."""
    try:
        return read_ordinary(path, MAX_SECRET_FILE_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
