"""POST /v1/embeddings and /v1/rerank: one document in, one out, as they are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rempart.gateway.exchange import Call, Exchange
from rempart.gateway.operations.answers import WholeDocument
from rempart.gateway.operations.generation import (
    RUNNER_KINDS,
    Generation,
    keep_known_fields,
    require_endpoint,
)
from rempart.gateway.validation.body import invalid_fields

Faults = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, kw_only=True)
class WholeDocuments(Generation):
    """An endpoint whose answer is one document anyway.

    Args:
        endpoint: its path, below ``/v1``.
        faults: lists every wrong field of a request.
        known: fields that go on to the runner.
    """

    name: str
    endpoint: str
    faults: Faults
    known: frozenset[str]
    is_quiet: bool = False

    async def prepare(self, exchange: Exchange) -> Call:
        """See ``Operation``."""
        document = await self.read(exchange)
        status = self.status_for(exchange, document)
        require_endpoint(status, self.endpoint)
        faults = self.faults(document)
        if faults:
            raise invalid_fields(faults)
        keep_known_fields(exchange, document, self.known, self.extra_fields(status))
        await self.finish(exchange, status, document)
        shape = WholeDocument(is_runner=status.kind in RUNNER_KINDS)
        return Call(model=status.name, endpoint=self.endpoint, document=document, shape=shape)
