"""The issuer's keys are fetched when they are wanted, seldom, from nowhere else, and kept while it is away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lab.exchanges import LoopClock
from lab.issuer import AUDIENCE, Issuer
from rempart.base.clock import SystemClock
from rempart.domain.errors import InvalidApiKey, StateUnavailable
from rempart.gateway.authentication.issuer import (
    VERIFIED_MAX,
    FetchFailed,
    IssuerTokens,
    fetch_json,
    fetch_keys,
    is_safe,
)
from rempart.gateway.authentication.jwt import rules_of
from rempart.settings.protection import Jwt


class Clock(LoopClock):
    """Monotonic time that a test moves; wall time is real, for tokens are signed in real time."""

    def __init__(self) -> None:
        self.moved_s = 0.0

    def now(self) -> float:
        return super().now() + self.moved_s

    def wall(self) -> Any:
        return SystemClock().wall()


class Scene:
    def __init__(self, issuer: Issuer, **settings: Any) -> None:
        self.issuer = issuer
        self.clock = Clock()
        self.failed: list[str] = []
        jwt = Jwt(issuer=issuer.url, audience=AUDIENCE, **settings)
        self.tokens = IssuerTokens(
            settings=jwt, rules=rules_of(jwt), clock=self.clock, on_failed=self.failed.append
        )


def running(body: Callable[[Scene], Awaitable[None]], **settings: Any) -> None:
    """The body, with an issuer and the task that fetches."""

    async def scenario() -> None:
        issuer = await Issuer().start()
        scene = Scene(issuer, **settings)
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            fetching = tasks.create_task(scene.tokens.run())
            try:
                await body(scene)
            finally:
                fetching.cancel()
                await issuer.close()

    asyncio.run(scenario())


def test_keys_are_found_by_discovery_and_fetched_once() -> None:
    async def body(scene: Scene) -> None:
        found = await asyncio.gather(
            *(scene.tokens.principal(scene.issuer.token()) for _ in range(20))
        )
        assert {principal.id for principal in found} == {"jwt:someone"}
        assert scene.issuer.fetches == ["/.well-known/openid-configuration", "/jwks"]

    running(body)


def test_a_configured_address_needs_no_discovery() -> None:
    async def scenario() -> None:
        issuer = await Issuer().start()
        settings = Jwt(issuer=issuer.url, audience=AUDIENCE, jwks_url=f"{issuer.url}/jwks")
        assert len(await fetch_keys(settings, fetch_json)) == 1
        assert issuer.fetches == ["/jwks"]
        await issuer.close()

    asyncio.run(scenario())


def test_an_unknown_key_id_has_keys_fetched_again_at_most_once_a_minute() -> None:
    async def body(scene: Scene) -> None:
        await scene.tokens.principal(scene.issuer.token())
        scene.issuer.add_ed25519("new")
        token = scene.issuer.token("new", alg="EdDSA")
        for _ in range(50):
            with pytest.raises(InvalidApiKey):
                await scene.tokens.principal(token)
        assert len(scene.issuer.fetches) == 2
        scene.clock.moved_s = 61
        assert (await scene.tokens.principal(token)).id == "jwt:someone"
        assert len(scene.issuer.fetches) == 4

    running(body)


def test_an_issuer_that_is_away_changes_nothing_for_known_keys() -> None:
    async def body(scene: Scene) -> None:
        await scene.tokens.principal(scene.issuer.token())
        await scene.issuer.close()
        scene.clock.moved_s = 3601
        for _ in range(3):
            assert (await scene.tokens.principal(scene.issuer.token(jti="2"))).id == "jwt:someone"
        assert len(scene.failed) == 1

    running(body)


def test_a_key_that_the_issuer_withdrew_is_no_longer_trusted_after_a_while() -> None:
    async def body(scene: Scene) -> None:
        token = scene.issuer.token()
        await scene.tokens.principal(token)
        scene.issuer.add_rsa("other")
        del scene.issuer.keys["ec1"]
        scene.clock.moved_s = 3601
        with pytest.raises(InvalidApiKey):
            await scene.tokens.principal(token)

    running(body)


def test_without_any_keys_nobody_knows_and_nobody_is_called_wrong() -> None:
    async def body(scene: Scene) -> None:
        scene.issuer.status = 500
        for _ in range(5):
            with pytest.raises(StateUnavailable):
                await scene.tokens.principal(scene.issuer.token())
        assert len(scene.failed) == 1
        scene.issuer.status = 200
        scene.clock.moved_s = 61
        assert (await scene.tokens.principal(scene.issuer.token())).id == "jwt:someone"

    running(body)


def test_a_client_that_leaves_does_not_stop_the_fetch_that_others_wait_for() -> None:
    async def body(scene: Scene) -> None:
        async with asyncio.TaskGroup() as tasks:
            token = scene.issuer.token()
            first = tasks.create_task(scene.tokens.principal(token))
            second = tasks.create_task(scene.tokens.principal(token))
            await asyncio.sleep(0)
            first.cancel()
        assert second.result().id == "jwt:someone"

    running(body)


def test_verified_tokens_are_kept_up_to_a_bound() -> None:
    async def body(scene: Scene) -> None:
        for number in range(VERIFIED_MAX + 5):
            scene.tokens._verified[bytes([number % 256, number // 256])] = None  # type: ignore[assignment]
            while len(scene.tokens._verified) > VERIFIED_MAX:
                scene.tokens._verified.popitem()
        await scene.tokens.principal(scene.issuer.token())
        await scene.tokens.principal(scene.issuer.token(jti="2"))
        assert len(scene.tokens._verified) <= VERIFIED_MAX

    running(body)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": 302}, "answered 302"),
        ({"status": 404}, "answered 404"),
        ({"body": b"x" * 300_000}, "longer than"),
        ({"body": b"no json"}, "is not JSON"),
        ({"body": b"[]"}, "another issuer"),
        ({"more_metadata": {"issuer": "https://other.example"}}, "another issuer"),
        ({"more_metadata": {"jwks_uri": "http://far.example/jwks"}}, "no address of keys"),
        ({"more_metadata": {"jwks_uri": "file:///etc/passwd"}}, "no address of keys"),
        ({"more_metadata": {"jwks_uri": None}}, "no address of keys"),
        ({"keys": {}}, "no key that can be used"),
    ],
)
def test_what_an_issuer_may_not_do(change: dict[str, Any], reason: str) -> None:
    async def scenario() -> None:
        issuer = await Issuer().start()
        for name, value in change.items():
            setattr(issuer, name, value)
        try:
            with pytest.raises(FetchFailed, match=reason):
                await fetch_keys(Jwt(issuer=issuer.url, audience=AUDIENCE), fetch_json)
        finally:
            await issuer.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://a.example/x", True), ("http://127.0.0.1:9/x", True), ("http://[::1]/x", True),
        ("http://a.example", False), ("ftp://a.example", False), ("https://", False), ("", False),
        ("http://localhost.evil.example", False),
    ],
)  # fmt: skip
def test_keys_come_over_tls_or_from_this_machine(url: str, safe: bool) -> None:
    assert is_safe(url) is safe
