"""POST /v1/responses and /v1/responses/input_tokens: stateless, served by chat."""

from collections.abc import Callable
from dataclasses import dataclass

from rempart.domain.errors import RempartError
from rempart.gateway.exchange import Answer, Call, Exchange, Shape, encode_json
from rempart.gateway.operations.answers import ConvertedDocument, ConvertedStream
from rempart.gateway.operations.chat import ENDPOINT
from rempart.gateway.operations.generation import (
    RUNNER_KINDS,
    Generation,
    for_runner,
    keep_known_fields,
    require_endpoint,
    require_own_media,
)
from rempart.gateway.operations.tokenize import TokenCounter
from rempart.gateway.validation.body import invalid_fields
from rempart.wire import responses
from rempart.wire.chat import ChatAssembler
from rempart.wire.chat_request import KNOWN_FIELDS_RESPONSES

_NAMES = {"max_tokens": "max_output_tokens", "messages": "input"}
"""Members that chat calls otherwise."""


@dataclass(frozen=True, kw_only=True)
class Responses(Generation):
    """A response, streamed and not."""

    name: str = "responses"
    is_quiet: bool = False

    async def prepare(self, exchange: Exchange) -> Call:
        """See ``Operation``."""
        document = await self.read(exchange)
        status = self.status_for(exchange, document)
        require_endpoint(status, ENDPOINT)
        extras = self.extra_fields(status)
        keep_known_fields(exchange, document, KNOWN_FIELDS_RESPONSES, extras)
        try:
            chat = responses.chat_request(document, extras=extras)
        except responses.ConversionError as error:
            raise invalid_fields(error.fields) from error
        faults = self.prompts.faults(exchange, chat, _NAMES)
        if faults:
            raise invalid_fields(faults)
        self.prompts.require_no_system(status, document)
        stream = document.get("stream") is True
        is_runner = status.kind in RUNNER_KINDS
        response_id = f"resp_{exchange.id.replace('-', '')}"
        created = int(exchange.clock.wall().timestamp())
        shape: Shape
        if stream:
            converter = responses.ResponsesStream(
                document, id=response_id, created=created, model=status.name
            )
            shape = ConvertedStream(converter, _fail_in(converter), is_runner=is_runner)
        else:
            shape = ConvertedDocument(
                ChatAssembler(),
                lambda answer: responses.response_document(
                    answer, request=document, id=response_id, created=created, model=status.name
                ),
                is_runner=is_runner,
                default_id=response_id,
                created=created,
            )
        require_own_media(chat)
        await self.finish(exchange, status, chat)
        for_runner(chat, status)
        return Call(model=status.name, endpoint=ENDPOINT, stream=stream, document=chat, shape=shape)


@dataclass(frozen=True, kw_only=True)
class InputTokens(Generation):
    """The tokens that a response's prompt would have."""

    counter: TokenCounter
    name: str = "responses_input_tokens"
    is_quiet: bool = False

    async def prepare(self, exchange: Exchange) -> None:
        """See ``Operation``."""
        document = await self.read(exchange)
        status = self.status_for(exchange, document)
        try:
            chat = responses.chat_request(document)
        except responses.ConversionError as error:
            raise invalid_fields(error.fields) from error
        self.prompts.require_no_system(status, document)
        self.prompts.clean(exchange, status, chat)
        count = await self.counter.count_chat(exchange, status, chat)
        exchange.answer = Answer(200, encode_json(responses.input_tokens_document(count)))


def _fail_in(converter: responses.ResponsesStream) -> Callable[[RempartError, str, str], bytes]:
    def fail(error: RempartError, request_id: str, timestamp: str) -> bytes:
        more = {
            "request_id": request_id,
            "timestamp": timestamp,
            "type": error.type,
            "details": error.details,
        }
        return converter.fail(error.code, error.message, more)

    return fail
