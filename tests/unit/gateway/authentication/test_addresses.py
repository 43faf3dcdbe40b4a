"""Who the client is, as far as those who say so are trusted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.exchanges import exchange_of
from lab.sim_loop import simulate
from rempart.gateway.authentication.addresses import HOPS_MAX, ClientAddresses
from rempart.net.http1.messages import Request


def request(peer: str, *forwarded: bytes) -> Request:
    async def body() -> Request:
        exchange, _ = exchange_of()
        exchange.request.peer = peer
        exchange.request.headers += [(b"x-forwarded-for", value) for value in forwarded]
        return exchange.request

    return simulate(body())


def found(trusted: list[str], peer: str, *forwarded: bytes) -> str:
    return ClientAddresses(trusted).of(request(peer, *forwarded))


PROXIES = ["10.0.0.0/8", "2001:db8:aaaa::/48"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"192.0.2.1"], "192.0.2.1"),
        # Only from proxies: a client that writes the header itself is who it is.
        ("192.0.2.9", [b"198.51.100.1"], "192.0.2.9"),
        # What stands left of the first hop that is none of ours was written by the client.
        ("10.0.0.1", [b"127.0.0.1, 192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", [b"127.0.0.1, 192.0.2.1, 10.1.1.1, 10.2.2.2"], "192.0.2.1"),
        # Several headers are one list.
        ("10.0.0.1", [b"127.0.0.1", b"192.0.2.1", b"10.1.1.1"], "192.0.2.1"),
        ("10.0.0.1", [b"192.0.2.1, 10.1.1.1", b"10.2.2.2"], "192.0.2.1"),
        # All are ours: the farthest.
        ("10.0.0.1", [b"10.3.3.3, 10.1.1.1"], "10.3.3.3"),
        # Ports, IPv6, brackets, mapped addresses.
        ("10.0.0.1", [b"192.0.2.1:4711"], "192.0.2.1"),
        ("10.0.0.1", [b"[2001:db8::7]:4711"], "2001:db8::7"),
        ("::ffff:10.0.0.1", [b"2001:db8::7"], "2001:db8::7"),
        ("2001:db8:aaaa::1", [b"::ffff:192.0.2.1"], "192.0.2.1"),
        # Rubbish: the last hop that could be read.
        ("10.0.0.1", [b"unknown"], "10.0.0.1"),
        ("10.0.0.1", [b"192.0.2.1, , 10.1.1.1"], "10.1.1.1"),
        ("10.0.0.1", [b""], "10.0.0.1"),
        ("10.0.0.1", [b"\xff\xfe, \x80"], "10.0.0.1"),
        ("", [b"192.0.2.1"], ""),
    ],
)
def test_the_rightmost_hop_that_is_no_proxy_of_ours_is_the_client(
    peer: str, forwarded: list[bytes], client: str
) -> None:
    assert found(PROXIES, peer, *forwarded) == client


def test_without_configured_proxies_the_header_means_nothing() -> None:
    assert found([], "10.0.0.1", b"192.0.2.1") == "10.0.0.1"


def test_a_proxy_on_the_unix_socket_may_be_trusted() -> None:
    assert found(["unix"], "", b"127.0.0.1, 192.0.2.1") == "192.0.2.1"
    assert found(["unix"], "10.0.0.1", b"192.0.2.1") == "10.0.0.1"


def test_a_longer_chain_than_there_can_be_is_cut() -> None:
    ours = b", ".join([b"10.1.1.1"] * (HOPS_MAX + 50))
    assert found(PROXIES, "10.0.0.1", b"192.0.2.1, " + ours) == "10.1.1.1"
    assert found(PROXIES, "10.0.0.1", *[b"192.0.2.1"] * 500) == "192.0.2.1"


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_no_header_makes_a_client_of_one_that_our_proxies_did_not_see(values: list[bytes]) -> None:
    """Whatever the client wrote: the hop that our own proxy appended decides."""
    clean = [value.replace(b"\n", b"").replace(b"\r", b"") for value in values]
    assert found(PROXIES, "10.0.0.1", *clean, b"192.0.2.1") == "192.0.2.1"
