"""The client's address, also behind proxies: what X-Forwarded-For says, as far as those who wrote it are trusted.

Each proxy appends whom it was called by, so the list is read from the right: as long as a hop is a
configured proxy, the one before it is believed. What stands further left was written by the client and may be
anything. Without configured proxies the header is never looked at.
"""

from rempart.domain.addresses import is_within, parse_address, parse_hop, parse_networks
from rempart.net.http1.messages import Request

UNIX = "unix"
"""In server.trusted_proxies: whoever comes by the Unix socket."""
HOPS_MAX = 32
"""Hops looked at from the right; a longer chain of our own proxies is no chain."""
FORWARDED = b"x-forwarded-for"


class ClientAddresses:
    """Finds them.

    Args:
        trusted: ``server.trusted_proxies``: addresses, networks, or ``unix``.
    """

    __slots__ = ("_networks", "_trusts_unix")

    def __init__(self, trusted: list[str]) -> None:
        self._trusts_unix = UNIX in trusted
        self._networks = parse_networks(one for one in trusted if one != UNIX)

    def of(self, request: Request) -> str:
        """The client's address as text; empty on a Unix socket whose callers are not trusted to name one."""
        peer = request.peer
        if not self._networks and not self._trusts_unix:
            return peer
        if not self._is_trusted(peer):
            return peer
        address = peer
        for text in self._hops(request):
            hop = parse_hop(text)
            if hop is None:  # no proxy of ours writes that: the last one that could be read counts
                break
            address = str(hop)
            if not is_within(hop, self._networks):
                break
        return address

    def _is_trusted(self, peer: str) -> bool:
        if not peer:
            return self._trusts_unix
        address = parse_address(peer)
        return address is not None and is_within(address, self._networks)

    def _hops(self, request: Request) -> list[str]:
        """From the nearest on. A header that came several times is one list (RFC 9110, 5.3)."""
        values = [value for name, value in request.headers if name == FORWARDED]
        hops: list[str] = []
        for value in reversed(values):
            # Split from the right and only so often: a header of 64 KiB costs no more than a short one.
            parts = value.rsplit(b",", HOPS_MAX - len(hops))
            if len(parts) > HOPS_MAX - len(hops):
                parts = parts[1:]
            hops += [part.decode("latin-1") for part in reversed(parts)]
            if len(hops) >= HOPS_MAX:
                break
        return hops
