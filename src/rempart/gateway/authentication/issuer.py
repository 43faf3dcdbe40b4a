"""The issuer's keys, fetched by the worker and kept; and tokens that were verified, for a while.

Keys come from the configured address, or from the issuer's own discovery document; never from where a token says.
An unknown key id has them fetched anew, at most once a minute, however many ask. An issuer that is away
changes nothing: what was fetched before goes on being used.
"""

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

import msgspec

from rempart.base.clock import Clock
from rempart.domain.errors import ExpiredApiKey, InvalidApiKey, StateUnavailable
from rempart.domain.keys import Principal
from rempart.gateway.authentication.jwt import TokenKeys, TokenRules, header_of, principal_of
from rempart.net.http1.client import Pool
from rempart.net.http1.errors import HttpError
from rempart.settings.protection import Jwt as JwtSettings

DOCUMENT_BYTES_MAX = 256 * 1024
FETCH_S_MAX = 5.0
REFETCH_S = 60.0
"""Between two fetches, failed ones too: a flood of tokens with made-up key ids is one request a minute."""
AGE_S_MAX = 3600.0
"""Keys are fetched anew after this, so that one which the issuer withdrew is not trusted for ever."""
VERIFIED_MAX = 1024
"""Verified tokens at hand: a signature costs 50 to 250 µs; at the bound the oldest goes."""
RETRY_S = 5.0

Fetch = Callable[[str], Awaitable[Any]]
"""An address → the JSON document there; raises FetchFailed."""


class FetchFailed(Exception):
    """There is no document to be had; the message says why."""


class NotThere(FetchFailed):
    """There is nothing at that address (404); it may be at another."""


async def fetch_json(url: str) -> Any:
    """The JSON document at an address: status 200, bounded, no redirects.

    Raises:
        FetchFailed.
    """
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        pool = Pool(f"{parts.scheme}://{parts.netloc}", connect_s=FETCH_S_MAX)
    except ValueError as error:
        raise FetchFailed(str(error)) from error
    try:
        status, _, body = await pool.fetch(
            b"GET",
            target.encode("ascii", "replace"),
            [(b"accept", b"application/json")],
            b"",
            DOCUMENT_BYTES_MAX,
            FETCH_S_MAX,
        )
    except (HttpError, ValueError) as error:
        raise FetchFailed(f"{url}: {error}") from error
    finally:
        await pool.close()
    if status == 404:
        raise NotThere(f"{url} answered 404")
    if status != 200:
        raise FetchFailed(f"{url} answered {status}")
    try:
        return msgspec.json.decode(body)
    except ValueError as error:
        raise FetchFailed(f"{url} is not JSON") from error


def is_safe(url: str) -> bool:
    """Whether keys may be fetched there: TLS, or this machine itself."""
    parts = urlsplit(url)
    is_local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_local)
    )


async def fetch_keys(settings: JwtSettings, fetch: Fetch) -> TokenKeys:
    """The issuer's keys.

    Raises:
        FetchFailed: they cannot be had, or there are none that can be used.
    """
    address = settings.jwks_url or await _discovered(settings.issuer, fetch)
    document = await fetch(address)
    try:
        keys = TokenKeys(document)
    except ValueError as error:
        raise FetchFailed(f"{address}: {error}") from error
    if not len(keys):
        raise FetchFailed(f"{address} has no key that can be used")
    return keys


async def _discovered(issuer: str, fetch: Fetch) -> str:
    """The address of the keys, from the issuer's metadata (OpenID Connect Discovery, RFC 8414)."""
    parts = urlsplit(issuer)
    root, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    try:
        document = await fetch(f"{root}{path}/.well-known/openid-configuration")
    except NotThere:
        document = await fetch(f"{root}/.well-known/oauth-authorization-server{path}")
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        raise FetchFailed(f"the metadata of {issuer} is of another issuer")
    address = document.get("jwks_uri")
    if not isinstance(address, str) or not is_safe(address):
        raise FetchFailed(f"the metadata of {issuer} names no address of keys with https")
    return address


class IssuerTokens:
    """``step.Tokens`` of the configured issuer.

    Args:
        fetch: gives JSON documents.
        on_failed: told why keys could not be fetched.
    """

    def __init__(
        self,
        *,
        settings: JwtSettings,
        rules: TokenRules,
        clock: Clock,
        fetch: Fetch = fetch_json,
        on_failed: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._clock = clock
        self._fetch = fetch
        self._on_failed = on_failed
        self._keys: TokenKeys | None = None
        self._fetched_s = float("-inf")
        self._tried_s = float("-inf")
        self._verified: dict[bytes, Principal] = {}
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._is_fetching = False
        self._round: asyncio.Event | None = None
        """Set at the end of the fetch that somebody waits for."""

    async def principal(self, token: str) -> Principal:
        """See ``step.Tokens``."""
        now_s = self._clock.wall().timestamp()
        name = blake2b(token.encode("utf-8", "surrogateescape"), digest_size=16).digest()
        known = self._verified.get(name)
        if known is not None and not self._are_old():
            if known.expires_s <= now_s:
                raise ExpiredApiKey
            return known
        header = header_of(token, self._rules)
        kid = header.get("kid")
        key = self._keys.find(kid) if self._keys is not None and not self._are_old() else None
        if key is None:
            await self._renew()
            if self._keys is None:
                raise StateUnavailable(
                    reason="the keys of the token's issuer cannot be fetched", retry_after_s=RETRY_S
                )
            key = self._keys.find(kid)
        if key is None:
            raise InvalidApiKey
        principal = principal_of(token, key, self._rules, now_s)
        if len(self._verified) >= VERIFIED_MAX:
            del self._verified[next(iter(self._verified))]
        self._verified[name] = principal
        return principal

    def _are_old(self) -> bool:
        """Whether the keys should be fetched anew, and may be."""
        now_s = self._clock.now()
        return now_s - self._fetched_s > AGE_S_MAX and now_s - self._tried_s >= REFETCH_S

    async def run(self) -> None:
        """Fetch keys whenever they are wanted, and once at the start; until cancelled.

        A task of its own, since a client that leaves must not stop a fetch that others wait for.
        """
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._is_fetching = True
            self._tried_s = self._clock.now()
            try:
                keys = await fetch_keys(self._settings, self._fetch)
            except FetchFailed as error:
                self._on_failed(str(error))
            else:
                self._keys, self._fetched_s = keys, self._clock.now()
                self._verified.clear()
            self._is_fetching = False
            waiting, self._round = self._round, None
            if waiting is not None:
                waiting.set()

    async def _renew(self) -> None:
        """Have the keys fetched, unless that was tried within the last minute; returns when it is over."""
        if self._round is None:
            is_coming = self._is_fetching or self._wanted.is_set()
            if not is_coming and self._clock.now() - self._tried_s < REFETCH_S:
                return
            self._round = asyncio.Event()
            if not is_coming:
                self._wanted.set()
        await self._round.wait()
