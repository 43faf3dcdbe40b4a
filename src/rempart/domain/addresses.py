"""Network addresses as texts: parsed once where they are compared, in one form everywhere.

An IPv4 client on an IPv6 socket (``::ffff:192.0.2.1``) is that IPv4 address. Attackers are counted by the
block that one customer gets: a single IPv4 address, an IPv6 /64 (RFC 6177).
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

ADDRESS_CHARACTERS_MAX = 64
"""``[`` IPv6 with a zone ``]:65535`` is shorter; more is not parsed."""
CUSTOMER_PREFIX_V6 = 64


def parse_address(text: str) -> Address | None:
    """An address without port; None when the text is none."""
    if len(text) > ADDRESS_CHARACTERS_MAX:
        return None
    try:
        address = ip_address(text.partition("%")[0] if ":" in text else text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parse_hop(text: str) -> Address | None:
    """An entry of X-Forwarded-For: an address, perhaps with a port or in brackets."""
    text = text.strip()
    if len(text) > ADDRESS_CHARACTERS_MAX:
        return None
    if text.startswith("["):
        inside, bracket, port = text[1:].partition("]")
        if not bracket or (port and not (port[0] == ":" and _is_port(port[1:]))):
            return None
        return parse_address(inside)
    host, colon, port = text.partition(":")
    if colon and "." in host:
        return parse_address(host) if _is_port(port) else None
    return parse_address(text)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks; a bare address is the network of itself alone.

    Raises:
        ValueError: one is neither; host bits beyond the prefix are let pass.
    """
    return tuple(ip_network(text, strict=False) for text in texts)


def is_within(address: Address, networks: Sequence[Network]) -> bool:
    """Whether one of the networks has the address; of the other version none has."""
    return any(address in network for network in networks)


def customer_of(text: str) -> str:
    """Whom failed attempts are counted for: the address itself, for IPv6 its /64; a text that is none is its own."""
    address = parse_address(text)
    if address is None:
        return text[:ADDRESS_CHARACTERS_MAX]
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address) >> 64 << 64, CUSTOMER_PREFIX_V6)))
    return str(address)
