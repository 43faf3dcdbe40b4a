"""POST /v1/messages and /v1/messages/count_tokens: Anthropic's protocol, served by chat."""

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
from rempart.wire import envelope, messages
from rempart.wire.chat import ChatAssembler
from rempart.wire.chat_request import KNOWN_FIELDS_MESSAGES

_NAMES = {"stop": "stop_sequences"}
"""Members that chat calls otherwise."""


@dataclass(frozen=True, kw_only=True)
class Messages(Generation):
    """A message, streamed and not."""

    name: str = "messages"
    is_quiet: bool = False

    async def prepare(self, exchange: Exchange) -> Call:
        """See ``Operation``."""
        document = await self.read(exchange)
        status = self.status_for(exchange, document)
        require_endpoint(status, ENDPOINT)
        extras = self.extra_fields(status)
        keep_known_fields(exchange, document, KNOWN_FIELDS_MESSAGES, extras)
        try:
            chat = messages.chat_request(document, extras=extras)
        except messages.ConversionError as error:
            raise invalid_fields(error.fields) from error
        faults = self.prompts.faults(exchange, chat, _NAMES)
        if faults:
            raise invalid_fields(faults)
        self.prompts.require_no_system(status, document)
        stream = document.get("stream") is True
        is_runner = status.kind in RUNNER_KINDS
        message_id = f"msg_{exchange.id.replace('-', '')}"
        shape: Shape
        if stream:
            shape = ConvertedStream(
                messages.MessagesStream(message_id=message_id, model=status.name),
                _fail,
                is_runner=is_runner,
            )
        else:
            shape = ConvertedDocument(
                ChatAssembler(),
                lambda answer: messages.message_document(answer, model=status.name),
                is_runner=is_runner,
                default_id=message_id,
                created=0,
            )
        require_own_media(chat)
        await self.finish(exchange, status, chat)
        for_runner(chat, status)
        if stream and status.kind == "llama_cpp":
            chat["return_progress"] = (
                True  # its first event has the prompt's tokens, for message_start
            )
        return Call(model=status.name, endpoint=ENDPOINT, stream=stream, document=chat, shape=shape)


@dataclass(frozen=True, kw_only=True)
class CountTokens(Generation):
    """The tokens that a message's prompt would have, counted by the model's own tokenizer and template."""

    counter: TokenCounter
    name: str = "messages_count_tokens"
    is_quiet: bool = False

    async def prepare(self, exchange: Exchange) -> None:
        """See ``Operation``."""
        document = await self.read(exchange)
        status = self.status_for(exchange, document)
        try:
            chat = messages.chat_request(document, is_max_tokens_required=False)
        except messages.ConversionError as error:
            raise invalid_fields(error.fields) from error
        self.prompts.require_no_system(status, document)
        self.prompts.clean(exchange, status, chat)
        count = await self.counter.count_chat(exchange, status, chat)
        exchange.answer = Answer(200, encode_json(messages.count_tokens_document(count)))


def _fail(error: RempartError, request_id: str, timestamp: str) -> bytes:
    return envelope.messages_error_event(error, request_id=request_id, timestamp=timestamp)
