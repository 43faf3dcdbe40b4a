"""Addresses have one form; an attacker is counted by what one customer gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.domain.addresses import (
    customer_of,
    is_within,
    parse_address,
    parse_hop,
    parse_networks,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("192.0.2.1%eth0", None),
        ("192.0.2.256", None),
        ("192.0.2.01", None),
        ("localhost", None),
        ("", None),
        ("1" * 10_000, None),
    ],
)
def test_an_address_has_one_form(text: str, address: str | None) -> None:
    found = parse_address(text)
    assert (None if found is None else str(found)) == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" 192.0.2.1 ", "192.0.2.1"),
        ("192.0.2.1:5060", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("192.0.2.1:", None),
        ("192.0.2.1:x", None),
        ("192.0.2.1:999999", None),
        ("[2001:db8::1", None),
        ("[2001:db8::1]443", None),
        ("[192.0.2.1]x", None),
        ("unknown", None),
        ("_hidden", None),
        ("", None),
    ],
)
def test_a_hop_may_have_a_port(text: str, address: str | None) -> None:
    found = parse_hop(text)
    assert (None if found is None else str(found)) == address


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_none(text: str) -> None:
    parse_address(text)
    parse_hop(text)
    assert len(customer_of(text)) <= 64


@pytest.mark.parametrize(
    ("text", "customer"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("", ""),
    ],
)
def test_an_ipv6_customer_is_a_64(text: str, customer: str) -> None:
    assert customer_of(text) == customer


def test_networks_take_bare_addresses_and_host_bits() -> None:
    networks = parse_networks(["192.0.2.7/24", "2001:db8::1"])
    inside = ("192.0.2.200", "2001:db8::1", "::ffff:192.0.2.3")
    for text in (*inside, "192.0.3.1", "2001:db8::2"):
        address = parse_address(text)
        assert address is not None
        assert is_within(address, networks) is (text in inside)
    with pytest.raises(ValueError, match="x"):
        parse_networks(["x"])
