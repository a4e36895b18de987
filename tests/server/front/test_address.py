from __future__ import annotations

import pytest

from pilotext.errors import UsageError
from pilotext.server.front.address import client_address, trusted_networks, trusted_of

PROXIES = trusted_networks("10.0.0.0/8, fd00::/8, 127.0.0.1")


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["203.0.113.7"], "203.0.113.7"),
        (["203.0.113.7:51234"], "203.0.113.7"),
        (["1.1.1.1, 203.0.113.7:51234"], "203.0.113.7"),
        (["1.1.1.1", "203.0.113.7"], "203.0.113.7"),
        (["203.0.113.7, 10.2.3.4"], "203.0.113.7"),
        (["[2001:db8::7]:443"], "2001:db8::/64"),
        (["2001:db8:0:0:1::7"], "2001:db8::/64"),
        (["[2001:db8::7]"], "2001:db8::/64"),
        (["::ffff:203.0.113.7"], "203.0.113.7"),
        (["unknown"], "10.9.9.9"),
        (["203.0.113.7, nonsense"], "10.9.9.9"),
        ([""], "10.9.9.9"),
        ([], "10.9.9.9"),
        (["203.0.113.\N{ARABIC-INDIC DIGIT THREE}"], "10.9.9.9"),
    ],
)
def test_a_trusted_proxy_tells_the_client(forwarded: list[str], client: str) -> None:
    assert client_address("10.9.9.9", forwarded, PROXIES) == client


def test_nobody_else_is_believed() -> None:
    assert client_address("203.0.113.9", ["1.2.3.4"], PROXIES) == "203.0.113.9"
    assert client_address("10.9.9.9", ["1.2.3.4"], ()) == "10.9.9.9"
    assert client_address("10.9.9.9", ["1.2.3.4, 203.0.113.9"], PROXIES) == "203.0.113.9", "what a client wrote itself"


def test_every_port_and_spelling_of_a_client_is_the_same_one() -> None:
    told = {client_address("10.0.0.1", [f"203.0.113.7:{port}"], PROXIES) for port in range(1, 100)}
    assert told == {"203.0.113.7"}
    assert client_address("2001:db8::1", [], ()) == client_address("2001:db8::ffff", [], ())
    assert client_address("2001:db8::1", [], ()) != client_address("2001:db9::1", [], ())


def test_a_setting_that_is_wrong_is_told() -> None:
    with pytest.raises(UsageError, match="PILOTEXT_TRUSTED_PROXIES"):
        trusted_networks("proxy.example.org")
    with pytest.raises(UsageError, match="PILOTEXT_TRUSTED_PROXIES"):
        trusted_of({"PILOTEXT_BEHIND_PROXY": "1"})
    assert trusted_of({}) == ()
