"""The outermost layer: a request id for every answer, one shape for every error, nothing unguarded.

Plain ASGI, so that it also stands around what FastAPI itself answers.
"""

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from rempart.base.clock import Clock, iso_utc
from rempart.base.ids import Ids
from rempart.control.access import Authenticate, admit
from rempart.domain.errors import BodyTooLarge, InternalError, Overloaded, RempartError
from rempart.wire import envelope, security_headers

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = MutableMapping[str, Any]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

GUARDS = (*security_headers.ALWAYS, *security_headers.BROWSED, *security_headers.NO_PAGE)
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
BODY_BYTES_MAX = 1024 * 1024
UNDER_WAY_MAX = 256
"""Requests at a time; one more is refused. Loading models waits here, so that it is no small number."""


class Answers:
    """Wraps the application.

    Args:
        report: told of a bug: the exception and the request's id, for the log.
    """

    def __init__(
        self,
        app: App,
        *,
        authenticate: Authenticate,
        clock: Clock,
        ids: Ids,
        report: Callable[[Exception, str], None],
    ) -> None:
        self._app = app
        self._authenticate = authenticate
        self._clock = clock
        self._ids = ids
        self._report = report
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = _header(scope, b"x-request-id")
        request_id = given if REQUEST_ID.fullmatch(given) else self._ids.uuid7()
        is_started = is_ended = False

        async def send_with_id(message: Message) -> None:
            nonlocal is_started, is_ended
            if message["type"] == "http.response.start":
                is_started = True
                headers = list(message.get("headers", []))
                names = {name.lower() for name, _ in headers}
                headers.append((b"x-request-id", request_id.encode()))
                headers += [one for one in self._guards(scope) if one[0] not in names]
                message = {**message, "headers": headers}
            is_ended = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        received_bytes = 0

        async def receive_bounded() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > BODY_BYTES_MAX:  # chunked: no header told its length
                raise BodyTooLarge(limit_bytes=BODY_BYTES_MAX)
            return message

        self._under_way += 1
        try:
            scope.setdefault("state", {})["request_id"] = request_id
            self._refuse_early(scope)
            scope["state"]["principal"] = admit(scope, self._authenticate)
            await self._app(scope, receive_bounded, send_with_id)
        except RempartError as error:
            await self._answer_error(error, request_id, send_with_id)
        except Exception as bug:
            self._report(bug, request_id)
            if not is_started:
                await self._answer_error(InternalError(), request_id, send_with_id)
            elif not is_ended:
                raise  # the connection is closed: half an answer must not look like a whole one
        finally:
            self._under_way -= 1

    def _guards(self, scope: Scope) -> security_headers.Headers:
        """The headers that guard a browser; what the application says itself goes before them."""
        has_tls = scope.get("scheme") == "https"
        host = str((scope.get("server") or ("localhost",))[0])
        return (*GUARDS, *security_headers.strict_transport(has_tls=has_tls, host=host))

    def _refuse_early(self, scope: Scope) -> None:
        if self._under_way > UNDER_WAY_MAX:
            raise Overloaded(waiting=UNDER_WAY_MAX, waiting_max=UNDER_WAY_MAX, retry_after_s=1.0)
        length = _header(scope, b"content-length")
        if length.isdigit() and int(length) > BODY_BYTES_MAX:
            raise BodyTooLarge(limit_bytes=BODY_BYTES_MAX)

    async def _answer_error(self, error: RempartError, request_id: str, send: Send) -> None:
        timestamp = iso_utc(self._clock.wall())
        body = error_body(error, request_id, timestamp)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *envelope.headers(error),
        ]
        await send(
            {"type": "http.response.start", "status": error.answer_status, "headers": headers}
        )
        await send({"type": "http.response.body", "body": body})


def error_body(error: RempartError, request_id: str, timestamp: str) -> bytes:
    """The envelope as JSON."""
    return json.dumps(
        envelope.envelope(error, request_id=request_id, timestamp=timestamp), ensure_ascii=False
    ).encode()


def _header(scope: Scope, name: bytes) -> str:
    value: bytes = next((value for found, value in scope["headers"] if found == name), b"")
    return value.decode("latin-1")
