"""Step 4: from the request's head to a principal with the scope that the route needs.

Default deny: a route is open only if its row says PUBLIC, and a path without a row needs a key before it
is told that there is nothing. The body has not been read at this point.
"""

from collections.abc import Callable

from rempart.domain.errors import InsufficientScope, InvalidApiKey, MissingApiKey
from rempart.domain.keys import (
    ANONYMOUS,
    SECRET_CHARACTERS_MAX,
    Principal,
    StoredKey,
    secret_in_header,
)
from rempart.gateway.exchange import Exchange

KeyLookup = Callable[[str], StoredKey | None]


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


class Authentication:
    """Finds the principal; ``find_key`` is where keys are kept."""

    __slots__ = ("_find_key",)

    def __init__(self, find_key: KeyLookup) -> None:
        self._find_key = find_key

    def step(self, exchange: Exchange) -> None:
        """Set ``exchange.principal``.

        Raises:
            MissingApiKey, InvalidApiKey, InsufficientScope.
        """
        route = exchange.route
        if route is not None and not route.scope:
            return
        exchange.principal = self.principal(presented_secret(exchange))
        if route is not None and route.scope not in exchange.principal.scopes:
            raise InsufficientScope(scope=route.scope)

    def principal(self, secret: str | None) -> Principal:
        """Whose secret this is.

        Raises:
            MissingApiKey, InvalidApiKey.
        """
        if secret is None:
            raise MissingApiKey
        key = self._find_key(secret) if len(secret) <= SECRET_CHARACTERS_MAX else None
        if key is None:
            raise InvalidApiKey
        return Principal(id=key.id, scopes=key.scopes)

    def is_known(self, exchange: Exchange) -> bool:
        """Whether the request carries a valid key, for public routes that show more to those who do."""
        if exchange.principal is not ANONYMOUS:
            return True
        secret = presented_secret(exchange)
        return (
            secret is not None
            and len(secret) <= SECRET_CHARACTERS_MAX
            and self._find_key(secret) is not None
        )
