"""Step 4: from the request's head to a principal with the scope that the route needs.

Default deny: a route is open only if its row says PUBLIC, and a path without a row needs a key before it
is told that there is nothing. The body has not been read at this point.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from rempart.domain.errors import (
    AddressNotAllowed,
    ExpiredApiKey,
    InsufficientScope,
    InvalidApiKey,
    MissingApiKey,
    RempartError,
    RevokedApiKey,
)
from rempart.domain.key_format import look_up_id
from rempart.domain.keys import ANONYMOUS, Principal, secret_in_header
from rempart.gateway.exchange import Exchange
from rempart.net.http1.messages import Request
from rempart.state.shared.keys.verify import Credential

Verify = Callable[[str, str], Credential]
"""(secret, client's address) → what it is let in by; see ``state.shared.keys.verify``."""
OnFailure = Callable[[str, RempartError, str], Awaitable[None]]
"""(client's address, why, id of the key whose right secret was presented or empty)."""
AddressOf = Callable[[Request], str]

FAILURES = (InvalidApiKey, ExpiredApiKey, RevokedApiKey, AddressNotAllowed)


class Tokens(Protocol):
    """Access tokens of an issuer, beside keys (``jwt.py``)."""

    async def principal(self, token: str) -> Principal:
        """Whom a token stands for.

        Raises:
            InvalidApiKey, ExpiredApiKey, StateUnavailable.
        """
        ...


def presented_secret(exchange: Exchange) -> str | None:
    """The secret that came with the request, or None."""
    request = exchange.request
    authorization = request.header(b"authorization")
    if authorization is not None:
        scheme, _, value = authorization.partition(b" ")
        secret = secret_in_header(value)
        if scheme.lower() == b"bearer" and secret:
            return secret
    key = request.header(b"x-api-key")
    return (secret_in_header(key) or None) if key is not None else None


def is_token(secret: str) -> bool:
    """Whether this is in the form of a signed JWT: three parts, the first a JSON object in base64url."""
    return secret.startswith("eyJ") and secret.count(".") == 2


class Authentication:
    """Finds the principal.

    Args:
        address_of: the client's address, behind trusted proxies too.
        on_failure: told of every attempt that failed; may hold it back, or raise another error.
        tokens: taken beside keys; None: none are.
    """

    __slots__ = ("_address_of", "_on_failure", "_tokens", "_verify")

    def __init__(
        self,
        *,
        verify: Verify,
        address_of: AddressOf,
        on_failure: OnFailure,
        tokens: Tokens | None = None,
    ) -> None:
        self._verify = verify
        self._address_of = address_of
        self._on_failure = on_failure
        self._tokens = tokens

    async def step(self, exchange: Exchange) -> None:
        """Set ``exchange.address``, ``principal`` and ``credential``.

        Raises:
            MissingApiKey, InvalidApiKey, ExpiredApiKey, RevokedApiKey, AddressNotAllowed, InsufficientScope.
            RateLimitExceeded: the address presented too many wrong keys.
            StateUnavailable: nobody knows at this moment.
        """
        exchange.address = self._address_of(exchange.request)
        route = exchange.route
        if route is not None and not route.scope:
            return
        secret = presented_secret(exchange)
        if secret is None:
            raise MissingApiKey
        await self._identify(exchange, secret)
        if route is not None and route.scope not in exchange.principal.scopes:
            raise InsufficientScope(scope=route.scope)

    async def _identify(self, exchange: Exchange, secret: str) -> None:
        try:
            if self._tokens is not None and is_token(secret):
                exchange.principal = await self._tokens.principal(secret)
            else:
                credential = exchange.credential = self._verify(secret, exchange.address)
                exchange.principal = credential.principal
        except FAILURES as error:
            # Only who presents the right secret is told more than that it is none of ours.
            key_id = "" if isinstance(error, InvalidApiKey) else look_up_id(secret)
            await self._on_failure(exchange.address, error, key_id)
            raise

    async def is_known(self, exchange: Exchange) -> bool:
        """Whether the request carries a valid key, for public routes that show more to those who do.

        A wrong one counts as a failed attempt, so that this is no door to guess at.
        """
        if exchange.principal is not ANONYMOUS:
            return True
        secret = presented_secret(exchange)
        if secret is None:
            return False
        try:
            await self._identify(exchange, secret)
        except RempartError:
            return False
        return True
