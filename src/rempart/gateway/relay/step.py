"""Step 10: send the call to a replica and relay its answer until it ends, whichever way."""

from functools import lru_cache
from urllib.parse import quote

from rempart.domain.models import Replica
from rempart.gateway.exchange import Call, Exchange, ReplicaFailed, encode_json
from rempart.gateway.relay.receivers import EventReceiver, PassthroughReceiver
from rempart.gateway.replicas.failures import lost
from rempart.gateway.replicas.pools import Pools
from rempart.net.http1.errors import ConnectFailed
from rempart.net.http1.messages import Headers
from rempart.runners.interface import GRANT_HEADER


class Relay:
    """The step; one object per worker."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    async def deliver(self, exchange: Exchange, replica: Replica, *, is_runner: bool) -> None:
        """Relay one call. Returns when the answer is whole; its last bytes are left in the exchange.

        Raises:
            ReplicaFailed: nothing reached the client, another replica may be tried.
            RempartError: the call failed, or was refused by the replica.
        """
        call = exchange.call
        assert call is not None  # noqa: S101 - the path delivers calls only
        receiver: EventReceiver | PassthroughReceiver
        if call.shape is not None:
            receiver = EventReceiver(exchange, call.shape, is_runner=is_runner)
        else:
            receiver = PassthroughReceiver(exchange, is_runner=is_runner)
        path = call.endpoint if call.shape is None else replica.base_path + call.endpoint
        try:
            sent = await self._pools.pool(replica).call(
                call.method.encode(),
                _target(path) if call.shape is not None else _quoted(path),
                _headers(exchange, call, replica),
                _body(call, replica),
                receiver,
            )
        except ConnectFailed as error:
            raise ReplicaFailed(lost(error, is_runner=is_runner)) from error
        exchange.runner_may_run = True
        exchange.sent_count += 1
        receiver.attach(sent)
        try:
            await receiver.ended
        except BaseException:
            sent.cancel()
            raise
        finally:
            exchange.reply.on_paused = exchange.reply.on_resumed = None
        exchange.runner_may_run = False


def _quoted(path: str) -> bytes:
    return quote(path, safe="/?&=%:@!$'()*+,;~-._").encode()


_target = lru_cache(maxsize=256)(_quoted)
"""For our own endpoints, which are few; a client's paths ([[routes]]) would only fill it."""


def _headers(exchange: Exchange, call: Call, replica: Replica) -> Headers:
    headers: Headers = [
        (b"content-type", call.raw_type if call.document is None else b"application/json"),
        (b"accept", b"text/event-stream" if call.shape is not None else b"*/*"),
        (b"x-request-id", exchange.request_id.encode("latin-1")),
    ]
    if replica.api_key:
        headers.append((b"authorization", b"Bearer " + replica.api_key.encode("latin-1")))
    if exchange.grant:
        headers.append((GRANT_HEADER.encode(), exchange.grant.encode()))
    if exchange.traceparent:
        headers.append((b"traceparent", exchange.traceparent.encode()))
        if exchange.tracestate:
            headers.append((b"tracestate", exchange.tracestate.encode("latin-1")))
    return headers


def _body(call: Call, replica: Replica) -> bytes:
    if call.document is None:
        return call.raw
    call.document["model"] = replica.upstream_name or call.model
    return encode_json(call.document)
