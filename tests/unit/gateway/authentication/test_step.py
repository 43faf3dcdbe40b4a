"""Default deny: a key with the route's scope, before anything of the request is read or told."""

import pytest

from lab.exchanges import exchange_of
from lab.sim_loop import simulate
from rempart.domain.errors import (
    AddressNotAllowed,
    ExpiredApiKey,
    InsufficientScope,
    InvalidApiKey,
    MissingApiKey,
    RateLimitExceeded,
    RempartError,
    RevokedApiKey,
    StateUnavailable,
)
from rempart.domain.key_format import make_key
from rempart.domain.keys import ANONYMOUS, Principal
from rempart.gateway.authentication.step import Authentication, is_token, presented_secret
from rempart.gateway.exchange import Exchange, Route
from rempart.net.http1.messages import Request
from rempart.state.shared.keys.verify import Credential

SECRET = "a-secret-of-thirty-two-characters-or-more"
ACCENTED = "une-clé-de-trente-deux-caractères-ou-plus"
USER = Principal(id="user", scopes=frozenset({"inference"}))
METRICS = Principal(id="accented", scopes=frozenset({"metrics"}))
OURS = make_key("CmZaBOdxHqBP", "S" * 33)
TOKEN = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"


class Step:
    """The step with a door that knows two keys, and what was asked and reported."""

    def __init__(self, failing: RempartError | None = None) -> None:
        self.asked: list[tuple[str, str]] = []
        self.failures: list[tuple[str, str, str]] = []
        self.failing = failing
        self.instead: RempartError | None = None
        self.authentication = Authentication(
            verify=self.verify, address_of=self.address_of, on_failure=self.failed, tokens=self
        )

    def address_of(self, request: Request) -> str:
        return "198.51.100.7"

    def verify(self, secret: str, address: str) -> Credential:
        self.asked.append((secret, address))
        if self.failing is not None:
            raise self.failing
        for known, principal in ((SECRET, USER), (ACCENTED, METRICS)):
            if secret == known:
                return Credential(principal=principal, digest=b"", pepper_id="")
        raise InvalidApiKey

    async def principal(self, token: str) -> Principal:
        if self.failing is not None:
            raise self.failing
        return Principal(id="jwt:someone", scopes=frozenset({"inference"}))

    async def failed(self, address: str, error: RempartError, key_id: str) -> None:
        self.failures.append((address, error.code, key_id))
        if self.instead is not None:
            raise self.instead


def exchange(headers: dict[str, str], scope: str | None = "inference") -> Exchange:
    """A request for a route that needs that scope; None: for a path without a route."""
    found, _ = exchange_of(headers=headers)
    if scope is not None:
        found.route = Route(path="/x", methods=("GET",), scope=scope, operation=None)
    return found


def asked(headers: dict[str, str], scope: str | None = "inference") -> Principal | RempartError:
    """Who the request acts for, or why it may not."""

    async def body() -> Principal | RempartError:
        one = exchange(headers, scope)
        try:
            await Step().authentication.step(one)
        except RempartError as error:
            assert one.principal.id in ("", "user", "accented")
            return error
        return one.principal

    return simulate(body())


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {SECRET}"},
        {"authorization": f"bearer {SECRET}"},
        {"authorization": f"BEARER   {SECRET} "},
        {"x-api-key": SECRET},
        {"x-api-key": f" {SECRET} "},
        {"authorization": f"Bearer {SECRET}", "x-api-key": "other"},
        {"authorization": "Basic dXNlcjpwYXNz", "x-api-key": SECRET},
        {"authorization": "Bearer ", "x-api-key": SECRET},
    ],
)
def test_a_key_is_taken_from_either_header(headers: dict[str, str]) -> None:
    assert asked(headers) == USER


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer  "},
        {"authorization": SECRET},
        {"authorization": f"Basic {SECRET}"},
        {"authorization": f"Bearer{SECRET}"},
        {"x-api-key": ""},
        {"x-api-key": "  "},
        {"api-key": SECRET},
        {"cookie": f"key={SECRET}"},
    ],
)
@pytest.mark.parametrize("scope", ["inference", None])
def test_without_a_key_nothing_is_told_not_even_what_is_there(
    headers: dict[str, str], scope: str | None
) -> None:
    assert isinstance(asked(headers, scope), MissingApiKey)


@pytest.mark.parametrize(
    "secret", ["x", SECRET[:-1], SECRET + "x", SECRET.upper(), "é" * 40, "\x7f" * 40]
)
@pytest.mark.parametrize("scope", ["inference", None])
def test_a_key_that_is_none_of_ours_is_refused(secret: str, scope: str | None) -> None:
    assert isinstance(asked({"x-api-key": secret}, scope), InvalidApiKey)


def test_a_secret_of_any_characters_is_found() -> None:
    """As REMPART_ADMIN_KEY may have them; clients send UTF-8."""
    found = asked({"authorization": f"Bearer {ACCENTED}"}, "metrics")
    assert isinstance(found, Principal)
    assert found.id == "accented"


def test_a_key_without_the_route_s_scope_is_refused_by_that_scope_s_name() -> None:
    error = asked({"x-api-key": SECRET}, "metrics")
    assert isinstance(error, InsufficientScope)
    assert error.details == {"scope": "metrics"}


def test_a_path_without_a_route_needs_a_key_and_no_scope() -> None:
    assert asked({"x-api-key": SECRET}, None) == USER


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "wrong"}, {"x-api-key": SECRET}])
def test_a_public_route_asks_nobody(headers: dict[str, str]) -> None:
    assert asked(headers, "") is ANONYMOUS


def test_the_client_s_address_is_known_even_where_nobody_is_asked_for_a_key() -> None:
    async def body() -> None:
        step = Step()
        for headers, scope in (({}, ""), ({"x-api-key": SECRET}, "inference")):
            one = exchange(headers, scope)
            await step.authentication.step(one)
            assert one.address == "198.51.100.7"
        assert step.asked == [(SECRET, "198.51.100.7")]

    simulate(body())


def test_what_a_key_was_let_in_by_is_kept_for_the_watch() -> None:
    async def body() -> None:
        one = exchange({"x-api-key": SECRET})
        await Step().authentication.step(one)
        assert one.credential is not None
        assert one.credential.principal is one.principal

    simulate(body())


@pytest.mark.parametrize(
    ("error", "reported"),
    [
        (InvalidApiKey(), ("198.51.100.7", "invalid_api_key", "")),
        (RevokedApiKey(), ("198.51.100.7", "revoked_api_key", "CmZaBOdxHqBP")),
        (ExpiredApiKey(), ("198.51.100.7", "expired_api_key", "CmZaBOdxHqBP")),
        (AddressNotAllowed(), ("198.51.100.7", "address_not_allowed", "CmZaBOdxHqBP")),
        (StateUnavailable(reason="x"), None),
    ],
)
def test_failed_attempts_are_reported_and_our_own_troubles_are_none(
    error: RempartError, reported: tuple[str, str, str] | None
) -> None:
    async def body() -> None:
        step = Step(error)
        with pytest.raises(type(error)):
            await step.authentication.step(exchange({"x-api-key": OURS}))
        assert step.failures == ([] if reported is None else [reported])

    simulate(body())


def test_a_request_without_a_key_or_with_too_small_a_scope_is_no_failed_attempt() -> None:
    async def body() -> None:
        step = Step()
        for headers in ({}, {"x-api-key": SECRET}):
            with pytest.raises(RempartError):
                await step.authentication.step(exchange(headers, "admin:read"))
        assert step.failures == []

    simulate(body())


def test_a_blocked_address_is_told_that_instead() -> None:
    async def body() -> None:
        step = Step()
        step.instead = RateLimitExceeded(limit=1, window_seconds=1, retry_after_s=9.0)
        with pytest.raises(RateLimitExceeded):
            await step.authentication.step(exchange({"x-api-key": "wrong"}))

    simulate(body())


def test_a_token_of_an_issuer_is_taken_beside_keys() -> None:
    async def body() -> None:
        step = Step()
        one = exchange({"authorization": f"Bearer {TOKEN}"})
        await step.authentication.step(one)
        assert one.principal.id == "jwt:someone"
        assert one.credential is None
        assert step.asked == []

    simulate(body())


@pytest.mark.parametrize(
    ("text", "is_one"),
    [(TOKEN, True), ("eyJ.a", False), ("eyJ.a.b.c", False), ("a.b.c", False), (OURS, False)],
)
def test_only_the_form_of_a_signed_token_is_taken_for_one(text: str, is_one: bool) -> None:
    assert is_token(text) is is_one


@pytest.mark.parametrize(
    ("headers", "is_known", "failures"),
    [({}, False, 0), ({"x-api-key": "wrong"}, False, 1), ({"x-api-key": SECRET}, True, 0)],
)
def test_a_public_route_may_show_more_to_those_with_a_key_and_is_no_door_to_guess_at(
    headers: dict[str, str], is_known: bool, failures: int
) -> None:
    async def body() -> None:
        step = Step()
        assert await step.authentication.is_known(exchange(headers, "")) is is_known
        assert len(step.failures) == failures
        already = exchange({}, "")
        already.principal = USER
        assert await step.authentication.is_known(already)

    simulate(body())


def test_the_first_of_several_headers_counts() -> None:
    async def body() -> None:
        one = exchange({"authorization": f"Bearer {SECRET}"})
        one.request.headers.append((b"authorization", b"Bearer other"))
        assert presented_secret(one) == SECRET

    simulate(body())
