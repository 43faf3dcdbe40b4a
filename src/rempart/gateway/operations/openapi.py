"""GET /openapi.json and /docs: what this server offers, made once at start."""

from dataclasses import dataclass

from rempart.gateway.exchange import Answer, Exchange

CONTENT_POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'"
)
PAGE_HEADERS = [
    (b"content-security-policy", CONTENT_POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
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
