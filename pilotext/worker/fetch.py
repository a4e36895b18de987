"""A document from a web server, within bounds of time and size."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from pilotext.errors import UsageError
from pilotext.storage.retry import Policy
from pilotext.storage.transfer import no_tick, pause
from pilotext.worker.bounded import NotInTimeError, bounded

LARGEST = 16 << 20
WITHIN_S = 60.0
"""Of one try, from its begin to the last byte; half of it is the longest silence."""

PATIENCE = Policy(tries=4, first_wait_s=2.0)
_PASSING = frozenset([408, 425, 429])
"""Statuses below 500 that say "later", not "never"."""

_CHUNK = 1 << 16


class _NotNowError(Exception):
    """Another try may find it."""


class _NeverError(Exception):
    """Another try would find the same."""


def fetch(
    url: str,
    *,
    policy: Policy = PATIENCE,
    within_s: float = WITHIN_S,
    largest: int = LARGEST,
    tick: Callable[[], None] = no_tick,
) -> bytes:
    """The document at an http or https address; servers that are away or busy get further tries.

    `tick` is called several times a second and may raise. Raises UsageError, without what follows `?` in the address,
    since that may hold a secret.
    """
    for number in range(1, policy.tries + 1):
        try:
            return bounded(lambda: _get(url, within_s, largest), within_s=within_s, tick=tick)
        except (_NeverError, NotInTimeError) as error:  # a try that did not end lives on in its thread: no second one
            raise UsageError(f"{_shown(url)}: the job cannot be fetched: {error}.") from None
        except _NotNowError as error:
            problem = str(error)
        if number < policy.tries:
            pause(policy.wait_s(number), tick)
    raise UsageError(f"{_shown(url)}: the job cannot be fetched: {problem}, in {policy.tries} tries.")


def _get(url: str, within_s: float, largest: int) -> bytes:
    import requests  # noqa: PLC0415  costs a tenth of a second, and most jobs come from a file

    data = bytearray()
    try:
        with requests.get(url, timeout=within_s / 2, stream=True) as answer:
            _judge(answer.status_code)
            for chunk in answer.iter_content(_CHUNK):
                data += chunk
                if len(data) > largest:
                    raise _NeverError(f"the answer is larger than {largest} bytes")
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema):
        raise _NeverError("this is not an address that begins with http:// or https://") from None
    except requests.TooManyRedirects:
        raise _NeverError("the server sends from one address to the next") from None
    except requests.exceptions.SSLError:
        raise _NeverError("the server's certificate is not one that this node trusts") from None
    except requests.Timeout:
        raise _NotNowError("the server does not answer") from None
    except (requests.RequestException, ValueError) as error:  # urllib3's errors of form are ValueErrors
        raise _NotNowError(f"{_why(error)} ({type(error).__name__})") from None
    return bytes(data)


def _judge(status: int) -> None:
    if status >= 500 or status in _PASSING:
        raise _NotNowError(f"the server answers with status {status}")
    if status != 200:
        raise _NeverError(f"the server answers with status {status}")


def _why(error: Exception) -> str:
    import requests  # noqa: PLC0415

    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
        return "the answer is cut or damaged"
    return "the server cannot be reached"


def _shown(url: str) -> str:
    """The address without what may be secret: a user's name and password, and the query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "--job-url"
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}{parts.path}{'?...' if parts.query else ''}" if place else url.partition("?")[0]
