"""The shapes by which secrets are known, whoever wrote them: keys, tokens, passwords beside their names.

Each shape has an anchor, a literal that is looked for at memory speed in the text in lower case; only where it stands
the pattern is tried, from there on. All repetitions are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

_SECRET_NAME = re.compile(
    r"(?:TOKEN|PASSWORD|PASSWD|PASSPHRASE|SECRET|SECRETS|CREDENTIALS?|AUTHZ|COOKIE|_PWD|_PW"
    r"|(?:API|SECRET|ACCESS|PRIVATE)_?KEY(?:_ID)?)$",
    re.IGNORECASE,
)


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
