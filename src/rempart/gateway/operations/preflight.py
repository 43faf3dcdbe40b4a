"""OPTIONS: a CORS preflight is public, and, CORS being off, allows no other origin."""

from dataclasses import dataclass

from rempart.gateway.exchange import Answer, Exchange


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """Answers every OPTIONS the same way, so that it tells nothing about what is there."""

    name: str = "preflight"
    is_quiet: bool = True

    async def prepare(self, exchange: Exchange) -> None:
        """See ``Operation``."""
        exchange.answer = Answer(204, b"", headers=[(b"allow", b"GET, HEAD, POST, OPTIONS")])
