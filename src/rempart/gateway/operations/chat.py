"""POST /v1/chat/completions."""

from dataclasses import dataclass

from rempart.gateway.exchange import Call, Exchange, Shape
from rempart.gateway.operations.answers import AssembledDocument
from rempart.gateway.operations.generation import (
    RUNNER_KINDS,
    Generation,
    for_runner,
    keep_known_fields,
    require_endpoint,
    require_own_media,
    wants_usage,
)
from rempart.gateway.operations.passed_stream import PassedStream
from rempart.gateway.validation.body import invalid_fields
from rempart.wire import chat_request
from rempart.wire.chat import ChatAssembler

ENDPOINT = "/chat/completions"


@dataclass(frozen=True, kw_only=True)
class ChatCompletions(Generation):
    """OpenAI chat completions, streamed and not."""

    name: str = "chat"
    is_quiet: bool = False

    async def prepare(self, exchange: Exchange) -> Call:
        """See ``Operation``."""
        document = await self.read(exchange)
        status = self.status_for(exchange, document)
        require_endpoint(status, ENDPOINT)
        faults = chat_request.validate_chat(document) + self.prompts.faults(exchange, document)
        if faults:
            raise invalid_fields(faults)
        require_own_media(document)
        self.prompts.require_no_system(status, document)
        keep_known_fields(
            exchange, document, chat_request.KNOWN_FIELDS_CHAT, self.extra_fields(status)
        )
        stream = document.get("stream") is True
        shape: Shape
        is_runner = status.kind in RUNNER_KINDS
        if stream:
            shape = PassedStream(
                is_runner=is_runner,
                wants_usage=wants_usage(document),
                wants_progress=document.get("return_progress") is True,
            )
        else:
            shape = AssembledDocument(
                ChatAssembler(),
                is_runner=is_runner,
                default_id=f"chatcmpl-{exchange.id}",
                created=int(exchange.clock.wall().timestamp()),
            )
        await self.finish(exchange, status, document)
        for_runner(document, status)
        return Call(
            model=status.name, endpoint=ENDPOINT, stream=stream, document=document, shape=shape
        )
