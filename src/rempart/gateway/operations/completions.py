"""POST /v1/completions."""

from dataclasses import dataclass

from rempart.gateway.exchange import Call, Exchange, Shape
from rempart.gateway.operations.answers import AssembledDocument
from rempart.gateway.operations.generation import (
    RUNNER_KINDS,
    Generation,
    for_runner,
    keep_known_fields,
    require_endpoint,
    wants_usage,
)
from rempart.gateway.operations.passed_stream import PassedStream
from rempart.gateway.validation.body import invalid_fields
from rempart.wire import chat_request
from rempart.wire.completions import CompletionAssembler

ENDPOINT = "/completions"


@dataclass(frozen=True, kw_only=True)
class Completions(Generation):
    """OpenAI text completions, streamed and not."""

    name: str = "completions"
    is_quiet: bool = False

    async def prepare(self, exchange: Exchange) -> Call:
        """See ``Operation``."""
        document = await self.read(exchange)
        status = self.status_for(exchange, document)
        require_endpoint(status, ENDPOINT)
        self.prompts.require_raw_allowed(status)
        faults = chat_request.validate_completion(document) + self.prompts.faults(
            exchange, document
        )
        if faults:
            raise invalid_fields(faults)
        keep_known_fields(
            exchange, document, chat_request.KNOWN_FIELDS_COMPLETIONS, self.extra_fields(status)
        )
        stream = document.get("stream") is True
        shape: Shape
        is_runner = status.kind in RUNNER_KINDS
        if stream:
            shape = PassedStream(is_runner=is_runner, wants_usage=wants_usage(document))
        else:
            shape = AssembledDocument(
                CompletionAssembler(),
                is_runner=is_runner,
                default_id=f"cmpl-{exchange.id}",
                created=int(exchange.clock.wall().timestamp()),
            )
        await self.finish(exchange, status, document)
        for_runner(document, status, takes_tools=False)
        return Call(
            model=status.name, endpoint=ENDPOINT, stream=stream, document=document, shape=shape
        )
