"""URLs of files: what they must look like, and names inside a folder.

root://host[:port]//absolute/path[?opaque]      the double slash starts the absolute path
file:///absolute/path                          also as file:/absolute/path and file://localhost/absolute/path (RFC 8089)
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from pilotext.redaction import carries_token

XROOTD = frozenset(["root", "roots"])
_XROOTD_PORT = 1094

_SCHEME = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://|(?P<local>file):/", re.IGNORECASE)
_FILE = re.compile(r"file:(?://(?:localhost)?)?(?P<path>/(?:[^/].*)?)", re.IGNORECASE | re.DOTALL)
_XROOTD = re.compile(r"roots?://(?P<server>[^/?]*)(?P<path>/[^?]*)?(?:\?(?P<opaque>.*))?", re.IGNORECASE | re.DOTALL)
_SERVER = re.compile(r"(?:[\w.-]+@)?(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9a-fA-F:.]+\])(?::(?P<port>\d{1,5}))?")
_PORT = re.compile(r":0*(\d+)$")
_ROOT_DOT = re.compile(r"\.(?=(?::\d+)?$)")
"""Dot behind a host name that is written from the root of the domain name system."""


def scheme_of(url: str) -> str:
    """`root` of `root://host//path`, in lower case; empty when there is none."""
    found = _SCHEME.match(url)
    return (found["scheme"] or found["local"]).lower() if found else ""


def why_malformed(url: str) -> str:
    """Return the error in the form of a URL, as a sentence with its remedy; empty for a correct one."""
    if any(character < " " or character == "\x7f" for character in url):
        return "it holds a control character, such as a line end; remove it."
    if carries_token(url):
        return "it carries a token, which would show up in reports and logs; give it by BEARER_TOKEN_FILE instead."
    scheme = scheme_of(url)
    if scheme in XROOTD:
        return _why_not_xrootd(url)
    if scheme == "file" and not ((found := _FILE.fullmatch(url)) and found["path"] != "/"):
        return "it needs three slashes and an absolute path: file:///path."
    return ""


def _why_not_xrootd(url: str) -> str:
    found = _XROOTD.fullmatch(url)
    server = _SERVER.fullmatch(found["server"]) if found else None
    if found is None or server is None:
        return "it needs a host: root://HOST[:PORT]//path."
    if server["port"] and not 0 < int(server["port"]) < 65536:
        return f"there is no port {server['port']}."
    path = found["path"] or ""
    if not path.startswith("//") or not path.strip("/"):
        return "its path must be absolute, with a double slash after the host: root://HOST[:PORT]//path."
    return ""


def split_xrootd(url: str) -> tuple[str, str]:
    """The server `root://host:port` and the path `/path?opaque` of an XRootD URL."""
    found = _XROOTD.fullmatch(url)
    if found is None:
        raise ValueError(f"{url} is not an XRootD URL")
    path = "/" + (found["path"] or "").lstrip("/")
    opaque = f"?{found['opaque']}" if found["opaque"] else ""
    return f"{scheme_of(url)}://{found['server']}", path + opaque


def local_path(url: str) -> Path:
    """The path of a `file` URL in any of its forms."""
    found = _FILE.fullmatch(url)
    return Path(found["path"] if found else url.partition("://")[2])


def server_of(url: str) -> str:
    """Server that has to answer for a URL: `root://host:port`, or the scheme alone where it names no host."""
    return split_xrootd(url)[0] if scheme_of(url) in XROOTD else scheme_of(url)


def canonical(url: str) -> str:
    """One spelling for all URLs that name the same file: scheme, host, port and slashes; without the opaque part."""
    plain, _ = _without_opaque(url)
    if scheme_of(url) == "file":
        return f"file://{posixpath.normpath(local_path(plain))}"
    scheme, _, rest = plain.partition("://")
    scheme = scheme.lower()
    if scheme in XROOTD:
        host, slash, path = rest.partition("/")
        host = _PORT.sub(r":\1", host.rpartition("@")[2].lower()).removesuffix(f":{_XROOTD_PORT}")
        host = _ROOT_DOT.sub("", host)
        return f"root://{host}/{posixpath.normpath(slash + '/' + path.lstrip('/'))}"
    host, _, path = rest.partition("/")
    return f"{scheme}://{host}{posixpath.normpath('/' + path.lstrip('/'))}"


def is_folder(url: str) -> bool:
    """True for a destination that ends in `/`: the file gets a name of its own there."""
    return _without_opaque(url)[0].endswith("/")


def join(folder: str, name: str) -> str:
    """The URL of a file in a folder; the opaque part of an XRootD URL stays behind the name."""
    plain, opaque = _without_opaque(folder)
    return f"{plain.rstrip('/')}/{name}{opaque}"


def sibling(url: str, name: str) -> str:
    """The URL of another file in the same folder."""
    plain, opaque = _without_opaque(url)
    return f"{plain.rpartition('/')[0]}/{name}{opaque}"


def name_of(url: str) -> str:
    """The file's own name, without its folder."""
    return _without_opaque(url)[0].rpartition("/")[2]


def _without_opaque(url: str) -> tuple[str, str]:
    """Only XRootD gives `?` a meaning; elsewhere it is a character of the name."""
    if scheme_of(url) not in XROOTD:
        return url, ""
    plain, mark, opaque = url.partition("?")
    return plain, mark + opaque
