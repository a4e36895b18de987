"""Address of a client, for rate limits: of the connection, or as told by a proxy that is trusted."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

from pilotext.errors import UsageError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_HOPS = 20
"""Entries of X-Forwarded-For that are looked at, from the nearest."""

PEER = "pilotext.peer"
"""Key of the WSGI environment with the other end of the connection, proxy or not; no header can have this name."""

REPEATED = "pilotext.repeated"
"""Key of the WSGI environment with the names there (`HTTP_…`) of headers that the request has more than once."""

_IPV6_SITE_BITS = 64
"""One client usually has a whole network of this size: its addresses share their limits."""


def trusted_of(environment: Mapping[str, str]) -> tuple[Network, ...]:
    """Return the proxies that the environment of the server names. Raises UsageError."""
    if environment.get("PILOTEXT_BEHIND_PROXY"):
        raise UsageError(
            "PILOTEXT_BEHIND_PROXY has no meaning any more.",
            advice="Name the proxies that are to be believed in PILOTEXT_TRUSTED_PROXIES: 10.0.0.1, 10.1.0.0/16.",
        )
    return trusted_networks(environment.get("PILOTEXT_TRUSTED_PROXIES", ""))


def trusted_networks(text: str, setting: str = "PILOTEXT_TRUSTED_PROXIES") -> tuple[Network, ...]:
    """Return the networks of a setting such as `127.0.0.1, 10.0.0.0/8, fd00::/8`. Raises UsageError."""
    try:
        return tuple(ipaddress.ip_network(word.strip()) for word in text.split(",") if word.strip())
    except ValueError as error:
        raise UsageError(f"{setting}: {error}.", advice="Write addresses or networks: 10.0.0.1, 10.1.0.0/16.") from None


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the address of the client behind `peer`, in the form that limits are counted by.

    `forwarded` are the values of X-Forwarded-For, which count only as far as trusted proxies have written them. Where
    an entry cannot be read, the proxy that passed it on is the client.
    """
    found = parsed(peer)
    if found is None:
        return peer
    if trusted and forwarded and is_trusted(found, trusted):
        for hop in reversed(",".join(forwarded).split(",")[-MAX_HOPS:]):
            told = parsed(hop)
            if told is None:
                break
            found = told
            if not is_trusted(found, trusted):
                break
    return _counted_as(found)


def parsed(text: str) -> Address | None:
    """Return the address in `IP`, `IP:port`, `[IP]` or `[IP]:port`; None if there is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)


def _counted_as(address: Address) -> str:
    if isinstance(address, ipaddress.IPv6Address) and not address.is_loopback:
        return str(ipaddress.ip_network((int(address), _IPV6_SITE_BITS), strict=False))
    return str(address)
