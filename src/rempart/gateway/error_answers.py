"""Step 2: the one place where exceptions become answers.

Before the first byte an error is an answer with its envelope; after it, the last event of the stream
in the protocol's own form. What is not one of our errors is a bug: the client gets ``internal_error``,
the log the traceback.
"""

import traceback
from collections.abc import Callable
from types import TracebackType

from rempart.base.clock import iso_utc
from rempart.domain.errors import ClientClosed, InternalError, RempartError, ShuttingDown
from rempart.gateway.exchange import JSON_TYPE, Answer, Exchange, ReplicaFailed, encode_json
from rempart.net.http1.errors import PeerClosed
from rempart.wire import envelope

OnBug = Callable[[Exchange, str], None]


class ErrorAnswers:
    """Answers whatever its block raises, but nothing when the client is gone."""

    __slots__ = ("_exchange", "_on_bug")

    def __init__(self, exchange: Exchange, on_bug: OnBug) -> None:
        self._exchange = exchange
        self._on_bug = on_bug

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if error is None:
            return False
        self._answer(translate(error, self._exchange, self._on_bug))
        # A cancellation from outside goes on, as does all that ends the process; all else ends here.
        if not isinstance(error, Exception):
            return False
        # Its traceback holds the frames that hold it: a cycle for each request that is refused.
        error.__traceback__ = error.__cause__ = error.__context__ = None
        return True

    def _answer(self, error: RempartError) -> None:
        exchange = self._exchange
        exchange.error = error
        if isinstance(error, ClientClosed) or exchange.reply.is_gone:
            return
        timestamp = iso_utc(exchange.clock.wall())
        if exchange.reply.is_started:
            shape = exchange.call.shape if exchange.call is not None else None
            if shape is None:
                exchange.reply.abort()
            else:
                exchange.last_bytes = shape.fail(error, exchange.request_id, timestamp)
            return
        exchange.answer = error_answer(
            error, exchange.request_id, timestamp, is_messages=exchange.is_messages
        )


def translate(error: BaseException, exchange: Exchange, on_bug: OnBug) -> RempartError:
    """Any exception as one of our errors."""
    if isinstance(error, RempartError):
        return error
    if isinstance(error, ReplicaFailed):
        return error.error
    if isinstance(error, PeerClosed):
        return ClientClosed()
    if not isinstance(error, Exception):  # a cancellation from outside: the worker ends at once
        return ShuttingDown()
    on_bug(exchange, "".join(traceback.format_exception(error)))
    return InternalError()


def error_answer(
    error: RempartError, request_id: str, timestamp: str, *, is_messages: bool
) -> Answer:
    """The answer for an error, in OpenAI's or Anthropic's shape."""
    if is_messages:
        document = envelope.messages_envelope(error, request_id=request_id, timestamp=timestamp)
        status = envelope.messages_status(error)
    else:
        document = envelope.envelope(error, request_id=request_id, timestamp=timestamp)
        status = error.answer_status
    return Answer(status, encode_json(document), JSON_TYPE, envelope.headers(error))
