"""From the HTTP server into the way: an exchange per request; refusals of the HTTP layer in our envelope."""

import traceback

from rempart.base.clock import Clock, iso_utc
from rempart.base.ids import Ids
from rempart.domain import errors
from rempart.domain.errors import RempartError
from rempart.gateway.error_answers import error_answer
from rempart.gateway.exchange import Exchange
from rempart.gateway.path import OUTSIDE, Way
from rempart.net.http1.messages import Headers, Request
from rempart.net.http1.server import Refusal, Reply
from rempart.telemetry.logs import Log
from rempart.telemetry.metrics import Metrics
from rempart.wire import security_headers
from rempart.wire.cors import CorsPolicy


class Entry:
    """What the HTTP server calls; knows every exchange under way, to end them at a shutdown.

    Args:
        cors: which pages of other origins may read answers; None: nothing is said of it.
        more_headers: of every answer.
    """

    def __init__(
        self,
        *,
        way: Way,
        clock: Clock,
        ids: Ids,
        metrics: Metrics,
        log: Log,
        base_path: str,
        cors: CorsPolicy | None = None,
        more_headers: security_headers.Headers = (),
    ) -> None:
        self._way = way
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._log = log
        self._base_path = base_path.rstrip("/")
        self._cors = cors
        self._more_headers = more_headers
        self.exchanges: set[Exchange] = set()

    async def handle(self, request: Request, reply: Reply) -> None:
        """Serve one request."""
        if self._base_path:
            self._strip(request)
        exchange = Exchange(request, reply, self._clock)
        if self._more_headers:
            exchange.extra_headers += self._more_headers
        if self._cors is not None:
            exchange.extra_headers += self._cors.answer(request.header(b"origin"))
        self.exchanges.add(exchange)
        self._metrics.in_flight.add(1)
        try:
            await self._way.serve(exchange)
        finally:
            self.exchanges.discard(exchange)
            self._metrics.in_flight.add(-1)

    def end_all(self) -> None:
        """End every exchange with ``shutting_down``: an answer, or an error event where bytes went out."""
        for exchange in list(self.exchanges):
            if exchange.deadline is not None:
                exchange.deadline.trip(errors.ShuttingDown(retry_after_s=1.0))

    def _strip(self, request: Request) -> None:
        """Take the configured prefix off; a path without it is none of ours."""
        path = request.path
        if path == self._base_path or path.startswith(self._base_path + "/"):
            request.path = path[len(self._base_path) :] or "/"
        else:
            request.path = OUTSIDE + path  # no route has it: answered like any unknown path

    def refusal_answer(self, refusal: Refusal) -> tuple[Headers, bytes]:
        """The answer to what the HTTP layer refuses."""
        error = refused(refusal)
        request_id = self._ids.uuid7()
        answer = error_answer(error, request_id, iso_utc(self._clock.wall()), is_messages=False)
        headers = [
            *answer.headers,
            (b"x-request-id", request_id.encode()),
            *security_headers.ALWAYS,
            *self._more_headers,
        ]
        self._log.info(
            "http_refused",
            id=request_id,
            status=refusal.status,
            reason=refusal.reason,
            address=refusal.peer,
        )
        return headers, answer.body

    def on_error(self, error: Exception, request: Request) -> None:
        """A bug outside the way's own scopes: the client gets a bare ``internal_error``, the log the trace."""
        trace = "".join(traceback.format_exception(error))
        self._log.error("bug", path=request.path[:256], traceback=trace[-8000:])

    def on_refused(self, refusal: Refusal) -> None:
        """Count it."""
        self._metrics.http_refused.add(1, str(refusal.status))


def refused(refusal: Refusal) -> RempartError:
    """A refusal of the HTTP layer as one of our errors."""
    reason = refusal.reason
    match refusal.status:
        case 408:
            return errors.RequestReadTimeout(reason=reason)
        case 413:
            return errors.BodyTooLarge(
                message=f"The body is too large: {reason}. Send less at a time."
            )
        case 414:
            return errors.UriTooLong(
                message=f"The request's target is too long: {reason}. Send parameters in the body."
            )
        case 431:
            return errors.HeadersTooLarge(reason=reason)
        case 500:
            return errors.InternalError()
        case 501:
            return errors.NotImplementedHere(reason=reason)
        case 503:
            return errors.Overloaded(
                message=f"The server has no room for another connection: {reason}. Try again after a moment.",
                retry_after_s=1.0,
            )
        case 505:
            return errors.VersionNotSupported(found=reason)
        case _:
            return errors.MalformedRequest(reason=reason)
