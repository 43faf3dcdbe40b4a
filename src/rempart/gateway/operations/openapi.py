"""GET /openapi.json and /docs: what this server offers, made once at start."""

from dataclasses import dataclass

from rempart.gateway.exchange import Answer, Exchange
from rempart.wire.docs_page import DOCS_HEADERS

# The others of them are on every answer that a browser may open (wire/security_headers.py).
PAGE_HEADERS = [
    (name.lower().encode(), value.encode())
    for name, value in DOCS_HEADERS.items()
    if name.startswith(("Content-Security", "Cross-Origin-Opener"))
]


@dataclass(frozen=True, kw_only=True)
class OpenApi:
    """A document made at start."""

    body: bytes
    content_type: bytes
    is_page: bool = False
    name: str = "openapi"
    is_quiet: bool = True

    async def prepare(self, exchange: Exchange) -> None:
        """See ``Operation``."""
        exchange.answer = Answer(
            200, self.body, self.content_type, list(PAGE_HEADERS) if self.is_page else None
        )
