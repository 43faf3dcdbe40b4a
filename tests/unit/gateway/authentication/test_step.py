"""Default deny: a key with the route's scope, before anything of the request is read or told."""

import pytest

from lab.exchanges import exchange_of
from lab.sim_loop import simulate
from rempart.domain.errors import (
    InsufficientScope,
    InvalidApiKey,
    MissingApiKey,
    RempartError,
)
from rempart.domain.keys import (
    ANONYMOUS,
    SECRET_CHARACTERS_MAX,
    Principal,
    StoredKey,
    digest_secret,
    find_key,
)
from rempart.gateway.authentication.step import Authentication, presented_secret
from rempart.gateway.exchange import Exchange, Route

PEPPER = b"p" * 32
SECRET = "a-secret-of-thirty-two-characters-or-more"
ACCENTED = "une-clé-de-trente-deux-caractères-ou-plus"
LONGEST = "x" * SECRET_CHARACTERS_MAX
KEYS = [
    StoredKey(id="user", digest=digest_secret(PEPPER, SECRET), scopes=frozenset({"inference"})),
    StoredKey(id="accented", digest=digest_secret(PEPPER, ACCENTED), scopes=frozenset({"metrics"})),
    StoredKey(id="longest", digest=digest_secret(PEPPER, LONGEST), scopes=frozenset()),
]


class Step:
    """The step over ``KEYS``, and what was looked up."""

    def __init__(self) -> None:
        self.looked_up: list[str] = []
        self.authentication = Authentication(self.find)

    def find(self, secret: str) -> StoredKey | None:
        self.looked_up.append(secret)
        return find_key(KEYS, PEPPER, secret)


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
            Step().authentication.step(one)
        except RempartError as error:
            assert one.principal.id in ("", "user", "accented")
            return error
        return one.principal

    return simulate(body())


USER = Principal(id="user", scopes=frozenset({"inference"}))


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
    "secret", ["x", SECRET[:-1], SECRET + "x", SECRET.upper(), LONGEST + "x", "é" * 40, "\x7f" * 40]
)
@pytest.mark.parametrize("scope", ["inference", None])
def test_a_key_that_is_none_of_ours_is_refused(secret: str, scope: str | None) -> None:
    assert isinstance(asked({"x-api-key": secret}, scope), InvalidApiKey)


def test_a_secret_of_any_characters_and_of_the_longest_length_is_found() -> None:
    """As REMPART_ADMIN_KEY may be; clients send UTF-8."""
    found = asked({"authorization": f"Bearer {ACCENTED}"}, "metrics")
    assert isinstance(found, Principal)
    assert found.id == "accented"
    longest = asked({"x-api-key": LONGEST}, None)
    assert isinstance(longest, Principal)
    assert longest.id == "longest"


def test_made_up_secrets_beyond_the_longest_are_not_even_looked_up() -> None:
    async def body() -> None:
        step = Step()
        for check in (step.authentication.step, step.authentication.is_known):
            try:
                check(exchange({"x-api-key": LONGEST + "x"}))
            except InvalidApiKey:
                pass
        assert step.looked_up == []

    simulate(body())


def test_a_key_without_the_route_s_scope_is_refused_by_that_scope_s_name() -> None:
    error = asked({"x-api-key": SECRET}, "metrics")
    assert isinstance(error, InsufficientScope)
    assert error.details == {"scope": "metrics"}


def test_a_path_without_a_route_needs_a_key_and_no_scope() -> None:
    assert asked({"x-api-key": SECRET}, None) == USER


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "wrong"}, {"x-api-key": SECRET}])
def test_a_public_route_asks_nobody(headers: dict[str, str]) -> None:
    assert asked(headers, "") is ANONYMOUS


@pytest.mark.parametrize(
    ("headers", "is_known"),
    [({}, False), ({"x-api-key": "wrong"}, False), ({"x-api-key": SECRET}, True)],
)
def test_a_public_route_may_show_more_to_those_with_a_key(
    headers: dict[str, str], is_known: bool
) -> None:
    async def body() -> None:
        step = Step()
        assert step.authentication.is_known(exchange(headers, "")) is is_known
        already = exchange({}, "")
        already.principal = USER
        assert step.authentication.is_known(already)

    simulate(body())


def test_the_first_of_several_headers_counts() -> None:
    async def body() -> None:
        one = exchange({"authorization": f"Bearer {SECRET}"})
        one.request.headers.append((b"authorization", b"Bearer other"))
        assert presented_secret(one) == SECRET

    simulate(body())
