"""Which answers say what to browsers."""

from rempart.wire.security_headers import (
    ALWAYS,
    BROWSED,
    NO_PAGE,
    STRICT_TRANSPORT,
    strict_transport,
)


def test_strict_transport_is_for_tls_on_the_network() -> None:
    assert strict_transport(has_tls=True, host="0.0.0.0") == STRICT_TRANSPORT
    assert strict_transport(has_tls=True, host="api.example") == STRICT_TRANSPORT
    assert strict_transport(has_tls=False, host="0.0.0.0") == ()
    for host in ("127.0.0.1", "localhost", "::1"):
        assert strict_transport(has_tls=True, host=host) == ()


def test_none_is_said_twice_and_all_are_small() -> None:
    together = [*ALWAYS, *BROWSED, *NO_PAGE]
    assert len({name for name, _ in together}) == len(together)
    assert sum(len(name) + len(value) + 4 for name, value in ALWAYS) < 150
