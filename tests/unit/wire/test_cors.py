"""CORS by origin: exact, without credentials, and silent when it is off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.wire.cors import EXPOSED, REQUEST_HEADERS, CorsPolicy, cors_policy

ALLOWED = "https://app.example"
NAMES = (b"access-control-allow-origin", b"access-control-expose-headers")


def policy(*origins: str) -> CorsPolicy:
    return CorsPolicy(origins, methods=["GET", "POST", "GET"], max_age_s=600)


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "*",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example:443",
        "https://app.example/",
        "https://app.example.evil.example",
        "https://evilapp.example",
        "https://sub.app.example",
        "https://APP.example",
        "https://app.example ",
        "https://app.example,https://evil.example",
        "https://app.example\x00.evil.example",
        "https://app。example",
    ],
)
def test_what_only_looks_like_it_is_not_allowed(origin: str) -> None:
    sent = origin.encode()
    assert policy(ALLOWED).answer(sent) == ((b"vary", b"origin"),)
    assert policy(ALLOWED).preflight(sent, b"POST") == ()


@given(st.binary(max_size=40))
def test_nothing_but_the_origin_itself_is_allowed(sent: bytes) -> None:
    said = dict(policy(ALLOWED).answer(sent))
    assert (NAMES[0] in said) == (sent == ALLOWED.encode())


def test_an_allowed_page_reads_the_answer_and_its_headers() -> None:
    said = dict(policy(ALLOWED, "http://localhost:3000").answer(b"http://localhost:3000"))
    assert said[b"access-control-allow-origin"] == b"http://localhost:3000"
    assert said[b"vary"] == b"origin"
    exposed = said[b"access-control-expose-headers"].decode().split(", ")
    assert {"x-request-id", "retry-after", "ratelimit", "x-ratelimit-reset-tokens"} <= set(exposed)
    assert set(exposed) == set(EXPOSED)
    assert b"access-control-allow-credentials" not in said


def test_a_preflight_says_what_may_be_sent() -> None:
    said = dict(policy(ALLOWED).preflight(ALLOWED.encode(), b"POST"))
    assert said[b"access-control-allow-methods"] == b"GET, POST"
    assert said[b"access-control-max-age"] == b"600"
    headers = said[b"access-control-allow-headers"].decode().split(", ")
    assert {"authorization", "x-api-key", "content-type", "anthropic-version"} <= set(headers)
    assert len(headers) == len(set(headers)) == len(REQUEST_HEADERS)
    assert "*" not in headers
    assert not any(name.startswith("x-forwarded") for name in headers)


def test_an_options_that_is_no_preflight_gets_no_leave() -> None:
    assert policy(ALLOWED).preflight(ALLOWED.encode(), None) == ()
    assert policy(ALLOWED).preflight(None, b"POST") == ()
    assert policy("*").preflight(None, b"POST") == ()


def test_any_origin_is_told_the_same_without_varying() -> None:
    for origin in (b"https://evil.example", b"null", None):
        said = policy("*").answer(origin)
        assert (b"access-control-allow-origin", b"*") in said
        assert not [
            name for name, _ in said if name in (b"vary", b"access-control-allow-credentials")
        ]
    assert policy("*").preflight(b"https://any.example", b"POST")


def test_more_headers_may_be_sent() -> None:
    one = CorsPolicy([ALLOWED], methods=["POST"], max_age_s=1, more_headers=["x-end-user"])
    said = dict(one.preflight(ALLOWED.encode(), b"POST"))
    assert said[b"access-control-allow-headers"].endswith(b", x-end-user")


def test_without_origins_there_is_no_policy() -> None:
    assert cors_policy([], methods=["POST"], max_age_s=1) is None
    assert cors_policy([ALLOWED], methods=["POST"], max_age_s=1) is not None
