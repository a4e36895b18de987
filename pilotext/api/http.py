"""Requests of workers and clients to a server, and the answers that are worth another try."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pilotext

if TYPE_CHECKING:
    import requests

RETRYABLE_STATUSES = frozenset({408, 425, 429, *range(500, 600)})
"""Statuses with which a server says that it may do better in a while: for reports, jobs and requests of clients."""

DISOWNING_STATUSES = frozenset({401, 403, 404, 409, 410})
"""Statuses with which a server answers the heartbeat of an attempt that it does not know, or knows to have ended."""

MAX_RETRY_AFTER_S = 86_400.0


def post(url: str, body: bytes, token: str, *, within_s: float) -> requests.Response:
    """Post JSON with a token; the body of the answer is not read yet. Raises what `requests` raises.

    No redirect is followed: the token is for this server alone.
    """
    import requests  # noqa: PLC0415  only jobs with a server pay for it

    class Bearer(requests.auth.AuthBase):
        """An authentication of our own, since requests would prefer one from a .netrc file to a mere header."""

        def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers["Authorization"] = f"Bearer {token}"
            return request

    return requests.post(
        url,
        data=body,
        headers={"Content-Type": "application/json", "User-Agent": f"pilotext/{pilotext.__version__}"},
        auth=Bearer(),
        timeout=within_s,
        allow_redirects=False,
        stream=True,
    )


def retry_after_s(text: str, now: float) -> float | None:
    """Return the seconds that a header Retry-After asks for, as a number or a date; None if it says nothing usable."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415  only retries need it

    try:
        wait_s = float(text) if text.strip().isdecimal() else parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(0.0, wait_s), MAX_RETRY_AFTER_S) if math.isfinite(wait_s) else MAX_RETRY_AFTER_S
