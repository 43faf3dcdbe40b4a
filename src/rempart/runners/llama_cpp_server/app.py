"""A request's way through the runner: key, route, plan, slot, engine, answer."""

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from rempart.domain.models import Facts
from rempart.net.http1.errors import BodyTooLarge, BodyTooSlow
from rempart.net.http1.server import Headers, Reply, Request
from rempart.runners.interface import GRANT_HEADER
from rempart.runners.llama_cpp_server import documents
from rempart.runners.llama_cpp_server.answer import Answer
from rempart.runners.llama_cpp_server.door import Door, DoorError
from rempart.runners.llama_cpp_server.engine import Engine
from rempart.runners.llama_cpp_server.generation import Documents, EngineCall, Generation, Work
from rempart.runners.llama_cpp_server.plan import Plan, plan_chat, plan_completions
from rempart.runners.llama_cpp_server.receivers import Events, Receiver, Whole
from rempart.runners.llama_cpp_server.refusals import (
    Refused,
    failed,
    from_library,
    invalid,
    not_served,
    shutting_down,
    too_many_waiting,
    unauthorized,
    wrong_method,
)
from rempart.runners.llama_cpp_server.slots import SlotTable

BODY_BYTES_MAX = 64 * 1024 * 1024
"""The gateway has the real bound; images come inside."""
ASKING_MAX = 256
"""Short questions (tokens, templates) that may wait at a time."""
ASKING_THREADS = 2
GRANT_CHARACTERS_MAX = 256

JSON_HEADERS: Headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]

_AT_THE_DOOR = frozenset(
    {
        "/tokenize",
        "/detokenize",
        "/apply-template",
        "/v1/chat/completions/input_tokens",
        "/v1/responses/input_tokens",
        "/v1/messages/count_tokens",
    }
)
"""Paths that the library answers at its own door; they take no slot."""

_Handler = Callable[[Request, Reply], Awaitable[None]]


class App:
    """The handler of the HTTP server.

    Args:
        engine: the loaded model.
        door: for what has no in-process call.
        facts: what is known of the model.
        alias: its name.
        api_key: what requests must bring.
        slots: of the engine.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        door: Door,
        facts: Facts,
        alias: str,
        api_key: str,
        slots: SlotTable,
    ) -> None:
        self._engine = engine
        self._door = door
        self._facts = facts
        self._alias = alias
        self._authorization = b"Bearer " + api_key.encode()
        self._slots = slots
        self._is_ending = False
        self._asking = 0
        self._open: dict[Work, Receiver] = {}  # bounded by the slots
        self._idle = asyncio.Event()
        self._idle.set()
        # A thread for each slot: whoever has a slot never waits for a thread.
        self._threads = ThreadPoolExecutor(slots.total, thread_name_prefix="slot")
        self._asking_threads = ThreadPoolExecutor(ASKING_THREADS, thread_name_prefix="door")
        self._routes: dict[str, tuple[str, _Handler]] = {
            "/health": ("GET", self._health),
            "/v1/models": ("GET", self._models),
            "/slots": ("GET", self._list_slots),
            "/counters": ("GET", self._counters),
            "/v1/chat/completions": ("POST", self._chat),
            "/v1/completions": ("POST", self._completions),
            "/v1/embeddings": ("POST", self._embeddings),
            "/v1/rerank": ("POST", self._rerank),
            **dict.fromkeys(_AT_THE_DOOR, ("POST", self._ask_door)),
            "/props": ("GET", self._ask_door),
        }

    async def handle(self, request: Request, reply: Reply) -> None:
        """Answer one request."""
        try:
            await self._route(request)(request, reply)
        except Refused as refused:
            _refuse(reply, refused)
        except BodyTooLarge as exc:
            message = f"the body is larger than {exc.limit_bytes} bytes"
            _refuse(reply, Refused(413, "invalid_request_error", "body_too_large", message))
        except BodyTooSlow as exc:
            message = f"the request came too slowly: {exc.reason}"
            _refuse(reply, Refused(408, "invalid_request_error", "request_read_timeout", message))

    def end(self) -> None:
        """Refuse what is new, and end what runs with an error that says so."""
        self._is_ending = True
        for work, receiver in list(self._open.items()):
            work.stop()
            receiver.end(shutting_down())

    async def wait_idle(self) -> None:
        """Returns when nothing is in the engine."""
        await self._idle.wait()

    def _route(self, request: Request) -> _Handler:
        path = request.path
        if path != "/health" and not self._has_key(request):
            raise unauthorized()
        route = self._routes.get(path)
        if route is None:
            raise not_served(path[:200])
        method, handler = route
        if request.method != method:
            raise wrong_method(path, method)
        if self._is_ending:
            raise shutting_down()
        return handler

    def _has_key(self, request: Request) -> bool:
        return hmac.compare_digest(request.header(b"authorization") or b"", self._authorization)

    # What takes a slot.

    async def _chat(self, request: Request, reply: Reply) -> None:
        body = await request.read(BODY_BYTES_MAX)
        plan = plan_chat(body, template_takes_tools=bool(self._facts.supports_tools))
        await self._generate(request, reply, plan, self._engine.chat, is_chat=True)

    async def _completions(self, request: Request, reply: Reply) -> None:
        plan = plan_completions(await request.read(BODY_BYTES_MAX))
        await self._generate(request, reply, plan, self._engine.completions, is_chat=False)

    async def _generate(
        self, request: Request, reply: Reply, plan: Plan, call: EngineCall, *, is_chat: bool
    ) -> None:
        answer = Answer(plan, call_id=secrets.token_hex(12))
        receiver: Receiver = (
            Events(reply, asyncio.get_running_loop())
            if plan.streams
            else Whole(reply, is_chat=is_chat)
        )
        work = Generation(self._engine, call, plan.calls, answer, receiver.put)
        await self._run(request, reply, work, receiver)
        if work.refused is not None:
            receiver.end(work.refused)
        else:
            receiver.finish(answer.usage_chunk() if plan.wants_usage or not plan.streams else b"")

    async def _embeddings(self, request: Request, reply: Reply) -> None:
        if not self._facts.embeds:
            raise not_enabled("/v1/embeddings", "embeddings = true")
        calls = documents.embedding_calls(await request.read(BODY_BYTES_MAX))
        work = Documents(self._engine.embeddings, calls, documents.join_embeddings)
        await self._answer_document(request, reply, work)

    async def _rerank(self, request: Request, reply: Reply) -> None:
        if not self._facts.reranks:
            raise not_enabled("/v1/rerank", 'pooling = "rank"')
        body = await request.read(BODY_BYTES_MAX)
        calls = documents.rerank_calls(body)
        work = Documents(
            self._engine.rerank, calls, lambda answers: documents.join_rerank(body, answers)
        )
        await self._answer_document(request, reply, work)

    async def _answer_document(self, request: Request, reply: Reply, work: Documents) -> None:
        receiver = Whole(reply, is_chat=False)
        await self._run(request, reply, work, receiver)
        if work.refused is not None:
            receiver.end(work.refused)
        else:
            receiver.send(work.document)

    async def _run(self, request: Request, reply: Reply, work: Work, receiver: Receiver) -> None:
        """Give ``work`` a slot and a thread; returns when it has left both, or is not wanted."""
        grant = (request.header(GRANT_HEADER.encode()) or b"").decode("latin-1")
        slot = self._slots.take(grant[:GRANT_CHARACTERS_MAX])
        slot.work = work
        self._open[work] = receiver
        self._idle.clear()

        def hang_up() -> None:
            work.stop()
            receiver.close()

        def ended(_: "asyncio.Future[None]") -> None:
            # Before the answer's last byte goes out: whoever has the whole answer may send the
            # next request at once, and it must find this slot free.
            del self._open[work]
            self._slots.free(slot)
            if not self._open:
                self._idle.set()

        future = asyncio.get_running_loop().run_in_executor(self._threads, work.run)
        future.add_done_callback(ended)
        reply.on_gone = hang_up
        try:
            # The slot is not free before the thread has ended, whatever happens to this task.
            await asyncio.shield(future)
        except asyncio.CancelledError:
            hang_up()
            raise

    # What takes none.

    async def _ask_door(self, request: Request, reply: Reply) -> None:
        body = await request.read(BODY_BYTES_MAX)
        if self._asking >= ASKING_MAX:
            raise too_many_waiting()
        self._asking += 1
        try:
            status, answer = await asyncio.get_running_loop().run_in_executor(
                self._asking_threads, self._door.ask, request.method, request.path, body or None
            )
        except DoorError as exc:
            raise failed(f"the library did not answer {exc}") from exc
        finally:
            self._asking -= 1
        if status >= 400:
            refused = from_library(answer)
            # The door calls JSON that it cannot read its own failure.
            raise invalid(refused.message) if refused.status == 500 else refused
        reply.send(status, JSON_HEADERS, answer)

    async def _health(self, request: Request, reply: Reply) -> None:
        _send(reply, {"status": "ok"})

    async def _models(self, request: Request, reply: Reply) -> None:
        about = {
            "id": self._alias,
            "object": "model",
            "owned_by": "rempart",
            "context_length": self._facts.context_length,
        }
        _send(reply, {"object": "list", "data": [about]})

    async def _list_slots(self, request: Request, reply: Reply) -> None:
        _send(reply, self._slots.listing())

    async def _counters(self, request: Request, reply: Reply) -> None:
        counters = self._slots.counters
        _send(
            reply,
            {
                "requests": counters.requests,
                "prompt_tokens": counters.prompt_tokens,
                "completion_tokens": counters.completion_tokens,
                "wasted_tokens": counters.wasted_tokens,
            },
        )


def not_enabled(path: str, setting: str) -> Refused:
    """The model was not started for this."""
    message = f"this model does not serve {path}; it would with {setting}"
    return Refused(501, "not_supported_error", "not_supported", message)


def _send(reply: Reply, document: Any) -> None:
    reply.send(200, JSON_HEADERS, msgspec.json.encode(document))


def _refuse(reply: Reply, refused: Refused) -> None:
    if not reply.is_started and not reply.is_gone:
        headers = [*JSON_HEADERS, (b"retry-after", b"1")] if refused.status == 503 else JSON_HEADERS
        reply.send(refused.status, headers, refused.body())
