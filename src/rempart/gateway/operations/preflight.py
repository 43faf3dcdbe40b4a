"""OPTIONS: a CORS preflight is public; which pages may go on is said in ``wire/cors.py``."""

from dataclasses import dataclass

from rempart.gateway.exchange import Answer, Exchange
from rempart.wire.cors import CorsPolicy


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """Answers every OPTIONS the same way, so that it tells nothing about what is there.

    Args:
        cors: None: no page of another origin may go on.
    """

    cors: CorsPolicy | None = None
    name: str = "preflight"
    is_quiet: bool = True

    async def prepare(self, exchange: Exchange) -> None:
        """See ``Operation``."""
        answer = Answer(204, b"", headers=[(b"allow", b"GET, HEAD, POST, OPTIONS")])
        if self.cors is not None:
            header = exchange.request.header
            answer.headers += self.cors.preflight(
                header(b"origin"), header(b"access-control-request-method")
            )
        exchange.answer = answer
